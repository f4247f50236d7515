//! Pages: signing in and out, sessions and what protects them (reliability W-3, T-W5).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Method;
use larder_access::{Fetch, FetchError, OidcLogin};
use larder_server::Config;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};

use super::fixture::{Guarded, password, settings};
use crate::browser::{Browser, FORM, encode, hidden, text};

#[tokio::test]
async fn somebody_signs_in_and_out() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let browser = Browser::new(guarded.stranger());
    let away = browser.get("/account").await;
    away.expect(303);
    assert_eq!(away.header("location"), "/login?next=/account");
    let page = browser.get("/login?next=/account").await;
    page.expect(200);
    let wrong = browser.submit(&page, "/login", &[("user", "alice"), ("password", "<wrong>")]).await;
    wrong.expect(403);
    assert!(wrong.header("www-authenticate").is_empty(), "a browser would ask by itself");
    assert!(text(&wrong).contains("Wrong name or password.") && !text(&wrong).contains("wrong&gt;"));
    let signed_in = browser.submit(&wrong, "/login", &[("user", "alice"), ("password", &password("alice"))]).await;
    signed_in.expect(303);
    assert_eq!(signed_in.header("location"), "/account");
    let cookie = signed_in.all("set-cookie").into_iter().find(|line| line.starts_with("larder=")).expect("a session");
    assert!(cookie.contains("; HttpOnly; SameSite=Strict") && cookie.contains("; Max-Age=43200"), "{cookie}");
    assert!(!cookie.contains("Secure"), "in the clear a browser would not send it back");
    let account = browser.get("/account").await;
    assert!(text(&account).contains("Signed in as <strong>alice</strong>"));
    let left = browser.submit(&account, "/logout", &[]).await;
    left.expect(303);
    assert_eq!(browser.kept("larder"), None);
    browser.get("/account").await.expect(303);
    // What the browser kept is worth nothing any more, whoever has copied it.
    let secret = cookie.split(['=', ';']).nth(1).expect("a value").to_owned();
    guarded.stranger().get_with("/api/v1/whoami", &[("cookie", &format!("larder={secret}"))]).await.expect(401);
}

#[tokio::test]
async fn over_tls_cookies_are_of_this_host_and_secure() {
    let config = Config { public_url: Some("https://registry.example".to_owned()), ..Config::default() };
    let guarded = Guarded::open(settings(), config).await;
    guarded.user("root").await;
    let browser = Browser { host: "registry.example", ..Browser::new(guarded.stranger()) };
    let page = browser.get("/login").await;
    let form = hidden(&page);
    let body = format!("csrf={}&user=root&password={}", form[0].1, encode(&password("root")));
    let signed_in = browser.ask(Method::POST, "/login", &[FORM, ("origin", "https://registry.example")], body).await;
    signed_in.expect(303);
    for line in page.all("set-cookie").iter().chain(&signed_in.all("set-cookie")) {
        assert!(
            line.starts_with("__Host-larder") && line.contains("; Path=/; HttpOnly; SameSite=Strict; Secure"),
            "{line}"
        );
        assert!(!line.contains("Domain"));
    }
    browser.get("/api/v1/session").await.expect(200);
    // The name without the prefix, which a neighbour could set, is none.
    let secret = browser.kept("__Host-larder").expect("a session");
    let plain = format!("larder={secret}");
    let asked =
        guarded.stranger().get_with("/api/v1/session", &[("host", "registry.example"), ("cookie", &plain)]).await;
    asked.expect(401);
}

