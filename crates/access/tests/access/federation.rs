//! Jobs with identity tokens: a real issuer signs, and everything that could be wrong with what it or somebody else signs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use larder_access::{By, CallerKind, Condition, NewTrust, Refused, Verdict};
use larder_oci::Action;
use serde_json::{Value, json};

use crate::issuer::{Issuer, Key};
use crate::world::{HERE, World, actions, basic, name, operator, pattern};

fn trust(issuer: &Issuer) -> NewTrust {
    NewTrust {
        name: "ci".to_owned(),
        issuer: issuer.url.clone(),
        audience: "larder".to_owned(),
        conditions: vec![
            Condition { claim: "repository_owner_id".to_owned(), values: vec!["42".to_owned()] },
            Condition { claim: "ref".to_owned(), values: vec!["refs/heads/main".to_owned(), "refs/tags/*".to_owned()] },
        ],
        actions: actions("pull,push"),
        patterns: vec![pattern("team/**")],
        single_use: false,
        max_age: None,
        ttl: Duration::from_secs(1200),
    }
}

/// An issuer with one key, and a trust on it.
async fn world(algorithm: Algorithm) -> (World, Issuer, Key) {
    let (world, key) = (World::peopled().await, Key::new(algorithm));
    let issuer = Issuer::start(&[&key]).await;
    world.access.add_trust(&operator(), trust(&issuer)).await.unwrap();
    (world, issuer, key)
}

async fn refused(world: &World, token: &str) -> Refused {
    world.access.exchange(token, None, HERE).await.expect_err("it is refused")
}

fn with(claims: &Value, field: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[field] = value;
    claims
}

fn without(claims: &Value, field: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(field);
    claims
}

#[tokio::test]
async fn a_job_gets_what_its_trust_gives() {
    for algorithm in [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA] {
        let (world, issuer, key) = world(algorithm).await;
        let caller = world.access.exchange(&key.sign(&issuer.claims()), None, HERE).await.unwrap();
        assert_eq!(caller.identity, "trust:ci#repo:team/model:ref:refs/heads/main", "{algorithm:?}");
        assert_eq!(caller.kind, CallerKind::Trust);
        assert_eq!(caller.rights.allowed(&name("team/model")), actions("pull,push"));
        assert_eq!(caller.rights.verdict(Action::Pull, &name("other/model")), Verdict::Silent);
        assert!(!By::of(&caller, HERE, None).is_administrator());
        let login = world.access.issue_login(&caller, None).await.unwrap();
        assert_eq!(login.expires_in, Duration::from_secs(1200), "as long as the trust says");
        let again = world.identify(basic("anything", &login.token)).await.unwrap();
        assert_eq!(again.identity, caller.identity);
        let scoped =
            world.access.issue(&again, "larder", "repository:team/model:push".parse().unwrap(), None).await.unwrap();
        assert_eq!(world.bearer(&scoped.token).await.unwrap().identity, caller.identity);
        assert!(world.access.issue_refresh(&caller, "x").await.is_err(), "nothing that stays");
    }
}

#[tokio::test]
async fn the_id_token_is_a_password_too_and_may_be_used_again() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let token = key.sign(&issuer.claims());
    for user in ["ci", "oauth2", ""] {
        let caller = world.identify(basic(user, &token)).await.unwrap();
        assert_eq!(caller.identity, "trust:ci#repo:team/model:ref:refs/heads/main");
    }
    world.access.exchange(&token, Some("ci"), HERE).await.unwrap();
    assert_eq!(world.access.exchange(&token, Some("other"), HERE).await.unwrap_err(), Refused::Wrong);
}

// J1: `none`, in every spelling, with and without a signature.
#[tokio::test]
async fn no_signature_is_no_token() {
    let (world, issuer, key) = world(Algorithm::RS256).await;
    let encode = |text: String| BASE64_URL_SAFE_NO_PAD.encode(text);
    let good = key.sign(&issuer.claims());
    let signature = good.rsplit('.').next().unwrap();
    for none in ["none", "None", "NONE", "nonE"] {
        let header = encode(json!({"alg": none, "typ": "JWT", "kid": key.id}).to_string());
        for signature in ["", signature] {
            let token = format!("{header}.{}.{signature}", encode(issuer.claims().to_string()));
            assert_eq!(refused(&world, &token).await, Refused::Wrong, "{none}");
        }
    }
}

