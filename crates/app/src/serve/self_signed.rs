//! `tls.self_signed`: an authority of this data folder's own, and a certificate that it signs for every name this server is known by.

use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, date_time_ymd,
};

use crate::config::Configuration;
use crate::outcome::{Failure, Result};

/// Clients of some makers take no certificate that holds for longer than 398 days.
const DAYS: i32 = 397;
const AUTHORITY_YEARS: i16 = 10;
/// What holds for less than this is made anew.
pub const RENEWED_BEFORE: std::time::Duration = std::time::Duration::from_secs(30 * 24 * 60 * 60);

/// Where everything lies.
#[derive(Clone, Debug)]
pub struct SelfSigned {
    folder: PathBuf,
    names: BTreeSet<String>,
}

impl SelfSigned {
    /// In `tls/` of a data folder, for these names.
    pub fn new(data: &Path, names: BTreeSet<String>) -> Self {
        Self { folder: data.join("tls"), names }
    }

    /// The authority's certificate: what clients have to trust.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The server's certificate.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("server.pem")
    }

    /// Its key.
    pub fn key(&self) -> PathBuf {
        self.folder.join("server.key")
    }

    /// Makes what is missing. A certificate for other names is made anew; the authority stays, so that clients need not be told twice.
    pub fn ensure(&self) -> Result {
        let names = self.names.iter().map(|name| format!("{name}\n")).collect::<String>();
        let made_for = std::fs::read_to_string(self.folder.join("names")).unwrap_or_default();
        if made_for == names && self.certificate().exists() && self.key().exists() && self.authority().exists() {
            return Ok(());
        }
        self.renew()
    }

    /// Makes the server's certificate anew.
    pub fn renew(&self) -> Result {
        self.make().map_err(|error| {
            Failure::failed(format!(
                "the certificate of tls.self_signed cannot be made in {}: {error}",
                self.folder.display()
            ))
        })
    }

    fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
        let issuer = self.issuer(today)?;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let mut params =
            CertificateParams::new(self.names.iter().cloned().collect::<Vec<_>>()).map_err(io::Error::other)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Larder");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        hold(&mut params, today, today.saturating_add(DAYS.days()));
        let certificate = params.signed_by(&key, &issuer).map_err(io::Error::other)?;
        let chain = format!("{}{}", certificate.pem(), std::fs::read_to_string(self.authority())?);
        // A pair that is torn in between is no pair, and is made anew: the names come last.
        write(&self.folder.join("names"), "", 0o600)?;
        write(&self.key(), &key.serialize_pem(), 0o600)?;
        write(&self.certificate(), &chain, 0o644)?;
        let names = self.names.iter().map(|name| format!("{name}\n")).collect::<String>();
        write(&self.folder.join("names"), &names, 0o600)
    }

    /// The authority, made when it is absent.
    fn issuer(&self, today: Date) -> io::Result<Issuer<'static, KeyPair>> {
        let key_file = self.folder.join("ca.key");
        let key = match std::fs::read_to_string(&key_file) {
            Ok(text) => KeyPair::from_pem(&text).map_err(io::Error::other)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = KeyPair::generate().map_err(io::Error::other)?;
                write(&key_file, &key.serialize_pem(), 0o600)?;
                let _ = std::fs::remove_file(self.authority());
                key
            }
            Err(error) => return Err(error),
        };
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        // Two of them on one machine are told apart by their names.
        let digits: String = key.der_bytes().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("Larder authority {digits}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        hold(&mut params, today, today.saturating_add(AUTHORITY_YEARS.years()));
        if !self.authority().exists() {
            let certificate = params.self_signed(&key).map_err(io::Error::other)?;
            write(&self.authority(), &certificate.pem(), 0o644)?;
        }
        Ok(Issuer::new(params, key))
    }
}

/// From the day before, for clocks that go behind.
fn hold(params: &mut CertificateParams, from: Date, until: Date) {
    let midnight = |date: Date| {
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = midnight(from.yesterday().unwrap_or(from));
    params.not_after = midnight(until);
}

fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)
}

/// Every name that clients may know this server by.
pub fn names(configuration: &Configuration) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let machine = rustix::system::uname().nodename().to_string_lossy().into_owned();
    names.extend(Some(machine).filter(|name| is_name(name)));
    let public = configuration.text("public_url").and_then(|url| url.split_once("://")).map(|(_, rest)| rest);
    names.extend(public.map(host).filter(|name| is_name(name)));
    for text in configuration.list("listen").iter().chain(configuration.list("tls.listen")) {
        let unspecified = |address: std::net::SocketAddr| address.ip().is_unspecified();
        if text.to_socket_addrs().is_ok_and(|mut addresses| addresses.any(unspecified)) {
            names.extend(own_addresses().map(|address| address.to_string()));
        } else {
            names.insert(host(text));
        }
    }
    names.extend(configuration.list("tls.names").iter().cloned());
    names
}

