//! The token service: what is issued, what it still is worth a moment later, and refresh tokens.

use std::time::Duration;

use larder_access::{Access, By, Effect, NewAccount, Ports, Presented, Refused, Settings, UserSettings, Verdict};
use larder_oci::{Action, Scopes};

use crate::world::{ELSEWHERE, HERE, PASSWORD, World, basic, name, operator};

fn scopes(text: &str) -> Scopes {
    text.parse().unwrap()
}

const PULL: &str = "repository:alice/model:pull";

#[tokio::test]
async fn a_bearer_is_its_identity_within_its_scope() {
    let world = World::peopled().await;
    let alice = world.login("alice").await;
    let issued = world
        .access
        .issue(&alice, "larder", scopes("repository:alice/model:pull,push registry:catalog:*"), None)
        .await
        .unwrap();
    assert_eq!(issued.expires_in, Duration::from_secs(900));
    let caller = world.bearer(&issued.token).await.unwrap();
    assert_eq!(caller.identity, "user:alice");
    assert!(caller.credential.starts_with("jwt:") && !caller.expired);
    assert!(
        caller.scope_allows(Action::Pull, &name("alice/model"))
            && caller.scope_allows(Action::TagMove, &name("alice/model"))
    );
    assert!(
        !caller.scope_allows(Action::Delete, &name("alice/model"))
            && !caller.scope_allows(Action::Admin, &name("alice/model"))
    );
    assert!(
        !caller.scope_allows(Action::Pull, &name("alice/model2"))
            && !caller.scope_allows(Action::Pull, &name("alice/models/x"))
    );
    assert!(caller.scope_allows_catalog());
    assert_eq!(
        caller.rights.verdict(Action::Pull, &name("alice/other")),
        Verdict::Allowed,
        "the live rights know more than the scope"
    );
    assert_eq!(
        world.identify(basic("anyone", &issued.token)).await.unwrap().identity,
        "user:alice",
        "as a password too"
    );
}

