//! The facts of a repository, read page by page into as little memory as they need.

use jiff::Timestamp;
use larder_catalog::model::policy::{ExpiringImage, ImagePart, ImageRow};
use larder_oci::RepositoryName;

use super::facts::{Blob, Facts, Image};
use crate::clock::after;
use crate::{Registry, Result};

/// Rows of a page.
const PAGE: usize = 2_000;

/// Facts, and what the catalog needs to see that they still hold.
pub(super) struct Loaded {
    pub facts: Facts,
    /// Of each image, when it was renewed and pulled, as its row had it.
    seen: Vec<(Option<Timestamp>, Option<Timestamp>)>,
}

impl Loaded {
    /// An image as it is to be removed.
    pub fn expiring(&self, image: u32, follows: Option<u32>) -> ExpiringImage {
        let facts = &self.facts.images[image as usize];
        let (renewed, pulled) = self.seen[image as usize];
        let follows = follows.map(|subject| self.facts.images[subject as usize].digest);
        ExpiringImage { digest: facts.digest, tags: facts.tags.clone(), renewed, pulled, follows }
    }
}

impl Registry {
    /// Reads what a policy needs to know. Rows may change meanwhile: what is removed is looked at again in its transaction.
    pub(super) async fn policy_facts(&self, repository: &RepositoryName) -> Result<Loaded> {
        self.flush_pulls().await?;
        let mut reading = Reading::default();
        self.read_images(repository, &mut reading).await?;
        self.read_tags(repository, &mut reading).await?;
        self.read_blobs(repository, &mut reading).await?;
        self.read_parts(repository, &mut reading).await?;
        let ttl = self.inner.settings.lease_ttl;
        let Reading { ids, mut facts, seen, subjects, has_parent, .. } = reading;
        for (place, image) in facts.images.iter_mut().enumerate() {
            image.subject = subjects[place].and_then(|subject| position(&ids, subject));
            // Its index may be on its way.
            let awaits_index = image.tags.is_empty() && image.subject.is_none() && !has_parent[place];
            let first = awaits_index.then(|| Timestamp::from_millisecond(image.pushed).ok()).flatten();
            image.leased_until = first.max(seen[place].0).map(|from| after(from, ttl).as_millisecond());
        }
        Ok(Loaded { facts, seen })
    }

    async fn read_images(&self, repository: &RepositoryName, reading: &mut Reading) -> Result<()> {
        loop {
            let after = reading.ids.last().copied().unwrap_or(0);
            let rows = self.inner.catalog.image_rows(repository, after, PAGE).await?;
            let is_last = rows.len() < PAGE;
            rows.into_iter().for_each(|row| reading.image(row));
            if is_last {
                reading.has_parent = vec![false; reading.ids.len()];
                return Ok(());
            }
        }
    }

    async fn read_tags(&self, repository: &RepositoryName, reading: &mut Reading) -> Result<()> {
        let mut after = String::new();
        loop {
            let rows = self.inner.catalog.image_tags(repository, &after, PAGE).await?;
            let is_last = rows.len() < PAGE;
            if let Some(last) = rows.last() {
                after = last.name.to_string();
            }
            for row in rows {
                if let Some(place) = position(&reading.ids, row.image) {
                    reading.facts.images[place as usize].tags.push(row.name);
                }
            }
            if is_last {
                return Ok(());
            }
        }
    }

    async fn read_blobs(&self, repository: &RepositoryName, reading: &mut Reading) -> Result<()> {
        loop {
            let after = reading.blobs.last().copied().unwrap_or(0);
            let rows = self.inner.catalog.held_blobs(repository, after, PAGE).await?;
            for row in &rows {
                reading.blobs.push(row.id);
                reading.facts.blobs.push(Blob { size: row.size, elsewhere: row.elsewhere });
            }
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn read_parts(&self, repository: &RepositoryName, reading: &mut Reading) -> Result<()> {
        let mut after = ImagePart { image: 0, child: 0 };
        let mut of_image: Vec<ImagePart> = Vec::new();
        loop {
            let rows = self.inner.catalog.image_parts(repository, after, PAGE).await?;
            let is_last = rows.len() < PAGE;
            for row in rows {
                if row.image != after.image {
                    reading.parts(&mut of_image);
                }
                // A blob may be named twice, as configuration and as layer.
                if of_image.last() != Some(&row) {
                    of_image.push(row);
                }
                after = row;
            }
            if is_last {
                reading.parts(&mut of_image);
                return Ok(());
            }
        }
    }
}

/// Facts on their way. Numbers come in order, so that they are found by halving.
#[derive(Default)]
struct Reading {
    ids: Vec<i64>,
    blobs: Vec<i64>,
    facts: Facts,
    seen: Vec<(Option<Timestamp>, Option<Timestamp>)>,
    subjects: Vec<Option<i64>>,
    has_parent: Vec<bool>,
}

impl Reading {
    fn image(&mut self, row: ImageRow) {
        self.ids.push(row.id);
        self.seen.push((row.renewed, row.pulled));
        self.subjects.push(row.subject);
        let mut image = Image::new(row.digest, Vec::new(), row.pushed.as_millisecond());
        image.pulled = row.pulled.map(Timestamp::as_millisecond);
        (image.size, image.elsewhere) = (row.size, row.elsewhere);
        self.facts.images.push(image);
    }

    fn parts(&mut self, of_image: &mut Vec<ImagePart>) {
        let Some(place) = of_image.first().and_then(|part| position(&self.ids, part.image)) else {
            return of_image.clear();
        };
        let children: Vec<u32> = of_image.iter().filter_map(|part| position(&self.ids, part.child)).collect();
        let blobs: Vec<u32> = of_image.iter().filter_map(|part| position(&self.blobs, part.child)).collect();
        children.iter().for_each(|child| self.has_parent[*child as usize] = true);
        self.facts.holds(place, children, blobs);
        of_image.clear();
    }
}

fn position(sorted: &[i64], id: i64) -> Option<u32> {
    sorted.binary_search(&id).ok().and_then(|place| u32::try_from(place).ok())
}
