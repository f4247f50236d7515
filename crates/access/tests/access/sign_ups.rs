//! Self sign-up: who gets an account by mail, and what nobody hears.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use larder_access::{
    AuditFilter, Ldap, Mail, Origin, Outcome, Problem, Refused, SendMail, SignUp, UserSource, Verdict,
};
use larder_oci::Action;

use crate::world::{ELSEWHERE, HERE, PASSWORD, World, basic, name, operator};

/// Keeps what it is given.
#[derive(Default)]
struct Letters(Mutex<Vec<Mail>>);

#[async_trait]
impl SendMail for Letters {
    async fn send(&self, mail: Mail) -> Result<(), String> {
        self.0.lock().unwrap().push(mail);
        Ok(())
    }
}

impl Letters {
    /// The mails, once there are so many.
    async fn wait_for(&self, count: usize) -> Vec<Mail> {
        for _ in 0..500 {
            if self.0.lock().unwrap().len() >= count {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // One too many would come now.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let letters = self.0.lock().unwrap().clone();
        assert_eq!(letters.len(), count, "{letters:?}");
        letters
    }
}

fn sign_up(letters: &Arc<Letters>) -> SignUp {
    SignUp {
        domains: vec!["example.com".to_owned()],
        site: "https://registry.example".to_owned(),
        mail: Arc::clone(letters) as Arc<_>,
    }
}

async fn world() -> (World, Arc<Letters>) {
    let letters = Arc::new(Letters::default());
    let world = World::with(|settings| settings.sign_up = Some(sign_up(&letters))).await;
    world.add_user("admin").await;
    (world, letters)
}

fn secret(mail: &Mail) -> String {
    let rest = mail.text.split_once("https://registry.example/signup/confirm?token=").expect("a link").1;
    rest.split_whitespace().next().unwrap().to_owned()
}

impl World {
    async fn ask(&self, email: &str, origin: Origin) -> Result<(), Refused> {
        self.access.sign_up(email, origin, Some("request".to_owned())).await
    }
}

#[tokio::test]
async fn who_reads_the_mail_gets_the_account_once() {
    let (world, letters) = world().await;
    world.ask("Carol@Example.com", HERE).await.unwrap();
    let [mail] = &letters.wait_for(1).await[..] else { unreachable!() };
    assert_eq!((mail.to.as_str(), mail.subject.as_str()), ("carol@example.com", "Your account at registry.example"));
    assert!(!format!("{mail:?}").contains("ldr_"));
    assert_eq!(world.identify(basic("carol", PASSWORD)).await.unwrap_err(), Refused::Wrong, "not before");
    let secret = secret(mail);
    assert_eq!(world.access.signing_up(&secret).await.unwrap(), "carol");
    let short = world.access.confirm_sign_up(&secret, "short", HERE).await.unwrap_err();
    assert!(matches!(short, Problem::Invalid(_)), "and the link still holds: {short}");
    let made = world.access.confirm_sign_up(&secret, PASSWORD, HERE).await.unwrap();
    assert_eq!((made.source, made.administrator), (UserSource::SignUp, false));
    assert_eq!(made.email.as_deref(), Some("carol@example.com"));
    let again = world.access.confirm_sign_up(&secret, "another password", HERE).await.unwrap_err();
    assert!(matches!(again, Problem::NotAllowed(_)), "{again}");
    let carol = world.login("carol").await;
    assert_eq!(carol.rights.verdict(Action::Push, &name("carol/model")), Verdict::Allowed, "the own namespace");
    assert_eq!(carol.rights.verdict(Action::Pull, &name("team/model")), Verdict::Silent, "and nothing else");
    let filter = AuditFilter::default();
    let audit = world.access.audit(&operator(), &filter, None, 10).await.unwrap().items;
    let of = |action: &str| audit.iter().find(|entry| entry.action == action).expect("it is audited").clone();
    let (asked, created) = (of("signup.asked"), of("user.created"));
    assert_eq!((asked.identity.as_str(), asked.address.as_deref()), ("anonymous", Some("192.0.2.1")));
    assert_eq!((created.identity.as_str(), created.credential.as_deref()), ("user:carol", Some("sign-up")));
    assert!(!format!("{audit:?}").contains(&secret));
}

#[tokio::test]
async fn the_answer_is_the_same_whether_there_is_such_an_account() {
    let (world, letters) = world().await;
    world.add_user("alice").await;
    assert_eq!(world.ask("alice@example.com", HERE).await, Ok(()));
    assert_eq!(world.ask("nobody@example.com", HERE).await, Ok(()));
    let letters = letters.wait_for(2).await;
    let to = |email: &str| letters.iter().find(|mail| mail.to == email).expect("a mail");
    assert!(to("alice@example.com").text.contains("There is one of the name alice already"));
    assert!(!to("alice@example.com").text.contains("token="));
    secret(to("nobody@example.com"));
}

#[tokio::test]
async fn a_link_ends_by_itself_and_with_the_next_one() {
    let (world, letters) = world().await;
    for count in 1..=2 {
        world.ask("carol@example.com", HERE).await.unwrap();
        letters.wait_for(count).await;
    }
    let [first, second] = &letters.wait_for(2).await[..] else { unreachable!() };
    world.access.signing_up(&secret(first)).await.expect_err("a later one took its place");
    world.access.signing_up(&secret(second)).await.unwrap();
    world.pass(24 * 3600);
    world.access.confirm_sign_up(&secret(second), PASSWORD, HERE).await.expect_err("too late");
    assert_eq!(world.identify(basic("carol", PASSWORD)).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn whoever_got_the_name_meanwhile_keeps_it() {
    let (world, letters) = world().await;
    world.ask("carol@example.com", HERE).await.unwrap();
    let link = secret(&letters.wait_for(1).await[0]);
    world.add_user("carol").await;
    let taken = world.access.confirm_sign_up(&link, "another password", HERE).await.unwrap_err();
    assert!(matches!(taken, Problem::Exists { .. }), "{taken}");
    world.login("carol").await;
}

#[tokio::test]
async fn a_name_in_the_password_file_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, format!("bob:{}\n", bcrypt::hash("secret", 4).unwrap())).unwrap();
    let letters = Arc::new(Letters::default());
    let world = World::with(|settings| {
        settings.sign_up = Some(sign_up(&letters));
        settings.htpasswd = Some(path);
    })
    .await;
    let first = world.ask("carol@example.com", HERE).await.unwrap_err();
    assert!(matches!(first, Refused::Unfit(_)), "the first user of all is an administrator: {first}");
    world.add_user("admin").await;
    world.ask("bob@example.com", HERE).await.unwrap();
    assert!(letters.wait_for(1).await[0].text.contains("already"));
}

#[tokio::test]
async fn asking_is_throttled_where_it_comes_from_and_for_each_mailbox() {
    let (world, letters) = world().await;
    for _ in 0..10 {
        assert_eq!(world.ask("carol@example.com", HERE).await, Ok(()), "nobody hears that a mailbox has enough");
    }
    letters.wait_for(3).await;
    let wait = world.ask("dave@example.com", HERE).await.unwrap_err();
    assert!(matches!(wait, Refused::Throttled { retry_after } if retry_after.as_secs() == 3600), "{wait}");
    assert_eq!(world.ask("dave@example.com", ELSEWHERE).await, Ok(()));
    letters.wait_for(4).await;
    world.pass(3600);
    assert_eq!(world.ask("carol@example.com", HERE).await, Ok(()));
    letters.wait_for(5).await;
    world.access.tick().await;
    let denied = AuditFilter { outcome: Some(Outcome::Denied), ..AuditFilter::default() };
    let denied = world.access.audit(&operator(), &denied, None, 10).await.unwrap().items;
    assert!(denied.iter().any(|entry| entry.action == "signup" && entry.object.is_none()), "{denied:?}");
}

#[tokio::test]
async fn only_the_right_domains_and_only_where_it_is_on() {
    let (world, letters) = world().await;
    for email in ["carol@evil.example", "carol@sub.example.com", "carol", "carol+x@example.com"] {
        assert!(matches!(world.ask(email, HERE).await, Err(Refused::Unfit(_))), "{email}");
    }
    letters.wait_for(0).await;
    let off = World::peopled().await;
    assert!(matches!(off.ask("carol@example.com", HERE).await, Err(Refused::Unfit(_))));
    off.access.signing_up("ldr_x").await.expect_err("nobody signs up here");
}

#[tokio::test]
async fn people_come_from_one_place() {
    let letters = Arc::new(Letters::default());
    let mut settings = larder_access::Settings::new("larder", larder_access::SecretKey::generate());
    settings.sign_up = Some(sign_up(&letters));
    settings.ldap = Some(Ldap {
        url: "ldaps://directory.example".to_owned(),
        start_tls: false,
        bind: None,
        user_base: "dc=example".to_owned(),
        user_filter: "(uid={name})".to_owned(),
        mail_attribute: "mail".to_owned(),
        group_base: None,
        group_filter: String::new(),
        group_attribute: "cn".to_owned(),
    });
    let ports =
        larder_access::Ports { fetch: Arc::new(crate::issuer::Http), clock: Arc::new(larder_access::SystemClock) };
    let catalog = larder_catalog::Catalog::open_memory().await.unwrap();
    let refused = larder_access::Access::open(catalog, settings, ports).await.unwrap_err();
    assert!(refused.to_string().contains("one of them"), "{refused}");
}