/// Harbor CVE-2019-19025, Quay CVE-2023-4959: a page of another site can neither sign somebody in nor change anything with his session.
#[tokio::test]
async fn cve_2019_19025_other_sites_change_nothing() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let browser = Browser::new(guarded.stranger());
    let page = browser.get("/login").await;
    let csrf = hidden(&page).into_iter().find(|(name, _)| name == "csrf").expect("a token").1;
    let credentials = format!("user=alice&password={}", encode(&password("alice")));
    for (headers, body) in [
        (vec![FORM], credentials.clone()),
        (vec![FORM], format!("csrf={}&{credentials}", &csrf[1..])),
        (vec![FORM], format!("csrf=&{credentials}")),
        (vec![FORM, ("origin", "https://attacker.test")], format!("csrf={csrf}&{credentials}")),
        (vec![FORM, ("origin", "null")], format!("csrf={csrf}&{credentials}")),
    ] {
        browser.ask(Method::POST, "/login", &headers, body.clone()).await.expect(403);
        assert_eq!(browser.kept("larder"), None, "{body}");
    }
    let other = Browser::new(guarded.stranger());
    other.ask(Method::POST, "/login", &[FORM], format!("csrf={csrf}&{credentials}")).await.expect(403);
    browser
        .ask(Method::POST, "/login", &[("content-type", "text/plain")], format!("csrf={csrf}&{credentials}"))
        .await
        .expect(400);
    browser.submit(&page, "/login", &[("user", "alice"), ("password", &password("alice"))]).await.expect(303);
    // The session reads, and changes nothing without its token.
    browser.get("/api/v1/whoami").await.expect(200);
    let json = ("content-type", "application/json");
    let token = json!({ "name": "stolen", "actions": ["pull"] }).to_string();
    let own = browser.get("/api/v1/session").await.json();
    let right = own["csrf_token"].as_str().expect("a token").to_owned();
    for (header, status) in [("", 403), ("x", 403), (csrf.as_str(), 403), (right.as_str(), 201)] {
        let answer =
            browser.ask(Method::POST, "/api/v1/tokens", &[json, ("x-csrf-token", header)], token.clone()).await;
        answer.expect(status);
    }
    let cookie = browser.cookie();
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://attacker.test")]
    {
        let headers = [("cookie", cookie.as_str()), json, ("x-csrf-token", right.as_str()), (name, value)];
        guarded.stranger().call(Method::POST, "/api/v1/tokens", &headers, token.clone()).await.expect(403);
        let headers = [("cookie", cookie.as_str()), FORM, (name, value)];
        guarded.stranger().call(Method::POST, "/logout", &headers, format!("csrf={right}")).await.expect(403);
    }
    browser.ask(Method::POST, "/logout", &[FORM], String::new()).await.expect(403);
    browser.get("/account").await.expect(200);
}

/// Gitea CVE-2025-68941: a session is none of docker's credentials: it opens neither the protocol nor the token service.
#[tokio::test]
async fn cve_2025_68941_a_session_stays_with_the_pages() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    root.image("root/secret", "1").await;
    let browser = Browser::new(guarded.stranger());
    browser.sign_in("root").await.expect(303);
    for path in ["/v2/", "/v2/_catalog", "/v2/root/secret/manifests/1", "/v2/root/secret/tags/list"] {
        browser.get(path).await.expect(401);
    }
    let token = browser.get("/token?service=larder&scope=repository:root/secret:pull").await;
    assert_eq!(token.json()["scope"], "");
    let secret = browser.kept("larder").expect("a session");
    for client in [guarded.stranger().bearer(&secret), guarded.stranger().basic("root", &secret)] {
        client.get("/v2/").await.expect(401);
        client.get("/api/v1/whoami").await.expect(401);
    }
    // A credential that comes beside it counts alone.
    let wrong = guarded.stranger().basic("root", "wrong");
    wrong.get_with("/api/v1/whoami", &[("cookie", &format!("larder={secret}"))]).await.expect(401);
}

/// Reliability T-W5: whatever a browser was made to keep before, signing in gives it something else.
#[tokio::test]
async fn a_session_cannot_be_fixed_beforehand() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let attacker = Browser::new(guarded.stranger());
    attacker.sign_in("alice").await.expect(303);
    let planted = attacker.kept("larder").expect("a session");
    let victim = Browser::new(guarded.stranger());
    victim.cookies.lock().expect("no panic").push(("larder".to_owned(), planted.clone()));
    victim.sign_in("root").await.expect(303);
    assert_ne!(victim.kept("larder"), Some(planted.clone()));
    assert_eq!(attacker.get("/api/v1/whoami").await.json()["identity"], "user:alice");
    assert_eq!(victim.get("/api/v1/whoami").await.json()["identity"], "user:root");
    // Two of them at once are none.
    let two = format!("larder={planted}; larder={}", victim.kept("larder").expect("a session"));
    guarded.stranger().get_with("/api/v1/whoami", &[("cookie", &two)]).await.expect(401);
}

