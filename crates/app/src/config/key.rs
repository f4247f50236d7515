//! The one table of keys. Parsing, `config reference`, `larder.toml`'s example and `config print` all come from it.

use crate::config::value::Kind;

/// A setting.
#[derive(Debug, PartialEq)]
pub struct Key {
    /// Its path in the file: `uploads.idle`.
    pub path: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Its default as the environment would write it; empty for an optional key.
    pub default: &'static str,
    /// What it means, in one or two sentences.
    pub meaning: &'static str,
    /// The flag of `serve` that sets it.
    pub flag: Option<&'static str>,
    /// A second name in the environment.
    pub alias: Option<&'static str>,
    /// Whether its value is masked wherever settings are shown.
    pub secret: bool,
}

impl Key {
    /// Its name in the environment: `LARDER_UPLOADS__IDLE`.
    pub fn variable(&self) -> String {
        format!("LARDER_{}", self.path.replace('.', "__").to_ascii_uppercase())
    }

    const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

/// The key of a path.
pub fn key(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

const fn of(path: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { path, kind, default, meaning, flag: None, alias: None, secret: false }
}

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;
const YEARS: u64 = 3_660 * DAY;
const MIB: u64 = 1 << 20;

/// Every key, in the order in which the reference shows them: top-level keys first, then by table.
pub const KEYS: &[Key] = &[
    of("data", Kind::Path, "./larder-data", "The data folder: catalog, blobs, lock and control socket. Made with mode 0700 when it is absent.")
        .flag("--data"),
    of("listen", Kind::Addresses, "127.0.0.1:5000,[::1]:5000", "Addresses to listen on. Beyond loopback `access.open` must be set. A default address whose family the machine lacks is skipped.")
        .flag("--listen"),
    of("public_url", Kind::HttpUrl, "", "The address that clients use when a proxy stands in front. Without it, the request's own host counts.")
        .flag("--public-url"),
    of("read_only", Kind::Switch, "false", "Serve pulls and answer every write with 405 and a reason.").flag("--read-only"),
    of("access.open", Kind::Choice(&["no", "read", "write"]), "no", "What somebody without an account may do from beyond loopback: nothing, pull, or pull, push, delete and manage repositories. On loopback the last holds as long as no account exists."),
    of("access.htpasswd", Kind::File, "", "A password file as `htpasswd -B` writes it, read again when it changes. While no account and no grant exists, its users may pull, push and list everything."),
    of("access.htpasswd_delete", Kind::Switch, "false", "Whether users of the password file may delete as well while no account and no grant exists."),
    of("access.realm", Kind::Text, "Larder", "The realm that a challenge for a password names."),
    of("access.secret_key_file", Kind::File, "", "The file of the key that seals signing keys and client secrets: 64 hexadecimal digits, readable by its owner alone. Without it, it is `secret.key` in the data folder, made when it is absent.").alias("LARDER_SECRET_KEY_FILE"),
    of("blobs.url", Kind::BlobsUrl, "file:", "Where the bytes are: `file:` is `blobs` in the data folder, `file:DIR` another folder.").flag("--blobs").alias("LARDER_BLOBS").secret(),
    of("catalog.url", Kind::CatalogUrl, "sqlite:", "Where the catalog is: `sqlite:` is `catalog.db` in the data folder, `sqlite:FILE` another file.").flag("--catalog").alias("LARDER_CATALOG").secret(),
    of("catalog.network_filesystem", Kind::Switch, "false", "Open an SQLite catalog on NFS, CIFS or 9p all the same. Their locks do not hold what SQLite needs: a second server there may destroy the catalog."),
    of("drain.delay", Kind::Duration(0, 60 * MINUTE), "5s", "After SIGTERM `/readyz` answers 503 and new connections are still taken for this long."),
    of("drain.timeout", Kind::Duration(0, DAY), "25s", "After SIGTERM requests on open connections are served for this long; then uploads are checkpointed and cut."),
    of("events.keep", Kind::Duration(60 * MINUTE, YEARS), "30d", "How long events are kept, and what was delivered of them to webhooks."),
    of("events.pulls", Kind::Number(0, 1_000_000), "0", "One in so many pulls of a manifest makes an event, for webhooks; 0 for none, 1 for each."),
    of("history.keep", Kind::Number(0, 100_000), "20", "How many changes of each tag are kept at most; the newest stay."),
    of("history.window", Kind::Duration(60 * MINUTE, YEARS), "30d", "How long changes of tags are kept at most."),
    of("jobs.keep", Kind::Duration(60 * MINUTE, YEARS), "7d", "How long finished jobs are kept."),
    of("ldap.bind_dn", Kind::Text, "", "The account that searches the directory; without one the search is anonymous."),
    of("ldap.bind_password", Kind::Text, "", "Its password.").secret(),
    of("ldap.group_attribute", Kind::Text, "cn", "The attribute with a group's name."),
    of("ldap.group_base", Kind::Text, "", "Where groups are. Without it nobody's groups are asked for."),
    of("ldap.group_filter", Kind::Text, "(member={dn})", "How a person's groups are found; `{dn}` and `{name}` stand for the person."),
    of("ldap.mail_attribute", Kind::Text, "mail", "The attribute with the mail address."),
    of("ldap.start_tls", Kind::Switch, "true", "Encrypt an `ldap://` connection before anything is said on it. Without that, plain LDAP is refused but on loopback."),
    of("ldap.url", Kind::Text, "", "A directory whose people may log in: `ldaps://HOST[:PORT]` or `ldap://HOST[:PORT]`."),
    of("ldap.user_base", Kind::Text, "", "Where people are, for example `ou=people,dc=example,dc=com`."),
    of("ldap.user_filter", Kind::Text, "(&(objectClass=person)(uid={name}))", "How a person is found; `{name}` stands for the name that was typed. For Active Directory: `(&(objectClass=user)(sAMAccountName={name}))`."),
    of("lease.ttl", Kind::Duration(1, 30 * DAY), "1d", "How long a blob that a push uploaded, mounted or found is kept for the manifest that will name it."),
    of("limits.address_bytes", Kind::Size(0, 1 << 50), "0B", "Bytes of blobs and manifests a second that one address sends and takes; those of IPv6 count by /64. `0B` is no limit. What comes faster waits."),
    of("limits.address_requests", Kind::Number(0, 1_000_000), "0", "Requests a second of one address; those of ten seconds may come at once, more are answered with 429. `0` is no limit. Behind a proxy that `proxy.trusted` does not name, everybody has one address."),
    of("limits.address_uploads", Kind::Number(0, 1_000_000), "0", "Uploads at a time of one address; more are answered with 429. `0` is no limit."),
    of("limits.connections", Kind::Number(1, 1_000_000), "8192", "Connections at a time; more wait in the kernel's queue."),
    of("limits.header_bytes", Kind::Size(8 << 10, 16 * MIB), "64KiB", "The longest head of a request."),
    of("limits.header_timeout", Kind::Duration(1, 10 * MINUTE), "30s", "How long a request's head may take."),
    of("limits.identity_bytes", Kind::Size(0, 1 << 50), "0B", "The same as `limits.address_bytes` for each user, robot or trusted workload, whatever its addresses."),
    of("limits.identity_requests", Kind::Number(0, 1_000_000), "0", "The same as `limits.address_requests` for each user, robot or trusted workload."),
    of("limits.identity_uploads", Kind::Number(0, 1_000_000), "0", "The same as `limits.address_uploads` for each user, robot or trusted workload."),
    of("limits.idle_timeout", Kind::Duration(1, DAY), "150s", "How long a connection may rest between requests."),
    of("limits.manifest_bytes", Kind::Size(4 * MIB, 64 * MIB), "4393216B", "The largest manifest that is taken; above it the answer is 413. The default is what containerd reads at most."),
    of("limits.stall_timeout", Kind::Duration(1, DAY), "1m", "A peer that neither sends nor takes a byte for this long is dropped. A slow one may take hours."),
    of("limits.streams", Kind::Number(1, 10_000), "250", "Requests at a time on one HTTP/2 connection."),
    of("limits.upload_bytes", Kind::Size(0, 1 << 60), "0B", "The largest blob that is taken; above it the answer is 413. `0B` is no limit."),
    of("log.format", Kind::Choice(&["text", "json"]), "text", "How log lines are written to standard error."),
    of("log.level", Kind::LogFilter, "info", "Which log lines are written: `error`, `warn`, `info`, `debug`, `trace`, or levels by module such as `info,larder_server=debug`."),
    of("mail.from", Kind::Text, "", "The address that mails come from: `registry@example.com`, or `Name <registry@example.com>`."),
    of("mail.password", Kind::Text, "", "The password for `mail.user`.").secret(),
    of("mail.server", Kind::Text, "", "The mail server that mails are handed to: `smtps://HOST[:PORT]` or `smtp://HOST[:PORT]`. Without it no mail is sent."),
    of("mail.start_tls", Kind::Switch, "true", "Encrypt an `smtp://` connection before anything is said on it, and send nothing where that is not offered. Without that, plain SMTP is refused but on loopback."),
    of("mail.user", Kind::Text, "", "The name for the mail server, where it wants one."),
    of("metrics.listen", Kind::Address, "", "An address of its own for `/metrics`. Without it the figures stand at `/metrics` beside everything else."),
    of("oidc.client_id", Kind::Text, "", "The id of this registry as a client of the issuer."),
    of("oidc.client_secret", Kind::Text, "", "Its secret, for issuers that want one beside PKCE.").secret(),
    of("oidc.create_users", Kind::Switch, "true", "Whether somebody unknown becomes a user at the first login."),
    of("oidc.groups_claim", Kind::Text, "", "The claim that lists groups. With it, membership in groups of these names follows each login, in both directions."),
    of("oidc.issuer", Kind::HttpUrl, "", "An OpenID Connect issuer where people log in, as its tokens write it. CI needs none: see `larder trust`."),
    of("oidc.scopes", Kind::Words, "profile,email", "What is asked for beside `openid`."),
    of("oidc.user_claim", Kind::Text, "preferred_username", "The claim that is the user's name; of a mail address it is what stands before the `@`."),
    of("policy.background", Kind::Switch, "true", "Run lifecycle policies in the background. `larder policy apply` works either way, and without a policy nothing ever goes."),
    of("policy.cap", Kind::Number(1, 1_000_000), "10000", "Images that one run of a policy lets go at most in a repository; the others go in later runs."),
    of("policy.every", Kind::Duration(60, DAY), "6h", "How often lifecycle policies run in the background. The first run comes so long after the start."),
    of("policy.keep", Kind::Duration(60 * MINUTE, YEARS), "365d", "How long the reports of runs are kept."),
    of("proxy.trusted", Kind::Ranges, "", "Addresses of reverse proxies. Only from these do `Forwarded` and `X-Forwarded-*` count."),
    of("push.sparse", Kind::Choice(&["accept", "warn", "refuse"]), "warn", "A manifest that names blobs or manifests which the repository lacks: taken, taken with a `Warning`, or refused."),
    of("registry2.stand_in", Kind::Switch, "false", "Stand in for `registry:2`, as the image does: the data folder is `/var/lib/registry`, the address is `0.0.0.0:5000`, and `/etc/docker/registry/config.yml` is read when present. These rank below the environment."),
    of("repositories.create_on_push", Kind::Patterns, "**", "Where a push makes a repository that is not there: everywhere, under these patterns, or nowhere (an empty list)."),
    of("scrub.period", Kind::Duration(0, YEARS), "30d", "Everything that is stored is read back in the background and compared with its digest, once in this time; `0s` never, unless `larder scrub --now` asks."),
    of("scrub.rate", Kind::Size(64 << 10, 1 << 40), "64MiB", "Bytes a second that this reads at most. It reads more slowly when a slower pass fits into its period."),
    of("session.ttl", Kind::Duration(60 * MINUTE, 30 * DAY), "12h", "How long a login to the pages lasts."),
    of("signup.domains", Kind::Words, "", "Mail domains whose people may make themselves an account, confirmed by a link that is mailed to them: exactly these, not those below them. Needs `mail.server` and `public_url`; with none, nobody signs up."),
    of("storage.reserve", Kind::Reserve, "2%, 5GiB", "Free space that uploads must leave. Below it a push is answered with 507; pulls, deletes and tag moves go on."),
    of("sweep.every", Kind::Duration(1, DAY), "1m", "How often the background sweep looks for due work."),
    of("sweep.background", Kind::Switch, "true", "Collect garbage in the background. `larder sweep` works either way."),
    of("telemetry.otlp_endpoint", Kind::HttpUrl, "", "Where OpenTelemetry traces are sent (OTLP over HTTP), for example `http://localhost:4318`. Nothing is sent without it."),
    of("tls.certificate", Kind::File, "", "A PEM file with the server's certificate, then the intermediate ones. With it and `tls.key`, TLS is spoken; both are read again when they change."),
    of("tls.client_authorities", Kind::Files, "", "PEM files of authorities whose client certificates are an identity: the common name is the user's or robot's."),
    of("tls.client_certificates", Kind::Choice(&["optional", "required"]), "optional", "Whether a client must show a certificate of these authorities to be heard at all."),
    of("tls.hsts", Kind::Duration(0, YEARS), "365d", "For how long browsers that came by TLS are to come by nothing else (`Strict-Transport-Security`); `0s` does not say it. Never said for `tls.self_signed`."),
    of("tls.key", Kind::File, "", "A PEM file with the certificate's private key."),
    of("tls.listen", Kind::Addresses, "", "Where TLS is spoken. Without it that is `listen`, and nothing is spoken in the clear; with it `listen` stays in the clear."),
    of("tls.minimum", Kind::Choice(&["1.2", "1.3"]), "1.2", "The oldest version of TLS that is spoken."),
    of("tls.names", Kind::Words, "", "Further names and addresses for the certificate of `tls.self_signed`. Those of this machine, of `public_url` and of the addresses listened on are in it anyway."),
    of("tls.required", Kind::Switch, "false", "Refuse to start when another machine could reach the registry in the clear."),
    of("tls.self_signed", Kind::Switch, "false", "Make an authority and a certificate in the data folder (`tls/`), and say how clients come to trust it.").flag("--tls-self-signed"),
    of("token.ttl", Kind::Duration(MINUTE, 60 * MINUTE), "15m", "How long a token of the token service holds. Clients fetch another one by themselves."),
    of("trash.window", Kind::Duration(0, YEARS), "7d", "How long deleted tags, manifests and repositories can be brought back, with their bytes. With 0 there is no trash."),
    of("uploads.idle", Kind::Duration(1, YEARS), "7d", "How long an upload may rest before it is given up and its disk space returned."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_kind() {
        for key in KEYS {
            let value = key.kind.read_text(key.default);
            assert!(value.is_ok(), "{}: {value:?}", key.path);
            assert_eq!(value.map(|value| value.text()).as_deref(), Ok(key.default), "{}", key.path);
        }
    }

    #[test]
    fn paths_are_unique_and_tables_stand_together() {
        let mut seen: Vec<&str> = Vec::new();
        let mut tables: Vec<&str> = Vec::new();
        for key in KEYS {
            assert!(!seen.contains(&key.path), "{} stands twice", key.path);
            seen.push(key.path);
            let table = key.path.split_once('.').map_or("", |(table, _)| table);
            if tables.last() != Some(&table) {
                assert!(!tables.contains(&table), "table {table} is split");
                tables.push(table);
            }
        }
    }
}
