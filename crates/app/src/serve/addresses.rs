//! Where the server listens: the addresses of the settings, or the sockets that a service manager hands over. Beyond loopback only on purpose.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

use larder_server::{Bound, Server, Tls};
use listenfd::ListenFd;

use crate::config::{Configuration, Source};
use crate::outcome::{Failure, Result};

/// Sockets that somebody else opened. Taken before threads are made, because it clears the environment's word about them.
pub fn activated() -> Result<Vec<TcpListener>> {
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::new();
    for index in 0..given.len() {
        let socket = given.take_tcp_listener(index);
        let socket = socket
            .map_err(|error| Failure::failed(format!("the handed-over socket {index} is no TCP listener: {error}")))?;
        sockets.extend(socket);
    }
    Ok(sockets)
}

/// Refuses what would let strangers in without anybody having meant it.
pub fn refuse_unmeant(configuration: &Configuration, activated: &[TcpListener]) -> Result {
    if configuration.text("access.open") != Some("no") {
        return Ok(());
    }
    let Some(beyond) = beyond_loopback(configuration, activated)? else { return Ok(()) };
    let data = configuration.text("data").unwrap_or("larder-data");
    let remedy = format!(
        "Make a user first, and everybody has to log in:  larder user add NAME --data {data}\n\
         Or set access.open = \"read\" or \"write\" (LARDER_ACCESS__OPEN) to mean it: everyone who can reach the address may then pull, or pull, \
         push, delete and manage repositories. Or leave --listen out to serve this machine only."
    );
    Err(Failure::usage(format!("{beyond} can be reached from other machines, and nobody would need to log in"))
        .with_hint(remedy))
}

/// The first address that another machine could reach.
fn beyond_loopback(configuration: &Configuration, activated: &[TcpListener]) -> Result<Option<SocketAddr>> {
    let mut addresses = Vec::new();
    for socket in activated {
        addresses.push(socket.local_addr()?);
    }
    if activated.is_empty() {
        for text in configuration.list("listen").iter().chain(configuration.list("tls.listen")) {
            addresses.extend(resolve(text)?);
        }
    }
    Ok(addresses.into_iter().find(|address| !address.ip().to_canonical().is_loopback()))
}

/// Says what crosses the network in the clear, or refuses it (`tls.required`). A proxy that speaks TLS before this server is known by `public_url`.
pub fn look_at_plain(server: &Server, configuration: &Configuration) -> Result {
    let plain = server.addresses().iter().find(|address| !address.ip().to_canonical().is_loopback());
    let Some(address) = plain else { return Ok(()) };
    if configuration.switch("tls.required") {
        return Err(Failure::usage(format!(
            "{address} can be reached from other machines in the clear, and tls.required is set"
        ))
        .with_hint("Set tls.certificate and tls.key, or listen on loopback there and speak TLS at tls.listen."));
    }
    if !configuration.text("public_url").is_some_and(|url| url.starts_with("https://")) {
        tracing::warn!(
            "{address} speaks plain HTTP: passwords and content cross the network in the clear, and clients on other machines have to be told to \
             accept that. Set tls.certificate and tls.key, start with --tls-self-signed, or put a proxy with TLS before it and set public_url"
        );
    }
    Ok(())
}

/// Listens everywhere that was asked for, by TLS where there is a certificate: at `tls.listen` if that is set, else everywhere. A default address
/// that the machine lacks is skipped.
pub async fn listen(
    server: &mut Server,
    configuration: &Configuration,
    activated: Vec<TcpListener>,
    tls: Option<Tls>,
) -> Result {
    let apart = configuration.list("tls.listen");
    if !activated.is_empty() {
        let mut secure = Vec::new();
        for text in apart {
            secure.extend(resolve(text)?.into_iter().map(|address| address.port()));
        }
        for socket in activated {
            let speaks_tls = apart.is_empty() || secure.contains(&socket.local_addr()?.port());
            let bound = Bound::tcp(socket)?;
            server.adopt(match &tls {
                Some(tls) if speaks_tls => bound.with_tls(tls.clone()),
                _ => bound,
            });
        }
        return Ok(());
    }
    let is_default = configuration.source("listen") == &Source::Default;
    let plain = tls.is_none() || !apart.is_empty();
    let listeners = configuration.list("listen").iter().map(|text| (text, if plain { None } else { tls.clone() }));
    for (text, tls) in listeners.chain(apart.iter().map(|text| (text, tls.clone()))) {
        for address in resolve(text)? {
            let bound = match tls.clone() {
                Some(tls) => server.listen_tls(address, tls).await,
                None => server.listen(address).await,
            };
            match bound {
                Ok(_) => {}
                Err(error) if is_default && lacks_family(&error) => {
                    tracing::info!(%address, "this machine lacks the address; it is skipped");
                }
                Err(error) => return Err(cannot_listen(address, &error)),
            }
        }
    }
    if server.addresses().is_empty() && server.tls_addresses().is_empty() {
        return Err(
            Failure::failed("this machine has none of the default addresses").with_hint("Name one with --listen.")
        );
    }
    Ok(())
}

/// Reads `HOST:PORT`; a name may stand for several addresses.
pub fn resolve(text: &str) -> Result<Vec<SocketAddr>> {
    let resolved =
        text.to_socket_addrs().map_err(|error| Failure::failed(format!("{text} cannot be resolved: {error}")))?;
    Ok(resolved.collect())
}

fn lacks_family(error: &std::io::Error) -> bool {
    // EAFNOSUPPORT has no kind of its own.
    let no_family = error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error());
    no_family || matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
}

fn cannot_listen(address: SocketAddr, error: &std::io::Error) -> Failure {
    let failure = Failure::failed(format!("cannot listen on {address}: {error}"));
    match error.kind() {
        ErrorKind::AddrInUse => failure.with_hint("Another program has it. Name another one with --listen."),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SettingFlags;

    fn refused(pairs: &[(&str, &str)]) -> Option<Failure> {
        let variables: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let configuration = Configuration::load(&SettingFlags::default(), &variables).expect("it is right");
        refuse_unmeant(&configuration, &[]).err()
    }

    #[test]
    fn beyond_loopback_only_on_purpose() {
        assert!(refused(&[]).is_none());
        assert!(refused(&[("LARDER_LISTEN", "127.8.8.8:0,[::1]:0,localhost:0")]).is_none());
        for listen in ["0.0.0.0:5000", "[::]:5000", "192.0.2.1:5000", "127.0.0.1:1,0.0.0.0:1"] {
            let failure = refused(&[("LARDER_LISTEN", listen)]).expect("it is refused");
            assert!(failure.hint().is_some_and(|hint| hint.contains("LARDER_ACCESS__OPEN")), "{listen}");
            assert!(refused(&[("LARDER_LISTEN", listen), ("LARDER_ACCESS__OPEN", "read")]).is_none());
        }
    }
}
