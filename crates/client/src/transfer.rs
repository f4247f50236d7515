//! Moving a graph from one source to any number of targets.
//!
//! The source is read once: what one reader brings is handed to every target that needs it, and the slowest of them holds the reader back.
//! A target that fails is left out and stops no other; one that was only cut goes on by itself, from where the target says it is.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures::future::join_all;
use futures::stream::{self, StreamExt as _};
use larder_oci::digest::Digest;
use larder_oci::name::RepositoryName;
use larder_oci::reference::ImageReference;
use larder_oci::tag::Tag;

use crate::backoff::{Backoff, Policy};
use crate::error::{Error, Result};
use crate::graph::{Blob, Graph, Selection};
use crate::progress::{Item, Progress};
use crate::pump::{Pump, Tap};
use crate::registry::Client;
use crate::source::Source;
use crate::target::{BlobWriter, Moved, Opened, RemoteTarget, Target};

/// How to transfer.
#[derive(Clone, Debug)]
pub struct TransferOptions {
    /// Blobs on their way at once.
    pub jobs: usize,
    /// What to take along.
    pub selection: Selection,
    /// When to try again.
    pub retry: Policy,
}

impl Default for TransferOptions {
    fn default() -> Self {
        Self { jobs: 4, selection: Selection::default(), retry: Policy::default() }
    }
}

/// A target and the names that the root gets there.
#[derive(Clone)]
pub struct Destination {
    /// Where to.
    pub target: Arc<dyn Target>,
    /// Each of these has a result of its own; without a tag the root stays nameless.
    pub names: Vec<Name>,
}

/// A name of the root at a target.
#[derive(Clone, Debug, Default)]
pub struct Name {
    /// The tag.
    pub tag: Option<Tag>,
    /// The digest that the root must have for this name.
    pub digest: Option<Digest>,
}

/// What a name points at now.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The digest of the root.
    pub digest: Digest,
    /// What the target had to say about it.
    pub warnings: Vec<String>,
}

/// The results of one destination, in the order of its names.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// One for each name.
    pub names: Vec<Result<Arrived>>,
}

/// Where the result of a reference will be: the positions of its destination and of its name there.
pub type Position = (usize, usize);

/// Destinations of references, one per repository, and for each reference where its result will be.
pub fn destinations(client: &Client, references: &[ImageReference]) -> Result<(Vec<Destination>, Vec<Position>)> {
    let mut all: Vec<Destination> = Vec::new();
    let mut places = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for reference in references {
        let host = reference.host.as_deref().ok_or_else(|| Error::Setup(format!("{reference} names no registry")))?;
        let repository = client.repository(host, &reference.repository)?;
        let at = *known.entry(repository.to_string()).or_insert_with(|| {
            all.push(Destination { target: Arc::new(RemoteTarget::new(repository)), names: Vec::new() });
            all.len() - 1
        });
        places.push((at, all[at].names.len()));
        all[at].names.push(Name { tag: reference.tag.clone(), digest: reference.digest });
    }
    Ok((all, places))
}

/// Moves what `source` holds to all `destinations`. An error is the source's; what a target did is in its outcome.
pub async fn transfer(
    source: &dyn Source,
    destinations: &[Destination],
    options: &TransferOptions,
    progress: &Arc<dyn Progress>,
) -> Result<Vec<Outcome>> {
    let graph = Graph::read(source, &options.selection).await?;
    for layer in &graph.left_out {
        progress.note(&format!(
            "layer {} ({}) lives elsewhere and is not transferred",
            layer.digest.short(),
            layer.media_type
        ));
    }
    let lanes = destinations.iter().map(Lane::new).collect();
    let run = Run { source, graph: &graph, lanes, options, progress };
    join_all(run.lanes.iter().map(|lane| async {
        if let Err(error) = lane.target.prepare(&graph).await {
            lane.fail(error);
        }
    }))
    .await;
    let blobs = graph.blobs.iter().map(|blob| run.blob(blob));
    stream::iter(blobs).for_each_concurrent(options.jobs.clamp(1, 64), |blob| blob).await;
    Ok(join_all(run.lanes.iter().zip(destinations).map(|(lane, destination)| run.manifests(lane, destination))).await)
}

/// One target during a transfer.
struct Lane {
    target: Arc<dyn Target>,
    label: Arc<str>,
    /// Set once, by the first failure; the lane is left out from then on.
    failure: OnceLock<Error>,
}

impl Lane {
    fn new(destination: &Destination) -> Self {
        let label = destination.target.label().into();
        Self { target: Arc::clone(&destination.target), label, failure: OnceLock::new() }
    }

    fn fail(&self, error: Error) {
        let _ = self.failure.set(error);
    }

