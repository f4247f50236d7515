//! TLS of a server: its files read at the start, and read again whenever they change.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use larder_server::{Tls, TlsError, TlsFiles, TlsPart};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Configuration;
use crate::outcome::{Failure, Result};
use crate::protected_files::{FileState, ProtectedFiles};
use crate::serve::self_signed::{self, RENEWED_BEFORE, SelfSigned};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A certificate that holds for less than this is warned about.
const WARNED_BEFORE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Looks between two words about a certificate that comes to its end.
const LOOKS_A_DAY: u64 = 24 * 60 * 60;

/// TLS with its files.
pub struct ServedTls {
    tls: Tls,
    paths: Paths,
    files: ProtectedFiles,
    self_signed: Option<SelfSigned>,
}

/// Where the files are, and what is asked of clients.
#[derive(Clone, Debug)]
struct Paths {
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Vec<PathBuf>,
    client_certificate_required: bool,
    only_newest: bool,
}

/// The files that TLS is configured with.
pub fn configured_files(configuration: &Configuration) -> Vec<PathBuf> {
    let one = ["tls.certificate", "tls.key"].into_iter().filter_map(|path| configuration.text(path));
    one.map(PathBuf::from).chain(configuration.list("tls.client_authorities").iter().map(PathBuf::from)).collect()
}

/// Whether TLS is spoken at all. Refuses settings that contradict each other.
pub fn is_configured(configuration: &Configuration) -> Result<bool> {
    let self_signed = configuration.switch("tls.self_signed");
    let given = |path: &str| configuration.text(path).is_some();
    let wrong = |message: &str, hint: &str| Err(Failure::usage(message).with_hint(hint));
    match (given("tls.certificate"), given("tls.key")) {
        (true, false) => {
            return wrong("tls.certificate is set and tls.key is not", "Name the file of its private key.");
        }
        (false, true) => {
            return wrong("tls.key is set and tls.certificate is not", "Name the file of its certificate.");
        }
        (true, true) if self_signed => {
            return wrong("tls.self_signed and tls.certificate are both set", "Leave one of them out.");
        }
        _ => {}
    }
    let spoken = self_signed || given("tls.certificate");
    let mut idle =
        ["tls.listen", "tls.client_authorities"].into_iter().filter(|path| !configuration.list(path).is_empty());
    if !spoken && idle.next().is_some() {
        return wrong(
            "tls.listen or tls.client_authorities is set, and there is no certificate",
            "Set tls.certificate and tls.key, or tls.self_signed = true.",
        );
    }
    if configuration.text("tls.client_certificates") == Some("required")
        && configuration.list("tls.client_authorities").is_empty()
    {
        return wrong(
            "tls.client_certificates is \"required\", and nobody's are taken",
            "Name their authorities: tls.client_authorities.",
        );
    }
    Ok(spoken)
}

impl ServedTls {
    /// Reads what is configured; `None` without TLS. `data` is the data folder.
    pub fn open(configuration: &Configuration, files: &ProtectedFiles, data: &Path) -> Result<Option<Self>> {
        if !is_configured(configuration)? {
            return Ok(None);
        }
        let path = |name: &str| configuration.text(name).map(PathBuf::from);
        let self_signed =
            configuration.switch("tls.self_signed").then(|| SelfSigned::new(data, self_signed::names(configuration)));
        if let Some(own) = &self_signed {
            own.ensure()?;
        }
        let own = |path: fn(&SelfSigned) -> PathBuf| self_signed.as_ref().map(path).unwrap_or_default();
        let paths = Paths {
            certificate: path("tls.certificate").unwrap_or_else(|| own(SelfSigned::certificate)),
            key: path("tls.key").unwrap_or_else(|| own(SelfSigned::key)),
            client_authorities: configuration.list("tls.client_authorities").iter().map(PathBuf::from).collect(),
            client_certificate_required: configuration.text("tls.client_certificates") == Some("required"),
            only_newest: configuration.text("tls.minimum") == Some("1.3"),
        };
        let tls = Tls::new(&paths.read(files)?).map_err(|error| paths.failure(&error))?;
        let served = Self { tls, paths, files: files.clone(), self_signed };
        served.tell_of_its_end();
        Ok(Some(served))
    }

    /// What listeners speak.
    pub fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// The authority that clients have to be told about.
    pub fn authority(&self) -> Option<PathBuf> {
        self.self_signed.as_ref().map(SelfSigned::authority)
    }