#[tokio::test]
async fn a_session_ends_with_what_it_was_begun_with() {
    let guarded = Guarded::new().await;
    let (root, alice) = (guarded.as_user("root"), guarded.user("alice").await);
    let browser = || async {
        let browser = Browser::new(guarded.stranger());
        browser.sign_in("alice").await.expect(303);
        browser.get("/api/v1/whoami").await.expect(200);
        browser
    };
    let first = browser().await;
    root.json(Method::PATCH, "/api/v1/users/alice", &json!({ "disabled": true })).await.expect(200);
    first.get("/api/v1/whoami").await.expect(401);
    root.json(Method::PATCH, "/api/v1/users/alice", &json!({ "disabled": false })).await.expect(200);
    let second = browser().await;
    let change = json!({ "password": "another battery staple", "current": password("alice") });
    alice.json(Method::PUT, "/api/v1/users/alice/password", &change).await.expect(204);
    second.get("/api/v1/whoami").await.expect(401);
    let back = json!({ "password": password("alice") });
    root.json(Method::PUT, "/api/v1/users/alice/password", &back).await.expect(204);
    let third = browser().await;
    guarded.pass(Duration::from_secs(12 * 3600 + 1));
    third.get("/api/v1/whoami").await.expect(401);
    let fourth = browser().await;
    root.delete("/api/v1/users/alice").await.expect(204);
    fourth.get("/api/v1/whoami").await.expect(401);
    fourth.get("/account").await.expect(303);
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let guarded = Guarded::new().await;
    let (root, alice, bob) = (guarded.as_user("root"), guarded.user("alice").await, guarded.user("bob").await);
    let browsers = [Browser::new(guarded.stranger()), Browser::new(guarded.stranger().from("192.0.2.99"))];
    for browser in &browsers {
        browser.sign_in("alice").await.expect(303);
        guarded.pass(Duration::from_secs(1));
    }
    let list = alice.get("/api/v1/sessions").await.json();
    let sessions = list["sessions"].as_array().expect("a list");
    assert_eq!(sessions.len(), 2);
    assert_eq!((&sessions[1]["identity"], &sessions[1]["credential"]), (&json!("user:alice"), &json!("password")));
    assert_eq!(sessions[1]["address"], "192.0.2.99");
    assert!(!list.to_string().contains(&browsers[0].kept("larder").expect("a session")), "secrets are in no list");
    let id = sessions[0]["id"].as_str().expect("an id");
    assert_eq!(browsers[0].get("/api/v1/session").await.json()["id"], id);
    alice.get("/api/v1/session").await.expect(400);
    bob.get("/api/v1/sessions?identity=user:alice").await.expect(403);
    bob.delete(&format!("/api/v1/sessions/{id}")).await.expect(404);
    alice.delete(&format!("/api/v1/sessions/{id}")).await.expect(204);
    browsers[0].get("/api/v1/whoami").await.expect(401);
    browsers[1].get("/api/v1/whoami").await.expect(200);
    let seen = root.get("/api/v1/sessions?identity=user:alice").await.json();
    let id = seen["sessions"][0]["id"].as_str().expect("an id").to_owned();
    root.delete(&format!("/api/v1/sessions/{id}")).await.expect(204);
    browsers[1].get("/api/v1/whoami").await.expect(401);
    let audit = root.get("/api/v1/audit?action=session").await.json();
    let count = |action: &str| {
        audit["entries"].as_array().expect("entries").iter().filter(|entry| entry["action"] == action).count()
    };
    assert_eq!((count("session.begun"), count("session.ended")), (2, 2));
}

#[tokio::test]
async fn an_invitations_link_sets_a_password_and_signs_in() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    let made = root.json(Method::POST, "/api/v1/users", &json!({ "name": "carol" })).await.json();
    let link = made["link"].as_str().expect("a link");
    let path = link.strip_prefix("http://localhost:5000").expect("this server's own address").to_owned();
    assert_eq!(path, format!("/invitation?token={}", made["invitation"].as_str().expect("a secret")));
    // Who asks on the machine itself does not know its address.
    let local = guarded.operator().json(Method::POST, "/api/v1/users/carol/invitation", &json!({})).await.json();
    assert_eq!(local["link"], Value::Null);
    let path = format!("/invitation?token={}", local["invitation"].as_str().expect("a secret"));
    let browser = Browser::new(guarded.stranger());
    let page = browser.get(&path).await;
    page.expect(200);
    assert!(text(&page).contains("You are <strong>carol</strong> here."));
    assert_eq!(page.header("referrer-policy"), "same-origin");
    let short = browser.submit(&page, "/invitation", &[("password", "short")]).await;
    short.expect(400);
    let joined = browser.submit(&short, "/invitation", &[("password", &password("carol"))]).await;
    joined.expect(303);
    assert!(text(&browser.get("/account").await).contains("carol"));
    guarded.as_user("carol").get("/v2/").await.expect(200);
    browser.get(&path).await.expect(403);
    Browser::new(guarded.stranger()).get("/invitation?token=ldr_nonsense").await.expect(403);
}

