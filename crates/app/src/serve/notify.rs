//! Tells systemd how the server is doing (`Type=notify`): one datagram, no library.

use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends a state such as `READY=1` to `NOTIFY_SOCKET`, if there is one. A manager that does not listen is no reason to stop.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&path.to_string_lossy(), state) {
        tracing::debug!(%error, state, "the service manager was not told");
    }
}

fn send(path: &str, state: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    let address = match path.strip_prefix('@') {
        Some(name) => {
            use std::os::linux::net::SocketAddrExt;
            SocketAddr::from_abstract_name(name)?
        }
        None => SocketAddr::from_pathname(path)?,
    };
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_gets_the_state() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).expect("it can listen");
        send(&path.to_string_lossy(), "READY=1").expect("it is listening");
        let mut buffer = [0; 32];
        let length = manager.recv(&mut buffer).expect("something was sent");
        assert_eq!(&buffer[..length], b"READY=1");
    }
}