/// The host of `HOST:PORT`, without brackets.
fn host(text: &str) -> String {
    let authority = text.split('/').next().unwrap_or(text);
    let bare = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    bare.trim_matches(['[', ']']).to_owned()
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:_".contains(&byte))
}

/// The addresses by which others reach this machine. Nothing is sent: the kernel only says which address it would send from.
fn own_addresses() -> impl Iterator<Item = IpAddr> {
    let from = |bind: &str, to: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|address| !address.is_unspecified())
    };
    [from("0.0.0.0:0", "192.0.2.1:9"), from("[::]:0", "[2001:db8::1]:9")].into_iter().flatten()
}

/// How clients come to trust the authority, for `HOST:PORT` as they write it.
pub fn trust(authority: &Path, host: &str) -> String {
    let file = authority.display();
    format!(
        "Clients trust this registry once they know its authority, {file}:\n\
         \x20 docker      sudo install -D -m 644 {file} /etc/docker/certs.d/{host}/ca.crt\n\
         \x20             with containerd's image store also:\n\
         \x20               sudo install -m 644 {file} /usr/local/share/ca-certificates/larder.crt\n\
         \x20               sudo update-ca-certificates && sudo systemctl restart docker\n\
         \x20 podman      sudo install -D -m 644 {file} /etc/containers/certs.d/{host}/ca.crt\n\
         \x20 containerd  sudo install -D -m 644 {file} /etc/containerd/certs.d/{host}/ca.crt\n\
         \x20             and in /etc/containerd/certs.d/{host}/hosts.toml:\n\
         \x20               server = \"https://{host}\"\n\
         \x20               [host.\"https://{host}\"]\n\
         \x20                 ca = \"/etc/containerd/certs.d/{host}/ca.crt\"\n\
         \x20 BuildKit    in buildkitd.toml:\n\
         \x20               [registry.\"{host}\"]\n\
         \x20                 ca = [\"{file}\"]\n\
         \x20 others      LARDER_CA={file} larder ..., curl --cacert {file}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_authority_stays_when_names_change() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let read = |path: PathBuf| std::fs::read_to_string(path).expect("it was made");
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let first = SelfSigned::new(folder.path(), names(&["localhost", "127.0.0.1"]));
        first.ensure().expect("it can be made");
        let (authority, certificate) = (read(first.authority()), read(first.certificate()));
        first.ensure().expect("it is there");
        assert_eq!(read(first.certificate()), certificate, "nothing changed");
        let second = SelfSigned::new(folder.path(), names(&["localhost", "registry.lan"]));
        second.ensure().expect("it can be made");
        assert_eq!(read(second.authority()), authority);
        assert_ne!(read(second.certificate()), certificate);
        assert!(read(second.certificate()).ends_with(&authority), "the chain ends in the authority");
        use std::os::unix::fs::PermissionsExt;
        for private in ["ca.key", "server.key"] {
            let facts = std::fs::metadata(folder.path().join("tls").join(private)).expect("it was made");
            assert_eq!(facts.permissions().mode() & 0o777, 0o600, "{private}");
        }
    }

    #[test]
    fn each_client_is_told_how_it_comes_to_trust_the_authority() {
        let told = trust(Path::new("/srv/larder/tls/ca.pem"), "registry.lan:5000");
        for line in [
            "docker      sudo install -D -m 644 /srv/larder/tls/ca.pem /etc/docker/certs.d/registry.lan:5000/ca.crt",
            // It asks for tokens without looking into certs.d.
            "with containerd's image store also:",
            "sudo install -m 644 /srv/larder/tls/ca.pem /usr/local/share/ca-certificates/larder.crt",
            "sudo update-ca-certificates && sudo systemctl restart docker",
            "podman      sudo install -D -m 644 /srv/larder/tls/ca.pem /etc/containers/certs.d/registry.lan:5000/ca.crt",
            "containerd  sudo install -D -m 644 /srv/larder/tls/ca.pem /etc/containerd/certs.d/registry.lan:5000/ca.crt",
            "[registry.\"registry.lan:5000\"]",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
    }

    #[test]
    fn hosts_are_read_without_port_and_brackets() {
        for (text, expected) in [
            ("[::1]:5000", "::1"),
            ("a.example:1", "a.example"),
            ("b.example", "b.example"),
            ("10.0.0.1:5", "10.0.0.1"),
        ] {
            assert_eq!(host(text), expected);
        }
    }
}