    fn lives(&self) -> bool {
        self.failure.get().is_none()
    }

    fn host(&self) -> Option<&str> {
        self.target.repository().map(|repository| repository.host())
    }
}

/// A transfer under way.
struct Run<'a> {
    source: &'a dyn Source,
    graph: &'a Graph,
    lanes: Vec<Lane>,
    options: &'a TransferOptions,
    progress: &'a Arc<dyn Progress>,
}

/// A lane that takes a blob, with the writer that does.
struct Taker<'a> {
    lane: &'a Lane,
    item: Item,
    writer: Box<dyn BlobWriter>,
}

impl Run<'_> {
    /// Brings one blob to every lane that lives and lacks it.
    ///
    /// Of several lanes on one registry the first one sends and the others mount from it.
    async fn blob(&self, blob: &Blob) {
        let looked = join_all(
            self.lanes
                .iter()
                .filter(|lane| lane.lives() && lane.target.wants(&blob.descriptor))
                .map(|lane| self.lacks(lane, blob)),
        )
        .await;
        let lacking: Vec<&Lane> = looked.into_iter().flatten().collect();
        let mut leaders: Vec<&Lane> = Vec::new();
        let mut followers: Vec<(&Lane, &Lane)> = Vec::new();
        for lane in lacking {
            match leaders.iter().find(|leader| leader.host().is_some() && leader.host() == lane.host()) {
                Some(leader) => followers.push((lane, leader)),
                None => leaders.push(lane),
            }
        }
        let own = self.source.repository();
        let from = |lane: &Lane| own.filter(|own| Some(own.host()) == lane.host()).map(|own| own.name().clone());
        self.bring(blob, leaders.iter().map(|lane| (*lane, from(lane).into_iter().collect())).collect()).await;
        let with_leader = |lane: &Lane, leader: &Lane| {
            let sibling =
                leader.target.repository().filter(|_| leader.lives()).map(|repository| repository.name().clone());
            sibling.into_iter().chain(from(lane)).collect()
        };
        self.bring(blob, followers.iter().map(|(lane, leader)| (*lane, with_leader(lane, leader))).collect()).await;
    }

    /// The lane, if it needs the blob.
    async fn lacks<'l>(&self, lane: &'l Lane, blob: &Blob) -> Option<&'l Lane> {
        let item = item(lane, blob);
        match lane.target.holds(&blob.descriptor).await {
            Ok(false) => Some(lane),
            Ok(true) => {
                self.progress.exists(&item);
                None
            }
            Err(error) => {
                self.fail(lane, &item, error);
                None
            }
        }
    }

    /// Mounts or sends the blob; one read of the source for all who need its bytes.
    async fn bring(&self, blob: &Blob, lanes: Vec<(&Lane, Vec<RepositoryName>)>) {
        if lanes.is_empty() {
            return;
        }
        let opened = join_all(lanes.into_iter().map(|(lane, from)| self.open(lane, blob, from))).await;
        let takers: Vec<Taker<'_>> = opened.into_iter().flatten().collect();
        if !takers.is_empty() {
            self.feed(blob, takers).await;
        }
    }

    async fn open<'l>(&self, lane: &'l Lane, blob: &Blob, from: Vec<RepositoryName>) -> Option<Taker<'l>> {
        let item = item(lane, blob);
        match lane.target.open(&blob.descriptor, &from).await {
            Ok(Opened::Writer(writer)) => {
                self.progress.begin(&item, blob.descriptor.size, writer.offset());
                Some(Taker { lane, item, writer })
            }
            Ok(Opened::Mounted(from)) => {
                self.progress.mounted(&item, from.as_ref().map(RepositoryName::as_str));
                None
            }
            Err(error) => {
                self.fail(lane, &item, error);
                None
            }
        }
    }

    async fn feed(&self, blob: &Blob, mut takers: Vec<Taker<'_>>) {
        let start = takers.iter().map(|taker| taker.writer.offset()).min().unwrap_or(0);
        let seed = match start {
            _ if self.source.is_hashed() => None,
            0 => Some(crate::Hasher::new(blob.descriptor.digest.algorithm())),
            _ => takers.iter_mut().filter(|taker| taker.writer.offset() == start).find_map(|taker| taker.writer.seed()),
        };
        let (taps, ends): (Vec<_>, Vec<_>) = takers.iter().map(|taker| Tap::new(taker.writer.offset())).unzip();
        let pump = Pump::new(self.source, &blob.descriptor, start, seed);
        let deliveries = takers.into_iter().zip(ends).map(|(taker, pieces)| self.deliver(blob, taker, pieces, &pump));
        futures::join!(pump.run(taps), join_all(deliveries));
    }

    /// Sees one blob into one lane, through as many cuts as bring it further.
    async fn deliver(&self, blob: &Blob, mut taker: Taker<'_>, pieces: crate::pieces::Pieces, pump: &Pump<'_>) {
        let mut backoff = Backoff::new(self.options.retry);
        let mut furthest = taker.writer.offset();
        let mut result = taker.writer.write(pieces, self.moved(&taker.item)).await;
        loop {
            if result.is_ok() {
                result = match pump.verdict().await {
                    Ok(()) => taker.writer.commit().await,
                    Err(error) => Err(error),
                };
            }
            let error = match result {
                Ok(()) => return self.progress.done(&taker.item),
                // Not the target's fault, and not to be tried again.
                Err(error) => pump.failure().unwrap_or(error),
            };
            let wait = if pump.failure().is_some() { None } else { backoff.after(&error) };
            let Some(wait) = wait else {
                if matches!(error, Error::DigestMismatch { .. } | Error::LengthMismatch { .. }) {
                    taker.writer.discard().await;
                }
                return self.fail(taker.lane, &taker.item, error);
            };
            self.progress.retry(&taker.item, &error, wait);
            tokio::time::sleep(wait).await;
            result = match taker.writer.refresh().await {
                Ok(at) => {
                    if at > furthest {
                        furthest = at;
                        backoff.progressed();
                    }
                    self.progress.reset(&taker.item, at);
                    self.alone(blob, &mut taker).await
                }
                Err(error) => Err(error),
            };
        }
    }

    /// A read of the source for one lane, from where it is.
    async fn alone(&self, blob: &Blob, taker: &mut Taker<'_>) -> Result<()> {
        let offset = taker.writer.offset();
        let (tap, pieces) = Tap::new(offset);
        let pump = Pump::new(self.source, &blob.descriptor, offset, None);
        let moved = self.moved(&taker.item);
        let ((), written) = futures::join!(pump.run(vec![tap]), taker.writer.write(pieces, moved));
        match pump.failure() {
            Some(error) => Err(error),
            None => written,
        }
    }

    fn moved(&self, item: &Item) -> Moved {
        let (progress, item) = (Arc::clone(self.progress), item.clone());
        Arc::new(move |count| progress.advance(&item, count))
    }

    fn fail(&self, lane: &Lane, item: &Item, error: Error) {
        self.progress.failed(item, &error);
        lane.fail(error);
    }

    /// Manifests, children before parents; then the names; then what refers to them.
    async fn manifests(&self, lane: &Lane, destination: &Destination) -> Outcome {
        let (root, children) = self.graph.nodes.split_last().expect("a graph has a root");
        let started = Instant::now();
        for node in children {
            self.put(lane, node).await;
        }
        let mut names = Vec::new();
        for name in &destination.names {
            names.push(self.name(lane, root, name).await);
        }
        for node in &self.graph.referrers {
            self.put(lane, node).await;
        }
        if lane.lives()
            && let Err(error) = lane.target.finish().await
        {
            lane.fail(error);
        }
        tracing::debug!(target = %lane.label, elapsed = ?started.elapsed(), "manifests");
        // A target that failed after it was named has not everything that was asked for.
        if let Some(error) = lane.failure.get() {
            names.iter_mut().filter(|name| name.is_ok()).for_each(|name| *name = Err(error.clone()));
        }
        Outcome { names }
    }

    async fn put(&self, lane: &Lane, node: &crate::graph::Node) {
        if !lane.lives() {
            return;
        }
        match lane.target.put(node).await {
            Ok(warnings) => {
                warnings.iter().for_each(|warning| self.progress.note(&format!("{}: {warning}", lane.label)))
            }
            Err(error) => lane.fail(error),
        }
    }

    async fn name(&self, lane: &Lane, root: &crate::graph::Node, name: &Name) -> Result<Arrived> {
        if let Some(error) = lane.failure.get() {
            return Err(error.clone());
        }
        let digest = root.descriptor.digest;
        if let Some(expected) = name.digest.filter(|expected| *expected != digest) {
            let subject = format!("{}@{expected}", lane.label);
            return Err(Error::DigestMismatch { subject, expected: Box::new(expected), actual: Box::new(digest) });
        }
        let warnings = lane.target.name(root, name.tag.as_ref()).await?;
        Ok(Arrived { digest, warnings })
    }
}

fn item(lane: &Lane, blob: &Blob) -> Item {
    Item {
        target: Arc::clone(&lane.label),
        digest: blob.descriptor.digest,
        size: blob.descriptor.size,
        title: blob.title.clone(),
    }
}