    /// Reads the files again whenever they have changed and rested for a moment: a certificate and its key are not replaced in the same instant.
    pub async fn watch(self) {
        let mut clock = interval(LOOK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watched = self;
        let (mut loaded, mut seen) = (None, None);
        for look in 0u64.. {
            clock.tick().await;
            let looked = tokio::task::spawn_blocking(move || {
                let states = watched.states();
                if look.is_multiple_of(LOOKS_A_DAY) && look > 0 {
                    watched.keep_up();
                }
                if loaded.is_none() {
                    loaded = Some(states.clone());
                } else if loaded.as_ref() != Some(&states) && seen.as_ref() == Some(&states) {
                    watched.read_again();
                    loaded = Some(states.clone());
                }
                (watched, loaded, Some(states))
            });
            match looked.await {
                Ok(next) => (watched, loaded, seen) = next,
                // The runtime is ending.
                Err(_) => return,
            }
        }
    }

    fn states(&self) -> Vec<Option<FileState>> {
        self.paths.all().map(|path| self.files.state(path)).collect()
    }

    fn read_again(&self) {
        let read = self.paths.read(&self.files);
        let replaced = read.and_then(|files| self.tls.replace(&files).map_err(|error| self.paths.failure(&error)));
        match replaced {
            Ok(()) => {
                tracing::info!(certificate = %self.paths.certificate.display(), "the certificate has changed and was read again");
                self.tell_of_its_end();
            }
            Err(failure) => tracing::error!("{failure}; the certificate of before is used until that is put right"),
        }
    }

    /// Once a day: a certificate of our own is made anew in time, another one is asked for.
    fn keep_up(&self) {
        let left = self.tls.validity().map_or(Duration::MAX, |validity| validity.left(Timestamp::now()));
        match &self.self_signed {
            Some(own) if left < RENEWED_BEFORE => {
                if let Err(failure) = own.renew() {
                    tracing::error!("{failure}");
                }
            }
            _ => self.tell_of_its_end(),
        }
    }

    fn tell_of_its_end(&self) {
        let Some(validity) = self.tls.validity() else { return };
        let (now, file) = (Timestamp::now(), self.paths.certificate.display());
        if validity.until <= now {
            tracing::error!(
                "the certificate {file} expired on {}: clients refuse it. Renew it; the file is read again when it changes, without a restart",
                validity.until.strftime("%Y-%m-%d")
            );
        } else if validity.from > now {
            tracing::error!(
                "the certificate {file} does not hold before {}: clients refuse it. Look at this machine's clock",
                validity.from
            );
        } else if self.self_signed.is_none() && validity.left(now) < WARNED_BEFORE {
            tracing::warn!("the certificate {file} expires on {}: renew it", validity.until.strftime("%Y-%m-%d"));
        }
    }
}

impl Paths {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_authorities)
    }

    fn read(&self, files: &ProtectedFiles) -> Result<TlsFiles> {
        let read = |key: &str, path: &Path| files.read(path).map_err(|error| unreadable(key, path, &error));
        let mut authorities = Vec::new();
        for path in &self.client_authorities {
            authorities.extend(read("tls.client_authorities", path)?);
            authorities.push(b'\n');
        }
        Ok(TlsFiles {
            certificate: read("tls.certificate", &self.certificate)?,
            key: read("tls.key", &self.key)?,
            client_authorities: (!self.client_authorities.is_empty()).then_some(authorities),
            client_certificate_required: self.client_certificate_required,
            only_newest: self.only_newest,
        })
    }

    fn failure(&self, error: &TlsError) -> Failure {
        let (key, path) = match error.concerns() {
            TlsPart::Certificate => ("tls.certificate", self.certificate.display().to_string()),
            TlsPart::Key => ("tls.key", self.key.display().to_string()),
            TlsPart::ClientAuthorities => {
                let all: Vec<_> = self.client_authorities.iter().map(|path| path.display().to_string()).collect();
                ("tls.client_authorities", all.join(", "))
            }
        };
        Failure::failed(format!("{key}: {path}: {error}"))
    }
}

fn unreadable(key: &str, path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::failed(format!("{key}: {} cannot be read: {error}", path.display()));
    match error.kind() {
        io::ErrorKind::PermissionDenied => failure.with_hint(
            "The server's user has to be able to read it: chown or chmod it, or let the container begin as root, which reads it and gives the rest up.",
        ),
        io::ErrorKind::NotFound => failure.with_hint("Is the folder mounted into the container, and under this path?"),
        _ => failure,
    }
}
