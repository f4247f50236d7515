//! Self sign-up, by the pages and by the API.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use larder_access::{Mail, SendMail, SignUp};
use larder_server::Config;
use serde_json::json;

use super::fixture::{Guarded, password, settings, told};
use crate::browser::{Browser, text};

/// Keeps what it is given.
#[derive(Default)]
struct Letters(Mutex<Vec<Mail>>);

#[async_trait]
impl SendMail for Letters {
    async fn send(&self, mail: Mail) -> Result<(), String> {
        self.0.lock().expect("no panic under it").push(mail);
        Ok(())
    }
}

impl Letters {
    /// What follows `token=` in the mail to somebody.
    async fn token_to(&self, email: &str) -> String {
        for _ in 0..500 {
            let letters = self.0.lock().expect("no panic under it").clone();
            if let Some(mail) = letters.iter().find(|mail| mail.to == email) {
                let link = mail.text.split_once("https://registry.example/signup/confirm?token=").expect("a link").1;
                return link.split_whitespace().next().expect("a token").to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no mail to {email}");
    }
}

async fn guarded() -> (Guarded, Arc<Letters>) {
    let letters = Arc::new(Letters::default());
    let mut settings = settings();
    settings.sign_up = Some(SignUp {
        domains: vec!["example.com".to_owned()],
        site: "https://registry.example".to_owned(),
        mail: Arc::clone(&letters) as Arc<_>,
    });
    let guarded = Guarded::open(settings, Config::default()).await;
    guarded.user("root").await;
    (guarded, letters)
}

#[tokio::test]
async fn somebody_signs_up_in_a_browser_and_is_signed_in() {
    let (guarded, letters) = guarded().await;
    let browser = Browser::new(guarded.stranger());
    assert!(text(&browser.get("/login").await).contains("href=\"/signup\""));
    let page = browser.get("/signup").await;
    assert!(text(&page).contains("example.com"), "it says who may");
    let foreign = browser.submit(&page, "/signup", &[("email", "carol@evil.example")]).await;
    foreign.expect(403);
    assert!(text(&foreign).contains("only addresses of example.com"));
    browser.submit(&foreign, "/signup", &[("email", "carol@example.com")]).await.expect(200);
    let token = letters.token_to("carol@example.com").await;
    // Whoever looks into mails beforehand uses no link up.
    for _ in 0..2 {
        assert!(text(&browser.get(&format!("/signup/confirm?token={token}")).await).contains("carol"));
    }
    let form = browser.get(&format!("/signup/confirm?token={token}")).await;
    let short = browser.submit(&form, "/signup/confirm", &[("password", "short")]).await;
    short.expect(400);
    let made = browser.submit(&short, "/signup/confirm", &[("password", &password("carol"))]).await;
    made.expect(303);
    assert!(browser.kept("larder").is_some(), "signed in");
    assert!(text(&browser.get("/account").await).contains("<strong>carol</strong>"));
    guarded.as_user("carol").image("carol/model", "1").await;
    browser.get(&format!("/signup/confirm?token={token}")).await.expect(403);
}

#[tokio::test]
async fn nobody_hears_whether_there_is_such_an_account() {
    let (guarded, letters) = guarded().await;
    guarded.user("alice").await;
    let stranger = guarded.stranger();
    let ask =
        async |email: &str| told(&stranger.json(Method::POST, "/api/v1/signups", &json!({ "email": email })).await);
    let (known, unknown) = (ask("alice@example.com").await, ask("nobody@example.com").await);
    assert_eq!(known.0, 202);
    assert_eq!(known, unknown, "status, headers and body");
    letters.token_to("nobody@example.com").await;
    let browser = Browser::new(guarded.stranger());
    let mut seen = Vec::new();
    for email in ["alice@example.com", "nobody@example.com"] {
        let page = browser.get("/signup").await;
        let answer = browser.submit(&page, "/signup", &[("email", email)]).await;
        seen.push((answer.status, text(&answer).replace(email, "EMAIL")));
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn the_api_signs_up_and_shows_where_the_account_is_from() {
    let (guarded, letters) = guarded().await;
    let stranger = guarded.stranger();
    stranger.json(Method::POST, "/api/v1/signups", &json!({ "email": "carol@example.com" })).await.expect(202);
    stranger.json(Method::POST, "/api/v1/signups", &json!({ "email": "carol@evil.example" })).await.expect(403);
    let token = letters.token_to("carol@example.com").await;
    let confirm = async |token: &str, password: &str| {
        let body = json!({ "token": token, "password": password });
        stranger.json(Method::POST, "/api/v1/signups/confirm", &body).await
    };
    confirm("ldr_nothing", &password("carol")).await.expect(403);
    confirm(&token, "short").await.expect(400);
    let made = confirm(&token, &password("carol")).await;
    made.expect(201);
    assert_eq!(made.header("location"), "/api/v1/users/carol");
    confirm(&token, &password("carol")).await.expect(403);
    let shown = guarded.operator().get("/api/v1/users/carol").await.json();
    assert_eq!(
        (&shown["source"], &shown["email"], &shown["administrator"]),
        (&json!("sign-up"), &json!("carol@example.com"), &json!(false))
    );
    // An address that is full of wishes waits.
    for n in 0..20 {
        let answer =
            stranger.json(Method::POST, "/api/v1/signups", &json!({ "email": format!("u{n}@example.com") })).await;
        if answer.status == 429 {
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|wait| wait > 60));
            return;
        }
    }
    panic!("nobody was told to wait");
}

#[tokio::test]
async fn it_is_off_unless_it_is_on() {
    let guarded = Guarded::new().await;
    let browser = Browser::new(guarded.stranger());
    assert!(!text(&browser.get("/login").await).contains("/signup"));
    browser.get("/signup").await.expect(404);
    browser.get("/signup/confirm?token=ldr_x").await.expect(403);
    let asked = json!({ "email": "carol@example.com" });
    guarded.stranger().json(Method::POST, "/api/v1/signups", &asked).await.expect(403);
}

/// As for signing in (CVE-2019-19025): a page of another site asks for no mail.
#[tokio::test]
async fn cve_2019_19025_other_sites_ask_for_no_mail() {
    let (guarded, letters) = guarded().await;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let body = "email=carol%40example.com";
    for headers in [vec![form], vec![form, ("origin", "https://attacker.test")]] {
        guarded.stranger().call(Method::POST, "/signup", &headers, body).await.expect(403);
    }
    let json = [("content-type", "application/json"), ("origin", "https://attacker.test")];
    let asked = json!({ "email": "carol@example.com" }).to_string();
    guarded.stranger().call(Method::POST, "/api/v1/signups", &json, asked).await.expect(403);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(letters.0.lock().expect("no panic under it").is_empty());
}