#[tokio::test]
async fn tokens_and_robots_do_not_sign_in() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    let token = guarded.token_of(&alice, &json!({ "name": "t", "actions": ["pull"] })).await;
    let browser = Browser::new(guarded.stranger());
    let page = browser.get("/login").await;
    let refused = browser.submit(&page, "/login", &[("user", "alice"), ("password", &token)]).await;
    refused.expect(403);
    assert!(text(&refused).contains("with a password and not with a token"));
    assert_eq!(browser.kept("larder"), None);
}

#[tokio::test]
async fn guessing_at_the_page_is_slowed_down_too() {
    let guarded = Guarded::new().await;
    let browser = Browser::new(guarded.stranger());
    let page = browser.get("/login").await;
    let mut last = None;
    for _ in 0..30 {
        let answer = browser.submit(&page, "/login", &[("user", "root"), ("password", "guess")]).await;
        last = Some(answer);
    }
    let last = last.expect("there was one");
    last.expect(429);
    assert!(last.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0));
}

/// Quay CVE-2023-4956 and -4959, Harbor CVE-2024-22244: no page is framed, scripted or left for another site.
#[tokio::test]
async fn cve_2023_4956_every_page_keeps_to_itself() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let browser = Browser::new(guarded.stranger());
    let pages = ["/", "/api", "/login", "/login/callback", "/invitation?token=x"];
    browser.sign_in("alice").await.expect(303);
    for path in pages.into_iter().chain(["/account"]) {
        let page = browser.get(path).await;
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(page.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin", "{path}");
        for script in text(&page).split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/-/assets/"), "{path}: {script}");
        }
    }
    assert_eq!(browser.get("/account").await.header("cache-control"), "no-store");
    // A link from elsewhere leads to a page; what it asks to go on to is of this site only.
    let cross = [("sec-fetch-site", "cross-site"), ("host", "localhost:5000")];
    guarded.stranger().get_with("/login", &cross).await.expect(200);
    for next in ["//evil.example/", "https://evil.example/", "/\\evil.example", "/\r\nLocation: https://evil.example"] {
        let page = browser.get(&format!("/login?next={}", encode(next))).await;
        assert!(!text(&page).contains("evil.example"), "{next}");
        let sent = browser
            .submit(&page, "/login", &[("user", "alice"), ("password", &password("alice")), ("next", next)])
            .await;
        assert_eq!((sent.status.as_u16(), sent.header("location")), (303, "/account"), "{next}");
    }
    let page = browser.get("/login?next=/%22%3E%3Cscript%3E").await;
    assert!(!text(&page).contains("<script"));
    browser.ask(Method::DELETE, "/login", &[], String::new()).await.expect(405);
}

#[tokio::test]
async fn without_accounts_nobody_signs_in() {
    let guarded = Guarded::open(settings(), Config::default()).await;
    let page = guarded.stranger().get("/login").await;
    page.expect(404);
    assert!(text(&page).contains("no accounts"));
}

const ISSUER: &str = "https://people.example";

/// An identity provider, its documents at hand.
struct Provider {
    key: KeyPair,
    /// The nonce of the login under way.
    nonce: Mutex<String>,
}

impl Provider {
    fn id_token(&self) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let noon: jiff::Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
        let now = noon.as_second();
        let claims = json!({
            "iss": ISSUER, "aud": "larder", "sub": "7", "preferred_username": "dora", "iat": now, "nbf": now, "exp": now + 600,
            "nonce": *self.nonce.lock().expect("no panic"),
        });
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "1" });
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.key.sign(message.as_bytes()).expect("a signature");
        format!("{message}.{}", encode(&signature))
    }
}