// J1: the public key of an RSA or EC issuer as the secret of an HMAC.
#[tokio::test]
async fn cve_2026_25537_a_public_key_is_no_secret() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let (world, issuer, key) = world(algorithm).await;
        let public = key.public();
        let decode = |field: &str| BASE64_URL_SAFE_NO_PAD.decode(public[field].as_str().unwrap_or_default()).unwrap();
        let secrets = [public.to_string().into_bytes(), decode("n"), decode("x"), Vec::new()];
        for secret in secrets {
            for hmac in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                let header = Header { kid: Some(key.id.clone()), ..Header::new(hmac) };
                let token =
                    jsonwebtoken::encode(&header, &issuer.claims(), &EncodingKey::from_secret(&secret)).unwrap();
                assert_eq!(refused(&world, &token).await, Refused::Wrong, "{hmac:?}");
            }
        }
    }
}

// J1: even if the issuer itself shows a symmetric key.
#[tokio::test]
async fn a_symmetric_key_in_the_set_is_not_used() {
    let (world, issuer, _key) = world(Algorithm::RS256).await;
    let secret = BASE64_URL_SAFE_NO_PAD.encode([7; 32]);
    issuer.pages.lock().unwrap().keys = json!({"keys": [{"kty": "oct", "kid": "shared", "alg": "HS256", "k": secret}]});
    let header = Header { kid: Some("shared".to_owned()), ..Header::new(Algorithm::HS256) };
    let token = jsonwebtoken::encode(&header, &issuer.claims(), &EncodingKey::from_secret(&[7; 32])).unwrap();
    assert_eq!(refused(&world, &token).await, Refused::Wrong);
}

// J2, J3: a key that the token brings along, or says where to fetch. Nothing is fetched.
#[tokio::test]
async fn cve_2025_24976_a_key_in_the_token_counts_for_nothing() {
    let (world, issuer, key) = world(Algorithm::RS256).await;
    let attacker = Key::new(Algorithm::RS256);
    let jwk = serde_json::from_value(attacker.public()).unwrap();
    let evil = Issuer::start(&[&attacker]).await;
    let header = |kid: &str| Header {
        kid: Some(kid.to_owned()),
        jwk: Some(serde_json::from_value(serde_json::to_value::<&jsonwebtoken::jwk::Jwk>(&jwk).unwrap()).unwrap()),
        jku: Some(format!("{}/keys", evil.url)),
        x5u: Some(format!("{}/cert", evil.url)),
        ..Header::new(Algorithm::RS256)
    };
    for kid in [key.id.as_str(), attacker.id.as_str()] {
        let token = jsonwebtoken::encode(&header(kid), &issuer.claims(), &attacker.private).unwrap();
        assert_eq!(refused(&world, &token).await, Refused::Wrong);
    }
    assert_eq!(evil.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_strangers_signature_is_refused() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let stranger = Key { id: key.id.clone(), ..Key::new(Algorithm::ES256) };
    assert_eq!(refused(&world, &stranger.sign(&issuer.claims())).await, Refused::Wrong);
    let good = key.sign(&issuer.claims());
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other = BASE64_URL_SAFE_NO_PAD.encode(with(&issuer.claims(), "repository_owner_id", json!("43")).to_string());
    assert_eq!(refused(&world, &format!("{head}.{other}.{signature}")).await, Refused::Wrong);
    let unknown = Issuer::start(&[&key]).await;
    assert_eq!(refused(&world, &key.sign(&unknown.claims())).await, Refused::Wrong, "an issuer that nobody trusts");
    assert_eq!(unknown.asked.load(Ordering::Relaxed), 0, "and that is not even asked");
}

#[tokio::test]
async fn the_audience_has_to_be_ours() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let claims = issuer.claims();
    for audience in [
        json!("other"),
        json!(["other", "another"]),
        json!([]),
        Value::Null,
        json!(7),
        json!({"aud": "larder"}),
        json!("larder2"),
    ] {
        let refusal = refused(&world, &key.sign(&with(&claims, "aud", audience.clone()))).await;
        assert_eq!(refusal.to_string(), "the token's audience is not larder", "{audience}");
    }
    assert!(matches!(refused(&world, &key.sign(&without(&claims, "aud"))).await, Refused::Unfit(_)));
    world.access.exchange(&key.sign(&with(&claims, "aud", json!(["other", "larder"]))), None, HERE).await.unwrap();
}

