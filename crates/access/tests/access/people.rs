//! People who log in at an identity provider: in the browser and at a terminal.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use larder_access::{DevicePoll, Effect, OidcLogin, Refused, UserSource, Verdict};
use larder_oci::Action;
use serde_json::{Value, json};

use crate::issuer::{Issuer, Key};
use crate::world::{NOW, World, name, operator};

const REDIRECT: &str = "https://larder.example/login/finish";

fn settings(issuer: &Issuer) -> OidcLogin {
    OidcLogin {
        issuer: issuer.url.clone(),
        client_id: "larder client".to_owned(),
        client_secret: Some("S3CRET/of client".to_owned()),
        scopes: vec!["profile".to_owned(), "email".to_owned()],
        user_claim: "preferred_username".to_owned(),
        groups_claim: Some("groups".to_owned()),
        create_users: true,
    }
}

async fn world() -> (World, Issuer, Key) {
    changed(|_| {}).await
}

async fn changed(change: impl FnOnce(&mut OidcLogin)) -> (World, Issuer, Key) {
    let key = Key::new(Algorithm::RS256);
    let issuer = Issuer::start(&[&key]).await;
    let mut login = settings(&issuer);
    change(&mut login);
    let world = World::with(|settings| settings.oidc_login = Some(login)).await;
    world.add_user("admin").await;
    (world, issuer, key)
}

fn person(issuer: &Issuer, nonce: Option<&str>) -> Value {
    json!({
        "iss": issuer.url,
        "aud": "larder client",
        "sub": "0815",
        "exp": NOW.as_second() + 300,
        "iat": NOW.as_second(),
        "nonce": nonce,
        "preferred_username": "Carol",
        "email": "carol@example.org",
        "groups": ["ml", "unknown", "Not A Name"],
    })
}

fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').unwrap().1;
    query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).unwrap().to_owned()
}

/// Goes through a login, with an ID token of these claims.
async fn finish(
    world: &World,
    issuer: &Issuer,
    key: &Key,
    claims: impl FnOnce(&str) -> Value,
) -> Result<larder_access::Caller, Refused> {
    let start = world.access.login_start(REDIRECT).await?;
    let id_token = key.sign(&claims(&parameter(&start.url, "nonce")));
    issuer.pages.lock().unwrap().posts.push((
        "/token".to_owned(),
        200,
        json!({"id_token": id_token, "access_token": "x"}),
    ));
    world.access.login_finish("the code", &parameter(&start.url, "state"), &start.cookie).await
}

#[tokio::test]
async fn a_browser_logs_in_with_pkce() {
    let (world, issuer, key) = world().await;
    assert!(!world.access.is_open().await.unwrap());
    let start = world.access.login_start(REDIRECT).await.unwrap();
    assert!(start.url.starts_with(&format!("{}/authorize?response_type=code&client_id=larder%20client", issuer.url)));
    assert_eq!(parameter(&start.url, "redirect_uri"), "https%3A%2F%2Flarder.example%2Flogin%2Ffinish");
    assert_eq!(parameter(&start.url, "scope"), "openid%20profile%20email");
    assert_eq!(parameter(&start.url, "code_challenge_method"), "S256");
    let id_token = key.sign(&person(&issuer, Some(&parameter(&start.url, "nonce"))));
    issuer.pages.lock().unwrap().posts.push(("/token".to_owned(), 200, json!({"id_token": id_token})));
    let caller = world.access.login_finish("the code", &parameter(&start.url, "state"), &start.cookie).await.unwrap();
    assert_eq!((caller.identity.as_str(), caller.credential.as_str()), ("user:carol", "oidc"));
    assert!(!caller.rights.administrator());
    let posted = issuer.pages.lock().unwrap().posted.remove(0);
    let verifier = posted.split('&').find_map(|pair| pair.strip_prefix("code_verifier=")).unwrap();
    assert!(verifier.len() >= 43, "RFC 7636 §4.1");
    let challenge =
        BASE64_URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes()));
    assert_eq!(challenge, parameter(&start.url, "code_challenge"));
    assert!(posted.contains("grant_type=authorization_code") && posted.contains("code=the%20code"));
    assert!(!posted.contains("S3CRET"), "the client's secret goes into the header");
    let account = world.access.user(&operator(), "carol").await.unwrap();
    assert_eq!(
        (account.source, account.has_password, account.email.as_deref()),
        (UserSource::Oidc, false, Some("carol@example.org"))
    );
}

#[tokio::test]
async fn groups_follow_the_claim_in_both_directions() {
    let (world, issuer, key) = world().await;
    world.access.add_group(&operator(), "ml", "").await.unwrap();
    world.grant("group:ml", "pull", "team/**", Effect::Allow).await;
    let caller = finish(&world, &issuer, &key, |nonce| person(&issuer, Some(nonce))).await.unwrap();
    assert_eq!(caller.rights.verdict(Action::Pull, &name("team/x")), Verdict::Allowed);
    let none = |nonce: &str| {
        let mut claims = person(&issuer, Some(nonce));
        claims["groups"] = json!([]);
        claims
    };
    let caller = finish(&world, &issuer, &key, none).await.unwrap();
    assert_eq!(caller.rights.verdict(Action::Pull, &name("team/x")), Verdict::Silent);
}

