//! Two images of a repository side by side: what changed from one to the other.

use std::collections::BTreeMap;

use askama::Template;
use larder_oci::{Digest, ManifestKind, ParsedManifest, Reference, RepositoryName};
use larder_registry::ManifestFacts;

use super::format::{Short, Size};
use super::frame::{Frame, page};
use super::image::{self, ImageConfig};
use super::platforms;
use super::secret::Veiled;
use super::{Result, Visit};

#[derive(Template)]
#[template(path = "compare.html")]
struct Page {
    frame: Frame,
    name: String,
    from: String,
    to: String,
    /// What is wrong with what was asked for.
    problem: Option<String>,
    outcome: Option<Outcome>,
}

struct Outcome {
    from: Side,
    to: Side,
    same: bool,
    differences: [(&'static str, Vec<Difference>); 3],
    shared: usize,
    shared_size: Size,
    gone: Vec<(Short, Size)>,
    new: Vec<(Short, Size)>,
    new_size: Size,
}

/// One side as the page names it.
struct Side {
    reference: String,
    digest: Short,
    size: Size,
    platform: String,
}

/// What something was and is.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    name: String,
    before: Option<Veiled>,
    after: Option<Veiled>,
}

/// One side as it was found: of an index, one of its images.
struct Found {
    facts: ManifestFacts,
    manifest: ParsedManifest,
    config: ImageConfig,
}

pub(super) async fn show(visit: &Visit<'_>, name: RepositoryName) -> Result {
    // Whether one may see the repository comes before anything about what was asked.
    visit.registry.outline(visit.actor(), &name).await?;
    let (from, to) = (visit.asked("from").unwrap_or_default(), visit.asked("to").unwrap_or_default());
    let (mut problem, mut outcome) = (None, None);
    if !from.is_empty() && !to.is_empty() {
        match (find(visit, &name, from, None).await, find(visit, &name, to, None).await) {
            (Some(one), Some(other)) => outcome = Some(compared(visit, &name, (from, one), (to, other)).await),
            (None, _) => problem = Some(format!("{name} has nothing called {from}.")),
            (_, None) => problem = Some(format!("{name} has nothing called {to}.")),
        }
    }
    page(&Page {
        frame: visit.frame(format!("Compare in {name}")),
        from: from.to_owned(),
        to: to.to_owned(),
        name: name.to_string(),
        problem,
        outcome,
    })
}

/// What a tag or a digest names. Of an index it is the image for `platform`, or for the first.
async fn find(visit: &Visit<'_>, name: &RepositoryName, reference: &str, platform: Option<&str>) -> Option<Found> {
    let mut reference: Reference = reference.parse().ok()?;
    // An index of indexes is followed no further.
    for _ in 0..2 {
        let view = visit.registry.view_manifest(visit.actor(), name, &reference).await.ok()?;
        let manifest = ParsedManifest::parse(&view.bytes, Some(&view.facts.media_type)).ok()?;
        if manifest.kind != ManifestKind::Index {
            let config = image::config(visit, name, &manifest).await.ok()?.unwrap_or_default();
            return Some(Found { facts: view.facts, manifest, config });
        }
        let mut images =
            manifest.manifests.iter().filter_map(|entry| Some((platforms::of_entry(entry)?, entry.digest)));
        let first = images.next()?;
        let chosen = [first].into_iter().chain(images).collect::<Vec<_>>();
        let wanted = chosen.iter().find(|(has, _)| Some(has.as_str()) == platform).unwrap_or(&chosen[0]);
        reference = Reference::Digest(wanted.1);
    }
    None
}

/// Two indexes are compared by images for the same platform, where both have it.
async fn compared(visit: &Visit<'_>, name: &RepositoryName, from: (&str, Found), to: (&str, Found)) -> Outcome {
    let platform = from.1.config.platform();
    let (to_name, mut other) = to;
    if other.config.platform() != platform
        && let Some(same) = find(visit, name, to_name, Some(&platform)).await
    {
        other = same;
    }
    outcome((from.0, from.1), (to_name, other))
}

fn outcome((from_name, from): (&str, Found), (to_name, to): (&str, Found)) -> Outcome {
    let sizes = |found: &Found| -> BTreeMap<Digest, u64> {
        found.manifest.layers.iter().map(|layer| (layer.digest, layer.size)).collect()
    };
    let (before, after) = (sizes(&from), sizes(&to));
    let only = |found: &Found, other: &BTreeMap<Digest, u64>| -> Vec<(Short, Size)> {
        let layers = found.manifest.layers.iter().filter(|layer| !other.contains_key(&layer.digest));
        layers.map(|layer| (Short(layer.digest), Size(layer.size))).collect()
    };
    let (gone, new) = (only(&from, &after), only(&to, &before));
    let shared = before.iter().filter(|(digest, _)| after.contains_key(digest));
    let env = |found: &Found| found.config.env.iter().cloned().collect();
    Outcome {
        same: from.facts.digest == to.facts.digest,
        differences: [
            ("Facts", differences(&facts(&from), &facts(&to))),
            ("Environment", differences(&env(&from), &env(&to))),
            ("Labels", differences(&from.config.labels, &to.config.labels)),
        ],
        shared: shared.clone().count(),
        shared_size: Size(shared.map(|(_, size)| size).sum()),
        new_size: Size(new.iter().map(|(_, size)| size.0).sum()),
        gone,
        new,
        from: side(from_name, &from),
        to: side(to_name, &to),
    }
}

fn side(reference: &str, found: &Found) -> Side {
    let digest = Short(found.facts.digest);
    let is_digest = reference.parse::<Digest>().is_ok();
    let reference = if is_digest { digest.text() } else { reference.to_owned() };
    Side { reference, digest, size: Size(found.facts.content), platform: found.config.platform() }
}

fn facts(found: &Found) -> BTreeMap<String, String> {
    let config = &found.config;
    let created = config.created.map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default();
    let all = [
        ("Created", created),
        ("Platform", config.platform()),
        ("Size", Size(found.facts.content).text()),
        ("Layers", found.manifest.layers.len().to_string()),
        ("Entry point", config.entry_point.clone()),
        ("Command", config.command.clone()),
        ("User", config.user.clone()),
        ("Working directory", config.working_dir.clone()),
        ("Ports", config.ports.join(", ")),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What is not the same on both sides, by name.
fn differences(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<Difference> {
    let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let value = |side: &BTreeMap<String, String>, name: &String| side.get(name).map(|value| Veiled::value(name, value));
    let changed = names.into_iter().filter(|name| before.get(*name) != after.get(*name));
    changed
        .map(|name| Difference { name: name.clone(), before: value(before, name), after: value(after, name) })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let told =
            differences(&map(&[("A", "1"), ("B", "1"), ("C", "1")]), &map(&[("A", "1"), ("B", "2"), ("D", "3")]));
        let shown: Vec<_> = told
            .iter()
            .map(|difference| {
                let text = |side: &Option<Veiled>| side.as_ref().map(|value| value.text().to_owned());
                (difference.name.as_str(), text(&difference.before), text(&difference.after))
            })
            .collect();
        let one = |value: &str| Some(value.to_owned());
        assert_eq!(shown, [("B", one("1"), one("2")), ("C", one("1"), None), ("D", None, one("3"))]);
    }
}