#[tokio::test]
async fn a_missing_or_other_claim_is_refused_and_named() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let claims = issuer.claims();
    let refusal = refused(&world, &key.sign(&without(&claims, "repository_owner_id"))).await;
    assert_eq!(refusal.to_string(), "the token has no claim repository_owner_id");
    for (field, value) in [
        ("repository_owner_id", json!("43")),
        ("ref", json!("refs/heads/main2")),
        ("ref", json!("refs/heads/*")),
        ("sub", json!("")),
    ] {
        let refusal = refused(&world, &key.sign(&with(&claims, field, value.clone()))).await;
        assert!(matches!(refusal, Refused::Unfit(_)), "{field} {value}: {refusal}");
    }
    world
        .access
        .exchange(&key.sign(&with(&claims, "ref", json!("refs/tags/v1"))), None, HERE)
        .await
        .expect("a star where written");
    let pull_request = with(&claims, "event_name", json!("pull_request"));
    assert!(refused(&world, &key.sign(&pull_request)).await.to_string().contains("pull_request"));
}

#[tokio::test]
async fn an_expired_or_future_token_is_refused() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let claims = issuer.claims();
    let token = key.sign(&claims);
    world.pass(299);
    world.access.exchange(&token, None, HERE).await.unwrap();
    world.pass(32);
    assert_eq!(refused(&world, &token).await, Refused::Expired);
    assert_eq!(refused(&world, &key.sign(&without(&claims, "exp"))).await, Refused::Wrong, "one without an end");
    let now = crate::world::NOW.as_second() + 331;
    for odd in [json!("9999999999"), Value::Null, json!(1e300), json!(-1), json!(true), json!([now + 60])] {
        assert_eq!(refused(&world, &key.sign(&with(&claims, "exp", odd.clone()))).await, Refused::Wrong, "{odd}");
    }
    let later = with(&with(&claims, "exp", json!(now + 600)), "nbf", json!(now + 120));
    assert!(matches!(refused(&world, &key.sign(&later)).await, Refused::Unfit(_)));
}

#[tokio::test]
async fn single_use_means_once() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    world.access.set_trust(&operator(), NewTrust { single_use: true, ..trust(&issuer) }).await.unwrap();
    let token = key.sign(&issuer.claims());
    world.access.exchange(&token, None, HERE).await.unwrap();
    assert_eq!(refused(&world, &token).await.to_string(), "the token was used before");
    assert!(refused(&world, &key.sign(&without(&issuer.claims(), "jti"))).await.to_string().contains("jti"));
    world.access.exchange(&key.sign(&with(&issuer.claims(), "jti", json!("jti-2"))), None, HERE).await.unwrap();
}

#[tokio::test]
async fn max_age_counts_from_iat() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let limited = NewTrust { max_age: Some(Duration::from_secs(60)), ..trust(&issuer) };
    world.access.set_trust(&operator(), limited).await.unwrap();
    let token = key.sign(&issuer.claims());
    world.pass(60);
    world.access.exchange(&token, None, HERE).await.unwrap();
    world.pass(1);
    assert!(refused(&world, &token).await.to_string().contains("older"));
    assert!(refused(&world, &key.sign(&without(&issuer.claims(), "iat"))).await.to_string().contains("iat"));
}

