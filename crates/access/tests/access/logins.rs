//! Passwords, tokens and certificates: the right, the wrong, the expired and the revoked.

use larder_access::{By, CallerKind, Effect, NewAccount, Presented, Problem, Refused, UserSettings, Verdict};
use larder_oci::Action;

use crate::world::{ELSEWHERE, HERE, PASSWORD, World, basic, name, operator};

#[tokio::test]
async fn nobody_is_anonymous_and_the_first_user_ends_the_open_state() {
    let world = World::empty().await;
    assert!(world.access.is_open().await.unwrap());
    let caller = world.identify(Presented::Nothing).await.unwrap();
    assert_eq!((caller.identity.as_str(), caller.kind), ("anonymous", CallerKind::Anonymous));
    assert_eq!(caller.rights.verdict(Action::Pull, &name("a/b")), Verdict::Silent);
    world.add_user("admin").await;
    assert!(!world.access.is_open().await.unwrap(), "at once");
    assert!(world.login("admin").await.rights.administrator(), "the first user is an administrator");
    world.add_user("alice").await;
    assert!(!world.login("alice").await.rights.administrator());
}

#[tokio::test]
async fn the_right_password_logs_in_and_no_other() {
    let world = World::peopled().await;
    let alice = world.login("alice").await;
    assert_eq!(
        (alice.identity.as_str(), alice.credential.as_str(), alice.name()),
        ("user:alice", "password", Some("alice"))
    );
    assert_eq!(alice.rights.verdict(Action::Admin, &name("alice/ml-model")), Verdict::Allowed, "own namespace");
    assert_eq!(alice.rights.verdict(Action::Pull, &name("bob/ml-model")), Verdict::Silent);
    for (user, password) in
        [("alice", "wrong"), ("alice", ""), ("Alice", PASSWORD), ("nobody", PASSWORD), ("", PASSWORD), ("", "")]
    {
        assert_eq!(world.identify(basic(user, password)).await.unwrap_err(), Refused::Wrong, "{user}");
    }
    let long = "x".repeat(Presented::MAX_SECRET + 1);
    assert_eq!(world.identify(basic("alice", &long)).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn a_disabled_or_removed_user_is_refused_at_once() {
    let world = World::peopled().await;
    world.login("alice").await;
    let disable = |disabled| UserSettings { disabled: Some(disabled), ..UserSettings::default() };
    world.access.set_user(&operator(), "alice", disable(true)).await.unwrap();
    assert_eq!(world.identify(basic("alice", PASSWORD)).await.unwrap_err(), Refused::Disabled);
    assert_eq!(
        world.identify(basic("alice", "wrong")).await.unwrap_err(),
        Refused::Wrong,
        "a stranger does not hear of it"
    );
    world.access.set_user(&operator(), "alice", disable(false)).await.unwrap();
    world.login("alice").await;
    world.access.remove_user(&operator(), "alice").await.unwrap();
    assert_eq!(world.identify(basic("alice", PASSWORD)).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn guessing_is_slowed_down_where_it_comes_from() {
    let world = World::peopled().await;
    let mut throttled = None;
    for n in 0..30 {
        match world.identify(basic("alice", &format!("guess {n}"))).await.unwrap_err() {
            Refused::Wrong => assert!(throttled.is_none()),
            Refused::Throttled { retry_after } => throttled = Some((n, retry_after)),
            other => panic!("{other}"),
        }
    }
    let (_, retry_after) = throttled.expect("thirty guesses are too many");
    assert!(retry_after.as_secs() >= 1);
    assert!(
        matches!(world.identify(basic("alice", PASSWORD)).await, Err(Refused::Throttled { .. })),
        "from here even the right one waits"
    );
    world.access.identify(&basic("alice", PASSWORD), ELSEWHERE).await.expect("the right password from elsewhere");
    world.identify(basic("bob", PASSWORD)).await.expect("another account");
    world.identify(basic("alice", PASSWORD)).await.expect("once it was right somewhere it is known to be right");
    world.pass(400);
    world.identify(basic("alice", "guess again")).await.expect_err("still wrong");
}

/// docker opens many connections at once, and each shows the password that nobody has verified yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_with_one_right_password_is_let_in_and_one_with_a_wrong_password_is_not() {
    let world = World::peopled().await;
    let crowd = |password: &'static str| {
        let ask = |_| {
            let access = world.access.clone();
            tokio::spawn(async move { access.identify(&basic("alice", password), HERE).await })
        };
        (0..200).map(ask).collect::<Vec<_>>()
    };
    for one in crowd(PASSWORD) {
        one.await.unwrap().expect("nobody of them has guessed");
    }
    let mut throttled = 0;
    for one in crowd("wrong") {
        throttled += usize::from(matches!(one.await.unwrap().unwrap_err(), Refused::Throttled { .. }));
    }
    assert!(throttled > 150, "a crowd is no way around the throttle: {throttled}");
}

#[tokio::test]
async fn right_tokens_are_untouched_by_guessing() {
    let world = World::peopled().await;
    let by = world.by("alice").await;
    let (_, token) = world.token(&by, "pull", &[], None).await.unwrap();
    for n in 0..200 {
        world.identify(basic("alice", &format!("guess {n}"))).await.unwrap_err();
    }
    world.identify(basic("alice", token.reveal())).await.unwrap();
    world.bearer(token.reveal()).await.unwrap();
}

// Case 12: a token as password with any user name.
#[tokio::test]
async fn a_token_is_a_password_with_any_user_name() {
    let world = World::peopled().await;
    let by = world.by("alice").await;
    let (row, token) = world.token(&by, "pull,push", &["alice/**"], None).await.unwrap();
    for user in ["AWS", "oauth2accesstoken", "_json_key", "gitlab-ci-token", "bob", ""] {
        let caller = world.identify(basic(user, token.reveal())).await.unwrap();
        assert_eq!((caller.identity.as_str(), caller.credential), ("user:alice", format!("token:{}", row.id)));
        assert_eq!(caller.rights.verdict(Action::Push, &name("alice/x")), Verdict::Allowed);
        assert_eq!(caller.rights.verdict(Action::Delete, &name("alice/x")), Verdict::Silent, "beyond the token");
    }
    assert_eq!(world.bearer(token.reveal()).await.unwrap().identity, "user:alice", "and a bearer as it is");
    let mut mistyped = token.reveal().to_owned();
    mistyped.pop();
    mistyped.push('_');
    assert_eq!(world.identify(basic("alice", &mistyped)).await.unwrap_err(), Refused::Wrong);
    let other = larder_access::PlainToken::generate();
    assert_eq!(
        world.identify(basic("alice", other.reveal())).await.unwrap_err(),
        Refused::Wrong,
        "well-formed and unknown"
    );
}

#[tokio::test]
async fn a_token_ends_when_it_expires_or_is_revoked() {
    let world = World::peopled().await;
    let by = world.by("alice").await;
    let (_, short) = world.token(&by, "pull", &[], Some(3600)).await.unwrap();
    let (row, revoked) = world.token(&by, "pull", &[], None).await.unwrap();
    world.bearer(revoked.reveal()).await.unwrap();
    world.access.revoke_token(&by, &row.id).await.unwrap();
    assert_eq!(world.bearer(revoked.reveal()).await.unwrap_err(), Refused::Wrong, "at once");
    world.pass(3599);
    world.bearer(short.reveal()).await.unwrap();
    world.pass(1);
    assert_eq!(world.bearer(short.reveal()).await.unwrap_err(), Refused::Expired);
}

#[tokio::test]
async fn the_last_use_of_a_token_is_noted() {
    let world = World::peopled().await;
    let by = world.by("alice").await;
    let (row, token) = world.token(&by, "pull", &[], None).await.unwrap();
    world.pass(100);
    world.bearer(token.reveal()).await.unwrap();
    world.access.close().await;
    let row = world.catalog.token(&row.id).await.unwrap().unwrap();
    assert_eq!(row.last_used.map(|at| at.as_second()), Some(1_790_000_100));
    let account = world.access.user(&operator(), "alice").await.unwrap();
    assert_eq!(account.last_seen.map(|at| at.as_second()), Some(1_790_000_100));
}

#[tokio::test]
async fn a_certificate_is_an_account_that_exists() {
    let world = World::peopled().await;
    let alice = world.identify(Presented::Certificate("alice".to_owned())).await.unwrap();
    assert_eq!((alice.identity.as_str(), alice.credential.as_str()), ("user:alice", "certificate"));
    assert_eq!(world.identify(Presented::Certificate("nobody".to_owned())).await.unwrap_err(), Refused::Wrong);
}

#[tokio::test]
async fn one_sets_the_own_password_knowing_the_current_one() {
    let world = World::peopled().await;
    let alice = world.by("alice").await;
    let wrong = world.access.set_password(&alice, "alice", Some("wrong"), "another horse").await;
    assert!(matches!(wrong, Err(Problem::NotAllowed(_))), "{wrong:?}");
    assert!(world.access.set_password(&alice, "alice", None, "another horse").await.is_err());
    assert!(world.access.set_password(&alice, "bob", Some(PASSWORD), "another horse").await.is_err(), "not another's");
    assert!(matches!(
        world.access.set_password(&alice, "alice", Some(PASSWORD), "short").await,
        Err(Problem::Invalid(_))
    ));
    world.access.set_password(&alice, "alice", Some(PASSWORD), "another horse").await.unwrap();
    assert_eq!(world.identify(basic("alice", PASSWORD)).await.unwrap_err(), Refused::Wrong, "the old one ends at once");
    world.identify(basic("alice", "another horse")).await.unwrap();
    let admin = world.by("admin").await;
    world.access.set_password(&admin, "alice", None, "third horse").await.unwrap();
    world.identify(basic("alice", "third horse")).await.unwrap();
}

#[tokio::test]
async fn an_invitation_sets_the_password_once() {
    let world = World::peopled().await;
    let new = NewAccount { name: "carol".to_owned(), ..NewAccount::default() };
    world.access.add_user(&operator(), new).await.unwrap();
    assert_eq!(world.identify(basic("carol", "")).await.unwrap_err(), Refused::Wrong, "no password is no login");
    let secret = world.access.invite(&operator(), "carol", std::time::Duration::from_secs(3600)).await.unwrap();
    assert!(matches!(world.access.accept_invitation(secret.reveal(), "short", HERE).await, Err(Problem::Invalid(_))));
    world.access.accept_invitation(secret.reveal(), PASSWORD, HERE).await.unwrap();
    world.login("carol").await;
    let again = world.access.accept_invitation(secret.reveal(), "another horse", HERE).await;
    assert!(matches!(again, Err(Problem::NotAllowed(_))), "{again:?}");
    let late = world.access.invite(&operator(), "carol", std::time::Duration::from_secs(3600)).await.unwrap();
    world.pass(3601);
    assert!(world.access.accept_invitation(late.reveal(), "another horse", HERE).await.is_err());
}

#[tokio::test]
async fn denials_reach_the_audit_folded_and_without_what_was_typed() {
    let world = World::peopled().await;
    let tries = [("alice", "S3CRET-1"), ("alice", "S3CRET-2"), ("S3CRET-as-a-name", "x"), ("x", "ldr_S3CRET")];
    for (user, password) in tries {
        world.identify(basic(user, password)).await.unwrap_err();
    }
    world.bearer("S3CRET.bearer.token").await.unwrap_err();
    world.access.tick().await;
    let page = world.access.audit(&operator(), &larder_access::AuditFilter::default(), None, 100).await.unwrap();
    let logins: Vec<_> = page.items.iter().filter(|entry| entry.action == "login").collect();
    assert_eq!(logins.iter().map(|entry| entry.count).sum::<u64>(), 5);
    assert_eq!(logins[0].address.as_deref(), Some("192.0.2.1"));
    assert!(!format!("{page:?}").contains("S3CRET") && !format!("{page:?}").contains("correct horse"));
}

#[tokio::test]
async fn everybody_means_everybody_and_a_denied_stranger_may_still_log_in() {
    let world = World::peopled().await;
    world.grant("anonymous", "pull", "open/**", Effect::Allow).await;
    world.grant("anonymous", "pull", "**", Effect::Deny).await;
    let (stranger, alice) = (world.identify(Presented::Nothing).await.unwrap(), world.login("alice").await);
    assert_eq!(stranger.rights.verdict(Action::Pull, &name("open/x")), Verdict::Denied);
    assert_eq!(alice.rights.verdict(Action::Pull, &name("open/x")), Verdict::Allowed);
    world.grant("signed-in", "pull", "open/secret", Effect::Deny).await;
    let alice = world.login("alice").await;
    assert_eq!(alice.rights.verdict(Action::Pull, &name("open/secret")), Verdict::Denied);
}

// CVE-2025-23208: a membership that ends takes its rights along.
#[tokio::test]
async fn a_group_gives_rights_while_one_is_in_it() {
    let world = World::peopled().await;
    world.access.add_group(&operator(), "ml", "").await.unwrap();
    world.grant("group:ml", "pull,push", "team/**", Effect::Allow).await;
    let may = async || world.login("alice").await.rights.verdict(Action::Push, &name("team/model"));
    assert_eq!(may().await, Verdict::Silent);
    world.access.add_member(&operator(), "ml", "alice").await.unwrap();
    assert_eq!(may().await, Verdict::Allowed);
    world.access.remove_member(&operator(), "ml", "alice").await.unwrap();
    assert_eq!(may().await, Verdict::Silent);
    world.access.add_member(&operator(), "ml", "alice").await.unwrap();
    world.access.remove_group(&operator(), "ml").await.unwrap();
    assert_eq!(may().await, Verdict::Silent);
}

#[tokio::test]
async fn nothing_of_a_secret_shows_in_debug() {
    let world = World::peopled().await;
    let by = world.by("alice").await;
    let (row, token) = world.token(&by, "pull", &[], None).await.unwrap();
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        world.access,
        world.secret,
        token,
        row,
        basic("alice", PASSWORD),
        Presented::Bearer(token.reveal().to_owned()),
        By::operator(None)
    );
    assert!(!shown.contains(PASSWORD) && !shown.contains(&token.reveal()[4..]), "{shown}");
}
