//! Self sign-up: whoever reads the mail of an address in the right domain gets an account named after it.
//!
//! The answer to somebody who asks is the same whether there is such an account, such an address or such a mailbox: everything that could tell is done
//! after the answer, and said by mail alone. The name follows from the address, so nobody picks somebody else's.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use larder_catalog::model::access::{self as rows, ConfirmSignUp};
use larder_catalog::model::{Origin as StampOrigin, Stamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::{Access, unavailable};
use crate::admin::{Account, Answer};
use crate::clock::{after, between};
use crate::recent::Recent;
use crate::throttle::network;
use crate::{AccountName, Denial, Origin, PlainToken, Problem, Refused};

/// How long a link waits to be opened.
const LINK: Duration = Duration::from_secs(24 * 3600);
/// What is counted is forgotten after this time.
const WINDOW: Duration = Duration::from_secs(3600);
/// Sign-ups in that time of one address, and of one /64.
const OF_NETWORK: u32 = 10;
/// Mails in that time to one mailbox: more are not sent, and nobody is told.
const OF_MAILBOX: u32 = 3;
/// Sign-ups in that time at all: neither the table nor the mail server is anybody's to fill.
const OF_ALL: u32 = 1_000;
/// Mails on their way at a time.
const SENDING: usize = 16;
/// The longest address (RFC 5321 §4.5.3.1.3).
const LONGEST: usize = 254;

const NOT_OFFERED: &str = "nobody signs up here: ask an administrator for an account";
const ENDED: &str = "the link has ended, or was used: sign up again";

/// A mail in plain text.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The one address that it goes to.
    pub to: String,
    /// What it is about, in one line.
    pub subject: String,
    /// What it says. It may hold a secret: it is for nobody else.
    pub text: String,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Hands mails to a mail server.
#[async_trait]
pub trait SendMail: Send + Sync + 'static {
    /// Hands over one mail, or says why that did not work: without the mail's text.
    async fn send(&self, mail: Mail) -> Result<(), String>;
}

/// Self sign-up, where it is on.
#[derive(Clone)]
pub struct SignUp {
    /// The domains whose people may sign up: exactly these, no domains below them.
    pub domains: Vec<String>,
    /// Where links lead: `https://registry.example`. Never what a request says of itself, which whoever asks for a mail to somebody else chooses.
    pub site: String,
    /// Sends the links.
    pub mail: Arc<dyn SendMail>,
}

impl std::fmt::Debug for SignUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignUp").field("domains", &self.domains).field("site", &self.site).finish_non_exhaustive()
    }
}

impl SignUp {
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_domain = |domain: &String| {
            let labels: Vec<&str> = domain.split('.').collect();
            let is_label =
                |label: &&str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            labels.len() > 1 && labels.iter().all(is_label)
        };
        if self.domains.is_empty() {
            return Err("no domain is named whose people may sign up".to_owned());
        }
        match self.domains.iter().find(|domain| !is_domain(domain)) {
            Some(domain) => Err(format!("{domain} is no mail domain: write example.com")),
            None => Ok(()),
        }
    }

    /// The address in one spelling, and the name that its owner gets.
    fn read(&self, email: &str) -> Result<(String, AccountName), String> {
        let email = email.trim().to_ascii_lowercase();
        let parts = email.rsplit_once('@').filter(|_| email.len() <= LONGEST);
        let (name, domain) = parts.ok_or("a mail address is NAME@HOST")?;
        if !self.domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)) {
            return Err(format!("only addresses of {} sign up here", self.domains.join(", ")));
        }
        let name = name.parse::<AccountName>().ok().filter(AccountName::is_namespace);
        let name =
            name.ok_or("what stands before the @ becomes the name, and has to be of a-z, 0-9, '.', '_' and '-'")?;
        Ok((email, name))
    }
}

/// Who asked lately, and the mails on their way.
#[derive(Debug)]
pub(crate) struct SignUps {
    counts: Mutex<Recent<Key, Count>>,
    sending: Arc<Semaphore>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Everybody,
    Network(Option<IpAddr>),
    Mailbox(String),
}

#[derive(Clone, Copy, Debug)]
struct Count {
    asked: u32,
    since: Timestamp,
}

impl SignUps {
    pub(crate) fn new() -> Self {
        Self { counts: Mutex::new(Recent::holding(20_000)), sending: Arc::new(Semaphore::new(SENDING)) }
    }

    /// Counts one more.
    ///
    /// # Errors
    ///
    /// How long to wait, if this was one too many.
    fn count(&self, key: Key, most: u32, now: Timestamp) -> Result<(), Duration> {
        let mut counts = self.counts.lock().expect("no panic happens under this lock");
        let known = counts.get(&key).copied().filter(|count| between(count.since, now) < WINDOW);
        let count = known.unwrap_or(Count { asked: 0, since: now });
        if count.asked >= most {
            return Err(WINDOW.saturating_sub(between(count.since, now)).max(Duration::from_secs(1)));
        }
        counts.insert(key, Count { asked: count.asked + 1, ..count });
        Ok(())
    }
}

