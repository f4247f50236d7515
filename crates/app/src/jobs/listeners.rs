//! The way to webhooks' listeners: a host is looked up once, every address that it stands for is checked, and the connection goes to one of these.
//!
//! A name that stands for a public address now and for a private one a moment later (DNS rebinding) gains nothing by it. No redirect is followed and no
//! proxy is asked, since either would choose another address.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use larder_registry::webhooks::{Attempt, is_public};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use super::webhooks::Message;
use crate::api_client::innermost;

/// How long a connection may take to stand, and a delivery as a whole.
const CONNECT: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(15);

/// Clients for listeners: one that goes to public addresses only, and one that goes anywhere. This machine's trust store is read when one is first
/// needed.
#[derive(Clone, Default)]
pub struct Listeners(Arc<[OnceLock<Client>; 2]>);

impl Listeners {
    /// Sends a message.
    pub async fn tell(&self, url: &str, private: bool, message: Message) -> Attempt {
        match self.try_tell(url, private, message).await {
            Ok(status) if (200..300).contains(&status) => Attempt::Taken(status),
            Ok(status) => Attempt::Refused(status),
            Err(why) => Attempt::Lost(why),
        }
    }

    async fn try_tell(&self, url: &str, private: bool, message: Message) -> Result<u16, String> {
        let url: Url = url.parse().map_err(|error| format!("the address cannot be read: {error}"))?;
        // What is written as an address is not looked up.
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = host.parse::<IpAddr>() {
            allowed(address, private)?;
        }
        let request = self.client(private)?.post(url).header("content-type", message.body.content_type);
        let request = request
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp)
            .header("webhook-signature", message.signature)
            .body(message.body.bytes);
        // Some addresses are secrets.
        let response = request.send().await.map_err(|error| innermost(&error.without_url()))?;
        Ok(response.status().as_u16())
    }

    fn client(&self, private: bool) -> Result<&Client, String> {
        let place = &self.0[usize::from(private)];
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(Checked { private }))
            .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| innermost(&error))?;
        Ok(place.get_or_init(|| client))
    }
}

/// Looks names up with the machine's resolver and answers only what may be connected to.
struct Checked {
    private: bool,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let private = self.private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            for address in &found {
                allowed(address.ip(), private)?;
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// One address that is not public refuses all: a name that stands for both kinds is up to something.
fn allowed(address: IpAddr, private: bool) -> Result<(), String> {
    if private || is_public(address) {
        return Ok(());
    }
    // The address itself would tell what names inside stand for.
    Err("the host is at an address that is not public, and this webhook may go to public ones only".to_owned())
}

#[cfg(test)]
mod tests {
    use larder_registry::webhooks::Body;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn message() -> Message {
        let body = Body { content_type: "application/json", bytes: b"{}".to_vec() };
        Message { id: "evt_1".to_owned(), timestamp: 1, signature: "v1,x".to_owned(), body }
    }

    async fn listener(answer: &'static str) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("it has one").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        port
    }

    #[tokio::test]
    async fn however_a_private_address_is_written_it_is_not_gone_to() {
        let port = listener("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
        let listeners = Listeners::default();
        for host in ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "127.1"] {
            let url = format!("http://{host}:{port}/");
            let refused = listeners.tell(&url, false, message()).await;
            assert!(matches!(&refused, Attempt::Lost(why) if why.contains("not public")), "{host}: {refused:?}");
        }
        let url = format!("http://localhost:{port}/");
        assert_eq!(listeners.tell(&url, true, message()).await, Attempt::Taken(204));
    }

    #[tokio::test]
    async fn redirects_and_errors_are_refusals() {
        let listeners = Listeners::default();
        let port = listener(
            "HTTP/1.1 307 Elsewhere\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        )
        .await;
        let url = format!("http://127.0.0.1:{port}/");
        assert_eq!(listeners.tell(&url, true, message()).await, Attempt::Refused(307));
        assert!(matches!(listeners.tell("http://127.0.0.1:1/", true, message()).await, Attempt::Lost(_)));
    }
}
