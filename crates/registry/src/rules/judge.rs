//! The decision: what rules say about a change of tags, as a pure function of facts.

use std::collections::{BTreeMap, BTreeSet};

use larder_catalog::model::rules::{Asked, Judgement, Standing, Told};
use larder_oci::{Digest, RepositoryName, Tag};

use super::alias;
use super::rule::{MediaTypes, Platforms, Required, Signature, Size, any};
use super::{Act, Effective, Level};
use crate::policy::TagPattern;

/// What is to happen.
#[derive(Clone, Debug)]
pub struct Change {
    /// How.
    pub act: Act,
    /// Where.
    pub repository: RepositoryName,
    /// The tags that are to move or to go.
    pub tags: Vec<Tag>,
    /// What the image is made of; `None` where that does not matter.
    pub content: Option<Content>,
    /// Whether who does it may move tags that are there.
    pub moves_tags: bool,
}

/// What an image is made of, as rules need it. Of an index, what its images are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Labels; of an index those that all its images have.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest itself.
    pub annotations: BTreeMap<String, String>,
    /// Platforms: `linux/arm64/v8`.
    pub platforms: BTreeSet<String>,
    /// Media types of manifests, configurations and layers.
    pub media_types: BTreeSet<String>,
    /// Bytes of the manifest and of everything that it names.
    pub bytes: u64,
    /// Bytes of the largest layer.
    pub largest_layer: u64,
    /// Whether one of the keys that are asked for signed it.
    pub signed: bool,
}

/// Decides. The same facts get the same answer.
pub fn judge(rules: &Effective, change: &Change, asked: &Asked, standing: &Standing) -> Judgement {
    let mut judge = Judge { rules, change, standing, judgement: Judgement::default() };
    judge.immutable();
    if matches!(change.act, Act::Push | Act::Retag) {
        judge.latest();
        judge.shape();
        judge.content();
        if let Some(rule) = rules.rules.aliases.as_ref().filter(|rule| rule.level != Level::Off) {
            let newest = asked.newest.iter().zip(&standing.newest).filter_map(|(scope, newest)| {
                let (tag, digest) = newest.as_ref()?;
                Some((scope.clone(), (tag.clone(), *digest)))
            });
            let plan = alias::plan(rule, change, standing, &newest.collect());
            judge.aliases(plan);
        }
    }
    judge.judgement
}

/// `sha256-<hex>`, with `.sig`, `.att` or `.sbom` behind it or not: such tags follow their subject and are no tags of people.
pub(crate) fn is_companion(tag: &Tag) -> bool {
    let Some(rest) = tag.as_str().strip_prefix("sha256-") else { return false };
    let (hex, suffix) = rest.split_once('.').map_or((rest, None), |(hex, suffix)| (hex, Some(suffix)));
    hex.len() == 64
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
        && suffix.is_none_or(|suffix| ["sig", "att", "sbom"].contains(&suffix))
}

struct Judge<'j> {
    rules: &'j Effective,
    change: &'j Change,
    standing: &'j Standing,
    judgement: Judgement,
}

