//! Mails in plain text, handed to the mail server that is configured (`mail.*`).

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use larder_access::{Mail, SendMail};
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

use crate::config::Configuration;
use crate::opened::chain;
use crate::outcome::{Failure, Result};

/// How long each step with the mail server may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Sends mails. A connection each: they are few.
pub struct Mailer {
    server: MailServer,
    credentials: Option<Credentials>,
    from: Mailbox,
    /// Made for the first mail: an image without a trust store serves all the same.
    transport: OnceLock<Transport>,
}

impl Mailer {
    /// The configured one; nothing where no mail server is set.
    ///
    /// # Errors
    /// What does not do among the settings.
    pub fn configured(configuration: &Configuration) -> Result<Option<Self>> {
        let Some(url) = configuration.text("mail.server") else { return Ok(None) };
        let wrong = |key: &str, why: &str| Failure::usage(format!("{key}: {why}"));
        let server = MailServer::parse(url, configuration.switch("mail.start_tls"));
        let server = server.map_err(|why| wrong("mail.server", why))?;
        let from = configuration.text("mail.from").ok_or_else(|| {
            wrong("mail.from", "mail.server needs an address that mails come from: registry@example.com")
        })?;
        let from = from
            .parse()
            .map_err(|_| wrong("mail.from", "write registry@example.com, or Name <registry@example.com>"))?;
        let password = configuration.text("mail.password").unwrap_or_default();
        let credentials = configuration.text("mail.user").map(|user| Credentials::from((user, password)));
        Ok(Some(Self { server, credentials, from, transport: OnceLock::new() }))
    }

    /// Hands a mail over.
    ///
    /// # Errors
    /// Why the server did not take it. Nothing of what the mail says.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> std::result::Result<(), String> {
        let to: Mailbox = to.parse().map_err(|_| "that is no mail address".to_owned())?;
        // Nobody's absence is to be answered to a machine (RFC 3834).
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let id = format!("<{}@{}>", uuid::Uuid::new_v4(), self.from.email.domain());
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .message_id(Some(id))
            .raw_header(automatic)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|error| chain(&error))?;
        let transport = self.transport().map_err(|error| chain(&error))?;
        transport.send(message).await.map(drop).map_err(|error| chain(&error))
    }

    fn transport(&self) -> std::result::Result<&Transport, lettre::transport::smtp::Error> {
        if let Some(transport) = self.transport.get() {
            return Ok(transport);
        }
        let MailServer { host, port, encryption } = &self.server;
        let tls = match encryption {
            Encryption::Whole => Tls::Wrapper(TlsParameters::new_rustls(host.clone())?),
            Encryption::StartTls => Tls::Required(TlsParameters::new_rustls(host.clone())?),
            Encryption::None => Tls::None,
        };
        let transport = Transport::builder_dangerous(host.as_str())
            .port(*port)
            .tls(tls)
            .timeout(Some(PATIENCE))
            .hello_name(ClientId::Domain(self.from.email.domain().to_owned()));
        let transport = match &self.credentials {
            Some(credentials) => transport.credentials(credentials.clone()),
            None => transport,
        };
        Ok(self.transport.get_or_init(|| transport.build()))
    }
}

#[async_trait]
impl SendMail for Mailer {
    async fn send(&self, mail: Mail) -> std::result::Result<(), String> {
        Self::send(self, &mail.to, &mail.subject, mail.text).await
    }
}

/// Where mails are handed to.
#[derive(Debug, PartialEq, Eq)]
struct MailServer {
    host: String,
    port: u16,
    encryption: Encryption,
}

/// What keeps a password and a link from being read on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encryption {
    /// TLS from the first byte.
    Whole,
    /// TLS before anything that matters; a server that does not offer it gets nothing.
    StartTls,
    /// None: this machine alone.
    None,
}

impl MailServer {
    fn parse(url: &str, start_tls: bool) -> std::result::Result<Self, &'static str> {
        let form = "write smtps://HOST[:PORT] or smtp://HOST[:PORT]";
        let (encryption, usual, authority) = match url.split_once("://") {
            Some(("smtps", rest)) => (Encryption::Whole, 465, rest),
            Some(("smtp", rest)) if start_tls => (Encryption::StartTls, 587, rest),
            Some(("smtp", rest)) => (Encryption::None, 25, rest),
            _ => return Err(form),
        };
        let authority: http::uri::Authority = authority.trim_end_matches('/').parse().map_err(|_| form)?;
        if authority.as_str().contains('@') {
            return Err("the name and the password have keys of their own: mail.user and mail.password");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_here =
            host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if encryption == Encryption::None && !is_here {
            return Err("passwords and links are not sent in the clear: use smtps:// or leave mail.start_tls on");
        }
        Ok(Self { host, port: authority.port_u16().unwrap_or(usual), encryption })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_in_the_clear_but_on_this_machine() {
        let parse = MailServer::parse;
        let server = |host: &str, port, encryption| Ok(MailServer { host: host.to_owned(), port, encryption });
        assert_eq!(parse("smtps://mail.example.com", true), server("mail.example.com", 465, Encryption::Whole));
        assert_eq!(parse("smtps://mail.example.com:1465", false), server("mail.example.com", 1465, Encryption::Whole));
        assert_eq!(parse("smtp://mail.example.com/", true), server("mail.example.com", 587, Encryption::StartTls));
        assert_eq!(parse("smtp://127.0.0.1:2525", false), server("127.0.0.1", 2525, Encryption::None));
        assert_eq!(parse("smtp://[::1]", false), server("::1", 25, Encryption::None));
        assert_eq!(parse("smtp://localhost", true), server("localhost", 587, Encryption::StartTls));
        for (url, start_tls) in [
            ("smtp://mail.example.com", false),
            ("smtp://127.0.0.1.example.com", false),
            ("mail.example.com", true),
            ("https://mail.example.com", true),
            ("smtps://user:secret@mail.example.com", true),
            ("smtps://", true),
        ] {
            assert!(parse(url, start_tls).is_err(), "{url}");
        }
    }
}
