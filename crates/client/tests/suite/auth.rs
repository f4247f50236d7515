//! Credentials go where they belong and nowhere else.

use std::sync::Arc;

use larder_client::Kind;
use larder_client::credentials::{Credential, Credentials, Fixed, Secret};
use larder_oci::reference::Reference;

use crate::fake::{Act, Fake, Seen, noise};

const BASIC: &str = "Basic YWxpY2U6c2VjcmV0";

fn alice(fake: &Fake) -> Arc<dyn Credentials> {
    let password = Credential::Password { user: "alice".into(), password: Secret::new("secret") };
    Arc::new(Fixed::new(fake.host.clone(), password))
}

fn latest() -> Reference {
    "latest".parse().expect("a tag")
}

/// A registry that gives its content to bearers of `token` only, and tokens to alice.
fn guarded(fake: &Fake, realm: String) {
    fake.hook(move |seen| {
        if seen.path.starts_with("/token") {
            let known = seen.header("authorization").is_none_or(|value| value == BASIC);
            let status = if known { 200 } else { 401 };
            let token = if seen.header("authorization").is_some() { "alices" } else { "anonymous" };
            return Some(Act::Reply(status, vec![], format!(r#"{{"token":"{token}","expires_in":300}}"#).into_bytes()));
        }
        if seen.header("authorization") == Some("Bearer alices") {
            return None;
        }
        let challenge = format!(r#"Bearer realm="{realm}",service="fake",scope="repository:a/b:pull""#);
        Some(Act::Reply(401, vec![("www-authenticate", challenge)], vec![]))
    });
}

fn authorizations(log: &[Seen]) -> Vec<&str> {
    log.iter().filter_map(|seen| seen.header("authorization")).collect()
}

#[tokio::test]
async fn a_bearer_challenge_is_answered_with_a_token_that_is_kept() {
    let fake = Fake::start().await;
    fake.put_manifest("a/b", "latest", "application/vnd.oci.image.manifest.v1+json", br#"{"schemaVersion":2}"#);
    guarded(&fake, format!("http://{}/token", fake.host));
    let repository =
        fake.client_as(alice(&fake)).repository(&fake.host, &"a/b".parse().expect("a name")).expect("a repository");
    repository.manifest(&latest()).await.expect("allowed");
    repository.manifest(&latest()).await.expect("allowed");
    assert_eq!(fake.count("GET", "/token"), 1, "the token is kept");
    let token = fake.log().into_iter().find(|seen| seen.path.starts_with("/token")).expect("asked");
    assert!(
        token.path.contains("service=fake") && token.path.contains("scope=repository%3Aa%2Fb%3Apull"),
        "{}",
        token.path
    );
    assert_eq!(token.header("authorization"), Some(BASIC));
    let log = fake.log();
    assert!(
        log.iter().filter(|seen| seen.path.starts_with("/v2/")).all(|seen| seen.header("authorization") != Some(BASIC))
    );
}

#[tokio::test]
async fn an_anonymous_refusal_says_that_nobody_is_logged_in() {
    let fake = Fake::start().await;
    guarded(&fake, format!("http://{}/token", fake.host));
    let error = fake.repository("a/b").manifest(&latest()).await.expect_err("refused");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.to_string().contains(&format!("docker login {}", fake.host)), "{error}");
}

#[tokio::test]
async fn a_basic_challenge_is_answered_by_the_registrys_own_credentials_only() {
    let (fake, other) = (Fake::start().await, Fake::start().await);
    for registry in [&fake, &other] {
        registry.hook(|seen| {
            let fine = seen.header("authorization") == Some(BASIC);
            (!fine).then(|| Act::Reply(401, vec![("www-authenticate", "Basic realm=\"x\"".into())], vec![]))
        });
    }
    let client = fake.client_as(alice(&fake));
    client.registry(&fake.host).expect("a registry").ping().await.expect("allowed");
    let error = client.registry(&other.host).expect("a registry").ping().await.expect_err("alice is not known there");
    assert_eq!(error.kind(), Kind::Denied);
    assert!(authorizations(&other.log()).is_empty(), "the other registry never sees the password");
}

#[tokio::test]
async fn a_redirect_to_another_host_carries_no_authorization_and_its_challenge_is_not_answered() {
    let (fake, elsewhere) = (Fake::start().await, Fake::start().await);
    let content = noise(5000, 1);
    let digest = fake.put_blob("a/b", &content);
    elsewhere.put_blob("a/b", &content);
    let to = elsewhere.host.clone();
    fake.hook(move |seen| {
        if seen.header("authorization") != Some(BASIC) {
            return Some(Act::Reply(401, vec![("www-authenticate", "Basic realm=\"x\"".into())], vec![]));
        }
        Some(Act::Reply(307, vec![("location", format!("http://{to}{}", seen.path))], vec![]))
    });
    let repository =
        fake.client_as(alice(&fake)).repository(&fake.host, &"a/b".parse().expect("a name")).expect("a repository");
    assert_eq!(repository.blob_bytes(&digest, 5000, 10_000).await.expect("followed"), content);
    assert!(authorizations(&elsewhere.log()).is_empty());
    // Asked for a password, the other host gets none.
    elsewhere.hook(|_| Some(Act::Reply(401, vec![("www-authenticate", "Basic realm=\"gimme\"".into())], vec![])));
    let error = repository.blob_bytes(&digest, 5000, 10_000).await.expect_err("refused");
    assert_eq!(error.status(), Some(401));
    assert!(authorizations(&elsewhere.log()).is_empty());
}

#[tokio::test]
async fn an_upload_location_on_another_host_gets_no_authorization() {
    let (fake, elsewhere) = (Fake::start().await, Fake::start().await);
    let to = elsewhere.host.clone();
    fake.hook(move |seen| {
        if seen.header("authorization") != Some(BASIC) {
            return Some(Act::Reply(401, vec![("www-authenticate", "Basic realm=\"x\"".into())], vec![]));
        }
        (seen.method == "POST")
            .then(|| Act::Reply(202, vec![("location", format!("http://{to}/v2/a/b/blobs/uploads/x"))], vec![]))
    });
    let repository =
        fake.client_as(alice(&fake)).repository(&fake.host, &"a/b".parse().expect("a name")).expect("a repository");
    let digest = larder_client::Hasher::digest(larder_oci::Algorithm::Sha256, b"abc");
    let mut upload = repository.start_upload(digest.algorithm()).await.expect("opened");
    let _ = upload.finish(&digest, bytes::Bytes::from_static(b"abc")).await;
    assert_eq!(elsewhere.count("PUT", "/uploads/x"), 1);
    assert!(authorizations(&elsewhere.log()).is_empty());
}

#[tokio::test]
async fn a_realm_that_could_leak_is_refused() {
    let fake = Fake::start().await;
    for realm in ["http://auth.example/token", "ftp://x/token", "http://user:pass@127.0.0.1/token"] {
        guarded(&fake, realm.to_owned());
        let repository =
            fake.client_as(alice(&fake)).repository(&fake.host, &"a/b".parse().expect("a name")).expect("a repository");
        let error = repository.manifest(&latest()).await.expect_err(realm).to_string();
        assert!(error.contains("refused to follow"), "{error}");
    }
}

#[tokio::test]
async fn a_push_asks_everything_as_one_who_pushes() {
    let fake = Fake::start().await;
    guarded(&fake, format!("http://{}/token", fake.host));
    let client = fake.client_as(alice(&fake));
    let listener = crate::listener::Listener::default();
    let outcomes = crate::upload::push(&client, b"model", &[format!("{}/a/b:1", fake.host)], &listener).await;
    outcomes[0].names[0].as_ref().expect("arrived");
    let tokens: Vec<String> = fake.log().into_iter().filter(|s| s.path.starts_with("/token")).map(|s| s.path).collect();
    assert!(tokens.iter().all(|path| path.contains("scope=repository%3Aa%2Fb%3Apull%2Cpush")), "{tokens:?}");
}

#[tokio::test]
async fn an_identity_token_is_exchanged_by_post() {
    let fake = Fake::start().await;
    let realm = format!("http://{}/token", fake.host);
    fake.hook(move |seen| {
        if seen.path.starts_with("/token") {
            assert_eq!(seen.method, "POST");
            assert_eq!(seen.header("content-type"), Some("application/x-www-form-urlencoded"));
            return Some(Act::Reply(200, vec![], br#"{"access_token":"alices"}"#.to_vec()));
        }
        let fine = seen.header("authorization") == Some("Bearer alices");
        (!fine).then(|| Act::Reply(401, vec![("www-authenticate", format!("Bearer realm=\"{realm}\""))], vec![]))
    });
    let token: Arc<dyn Credentials> =
        Arc::new(Fixed::new(fake.host.clone(), Credential::IdentityToken(Secret::new("refresh"))));
    fake.client_as(token).registry(&fake.host).expect("a registry").ping().await.expect("allowed");
    assert_eq!(fake.count("POST", "/token"), 1);
}

#[tokio::test]
async fn pages_on_another_host_are_not_followed() {
    let (fake, elsewhere) = (Fake::start().await, Fake::start().await);
    let to = elsewhere.host.clone();
    fake.hook(move |seen| {
        let link = vec![("link", format!("<http://{to}/v2/a/b/tags/list?n=1000&last=x>; rel=\"next\""))];
        seen.path.contains("tags/list").then(|| Act::Reply(200, link, br#"{"name":"a/b","tags":["x"]}"#.to_vec()))
    });
    let error = fake.repository("a/b").all_tags().await.expect_err("refused");
    assert!(error.to_string().contains("next page"), "{error}");
    assert!(elsewhere.log().is_empty());
}