#[tokio::test]
async fn an_anonymous_token_is_anonymous() {
    let world = World::peopled().await;
    let nobody = world.access.anonymous().await.unwrap();
    let issued = world.access.issue(&nobody, "larder", scopes(PULL), None).await.unwrap();
    let caller = world.bearer(&issued.token).await.unwrap();
    assert_eq!((caller.identity.as_str(), caller.credential.as_str(), caller.is_known()), ("anonymous", "none", false));
    assert_eq!(world.access.issue_login(&nobody, None).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn rights_are_read_again_at_each_request() {
    let world = World::peopled().await;
    let grant = world.grant("user:bob", "pull", "alice/model", Effect::Allow).await;
    let bob = world.login("bob").await;
    let token = world.access.issue(&bob, "larder", scopes(PULL), None).await.unwrap().token;
    let verdict = async || world.bearer(&token).await.unwrap().rights.verdict(Action::Pull, &name("alice/model"));
    assert_eq!(verdict().await, Verdict::Allowed);
    world.access.remove_grant(&operator(), grant).await.unwrap();
    assert_eq!(verdict().await, Verdict::Silent, "at once");
    world.grant("user:bob", "pull", "alice/*", Effect::Deny).await;
    assert_eq!(verdict().await, Verdict::Denied);
}

#[tokio::test]
async fn what_was_issued_for_a_token_ends_with_it() {
    let world = World::peopled().await;
    let by = world.by("alice").await;
    let (row, plain) = world.token(&by, "pull", &["alice/**"], Some(600)).await.unwrap();
    let caller = world.bearer(plain.reveal()).await.unwrap();
    let issued = world.access.issue(&caller, "larder", scopes(PULL), None).await.unwrap();
    assert_eq!(issued.expires_in, Duration::from_secs(600), "no longer than the token");
    let bearer = world.bearer(&issued.token).await.unwrap();
    assert_eq!(bearer.credential, format!("token:{}", row.id));
    assert_eq!(bearer.rights.verdict(Action::Push, &name("alice/model")), Verdict::Silent, "the token's limits stay");
    world.access.revoke_token(&by, &row.id).await.unwrap();
    assert_eq!(world.bearer(&issued.token).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn what_was_issued_for_a_password_ends_with_it() {
    let world = World::peopled().await;
    let alice = world.login("alice").await;
    let token = world.access.issue(&alice, "larder", scopes(PULL), None).await.unwrap().token;
    let refresh = world.access.issue_refresh(&alice, "docker").await.unwrap();
    let by = By::of(&alice, HERE, None);
    world.access.set_password(&by, "alice", Some(PASSWORD), "another horse").await.unwrap();
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Wrong);
    assert_eq!(world.access.refresh(refresh.reveal(), HERE).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn a_disabled_user_has_no_bearer_and_a_new_user_of_the_name_does_not_inherit_one() {
    let world = World::peopled().await;
    let alice = world.login("alice").await;
    let token = world.access.issue(&alice, "larder", scopes(PULL), None).await.unwrap().token;
    let settings = UserSettings { disabled: Some(true), ..UserSettings::default() };
    world.access.set_user(&operator(), "alice", settings).await.unwrap();
    assert!(world.bearer(&token).await.is_err());
    world.access.remove_user(&operator(), "alice").await.unwrap();
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Wrong);
    world.pass(1);
    let new = NewAccount { name: "alice".to_owned(), password: Some(PASSWORD.to_owned()), ..NewAccount::default() };
    world.access.add_user(&operator(), new).await.unwrap();
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Wrong);
}

// Behaviour §4: an expired token still says whose upload it is, and is good for nothing else.
#[tokio::test]
async fn an_expired_bearer_only_says_whose_it_was() {
    let world = World::peopled().await;
    let alice = world.login("alice").await;
    let token = world.access.issue(&alice, "larder", scopes(PULL), Some(Duration::from_secs(60))).await.unwrap().token;
    world.pass(60);
    let caller = world.bearer(&token).await.unwrap();
    assert!(caller.expired && caller.identity == "user:alice");
    assert_eq!(world.access.issue(&caller, "larder", scopes(PULL), None).await.unwrap_err(), Refused::Expired);
    assert!(!By::of(&caller, HERE, None).is_administrator());
    let settings = UserSettings { disabled: Some(true), ..UserSettings::default() };
    world.access.set_user(&operator(), "alice", settings).await.unwrap();
    assert!(world.bearer(&token).await.is_err(), "but not when the account is gone");
    world.pass(7 * 24 * 3600);
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Expired);
}

#[tokio::test]
async fn a_token_for_another_service_is_neither_issued_nor_taken() {
    let world = World::peopled().await;
    let alice = world.login("alice").await;
    assert!(matches!(world.access.issue(&alice, "other", scopes(PULL), None).await, Err(Refused::Unfit(_))));
    let ports = Ports { fetch: std::sync::Arc::new(crate::issuer::Http), clock: world.clock.clone() };
    let other = Access::open(world.catalog.clone(), Settings::new("other", world.secret.clone()), ports).await.unwrap();
    let token = other.issue(&alice, "other", scopes(PULL), None).await.unwrap().token;
    other.identify(&Presented::Bearer(token.clone()), HERE).await.expect("the same keys, the other name");
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn a_scoped_token_gets_no_other_and_administers_nothing() {
    let world = World::peopled().await;
    let admin = world.login("admin").await;
    let token = world.access.issue(&admin, "larder", scopes("repository:alice/model:*"), None).await.unwrap().token;
    let bearer = world.bearer(&token).await.unwrap();
    assert!(matches!(world.access.issue(&bearer, "larder", scopes(PULL), None).await, Err(Refused::Unfit(_))));
    assert!(matches!(world.access.issue_refresh(&bearer, "x").await, Err(Refused::Unfit(_))));
    let by = By::of(&bearer, HERE, None);
    assert!(!by.is_administrator());
    assert!(world.access.users(&by, None, 10).await.is_err());
    assert!(world.token(&by, "pull", &[], None).await.is_err());
    assert!(!world.access.whoami(&bearer).await.unwrap().administrator);
}

#[tokio::test]
async fn a_login_token_stands_for_the_account() {
    let world = World::peopled().await;
    let alice = world.login("alice").await;
    let issued = world.access.issue_login(&alice, Some(Duration::from_secs(7200))).await.unwrap();
    assert_eq!(issued.expires_in, Duration::from_secs(7200));
    let caller = world.identify(basic("x", &issued.token)).await.unwrap();
    assert!(caller.scope.is_none() && caller.scope_allows(Action::Admin, &name("any/thing")));
    let scoped = world.access.issue(&caller, "larder", scopes(PULL), None).await.unwrap();
    assert_eq!(world.bearer(&scoped.token).await.unwrap().identity, "user:alice");
    world.pass(7200 - 100);
    let caller = world.bearer(&issued.token).await.unwrap();
    let last = world.access.issue(&caller, "larder", scopes(PULL), None).await.unwrap();
    assert_eq!(last.expires_in, Duration::from_secs(100), "nothing issued for it outlives it");
}

#[tokio::test]
async fn refresh_tokens_renew_and_end_with_what_made_them() {
    let world = World::peopled().await;
    let by = world.by("alice").await;
    let (row, plain) = world.token(&by, "pull", &["alice/**"], None).await.unwrap();
    let caller = world.bearer(plain.reveal()).await.unwrap();
    let refresh = world.access.issue_refresh(&caller, "docker").await.unwrap();
    assert_eq!(world.bearer(refresh.reveal()).await.unwrap_err(), Refused::Wrong, "it is no password and no bearer");
    assert_eq!(
        world.access.refresh(plain.reveal(), HERE).await.unwrap_err(),
        Refused::Wrong,
        "and a token is no refresh token"
    );
    let renewed = world.access.refresh(refresh.reveal(), ELSEWHERE).await.unwrap();
    assert_eq!(renewed.identity, "user:alice");
    assert_eq!(renewed.rights.verdict(Action::Push, &name("alice/model")), Verdict::Silent, "the token's limits stay");
    let token = world.access.issue(&renewed, "larder", scopes(PULL), None).await.unwrap().token;
    world.bearer(&token).await.unwrap();
    world.access.revoke_token(&by, &row.id).await.unwrap();
    assert_eq!(world.access.refresh(refresh.reveal(), HERE).await.unwrap_err(), Refused::Wrong);
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn a_refresh_token_ends_after_a_month() {
    let world = World::peopled().await;
    let refresh = world.access.issue_refresh(&world.login("alice").await, "docker").await.unwrap();
    world.pass(29 * 24 * 3600);
    world.access.refresh(refresh.reveal(), HERE).await.unwrap();
    world.pass(24 * 3600);
    assert_eq!(world.access.refresh(refresh.reveal(), HERE).await.unwrap_err(), Refused::Expired);
}

#[tokio::test]
async fn keys_rotate_and_the_old_one_still_verifies() {
    let world = World::peopled().await;
    let before = world.access.issue(&world.login("alice").await, "larder", scopes(PULL), None).await.unwrap().token;
    world.pass(30 * 24 * 3600 - 60);
    let late = world.access.issue(&world.login("alice").await, "larder", scopes(PULL), None).await.unwrap().token;
    world.pass(60);
    world.access.tick().await;
    let after = world.access.issue(&world.login("alice").await, "larder", scopes(PULL), None).await.unwrap().token;
    let kid = |token: &str| jwt_header(token)["kid"].clone();
    assert!(kid(&before) == kid(&late) && kid(&late) != kid(&after));
    assert!(!world.bearer(&late).await.unwrap().expired && !world.bearer(&after).await.unwrap().expired);
    assert_eq!(world.catalog.signing_keys().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_restart_keeps_tokens_and_another_secret_key_ends_them() {
    let world = World::peopled().await;
    let token = world.access.issue(&world.login("alice").await, "larder", scopes(PULL), None).await.unwrap().token;
    let open = async |secret| {
        let ports = Ports { fetch: std::sync::Arc::new(crate::issuer::Http), clock: world.clock.clone() };
        Access::open(world.catalog.clone(), Settings::new("larder", secret), ports).await.unwrap()
    };
    let same = open(world.secret.clone()).await;
    same.identify(&Presented::Bearer(token.clone()), HERE).await.expect("the key is in the catalog");
    let other = open(larder_access::SecretKey::generate()).await;
    assert_eq!(other.identify(&Presented::Bearer(token), HERE).await.unwrap_err(), Refused::Wrong);
    let alice = other.identify(&basic("alice", PASSWORD), HERE).await.expect("people log in again");
    other.issue(&alice, "larder", scopes(PULL), None).await.expect("with a new key");
}

fn jwt_header(token: &str) -> serde_json::Value {
    use base64::Engine;
    let part = token.split('.').next().unwrap();
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
