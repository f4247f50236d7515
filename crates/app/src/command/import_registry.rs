//! `larder import registry URL`: every repository and tag of a running registry, copied to the server that is meant. What has arrived already is not
//! sent again, so a command that was cut off is simply given again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clap::Args;
use futures::stream::{self, StreamExt as _};
use larder_client::graph::Selection;
use larder_client::source::Remote;
use larder_client::target::RemoteTarget;
use larder_client::{Client, Destination, Error, Item, Name, Progress, Repository, TransferOptions, transfer};
use larder_oci::{Digest, Reference, RepositoryName, RepositoryPattern, Tag};
use serde::Serialize;

use super::reference_arg::ServerAddress;
use super::registry_args::{RegistryArgs, TransferArgs};
use super::upkeep::Spinner;
use crate::config::rounded_size;
use crate::context::{Context, Output};
use crate::outcome::{Exit, Failure, Result};

/// Repositories on a page of the list.
const PAGE: usize = 500;
/// Tags of a repository that are looked up at once.
const LOOKS: usize = 8;
/// Failures that are kept for the report; more are counted.
const KEPT: usize = 10_000;

/// Options of `import registry`.
#[derive(Args, Debug)]
pub struct RegistryImportArgs {
    /// The registry to copy from, for example `https://registry.example.com`
    #[arg(value_name = "URL")]
    pub from: String,
    /// Only repositories of this name or pattern (`team/**`); may be given several times. Full names do without a list of repositories
    #[arg(long = "repository", value_name = "PATTERN")]
    pub repositories: Vec<RepositoryPattern>,
    /// What to put before each name here (`mirror` makes `mirror/team/model` of `team/model`)
    #[arg(long, value_name = "NAME")]
    pub prefix: Option<RepositoryName>,
    /// Images on their way at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub at_once: u8,
    /// Leave out what refers to the images: signatures, attestations
    #[arg(long)]
    pub no_referrers: bool,
    /// Show what would be copied, and copy nothing
    #[arg(long)]
    pub dry_run: bool,
    /// How it moves
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// How registries are spoken to
    #[command(flatten)]
    pub registry: RegistryArgs,
}

/// Runs `larder import registry`. Exit code 1 when something could not be copied.
pub async fn run(args: RegistryImportArgs, context: &Context) -> Result {
    let from = ServerAddress::read(&args.from)?;
    let to = ServerAddress::of(context)?.ok_or_else(|| {
        Failure::usage("it is not said where to copy to")
            .with_hint("Write --server http://localhost:5000, or set LARDER_SERVER.")
    })?;
    if from.host == to.host && args.prefix.is_none() {
        return Err(Failure::usage("this would copy a registry onto itself"));
    }
    let mut registry = args.registry.clone();
    if !from.secure {
        registry.plain_http.push(from.host.clone());
    }
    let client = registry.client(args.transfer.chunk_size, context)?;
    let mut options = args.transfer.options();
    options.selection = Selection { platform: None, referrers: !args.no_referrers };
    let copying = Copying {
        client,
        from: from.host,
        to: to.host,
        prefix: args.prefix.clone(),
        options,
        dry_run: args.dry_run,
        context,
        progress: Spinner::of(context),
        tally: Arc::default(),
        report: Mutex::default(),
    };
    let outcome = copying.everything(&args).await;
    copying.progress.finish();
    outcome?;
    copying.finish()
}

/// What has gone through so far; the listener of all transfers.
#[derive(Default)]
struct Tally {
    bytes: AtomicU64,
}

