//! What a case is, and the list of all of them.

use crate::cases;
use crate::clients::{
    buildah, buildkit, containerd, cosign, crane, docker, helm, interrupted, notation, oras, podman, regctl, skopeo,
    umoci,
};
use crate::harness::Outcome;
use crate::harness::site::Origin;
use crate::harness::trial::Trial;

/// Something worth a word in the table, or nothing.
pub type Note = Option<String>;

/// One line of the table.
#[derive(Debug)]
pub struct Case {
    /// Whose case it is: a client, as [`crate::clients::preflight`] names it.
    pub client: &'static str,
    /// Which age of it.
    pub origin: Origin,
    /// What is done.
    pub name: &'static str,
    /// Does it.
    pub run: fn(&mut Trial<'_>) -> Outcome<Note>,
}

impl Case {
    /// `client/age/name`, which `--only` searches.
    pub fn path(&self) -> String {
        format!("{}/{}/{}", self.client, self.origin.word(), self.name)
    }
}

macro_rules! cases {
    ($($client:literal $origin:ident $name:literal => $run:expr;)+) => {
        &[$(Case { client: $client, origin: Origin::$origin, name: $name, run: |trial| $run(trial, Origin::$origin) }),+]
    };
}

/// All cases, in the order in which they run.
pub const ALL: &[Case] = cases! {
    "docker" Apt "case 1: the five steps" => cases::first_model::five_steps;
    "docker" Apt "case 2: semantic versions" => cases::versions::semantic;
    "docker" Sid "case 2: semantic versions" => cases::versions::semantic;
    "docker" Apt "case 3: git versions" => cases::versions::git;
    "docker" Apt "case 4: combined tags" => cases::versions::combined;
    "docker" Sid "case 4: combined tags" => cases::versions::combined;
    "docker" Apt "cases 2 to 4: promotion" => cases::promotion::beside_docker;
    "docker" Sid "cases 2 to 4: promotion" => cases::promotion::beside_docker;
    "docker" Apt "case 8: a registry by one command" => cases::registry_image::by_one_command;
    "docker" Sid "case 8: a registry by one command" => cases::registry_image::by_one_command;
    "larder" Go "case 13: several registries at once" => cases::several_registries::at_once;
    "docker" Sid "case 16: multi-arch" => cases::multi_arch::both_platforms;
    "docker" Apt "case 17: clean-up" => cases::clean_up::local_beside_registry;
    "docker" Sid "case 17: clean-up" => cases::clean_up::local_beside_registry;
    "docker" Apt "case 18: no registry in the name" => cases::no_registry::docker_goes_to_its_hub;
    "larder" Go "case 18: no registry in the name" => cases::no_registry::larder_asks_for_one;
    "docker" Apt "names of any depth" => docker::names;
    "docker" Sid "names of any depth" => docker::names;
    "docker" Apt "re-push sends nothing" => docker::repush;
    "docker" Sid "re-push sends nothing" => docker::repush;
    "docker" Apt "pull by digest" => docker::by_digest;
    "docker" Sid "pull by digest" => docker::by_digest;
    "docker" Apt "search" => docker::search;
    "docker" Sid "search" => docker::search;
    "containerd" Apt "ctr pull, run, push" => containerd::round_trip;
    "containerd" Sid "ctr pull, run, push" => containerd::round_trip;
    "containerd" Sid "parallel ranges" => containerd::parallel_ranges;
    "buildx" Sid "index, provenance, SBOM" => buildkit::attestations;
    "buildx" Sid "registry cache, mode=max" => buildkit::cache;
    "buildx" Sid "registry cache as an index" => buildkit::cache_index;
    "podman" Apt "pull, run, build, push" => podman::round_trip;
    "podman" Sid "pull, run, build, push" => podman::round_trip;
    "podman" Apt "search" => podman::search;
    "podman" Sid "search" => podman::search;
    "buildah" Apt "from, run, commit, push" => buildah::round_trip;
    "buildah" Sid "from, run, commit, push" => buildah::round_trip;
    "buildah" Apt "zstd layers" => buildah::zstd;
    "buildah" Sid "zstd layers" => buildah::zstd;
    "buildah" Sid "zstd:chunked layers" => buildah::chunked;
    "skopeo" Apt "copy, inspect, list-tags" => skopeo::copy;
    "skopeo" Sid "copy, inspect, list-tags" => skopeo::copy;
    "skopeo" Apt "sync" => skopeo::sync;
    "skopeo" Sid "sync" => skopeo::sync;
    "skopeo" Apt "delete" => skopeo::delete;
    "skopeo" Sid "delete" => skopeo::delete;
    "umoci" Apt "unpack, repack" => umoci::repack;
    "umoci" Sid "unpack, repack" => umoci::repack;
    "crane" Sid "push, validate, copy, catalog" => crane::round_trip;
    "crane" Go "push, validate, copy, catalog" => crane::round_trip;
    "crane" Sid "mutate, append, delete" => crane::change;
    "crane" Go "mutate, append, delete" => crane::change;
    "regctl" Go "image copy --referrers" => regctl::copy_with_referrers;
    "regctl" Go "sha512, tags" => regctl::newer_features;
    "oras" Sid "push, attach, discover, copy -r" => oras::artifact;
    "helm" Go "chart push, pull" => helm::chart;
    "cosign" Sid "referrers" => cosign::referrers;
    "cosign" Go "referrers" => cosign::referrers;
    "cosign" Sid "fallback tags" => cosign::tags;
    "cosign" Go "fallback tags" => cosign::tags;
    "notation" Sid "sign, verify" => notation::sign;
    "docker" Apt "interrupted pull" => interrupted::docker_pull;
    "docker" Sid "interrupted pull" => interrupted::docker_pull;
    "containerd" Apt "interrupted pull" => interrupted::ctr_pull;
    "containerd" Sid "interrupted pull" => interrupted::ctr_pull;
    "skopeo" Apt "interrupted pull" => interrupted::skopeo_pull;
    "skopeo" Sid "interrupted pull" => interrupted::skopeo_pull;
    "regctl" Go "interrupted pull" => interrupted::regctl_pull;
    "larder" Go "interrupted pull" => interrupted::larder_pull;
    "docker" Apt "interrupted push" => interrupted::docker_push;
    "docker" Sid "interrupted push" => interrupted::docker_push;
    "skopeo" Apt "interrupted push" => interrupted::skopeo_push;
    "skopeo" Sid "interrupted push" => interrupted::skopeo_push;
    "regctl" Go "interrupted push" => interrupted::regctl_push;
    "larder" Go "interrupted push" => interrupted::larder_push;
};
