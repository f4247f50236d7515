//! A repository as a policy sees it, in few words.

use larder_oci::{Algorithm, Digest};
use larder_registry::policy::{Blob, Evaluation, Facts, Image, Policy, evaluate};

const DAY: i64 = 24 * 60 * 60 * 1000;
/// 2026-11-21T12:00:00Z, in milliseconds.
pub const NOW: i64 = 1_795_262_400_000;

pub fn days_ago(days: i64) -> i64 {
    NOW - days * DAY
}

#[derive(Default)]
pub struct Repository {
    pub facts: Facts,
}

impl Repository {
    /// An image with these tags, pushed so many days ago.
    pub fn image(&mut self, tags: &[&str], days: i64) -> u32 {
        let place = u32::try_from(self.facts.images.len()).expect("few images");
        let tags = tags.iter().map(|tag| tag.parse().expect("a tag")).collect();
        let mut image = Image::new(digest(place), tags, days_ago(days));
        image.size = 100;
        self.facts.images.push(image);
        place
    }

    pub fn index(&mut self, tags: &[&str], days: i64, children: &[u32]) -> u32 {
        let place = self.image(tags, days);
        self.facts.holds(place, children.iter().copied(), []);
        place
    }

    pub fn blob(&mut self, size: u64) -> u32 {
        self.facts.blobs.push(Blob { size, elsewhere: false });
        u32::try_from(self.facts.blobs.len() - 1).expect("few blobs")
    }

    pub fn layers(&mut self, image: u32, blobs: &[u32]) {
        self.facts.holds(image, [], blobs.iter().copied());
    }

    pub fn of(&mut self, image: u32) -> &mut Image {
        &mut self.facts.images[image as usize]
    }

    pub fn digest(&self, image: u32) -> Digest {
        self.facts.images[image as usize].digest
    }

    pub fn decide(&self, policy: &str) -> Evaluation {
        let policy = Policy::read(policy).unwrap_or_else(|problems| panic!("{problems}"));
        evaluate(&policy, &[], &self.facts, NOW)
    }

    /// What goes, in the order of the images.
    pub fn going(&self, policy: &str) -> Vec<u32> {
        let evaluation = self.decide(policy);
        let mut order = evaluation.order;
        order.sort_unstable();
        order
    }
}

/// Spread like hashes.
pub fn digest(number: u32) -> Digest {
    let mut bytes = [0x5a; 32];
    bytes[..8].copy_from_slice(&u64::from(number).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[8..12].copy_from_slice(&number.to_be_bytes());
    Digest::new(Algorithm::Sha256, &bytes).expect("a digest")
}