impl Progress for Tally {
    fn advance(&self, _: &Item, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The outcome as scripts read it.
#[derive(Debug, Default, Serialize)]
struct Report {
    source: String,
    repositories: u64,
    copied: u64,
    existed: u64,
    failed: u64,
    bytes: u64,
    failures: Vec<Failed>,
}

#[derive(Clone, Debug, Serialize)]
struct Failed {
    reference: String,
    error: String,
}

/// What became of one tag, as a line.
#[derive(Debug, Serialize)]
struct Line<'a> {
    reference: String,
    digest: Option<Digest>,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// Tags of one repository that point to the same manifest.
struct Group {
    repository: RepositoryName,
    digest: Digest,
    tags: Vec<Tag>,
}

struct Copying<'c> {
    client: Client,
    from: String,
    to: String,
    prefix: Option<RepositoryName>,
    options: TransferOptions,
    dry_run: bool,
    context: &'c Context,
    progress: Spinner,
    tally: Arc<Tally>,
    report: Mutex<Report>,
}

impl Copying<'_> {
    async fn everything(&self, args: &RegistryImportArgs) -> Result {
        let at_once = usize::from(args.at_once);
        if !args.repositories.is_empty() && args.repositories.iter().all(RepositoryPattern::is_literal) {
            for pattern in &args.repositories {
                let name = pattern
                    .as_str()
                    .parse()
                    .map_err(|error: larder_oci::ParseError| Failure::usage(error.to_string()))?;
                self.repository(name, at_once).await?;
            }
            return Ok(());
        }
        let registry = self.client.registry(&self.from)?;
        let mut page = registry.repositories(PAGE).await.map_err(|error| {
            Failure::from(error).with_hint(
                "Not every registry lists its repositories. Name them: --repository team/model, as often as needed.",
            )
        })?;
        loop {
            for name in &page.items {
                if args.repositories.is_empty() || args.repositories.iter().any(|pattern| pattern.matches(name)) {
                    self.repository(name.clone(), at_once).await?;
                }
            }
            match registry.more_repositories(&page).await? {
                Some(next) => page = next,
                None => return Ok(()),
            }
        }
    }

    /// All tags of a repository. What fails of it is noted; only a failure to print ends the command.
    async fn repository(&self, name: RepositoryName, at_once: usize) -> Result {
        self.note(|report| report.repositories += 1);
        let groups = match self.groups(&name).await {
            Ok(groups) => groups,
            Err(error) => return self.failed(&name, None, None, &error),
        };
        let copies = stream::iter(groups).map(|group| self.group(group)).buffer_unordered(at_once);
        let mut copies = std::pin::pin!(copies);
        while let Some(outcome) = copies.next().await {
            outcome?;
            self.tell();
        }
        Ok(())
    }

    /// What there is to copy: tags by the manifest they point to.
    async fn groups(&self, name: &RepositoryName) -> larder_client::Result<Vec<Group>> {
        let source = self.client.repository(&self.from, name)?;
        let tags = source.all_tags().await?;
        let looked = stream::iter(tags).map(|tag| async {
            let digest = digest_of(&source, &tag).await;
            (tag, digest)
        });
        let mut looked = std::pin::pin!(looked.buffer_unordered(LOOKS));
        let mut groups: BTreeMap<Digest, Vec<Tag>> = BTreeMap::new();
        while let Some((tag, digest)) = looked.next().await {
            match digest {
                Ok(digest) => groups.entry(digest).or_default().push(tag),
                // A tag that points nowhere there stops no other.
                Err(error) => self.remember(name, Some(&tag), &error),
            }
        }
        let groups = groups.into_iter();
        Ok(groups.map(|(digest, tags)| Group { repository: name.clone(), digest, tags }).collect())
    }

    async fn group(&self, group: Group) -> Result {
        let Group { repository, digest, mut tags } = group;
        tags.sort();
        let target = match self.target(&repository) {
            Ok(target) => target,
            Err(error) => return self.failed(&repository, None, Some(digest), &error),
        };
        let source = match self.client.repository(&self.from, &repository) {
            Ok(source) => source,
            Err(error) => return self.failed(&repository, None, Some(digest), &error),
        };
        let missing = match self.missing(&source, &target, &digest, &tags).await {
            Ok(missing) => missing,
            Err(error) => return self.failed(&repository, tags.first(), Some(digest), &error),
        };
        for tag in tags.iter().filter(|tag| !missing.contains(tag)) {
            self.note(|report| report.existed += 1);
            self.line(&repository, Some(tag), Some(digest), "existed", None)?;
        }
        if missing.is_empty() {
            return Ok(());
        }
        if self.dry_run {
            return missing.iter().try_for_each(|tag| self.line(&repository, Some(tag), Some(digest), "missing", None));
        }
        let names = missing.iter().map(|tag| Name { tag: Some(tag.clone()), digest: Some(digest) }).collect();
        let destination = Destination { target: Arc::new(RemoteTarget::new(target)), names };
        let progress: Arc<dyn Progress> = Arc::clone(&self.tally) as _;
        let source = Remote::new(source, Reference::Digest(digest));
        match transfer(&source, &[destination], &self.options, &progress).await {
            Ok(outcomes) => {
                let results = outcomes.into_iter().flat_map(|outcome| outcome.names);
                missing.iter().zip(results).try_for_each(|(tag, result)| match result {
                    Ok(_) => {
                        self.note(|report| report.copied += 1);
                        self.line(&repository, Some(tag), Some(digest), "copied", None)
                    }
                    Err(error) => self.failed(&repository, Some(tag), Some(digest), &error),
                })
            }
            Err(error) => missing.iter().try_for_each(|tag| self.failed(&repository, Some(tag), Some(digest), &error)),
        }
    }