#[tokio::test]
async fn a_login_is_that_browsers_and_that_ones_only() {
    let (world, issuer, key) = world().await;
    let one = world.access.login_start(REDIRECT).await.unwrap();
    let other = world.access.login_start(REDIRECT).await.unwrap();
    let finish_with =
        async |state: &str, cookie: &str| world.access.login_finish("code", state, cookie).await.unwrap_err();
    assert_eq!(finish_with(&parameter(&other.url, "state"), &one.cookie).await, Refused::Wrong, "another's state");
    assert_eq!(finish_with("", &one.cookie).await, Refused::Wrong);
    assert_eq!(finish_with(&parameter(&one.url, "state"), "made up").await, Refused::Wrong);
    let id_token = key.sign(&person(&issuer, Some(&parameter(&other.url, "nonce"))));
    issuer.pages.lock().unwrap().posts.push(("/token".to_owned(), 200, json!({"id_token": id_token})));
    assert_eq!(finish_with(&parameter(&one.url, "state"), &one.cookie).await, Refused::Wrong, "another login's token");
    issuer.pages.lock().unwrap().posts.push(("/token".to_owned(), 400, json!({"error": "invalid_grant"})));
    assert_eq!(
        finish_with(&parameter(&one.url, "state"), &one.cookie).await,
        Refused::Wrong,
        "a code that is not taken"
    );
    world.pass(600);
    assert_eq!(finish_with(&parameter(&one.url, "state"), &one.cookie).await, Refused::Expired);
}

#[tokio::test]
async fn a_token_for_another_client_or_of_another_key_is_refused() {
    let (world, issuer, key) = world().await;
    for audience in [json!("other"), json!(["larder client", "other"]), Value::Null] {
        let with = |nonce: &str| {
            let mut claims = person(&issuer, Some(nonce));
            claims["aud"] = audience.clone();
            claims
        };
        assert_eq!(finish(&world, &issuer, &key, with).await.unwrap_err(), Refused::Wrong, "{audience}");
    }
    let stranger = Key::new(Algorithm::RS256);
    let forged = finish(&world, &issuer, &stranger, |nonce| person(&issuer, Some(nonce))).await;
    assert_eq!(forged.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn accounts_that_are_not_the_providers_are_not_picked_up() {
    let (world, issuer, key) = world().await;
    let named = |who: &'static str| {
        let issuer = &issuer;
        move |nonce: &str| {
            let mut claims = person(issuer, Some(nonce));
            claims["preferred_username"] = json!(who);
            claims
        }
    };
    for who in ["admin", "", "a b", "../x"] {
        let refused = finish(&world, &issuer, &key, named(who)).await.unwrap_err();
        assert!(matches!(refused, Refused::Unfit(_)), "{who}: {refused}");
    }
    world.repository("team/model", "user:admin").await;
    assert!(matches!(finish(&world, &issuer, &key, named("team")).await, Err(Refused::Unfit(_))), "case 11");
}

#[tokio::test]
async fn nobody_new_where_the_settings_say_so_and_never_a_first_administrator() {
    let (world, issuer, key) = changed(|login| login.create_users = false).await;
    let refused = finish(&world, &issuer, &key, |nonce| person(&issuer, Some(nonce))).await.unwrap_err();
    assert!(matches!(refused, Refused::Unfit(_)), "{refused}");
    let login = settings(&issuer);
    let empty = World::with(|settings| settings.oidc_login = Some(login)).await;
    let refused = finish(&empty, &issuer, &key, |nonce| person(&issuer, Some(nonce))).await.unwrap_err();
    assert!(refused.to_string().contains("first administrator"), "{refused}");
}

#[tokio::test]
async fn a_mail_address_names_a_user_only_when_verified() {
    let (world, issuer, key) = changed(|login| login.user_claim = "email".to_owned()).await;
    let with = |verified: Value| {
        let issuer = &issuer;
        move |nonce: &str| {
            let mut claims = person(issuer, Some(nonce));
            claims["email_verified"] = verified;
            claims
        }
    };
    for unverified in [json!(false), json!("true"), Value::Null] {
        assert!(matches!(finish(&world, &issuer, &key, with(unverified)).await, Err(Refused::Unfit(_))));
    }
    assert_eq!(finish(&world, &issuer, &key, with(json!(true))).await.unwrap().identity, "user:carol");
}

#[tokio::test]
async fn a_terminal_logs_in_by_device_code() {
    let (world, issuer, key) = world().await;
    let answer = json!({"device_code": "DC", "user_code": "ABCD-EFGH", "verification_uri": "https://idp.example/device", "expires_in": 300, "interval": 7});
    let push =
        |path: &str, status: u16, body: Value| issuer.pages.lock().unwrap().posts.push((path.to_owned(), status, body));
    push("/device", 200, answer);
    let start = world.access.device_start().await.unwrap();
    assert_eq!((start.user_code.as_str(), start.interval.as_secs(), start.expires_in.as_secs()), ("ABCD-EFGH", 7, 300));
    assert!(!start.handle.contains("DC") || start.handle.len() > 40, "sealed");
    push("/token", 400, json!({"error": "authorization_pending"}));
    assert!(matches!(world.access.device_poll(&start.handle).await, Ok(DevicePoll::Pending)));
    push("/token", 400, json!({"error": "slow_down"}));
    assert!(matches!(world.access.device_poll(&start.handle).await, Ok(DevicePoll::SlowDown)));
    push("/token", 200, json!({"id_token": key.sign(&person(&issuer, None))}));
    let Ok(DevicePoll::Done(caller)) = world.access.device_poll(&start.handle).await else { panic!("it is done") };
    assert_eq!(caller.identity, "user:carol");
    push("/token", 400, json!({"error": "access_denied"}));
    assert_eq!(world.access.device_poll(&start.handle).await.unwrap_err(), Refused::Wrong);
    assert_eq!(world.access.device_poll("made up").await.unwrap_err(), Refused::Wrong);
    world.pass(301);
    assert_eq!(world.access.device_poll(&start.handle).await.unwrap_err(), Refused::Expired);
}