impl Access {
    /// The domains whose people may sign up; nothing where nobody may.
    pub fn sign_up_domains(&self) -> Option<&[String]> {
        self.inner.settings.sign_up.as_ref().map(|sign_up| sign_up.domains.as_slice())
    }

    /// Asks for an account. What comes of it is in the mail alone: a link, or that there is an account of this name.
    ///
    /// # Errors
    ///
    /// [`Refused::Unfit`] where nobody signs up, for an address of another domain, and while nobody administers; [`Refused::Throttled`].
    pub async fn sign_up(&self, email: &str, origin: Origin, request_id: Option<String>) -> Result<(), Refused> {
        let sign_up = self.inner.settings.sign_up.clone().ok_or_else(|| Refused::Unfit(NOT_OFFERED.to_owned()))?;
        self.must_not_be_the_first().await?;
        let asked = self.may_sign_up(&sign_up, email, origin);
        let (email, name, sending) = asked.inspect_err(|_| {
            self.denied(Denial {
                identity: "anonymous".to_owned(),
                credential: None,
                address: origin.address,
                action: "signup".to_owned(),
                repository: None,
                object: None,
                request_id: request_id.clone(),
            });
        })?;
        if self.inner.sign_ups.count(Key::Mailbox(email.clone()), OF_MAILBOX, self.inner.now()).is_ok() {
            let access = self.clone();
            tokio::spawn(async move {
                let _sending = sending;
                access.answer_by_mail(&sign_up, email, &name, origin, request_id).await;
            });
        }
        Ok(())
    }

    fn may_sign_up(
        &self,
        sign_up: &SignUp,
        email: &str,
        origin: Origin,
    ) -> Result<(String, AccountName, OwnedSemaphorePermit), Refused> {
        let (sign_ups, now) = (&self.inner.sign_ups, self.inner.now());
        let wait = |retry_after| Refused::Throttled { retry_after };
        sign_ups.count(Key::Network(network(origin.address)), OF_NETWORK, now).map_err(wait)?;
        let (email, name) = sign_up.read(email).map_err(Refused::Unfit)?;
        sign_ups.count(Key::Everybody, OF_ALL, now).map_err(wait)?;
        let sending = Arc::clone(&sign_ups.sending).try_acquire_owned();
        Ok((email, name, sending.map_err(|_| wait(Duration::from_secs(10)))?))
    }

    /// Sends the link, or says that there is such an account. What goes wrong is for the log: the answer was given.
    async fn answer_by_mail(
        &self,
        sign_up: &SignUp,
        email: String,
        name: &AccountName,
        origin: Origin,
        request_id: Option<String>,
    ) {
        let mail = match self.is_taken(name).await {
            Ok(true) => Ok(taken(sign_up, email, name)),
            Ok(false) => self.link(sign_up, email, name, origin, request_id).await,
            Err(refused) => Err(refused),
        };
        // Refused: the catalog's trouble, which was logged where it came up.
        let Ok(mail) = mail else { return };
        if let Err(error) = sign_up.mail.send(mail).await {
            tracing::error!(%name, error, "a mail about a sign-up could not be sent");
        }
    }

    /// Whether somebody has the name here or in the password file.
    async fn is_taken(&self, name: &AccountName) -> Result<bool, Refused> {
        let in_file = self.inner.htpasswd.as_ref().is_some_and(|file| file.users().hash(name.as_str()).is_some());
        Ok(in_file || self.user_row(name.as_str()).await?.is_some())
    }

    async fn link(
        &self,
        sign_up: &SignUp,
        email: String,
        name: &AccountName,
        origin: Origin,
        request_id: Option<String>,
    ) -> Result<Mail, Refused> {
        let (secret, now) = (PlainToken::generate(), self.inner.now());
        let row = rows::SignUp { email: email.clone(), name: name.to_string(), expires: after(now, LINK) };
        let stamp = stamp("anonymous".to_owned(), None, origin, request_id, now);
        self.inner.catalog.add_sign_up(&secret.hash(), row, stamp).await.map_err(unavailable)?;
        let (site, secret) = (&sign_up.site, secret.reveal());
        let text = format!(
            "Somebody, probably you, asked for an account at {site}.\n\n\
             Your name there will be {name}. Choose a password, once and within a day:\n\n\
             {site}/signup/confirm?token={secret}\n\n\
             If it was not you, do nothing: without this link there is no account.\n"
        );
        Ok(Mail { to: email, subject: format!("Your account at {}", host(site)), text })
    }