    /// The tags that do not point there yet; all of them where something that refers to the manifest is missing.
    async fn missing(
        &self,
        source: &Repository,
        target: &Repository,
        digest: &Digest,
        tags: &[Tag],
    ) -> larder_client::Result<Vec<Tag>> {
        let mut missing = Vec::new();
        for tag in tags {
            let there = target.manifest_head(&Reference::Tag(tag.clone())).await?;
            if there.and_then(|head| head.digest) != Some(*digest) {
                missing.push(tag.clone());
            }
        }
        if missing.is_empty() && self.options.selection.referrers {
            let here = target.referrers(digest, None).await?;
            let known = |wanted: &Digest| here.iter().any(|referrer| referrer.digest == *wanted);
            if !source.referrers(digest, None).await?.iter().all(|referrer| known(&referrer.digest)) {
                missing = tags.to_vec();
            }
        }
        Ok(missing)
    }

    fn target(&self, name: &RepositoryName) -> larder_client::Result<Repository> {
        let name = match &self.prefix {
            None => name.clone(),
            Some(prefix) => format!("{prefix}/{name}").parse().map_err(|error: larder_oci::ParseError| {
                Error::Setup(format!("`{prefix}/{name}` is no name of a repository: {error}"))
            })?,
        };
        Ok(self.client.repository(&self.to, &name)?.for_push())
    }

    fn failed(&self, name: &RepositoryName, tag: Option<&Tag>, digest: Option<Digest>, error: &Error) -> Result {
        self.remember(name, tag, error);
        self.line(name, tag, digest, "failed", Some(&error.to_string()))
    }

    fn remember(&self, name: &RepositoryName, tag: Option<&Tag>, error: &Error) {
        let reference = tag.map_or_else(|| name.to_string(), |tag| format!("{name}:{tag}"));
        let failed = Failed { reference, error: error.to_string() };
        self.note(|report| {
            report.failed += 1;
            if report.failures.len() < KEPT {
                report.failures.push(failed);
            }
        });
    }

    fn note(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn line(
        &self,
        name: &RepositoryName,
        tag: Option<&Tag>,
        digest: Option<Digest>,
        result: &'static str,
        error: Option<&str>,
    ) -> Result {
        let reference = tag.map_or_else(|| name.to_string(), |tag| format!("{name}:{tag}"));
        match self.context.output() {
            Output::Jsonl => self.context.emit(&Line { reference, digest, result, error }, |_| Ok(())),
            Output::Text if result == "copied" || result == "missing" => {
                self.context.emit(&(), |out| writeln!(out, "{reference} {result}"))
            }
            Output::Text | Output::Json => Ok(()),
        }
    }

    fn tell(&self) {
        let bytes = rounded_size(self.tally.bytes.load(Ordering::Relaxed));
        self.note(|report| {
            let Report { repositories, copied, existed, failed, .. } = report;
            self.progress.say(format!(
                "{repositories} repositories; {copied} tags copied ({bytes}), {existed} were there, {failed} failed"
            ));
        });
    }

    fn finish(self) -> Result {
        let mut report = self.report.into_inner().unwrap_or_else(PoisonError::into_inner);
        report.source = self.from;
        report.bytes = self.tally.bytes.load(Ordering::Relaxed);
        let failed = report.failed;
        for failure in &report.failures {
            self.context.warn(format_args!("larder: {}: {}", failure.reference, failure.error));
        }
        self.context.emit(&report, |out| {
            writeln!(
                out,
                "{} tags of {} repositories copied from {} ({}); {} were there already, {} failed.",
                report.copied,
                report.repositories,
                report.source,
                rounded_size(report.bytes),
                report.existed,
                report.failed
            )
        })?;
        if failed == 0 { Ok(()) } else { Err(Failure::reported(Exit::Failed)) }
    }
}

/// What a tag points to. Registries need not say so in a header.
pub(super) async fn digest_of(source: &Repository, tag: &Tag) -> larder_client::Result<Digest> {
    let reference = Reference::Tag(tag.clone());
    if let Some(digest) = source.manifest_head(&reference).await?.and_then(|head| head.digest) {
        return Ok(digest);
    }
    Ok(source.manifest(&reference).await?.digest)
}
