//! Every key of Distribution 2.8 and 3, and what becomes of it here.

use std::sync::LazyLock;

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It sets this key of ours.
    Sets(&'static str),
    /// The same, its value read in another way.
    Reads(&'static str, Reader),
    /// It is one entry of this list of ours.
    Adds(&'static str),
    /// Nothing is lost without it, because of this.
    Needless(&'static str),
    /// It asked for something that does not happen, because of this.
    Without(&'static str),
    /// The same, but for values that ask for nothing.
    WithoutUnless(&'static [&'static str], &'static str),
    /// Starting without it would do something else than what was asked for.
    Refused(&'static str),
    /// The same, but for values that ask for nothing.
    RefusedUnless(&'static [&'static str], &'static str),
}

/// How a value is read that this program writes in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// The name of a level.
    Level,
    /// The name of a log format.
    Format,
    /// A duration; zero leaves ours.
    Duration,
    /// The oldest version of TLS.
    MinimumTls,
    /// What is asked of a client's certificate.
    ClientAuth,
    /// Which children of an index must be there.
    Platforms,
}

use Meaning::{Adds, Needless, Reads, Refused, RefusedUnless, Sets, Without, WithoutUnless};

const OFF: &[&str] = &["", "false"];
const OBJECT_STORE: Meaning = Refused(
    "blobs in an object store are not served yet: leave the old registry on them, or copy its content with `larder copy`",
);
const HOOKS: Meaning = Needless("it belongs to log.hooks");
const WEBHOOK: Meaning = Needless("it belongs to an endpoint's url");
const SCHEMA1: &str = "images of schema 1 (docker before 1.10) are neither taken nor served";
const NO_REDIS: Meaning = Needless("the catalog needs no cache beside it");
const READINESS: Meaning = Needless("/readyz always looks at the catalog, the store and the free space");
const OWN_CHECK: Meaning = Needless("it belongs to a check of something else");
const NO_FETCHING: Meaning = Refused(
    "certificates are not fetched: let certbot, lego or a proxy write the files, name them as http.tls.certificate and http.tls.key, and they are \
     read again whenever they change",
);
const PROXY: Meaning = Needless("it belongs to proxy.remoteurl");
const REPORTING: Meaning = Without("nothing is reported there; traces go to telemetry.otlp_endpoint");
const OTHER_TOKENS: Meaning = Refused(
    "tokens of another token service are not taken: Larder has one of its own. Make users, robots and grants here, or let CI in by a trust",
);

/// Every key. `*` is one step of a path, `**` at the end is any number of them, also none. The first that fits counts.
#[rustfmt::skip]
pub const TABLE: &[(&str, Meaning)] = &[
    ("version", RefusedUnless(&["0.1"], "only version 0.1 of this format is known")),

    ("log.level", Reads("log.level", Reader::Level)),
    ("loglevel", Reads("log.level", Reader::Level)),
    ("log.formatter", Reads("log.format", Reader::Format)),
    ("log.fields.**", Needless("lines of the log have fields of their own")),
    ("log.accesslog.disabled", WithoutUnless(OFF, "requests stand in the log: log.level = \"info,larder::request=off\" leaves them out")),
    ("log.reportcaller", Needless("lines of the log name the module that they come from")),
    ("log.hooks.*.type", Without("no mail is sent: let something outside watch the log or /metrics")),
    ("log.hooks.**", HOOKS),

    ("storage.filesystem.rootdirectory", Sets("data")),
    ("storage.filesystem.maxthreads", Needless("work on the disk is limited by itself")),
    ("storage.filesystem", Needless("that is where bytes are")),
    ("storage.inmemory.**", Refused("nothing would be kept: name a folder (storage.filesystem.rootdirectory)")),
    ("storage.azure.**", OBJECT_STORE),
    ("storage.gcs.**", OBJECT_STORE),
    ("storage.s3.**", OBJECT_STORE),
    ("storage.s3aws.**", OBJECT_STORE),
    ("storage.swift.**", OBJECT_STORE),
    ("storage.oss.**", OBJECT_STORE),
    ("storage.delete.enabled", Sets("access.htpasswd_delete")),
    ("storage.redirect.disable", Needless("bytes always come from the registry itself")),
    ("storage.cache.**", Needless("the catalog answers without a cache beside it")),
    ("storage.tag.concurrencylimit", Needless("tags are rows of the catalog, not files to be walked")),
    ("storage.maintenance.uploadpurging.age", Reads("uploads.idle", Reader::Duration)),
    ("storage.maintenance.uploadpurging.**", Needless("idle uploads are always given up after uploads.idle")),
    ("storage.maintenance.readonly.enabled", Sets("read_only")),

    ("auth.htpasswd.realm", Sets("access.realm")),
    ("auth.htpasswd.path", Sets("access.htpasswd")),
    ("auth.htpasswd", Needless("its realm and its path say everything")),
    ("auth.token.**", OTHER_TOKENS),
    ("auth.silly.**", Refused("it lets everybody in who writes a header: set LARDER_ACCESS__OPEN=write to mean that")),
    ("auth.none", Needless("nobody is asked for a password")),
    // podman and its kin read REGISTRY_AUTH_FILE themselves.
    ("auth.file", Needless("it is podman's, and names the file of its own logins")),

    ("middleware.storage.*.name", Without("bytes always come from the registry itself: nothing is signed for or sent through a CDN")),
    ("middleware.*.*.name", Without("there is no extension of this name")),
    ("middleware.**", Needless("it belongs to an extension")),

    ("reporting.bugsnag.**", REPORTING),
    ("reporting.newrelic.**", REPORTING),

    ("http.addr", Sets("listen")),
    ("http.net", RefusedUnless(&["", "tcp"], "an address on a Unix socket is not served: write http.addr as HOST:PORT")),
    ("http.prefix", RefusedUnless(&["", "/"], "everything stands at the root: let the proxy take the prefix away")),
    ("http.host", Sets("public_url")),
    ("http.secret", Needless("nothing that clients hold is signed with it: an upload's state is in the catalog")),
    ("http.relativeurls", Needless("locations are relative always")),
    ("http.draintimeout", Reads("drain.timeout", Reader::Duration)),
    ("http.tls.certificate", Sets("tls.certificate")),
    ("http.tls.key", Sets("tls.key")),
    ("http.tls.clientcas.*", Adds("tls.client_authorities")),
    ("http.tls.clientcas", Adds("tls.client_authorities")),
    ("http.tls.clientauth", Reads("tls.client_certificates", Reader::ClientAuth)),
    ("http.tls.minimumtls", Reads("tls.minimum", Reader::MinimumTls)),
    ("http.tls.ciphersuites.**", Needless("only suites with forward secrecy and authenticated encryption are spoken")),
    ("http.tls.letsencrypt.cachefile", RefusedUnless(&[""], "certificates are not fetched: let certbot, lego or a proxy write the files, and name them")),
    ("http.tls.letsencrypt.**", NO_FETCHING),
    ("http.headers.x-content-type-options.**", Needless("it is sent with every answer")),
    ("http.headers.**", Without("it is not sent: let the proxy add it")),
    ("http.debug.addr", Sets("metrics.listen")),
    ("http.debug.prometheus.enabled", Needless("figures are always there, at http.debug.addr if that is set")),
    ("http.debug.prometheus.path", WithoutUnless(&["", "/metrics"], "figures stand at /metrics")),
    ("http.http2.disabled", WithoutUnless(OFF, "HTTP/2 is spoken by whoever asks for it")),
    ("http.h2c.enabled", Needless("HTTP/2 in the clear is spoken by whoever begins with it")),

    ("notifications.endpoints.*.url", Without("nothing is sent: `larder webhook add NAME URL --format registry2` does")),
    ("notifications.endpoints.**", WEBHOOK),
    ("notifications.events.includereferences", WEBHOOK),

    ("redis.**", NO_REDIS),

    ("health.storagedriver.**", READINESS),
    ("health.file.*.file", Without("/readyz does not look at this file")),
    ("health.http.*.uri", Without("/readyz does not ask this address")),
    ("health.tcp.*.addr", Without("/readyz does not try this address")),
    ("health.file.**", OWN_CHECK),
    ("health.http.**", OWN_CHECK),
    ("health.tcp.**", OWN_CHECK),

    ("proxy.remoteurl", RefusedUnless(&[""], "a registry that fetches from another one is not served yet: keep registry:2 for that, or leave this out to have a registry of your own")),
    ("proxy.**", PROXY),

    ("compatibility.schema1.enabled", WithoutUnless(OFF, SCHEMA1)),
    ("compatibility.schema1.signingkeyfile", Needless(SCHEMA1)),

    ("validation.enabled", Needless("manifests are always checked")),
    ("validation.disabled", Needless("manifests are always checked")),
    ("validation.manifests.urls.**", Without("layers that lie elsewhere are taken from wherever they say")),
    ("validation.manifests.indexes.platforms", Reads("push.sparse", Reader::Platforms)),
    ("validation.manifests.indexes.platformlist.**", Needless("it belongs to validation.manifests.indexes.platforms")),

    ("policy.repository.classes.**", Without("repositories hold everything that OCI allows")),
    ("catalog.maxentries", Needless("lists have pages")),
    ("tags.maxtags", Needless("lists have pages")),
];

/// What becomes of the key at `path`; `None` for one that neither version knows.
pub fn meaning(path: &[String]) -> Option<Meaning> {
    static SPLIT: LazyLock<Vec<(Vec<&'static str>, Meaning)>> =
        LazyLock::new(|| TABLE.iter().map(|(pattern, meaning)| (pattern.split('.').collect(), *meaning)).collect());
    SPLIT.iter().find(|(pattern, _)| fits(pattern, path)).map(|(_, meaning)| *meaning)
}

fn fits(pattern: &[&str], path: &[String]) -> bool {
    match (pattern, path) {
        (["**"], _) | ([], []) => true,
        ([first, pattern @ ..], [step, path @ ..]) => (*first == "*" || *first == step) && fits(pattern, path),
        _ => false,
    }
}