#[tokio::test]
async fn rotated_keys_are_found_and_the_issuer_is_asked_seldom() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    for _ in 0..10 {
        world.access.exchange(&key.sign(&issuer.claims()), None, HERE).await.unwrap();
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1);
    let new = Key::new(Algorithm::ES256);
    issuer.show(&[&new]);
    for _ in 0..50 {
        let stranger = Key::new(Algorithm::EdDSA);
        assert_eq!(refused(&world, &stranger.sign(&issuer.claims())).await, Refused::Wrong);
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 1, "unknown keys make it ask once a minute at most");
    world.pass(61);
    world.access.exchange(&new.sign(&issuer.claims()), None, HERE).await.expect("the new key");
    assert_eq!(refused(&world, &key.sign(&issuer.claims())).await, Refused::Wrong, "the old one is gone");
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_issuer_that_is_away_keeps_its_known_keys_for_a_while() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let lasting = with(&issuer.claims(), "exp", json!(crate::world::NOW.as_second() + 3 * 24 * 3600));
    let token = key.sign(&lasting);
    world.access.exchange(&token, None, HERE).await.unwrap();
    issuer.pages.lock().unwrap().broken = true;
    world.pass(2 * 3600);
    world.access.exchange(&token, None, HERE).await.expect("known keys go on");
    world.pass(24 * 3600);
    assert_eq!(refused(&world, &token).await, Refused::Unavailable, "but not for ever");
    issuer.pages.lock().unwrap().broken = false;
    world.pass(11);
    world.access.exchange(&token, None, HERE).await.expect("and it comes back");
}

#[tokio::test]
async fn a_discovery_document_that_lies_is_not_believed() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let token = key.sign(&issuer.claims());
    let good = issuer.pages.lock().unwrap().discovery.clone();
    let lies = [
        with(&good, "issuer", json!("https://other.example")),
        with(&good, "jwks_uri", json!("http://keys.example/keys")),
        with(&good, "jwks_uri", json!("file:///etc/passwd")),
        with(&good, "jwks_uri", json!("http://169.254.169.254/keys")),
        without(&good, "jwks_uri"),
        with(&good, "padding", json!("x".repeat(200_000))),
        json!([]),
    ];
    for lie in lies {
        issuer.pages.lock().unwrap().discovery = lie;
        world.pass(11);
        assert_eq!(refused(&world, &token).await, Refused::Unavailable);
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 0);
    issuer.pages.lock().unwrap().discovery = good;
    world.pass(11);
    world.access.exchange(&token, None, HERE).await.unwrap();
}

#[tokio::test]
async fn a_disabled_changed_or_removed_trust_ends_what_it_gave() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let caller = world.access.exchange(&key.sign(&issuer.claims()), None, HERE).await.unwrap();
    let token = world.access.issue_login(&caller, None).await.unwrap().token;
    world.access.set_trust_disabled(&operator(), "ci", true).await.unwrap();
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Disabled);
    assert_eq!(refused(&world, &key.sign(&issuer.claims())).await, Refused::Wrong);
    world.access.set_trust_disabled(&operator(), "ci", false).await.unwrap();
    world.bearer(&token).await.unwrap();
    let narrower = NewTrust { actions: actions("pull"), ..trust(&issuer) };
    world.access.set_trust(&operator(), narrower).await.unwrap();
    assert_eq!(
        world.bearer(&token).await.unwrap().rights.allowed(&name("team/model")),
        actions("pull"),
        "rights are live"
    );
    world.access.set_trust(&operator(), NewTrust { audience: "other".to_owned(), ..trust(&issuer) }).await.unwrap();
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Wrong, "it is taken for other tokens now");
    world.access.remove_trust(&operator(), "ci").await.unwrap();
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn exchanges_stand_in_the_audit_without_the_token() {
    let (world, issuer, key) = world(Algorithm::ES256).await;
    let token = key.sign(&issuer.claims());
    world.access.exchange(&token, None, HERE).await.unwrap();
    refused(&world, &key.sign(&with(&issuer.claims(), "aud", json!("other")))).await;
    world.access.tick().await;
    let page = world.access.audit(&operator(), &Default::default(), None, 10).await.unwrap();
    let of: Vec<_> = page.items.iter().filter(|entry| entry.action == "oidc.exchange").collect();
    assert_eq!(of.len(), 2);
    let done = of.iter().find(|entry| entry.identity.starts_with("trust:ci#")).unwrap();
    assert!(done.detail.as_deref().unwrap().contains("team/model"));
    assert!(!format!("{page:?}").contains(&token[..40]));
}
