//! A catalog in memory, access control on it, a clock that stands still, and short words for people.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use larder_access::{
    Access, By, Caller, Effect, ManualClock, NewAccount, NewCredential, NewPermission, Origin, PlainToken, Ports,
    Presented, Problem, Refused, SecretKey, Settings, Stamp, StampOrigin, Subject, Token,
};
use larder_catalog::Catalog;
use larder_oci::{Actions, RepositoryName, RepositoryPattern};

use crate::issuer::Http;

pub const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);
pub const PASSWORD: &str = "correct horse";
pub const HERE: Origin = Origin { address: Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1))) };
pub const ELSEWHERE: Origin = Origin { address: Some(IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1))) };

/// Everything of one test.
pub struct World {
    pub access: Access,
    pub catalog: Catalog,
    pub clock: Arc<ManualClock>,
    pub secret: SecretKey,
}

pub fn operator() -> By {
    By::operator(None)
}

pub fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub fn pattern(text: &str) -> RepositoryPattern {
    text.parse().unwrap()
}

pub fn actions(text: &str) -> Actions {
    text.parse().unwrap()
}

pub fn basic(user: &str, password: &str) -> Presented {
    Presented::Basic { user: user.to_owned(), password: password.to_owned() }
}

impl World {
    /// Nobody is there.
    pub async fn empty() -> Self {
        Self::with(|_| {}).await
    }

    /// `admin`, who is the first, and `alice` and `bob`, all with [`PASSWORD`].
    pub async fn peopled() -> Self {
        let world = Self::empty().await;
        for user in ["admin", "alice", "bob"] {
            world.add_user(user).await;
        }
        world
    }

    pub async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let catalog = Catalog::open_memory().await.unwrap();
        let clock = Arc::new(ManualClock::starting(NOW));
        let secret = SecretKey::generate();
        let mut settings = Settings::new("larder", secret.clone());
        settings.plain_http_on_loopback = true;
        change(&mut settings);
        let ports = Ports { fetch: Arc::new(Http), clock: Arc::clone(&clock) as Arc<_> };
        let access = Access::open(catalog.clone(), settings, ports).await.unwrap();
        Self { access, catalog, clock, secret }
    }

    pub async fn add_user(&self, name: &str) {
        let new = NewAccount { name: name.to_owned(), password: Some(PASSWORD.to_owned()), ..NewAccount::default() };
        self.access.add_user(&operator(), new).await.unwrap();
    }

    /// Logs in with [`PASSWORD`].
    pub async fn login(&self, user: &str) -> Caller {
        self.access.identify(&basic(user, PASSWORD), HERE).await.unwrap()
    }

    pub async fn by(&self, user: &str) -> By {
        By::of(&self.login(user).await, HERE, None)
    }

    pub async fn anonymous(&self) -> By {
        By::of(&self.access.anonymous().await.unwrap(), HERE, None)
    }

    /// Who comes with this, from [`HERE`].
    pub async fn identify(&self, presented: Presented) -> Result<Caller, Refused> {
        self.access.identify(&presented, HERE).await
    }

    pub async fn bearer(&self, token: &str) -> Result<Caller, Refused> {
        self.identify(Presented::Bearer(token.to_owned())).await
    }

    pub async fn grant(&self, subject: &str, actions_text: &str, pattern_text: &str, effect: Effect) -> i64 {
        let subject: Subject = subject.parse().unwrap();
        let new = NewPermission {
            subject,
            actions: actions(actions_text),
            pattern: pattern(pattern_text),
            effect,
            note: String::new(),
        };
        self.access.add_grant(&operator(), new).await.unwrap()
    }

    /// A token of this caller's.
    pub async fn token(
        &self,
        by: &By,
        limits: &str,
        patterns: &[&str],
        ttl: Option<u64>,
    ) -> Result<(Token, PlainToken), Problem> {
        let new = NewCredential {
            owner: None,
            name: "t".to_owned(),
            actions: actions(limits),
            patterns: patterns.iter().map(|text| pattern(text)).collect(),
            ttl: ttl.map(Duration::from_secs),
        };
        self.access.create_token(by, new).await
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// A repository that this identity makes.
    pub async fn repository(&self, name: &str, identity: &str) {
        let stamp = Stamp { identity: identity.to_owned(), at: NOW, request_id: None, origin: StampOrigin::default() };
        self.catalog.create_repository(&name.parse().unwrap(), stamp).await.unwrap();
    }
}
