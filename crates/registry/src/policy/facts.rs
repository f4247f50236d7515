//! What is known of a repository's images when a policy is evaluated. Times are unix milliseconds, so that 10^5 images stay small.

use std::ops::Range;

use larder_oci::{Digest, Tag};

/// An image: a manifest or an index, with or without tags.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its digest.
    pub digest: Digest,
    /// Its tags, in order.
    pub tags: Vec<Tag>,
    /// When it was first pushed.
    pub pushed: i64,
    /// When a client last pulled it.
    pub pulled: Option<i64>,
    /// When it was archived, if it is.
    pub archived: Option<i64>,
    /// When it was last taken out of the archive.
    pub activated: Option<i64>,
    /// Until when a push in flight may rely on it.
    pub leased_until: Option<i64>,
    /// Bytes of its manifest.
    pub size: u64,
    /// Whether another repository has this manifest too.
    pub elsewhere: bool,
    /// Whether it stands in a stage, or lately did.
    pub staged: bool,
    /// The image that it refers to, if the repository has that.
    pub subject: Option<u32>,
    children: Range<u32>,
    blobs: Range<u32>,
}

impl Image {
    /// An image with this digest and these tags, pushed then, about which nothing else is known.
    pub fn new(digest: Digest, tags: Vec<Tag>, pushed: i64) -> Self {
        Self {
            digest,
            tags,
            pushed,
            pulled: None,
            archived: None,
            activated: None,
            leased_until: None,
            size: 0,
            elsewhere: false,
            staged: false,
            subject: None,
            children: 0..0,
            blobs: 0..0,
        }
    }
}

/// A configuration or a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its length in bytes.
    pub size: u64,
    /// Whether another repository holds it too.
    pub elsewhere: bool,
}

/// A repository's images, and what they hold.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The images; others are named by their place here.
    pub images: Vec<Image>,
    /// What they hold; named by their place here.
    pub blobs: Vec<Blob>,
    parts: Vec<u32>,
}

impl Facts {
    /// Says once what an image holds: images, if it is an index, and blobs.
    pub fn holds(&mut self, image: u32, children: impl IntoIterator<Item = u32>, blobs: impl IntoIterator<Item = u32>) {
        let start = self.parts.len();
        self.parts.extend(children);
        let middle = self.parts.len();
        self.parts.extend(blobs);
        let place = |at: usize| u32::try_from(at).expect("fewer than 2^32 edges");
        let image = &mut self.images[image as usize];
        image.children = place(start)..place(middle);
        image.blobs = place(middle)..place(self.parts.len());
    }

    /// The images that an index names and the repository has.
    pub fn children(&self, image: u32) -> &[u32] {
        self.part(&self.images[image as usize].children)
    }

    /// The blobs that an image names and the repository has.
    pub fn blobs_of(&self, image: u32) -> &[u32] {
        self.part(&self.images[image as usize].blobs)
    }

    fn part(&self, range: &Range<u32>) -> &[u32] {
        &self.parts[range.start as usize..range.end as usize]
    }

    /// Bytes of an image's manifest and blobs; not those of an index's children, which are images of their own.
    pub fn size(&self, image: u32) -> u64 {
        let blobs = self.blobs_of(image).iter().map(|blob| self.blobs[*blob as usize].size);
        blobs.fold(self.images[image as usize].size, u64::saturating_add)
    }

    pub(super) fn places(&self) -> Range<u32> {
        0..u32::try_from(self.images.len()).expect("fewer than 2^32 images")
    }
}