#[async_trait]
impl Fetch for Provider {
    async fn get(&self, url: &str, _: usize) -> Result<Vec<u8>, FetchError> {
        let document = match url.strip_prefix(ISSUER) {
            Some("/.well-known/openid-configuration") => json!({
                "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys"),
                "authorization_endpoint": format!("{ISSUER}/authorize"), "token_endpoint": format!("{ISSUER}/token"),
            }),
            Some("/keys") => json!({ "keys": [{
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "1",
                "x": BASE64_URL_SAFE_NO_PAD.encode(self.key.der_bytes()),
            }] }),
            _ => return Err(FetchError::Unreachable(url.to_owned())),
        };
        Ok(document.to_string().into_bytes())
    }

    async fn post_form(
        &self,
        url: &str,
        form: &[(&str, &str)],
        _: Option<(&str, &str)>,
        _: usize,
    ) -> Result<Vec<u8>, FetchError> {
        assert_eq!(url, format!("{ISSUER}/token"));
        match form.iter().any(|(name, value)| *name == "code" && *value == "right") {
            true => Ok(json!({ "id_token": self.id_token() }).to_string().into_bytes()),
            false => Err(FetchError::Status { status: 400, body: b"{\"error\":\"invalid_grant\"}".to_vec() }),
        }
    }
}

#[tokio::test]
async fn an_identity_provider_signs_people_in() {
    let key = KeyPair::generate_for(&PKCS_ED25519).expect("a key");
    let provider = Arc::new(Provider { key, nonce: Mutex::default() });
    let login = OidcLogin {
        issuer: ISSUER.to_owned(),
        client_id: "larder".to_owned(),
        client_secret: None,
        scopes: Vec::new(),
        user_claim: "preferred_username".to_owned(),
        groups_claim: None,
        create_users: true,
    };
    let settings = larder_access::Settings { oidc_login: Some(login), ..settings() };
    let guarded = Guarded::asking(Arc::clone(&provider) as Arc<_>, settings, Config::default()).await;
    guarded.user("root").await;
    let browser = Browser::new(guarded.stranger());
    assert!(text(&browser.get("/login").await).contains("/login/oidc"));
    let away = browser.get("/login/oidc").await;
    away.expect(303);
    let url = away.header("location").to_owned();
    assert!(url.starts_with(&format!("{ISSUER}/authorize?")), "{url}");
    assert!(url.contains("redirect_uri=http%3A%2F%2Flocalhost%3A5000%2Flogin%2Fcallback"), "{url}");
    let cookie = away.header("set-cookie");
    assert!(cookie.starts_with("larder-login=") && cookie.contains("; HttpOnly; SameSite=Lax"), "{cookie}");
    let parameter = |name: &str| {
        url.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}="))).expect("it is there").to_owned()
    };
    *provider.nonce.lock().expect("no panic") = parameter("nonce");
    let state = parameter("state");
    // Another browser cannot be signed in with this one's login, nor this one with another state or a code that the provider does not take.
    Browser::new(guarded.stranger()).get(&format!("/login/callback?code=right&state={state}")).await.expect(403);
    browser.get("/login/callback?code=right&state=other").await.expect(403);
    browser.get(&format!("/login/callback?code=wrong&state={state}")).await.expect(403);
    browser.get(&format!("/login/callback?error=access_denied&state={state}")).await.expect(403);
    assert_eq!(browser.kept("larder"), None);
    let cross = [("sec-fetch-site", "cross-site"), ("host", "localhost:5000")];
    let kept = browser.cookie();
    let back = guarded
        .stranger()
        .get_with(&format!("/login/callback?code=right&state={state}"), &[cross[0], cross[1], ("cookie", &kept)])
        .await;
    back.expect(200);
    assert!(text(&back).contains("http-equiv=\"refresh\" content=\"0;url=/account\""), "{}", text(&back));
    browser.keep(&back);
    assert_eq!(browser.kept("larder-login"), None);
    assert!(text(&browser.get("/account").await).contains("dora"));
    let me = browser.get("/api/v1/whoami").await.json();
    assert_eq!(me["identity"], "user:dora");
    guarded.as_user("root").json(Method::PATCH, "/api/v1/users/dora", &json!({ "disabled": true })).await.expect(200);
    browser.get("/account").await.expect(303);
}
