//! A registry with accounts: an administrator `root`, and whom the test adds.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use larder_access::{Access, Fetch, FetchError, ManualClock, Ports, SecretKey, Settings};
use larder_registry::{Settings as RegistrySettings, testing};
use larder_server::{Config, Service, guarded_service};
use serde_json::{Value, json};

use crate::world::{Answer, Client};

/// A registry with accounts.
pub struct Guarded {
    pub service: Service,
    pub clock: Arc<ManualClock>,
    pub access: Access,
}

/// Asks nobody.
pub struct Nowhere;

#[async_trait::async_trait]
impl Fetch for Nowhere {
    async fn get(&self, _: &str, _: usize) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::Unreachable("tests ask nobody".to_owned()))
    }

    async fn post_form(
        &self,
        _: &str,
        _: &[(&str, &str)],
        _: Option<(&str, &str)>,
        _: usize,
    ) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::Unreachable("tests ask nobody".to_owned()))
    }
}

/// The settings that most tests run with.
pub fn settings() -> Settings {
    Settings::new("larder", SecretKey::generate())
}

impl Guarded {
    /// With one account, `root`, who administers.
    pub async fn new() -> Self {
        let guarded = Self::open(settings(), Config::default()).await;
        guarded.user("root").await;
        guarded
    }

    /// The same where what is deleted can be brought back, and nothing waits for pushes in flight.
    pub async fn keeping() -> Self {
        let window = Duration::from_secs(7 * 24 * 60 * 60);
        let stock = RegistrySettings { trash_window: window, lease_ttl: Duration::ZERO, ..testing::settings() };
        let guarded = Self::over(stock, Arc::new(Nowhere), settings(), Config::default()).await;
        guarded.user("root").await;
        guarded
    }

    /// With no account yet.
    pub async fn open(settings: Settings, config: Config) -> Self {
        Self::asking(Arc::new(Nowhere), settings, config).await
    }

    /// With no account yet, and somebody to ask about issuers.
    pub async fn asking(fetch: Arc<dyn Fetch>, settings: Settings, config: Config) -> Self {
        Self::over(testing::settings(), fetch, settings, config).await
    }

    async fn over(stock: RegistrySettings, fetch: Arc<dyn Fetch>, settings: Settings, config: Config) -> Self {
        let (registry, catalog) = testing::beside(stock).await;
        let clock = Arc::new(ManualClock::starting("2026-11-21T12:00:00Z".parse().expect("a time")));
        let ports = Ports { fetch, clock: Arc::clone(&clock) as Arc<_> };
        let access = Access::open(catalog, settings, ports).await.expect("access opens");
        let service = guarded_service(registry, access.clone(), config);
        Self { service, clock, access }
    }

    /// Lets time pass for credentials.
    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
    }

    /// Somebody on the network without a credential.
    pub fn stranger(&self) -> Client {
        let peer = larder_server::Peer::tcp("192.0.2.7:40000".parse().expect("it is an address"), 1);
        Client::of(&self.service, peer)
    }

    /// Whoever owns the data folder.
    pub fn operator(&self) -> Client {
        Client::of(&self.service, larder_server::Peer::operator())
    }

    /// A client with this user's password on every request.
    pub fn as_user(&self, name: &str) -> Client {
        self.stranger().basic(name, &password(name))
    }

    /// Makes a user and answers a client with his password on every request.
    pub async fn user(&self, name: &str) -> Client {
        let user = json!({ "name": name, "password": password(name) });
        self.operator().json(Method::POST, "/api/v1/users", &user).await.expect(201);
        self.as_user(name)
    }

    /// Grants something and answers the grant's id.
    pub async fn grant(&self, subject: &str, actions: &[&str], repositories: &str) -> i64 {
        self.rule(subject, actions, repositories, "allow").await
    }

    /// Grants or denies something and answers the grant's id.
    pub async fn rule(&self, subject: &str, actions: &[&str], repositories: &str, effect: &str) -> i64 {
        let grant = json!({ "subject": subject, "actions": actions, "repositories": repositories, "effect": effect });
        let answer = self.operator().json(Method::POST, "/api/v1/grants", &grant).await;
        answer.expect(201);
        answer.json()["id"].as_i64().expect("a grant has an id")
    }

    /// Makes a repository public.
    pub async fn publish(&self, repository: &str) {
        let path = format!("/api/v1/repositories/{repository}");
        self.operator().json(Method::PATCH, &path, &json!({ "public": true })).await.expect(200);
    }

    /// Makes a token of a client's own and answers it.
    pub async fn token_of(&self, client: &Client, token: &Value) -> String {
        let answer = client.json(Method::POST, "/api/v1/tokens", token).await;
        answer.expect(201);
        answer.json()["token"].as_str().expect("it is shown once").to_owned()
    }
}

/// The password that these tests give to a user.
pub fn password(user: &str) -> String {
    format!("correct horse of {user}")
}

/// Asks the token service and answers its token.
pub async fn token(client: &Client, scope: &str) -> String {
    let answer = ask(client, scope).await;
    answer.expect(200);
    answer.json()["token"].as_str().expect("there is a token").to_owned()
}

/// Asks the token service.
pub async fn ask(client: &Client, scope: &str) -> Answer {
    client.get(&format!("/token?service=larder&scope={}", scope.replace(' ', "%20"))).await
}

/// An answer without what is different in each: its id and the time.
pub fn told(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let id = answer.header("x-request-id").to_owned();
    let headers = answer.headers.iter().filter(|(name, _)| *name != "x-request-id" && *name != "date");
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned())).collect();
    (answer.status.as_u16(), headers, String::from_utf8_lossy(&answer.body).replace(&id, "ID"))
}