    /// Whom a link of a sign-up is for.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`] for a secret that was never sent, was used or has ended.
    pub async fn signing_up(&self, secret: &str) -> Answer<String> {
        let ended = || Problem::NotAllowed(ENDED);
        let hash = self.link_hash(secret)?;
        let sign_up = self.inner.catalog.sign_up(&hash, self.inner.now()).await?;
        Ok(sign_up.ok_or_else(ended)?.name)
    }

    /// Makes the account of whoever opened the link, with this password, and ends the link.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`] as [`signing_up`](Self::signing_up), and where nobody signs up any more; [`Problem::Exists`] where somebody has the
    /// name by now; [`Problem::Invalid`] for the password.
    pub async fn confirm_sign_up(&self, secret: &str, password: &str, origin: Origin) -> Answer<Account> {
        let name = self.signing_up(secret).await?;
        let hash = self.link_hash(secret)?;
        let password = self.hashed(&name, password).await?;
        let by = stamp(format!("user:{name}"), Some("sign-up".to_owned()), origin, None, self.inner.now());
        match self.inner.catalog.confirm_sign_up(&hash, &password, by).await? {
            ConfirmSignUp::Created(name) => self.account(&name).await,
            ConfirmSignUp::Ended => Err(Problem::NotAllowed(ENDED)),
            ConfirmSignUp::NameTaken(name) => Err(Problem::Exists { what: "user", name }),
        }
    }

    fn link_hash(&self, secret: &str) -> Answer<[u8; 32]> {
        if self.inner.settings.sign_up.is_none() {
            return Err(Problem::NotAllowed(NOT_OFFERED));
        }
        PlainToken::parse(secret).map(|secret| secret.hash()).ok_or(Problem::NotAllowed(ENDED))
    }
}

fn taken(sign_up: &SignUp, to: String, name: &AccountName) -> Mail {
    let site = &sign_up.site;
    let text = format!(
        "Somebody, probably you, asked for an account at {site}.\n\n\
         There is one of the name {name} already. If it is yours, log in at {site}/login.\n\
         If it is not, or its password is lost, ask an administrator of this registry.\n"
    );
    Mail { to, subject: format!("Your account at {}", host(site)), text }
}

fn host(site: &str) -> &str {
    site.split_once("://").map_or(site, |(_, host)| host)
}

fn stamp(
    identity: String,
    credential: Option<String>,
    origin: Origin,
    request_id: Option<String>,
    at: Timestamp,
) -> Stamp {
    let address = origin.address.map(|address| address.to_string());
    Stamp { identity, at, request_id, origin: StampOrigin { credential, address } }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nobody;

    #[async_trait]
    impl SendMail for Nobody {
        async fn send(&self, _: Mail) -> Result<(), String> {
            Ok(())
        }
    }

    fn of(domains: &[&str]) -> SignUp {
        let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
        SignUp { domains, site: "https://registry.example".to_owned(), mail: Arc::new(Nobody) }
    }

    #[test]
    fn an_address_is_of_one_of_the_domains_and_its_name_is_the_accounts() {
        let sign_up = of(&["example.com", "Example.org"]);
        for (email, name) in
            [("alice@example.com", "alice"), (" Jane.Doe@EXAMPLE.COM ", "jane.doe"), ("a-b_c@example.org", "a-b_c")]
        {
            let (address, found) = sign_up.read(email).unwrap();
            assert_eq!((address, found.as_str()), (email.trim().to_ascii_lowercase(), name));
        }
        for email in [
            "alice",
            "@example.com",
            "alice@",
            "alice@evil.example",
            "alice@sub.example.com",
            "alice@example.com.evil.example",
            "alice@notexample.com",
            "alice@evil.example@example.com",
            "alice+two@example.com",
            "\"alice\"@example.com",
            "alice bob@example.com",
            "alice\r\nbcc:x@example.com",
            "a..b@example.com",
            "alice@example.com\0",
            &format!("{}@example.com", "x".repeat(300)),
        ] {
            assert!(sign_up.read(email).is_err(), "{email:?}");
        }
    }

    #[test]
    fn a_setting_that_would_let_in_everybody_is_none() {
        assert!(of(&["example.com", "ml.example.co.uk"]).check().is_ok());
        for bad in [&[][..], &[""], &["com"], &["*.example.com"], &["@example.com"], &["example.com", "a b.c"]] {
            assert!(of(bad).check().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_hour_forgets_who_asked() {
        let sign_ups = SignUps::new();
        let key = || Key::Mailbox("alice@example.com".to_owned());
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..OF_MAILBOX {
            sign_ups.count(key(), OF_MAILBOX, now).unwrap();
        }
        let later = after(now, Duration::from_secs(600));
        assert_eq!(sign_ups.count(key(), OF_MAILBOX, later), Err(Duration::from_secs(3000)));
        sign_ups.count(Key::Mailbox("bob@example.com".to_owned()), OF_MAILBOX, now).unwrap();
        sign_ups.count(key(), OF_MAILBOX, after(now, WINDOW)).unwrap();
    }
}