impl Judge<'_> {
    fn tell(&mut self, level: Level, rule: &'static str, tag: Option<&Tag>, why: String, instead: impl Into<String>) {
        let pattern = self.rules.pattern_of(rule);
        let told = Told { rule, pattern, tag: tag.cloned(), why, instead: instead.into() };
        match level {
            Level::Off => {}
            Level::Warn => self.judgement.warned.push(told),
            Level::Enforce => self.judgement.refused.push(told),
        }
    }

    fn immutable(&mut self) {
        let Some(rule) = &self.rules.rules.immutable else { return };
        let (change, standing) = (self.change, self.standing);
        let tags = if change.act == Act::DeleteManifest { &standing.names } else { &change.tags };
        for tag in tags.iter().filter(|tag| rule.covers(tag) && !is_companion(tag)) {
            let place = standing.places.get(tag).map(|place| place.digest);
            match change.act {
                Act::DeleteManifest | Act::DeleteTag if change.act == Act::DeleteManifest || place.is_some() => {
                    let why = format!("{tag} is immutable and is not deleted");
                    self.tell(rule.level, "immutable", Some(tag), why, "a lifecycle policy may let its image go");
                }
                Act::Push | Act::Retag | Act::Rollback => match place {
                    Some(digest) if Some(digest) != standing.digest => {
                        let why = format!("{tag} is {} and immutable", short(&digest));
                        self.tell(rule.level, "immutable", Some(tag), why, "use another tag");
                    }
                    None if standing.incomplete => {
                        let why = format!("{tag} is immutable, and the image lacks some of what it names");
                        self.tell(rule.level, "immutable", Some(tag), why, "push everything that it names first");
                    }
                    _ => {}
                },
                Act::DeleteManifest | Act::DeleteTag => {}
            }
        }
    }

    fn latest(&mut self) {
        let level = self.rules.rules.latest.push;
        let Some(tag) = self.change.tags.iter().find(|tag| tag.as_str() == "latest") else { return };
        if self.standing.places.get(tag).map(|place| place.digest) != self.standing.digest || level != Level::Enforce {
            let instead = format!("push a version, such as {}:1.2.3", self.change.repository);
            self.tell(level, "latest", Some(tag), "latest is not pushed here".to_owned(), instead);
        }
    }

    fn shape(&mut self) {
        let Some(rule) = &self.rules.rules.shape else { return };
        let aliases = self.rules.rules.aliases.as_ref().filter(|rule| rule.level != Level::Off);
        for tag in self.change.tags.iter().filter(|tag| !rule.allows(tag) && !is_companion(tag)) {
            if aliases.is_none_or(|aliases| alias::scope_of(aliases, tag).is_none()) {
                let why = format!("the tag {tag} has not the shape that is asked for here");
                self.tell(rule.level, "shape", Some(tag), why, format!("use {}", rule.form));
            }
        }
    }

    fn content(&mut self) {
        let (Some(content), rules) = (&self.change.content, &self.rules.rules) else { return };
        for (name, rule, whose) in
            [("labels", &rules.labels, "label"), ("annotations", &rules.annotations, "annotation")]
        {
            if let Some(rule) = rule {
                self.required(name, whose, rule, content);
            }
        }
        if let Some(rule) = &rules.platforms {
            self.platforms(rule, content);
        }
        if let Some(rule) = &rules.media_types {
            self.media_types(rule, content);
        }
        if let Some(rule) = &rules.size {
            self.size(rule, content);
        }
        if let Some(rule) = rules.signature.as_ref().filter(|_| !content.signed) {
            self.unsigned(rule);
        }
    }

    /// A signature comes after its image: so the image is pushed under a tag that needs none, and signed, before this tag points to it.
    fn unsigned(&mut self, rule: &Signature) {
        let is_one = |tag: &&Tag| rule.tags.as_ref().is_none_or(|tags| any(tags, tag)) && !any(&rule.except, tag);
        let Some(tag) = self.change.tags.iter().filter(is_one).find(|tag| !is_companion(tag)).cloned() else { return };
        let why = "no key that is trusted here has signed the image".to_owned();
        let instead = format!("push it under another tag, sign that with cosign, and push {tag} then");
        self.tell(rule.level, "signature", Some(&tag), why, instead);
    }

    /// The first tag that a rule is about.
    fn about(&self, except: &[TagPattern]) -> Option<&Tag> {
        self.change.tags.iter().find(|tag| !any(except, tag) && !is_companion(tag))
    }

    fn required(&mut self, name: &'static str, whose: &str, rule: &Required, content: &Content) {
        let Some(tag) = self.about(&rule.except).cloned() else { return };
        let has = |wanted: &str| {
            let is_it = |name: &String| {
                *name == wanted || wanted.strip_suffix('*').is_some_and(|start| name.starts_with(start))
            };
            content.annotations.keys().any(is_it) || name == "labels" && content.labels.keys().any(is_it)
        };
        let missing: Vec<&str> = rule.required.iter().map(String::as_str).filter(|wanted| !has(wanted)).collect();
        if !missing.is_empty() {
            let why = format!("the image has no {whose} {}", missing.join(", "));
            let instead = format!("build it with --{whose} {}=VALUE", missing[0]);
            self.tell(rule.level, name, Some(&tag), why, instead);
        }
    }

    fn platforms(&mut self, rule: &Platforms, content: &Content) {
        let Some(tag) = self.about(&rule.except).cloned() else { return };
        let is_allowed = |platform: &&String| {
            rule.allowed.iter().any(|allowed| {
                platform.strip_prefix(allowed.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        let strange: Vec<&str> =
            content.platforms.iter().filter(|platform| !is_allowed(platform)).map(String::as_str).collect();
        if !strange.is_empty() {
            let why = format!("the image is for {}", strange.join(", "));
            self.tell(rule.level, "platforms", Some(&tag), why, format!("build it for {}", rule.allowed.join(", ")));
        }
    }

    fn media_types(&mut self, rule: &MediaTypes, content: &Content) {
        let tag = self.about(&rule.except).cloned();
        if tag.is_none() && !self.change.tags.is_empty() {
            return;
        }
        let is_allowed = |media_type: &&String| {
            let fits = |allowed: &String| match allowed.strip_suffix('*') {
                Some(start) => media_type.starts_with(start),
                None => **media_type == *allowed,
            };
            rule.allowed.iter().any(fits)
        };
        let strange: Vec<&str> =
            content.media_types.iter().filter(|media_type| !is_allowed(media_type)).map(String::as_str).collect();
        if !strange.is_empty() {
            let why = format!("it is made of {}", strange.join(", "));
            self.tell(rule.level, "mediaTypes", tag.as_ref(), why, format!("push {}", rule.allowed.join(", ")));
        }
    }

    fn size(&mut self, rule: &Size, content: &Content) {
        let tag = self.about(&rule.except).cloned();
        if tag.is_none() && !self.change.tags.is_empty() {
            return;
        }
        for (what, bytes, limit) in
            [("image", content.bytes, rule.image), ("largest layer", content.largest_layer, rule.layer)]
        {
            if let Some(limit) = limit.filter(|limit| bytes > *limit) {
                let why = format!("the {what} has {bytes} bytes");
                self.tell(rule.level, "size", tag.as_ref(), why, format!("at most {limit} are taken here"));
            }
        }
    }

    /// Why the image may not have a tag that would follow.
    fn refusal_of(&self, alias: &Tag) -> Option<Told> {
        let change = Change { tags: vec![alias.clone()], ..self.change.clone() };
        let mut alone = Judge { change: &change, judgement: Judgement::default(), ..*self };
        alone.content();
        alone.judgement.refused.pop()
    }

    /// What is immutable stays, however it is to move.
    fn aliases(&mut self, plan: alias::Plan) {
        for (level, tag, why, instead) in plan.told {
            self.tell(level, "aliases", Some(&tag), why, instead);
        }
        for tag in plan.moves {
            let immutable = self.rules.rules.immutable.as_ref();
            let stays = self.standing.places.contains_key(&tag)
                && immutable.is_some_and(|rule| rule.level == Level::Enforce && rule.covers(&tag));
            if let Some(told) = self.refusal_of(&tag) {
                self.tell(
                    Level::Warn,
                    "aliases",
                    Some(&tag),
                    format!("{tag} stays where it is: {}", told.why),
                    told.instead,
                );
            } else if stays {
                let instead = "except it from the rule immutable";
                self.tell(Level::Warn, "aliases", Some(&tag), format!("{tag} is immutable and stays"), instead);
            } else {
                self.judgement.aliases.push(tag);
            }
        }
        if !self.judgement.refused.is_empty() {
            self.judgement.aliases.clear();
        }
    }
}

/// Enough of a digest to know it again.
pub(super) fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(19).collect()
}
