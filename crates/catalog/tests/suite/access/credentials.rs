//! Tokens, trusts, keys, invitations, sessions.

use larder_catalog::model::access::{
    Condition, ConfirmSignUp, Invitation, NewUser, Session, SignUp, SigningKey, Token, TokenKind, Trust, UserChange,
    UserSource,
};
use larder_oci::{Action, Actions};

use super::user;
use crate::fixture::{Fixture, at, pattern, session, stamp, stamp_of, token, trust};

crate::on_every_database!(
    a_token_is_found_by_its_hash_until_its_owner_is_gone,
    a_revoked_token_takes_its_refresh_tokens_along,
    a_new_password_ends_what_came_from_the_old_one,
    tokens_are_listed_without_refresh_tokens,
    a_trust_comes_back_as_it_was_made,
    an_assertion_is_taken_once,
    one_of_two_makes_the_first_signing_key,
    an_invitation_is_accepted_once_and_in_time,
    a_sign_up_is_confirmed_once_in_time_and_never_as_the_first_user,
    a_session_ends_by_itself_or_by_hand,
    the_sessions_of_an_identity_are_listed_and_bounded,
    what_has_ended_is_pruned,
);

async fn a_token_is_found_by_its_hash_until_its_owner_is_gone(f: Fixture) {
    let new = token(0, TokenKind::Access);
    assert!(f.create_token(new.clone(), stamp_of("user:alice", 3)).await.expect("answered"));
    assert!(!f.create_token(new.clone(), stamp(3)).await.expect("answered"), "the same again");
    let mut same_id = token(1, TokenKind::Access);
    same_id.id = "t0".to_owned();
    assert!(!f.create_token(same_id, stamp(3)).await.expect("answered"));
    let expected = Token {
        id: "t0".to_owned(),
        kind: TokenKind::Access,
        owner: "user:alice".to_owned(),
        name: "laptop".to_owned(),
        actions: Actions::of(&[Action::Pull, Action::Push]),
        patterns: new.patterns,
        parent: None,
        created: at(3),
        expires: None,
        last_used: None,
        revoked: None,
    };
    assert_eq!(f.token_by_hash(&[0; 32]).await.expect("answered"), Some(expected));
    assert_eq!(f.token_by_hash(&[9; 32]).await.expect("answered"), None);
    let version = f.access_version().await.expect("a version");
    for minute in [8, 5] {
        f.tokens_used(&[("t0".to_owned(), at(minute)), ("unknown".to_owned(), at(minute))]).await.expect("noted");
    }
    let found = f.token("t0").await.expect("answered").expect("the token");
    assert_eq!(found.last_used, Some(at(8)));
    assert_eq!(f.access_version().await.expect("a version"), version);
}

async fn a_revoked_token_takes_its_refresh_tokens_along(f: Fixture) {
    for (n, kind) in [TokenKind::Access, TokenKind::Refresh].into_iter().enumerate() {
        assert!(f.create_token(token(n, kind), stamp(1)).await.expect("answered"));
    }
    assert!(f.token_by_hash(&[1; 32]).await.expect("answered").is_some_and(|token| token.kind == TokenKind::Refresh));
    assert!(f.revoke_token("t0", stamp(7)).await.expect("answered"));
    assert!(!f.revoke_token("t0", stamp(8)).await.expect("answered"));
    assert!(!f.revoke_token("unknown", stamp(8)).await.expect("answered"));
    assert_eq!(f.token_by_hash(&[0; 32]).await.expect("answered").expect("kept for the list").revoked, Some(at(7)));
    assert_eq!(f.token_by_hash(&[1; 32]).await.expect("answered"), None);
}

async fn a_new_password_ends_what_came_from_the_old_one(f: Fixture) {
    user(&f, "alice").await;
    for (n, kind) in [TokenKind::Access, TokenKind::Refresh].into_iter().enumerate() {
        assert!(f.create_token(token(n, kind), stamp(1)).await.expect("answered"));
    }
    f.create_session(&[7; 32], session("s1", 99), stamp(1)).await.expect("begun");
    let change = UserChange { password: Some(Some("new".to_owned())), ..UserChange::default() };
    f.set_user("alice", change, stamp(2)).await.expect("answered");
    assert!(f.token_by_hash(&[0; 32]).await.expect("answered").is_some(), "a token is no password");
    assert_eq!(f.token_by_hash(&[1; 32]).await.expect("answered"), None);
    assert_eq!(f.session(&[7; 32], at(3)).await.expect("answered"), None);
}

async fn tokens_are_listed_without_refresh_tokens(f: Fixture) {
    for n in 0..4 {
        let kind = if n == 2 { TokenKind::Refresh } else { TokenKind::Access };
        let mut new = token(n, kind);
        if n == 3 {
            new.owner = "robot:ci".to_owned();
        }
        assert!(f.create_token(new, stamp(1)).await.expect("answered"));
    }
    let ids = async |owner: Option<&str>, after: Option<&str>, limit| {
        let page = f.tokens(owner, after, limit).await.expect("listed");
        (page.items.into_iter().map(|token| token.id).collect::<Vec<_>>(), page.more)
    };
    let texts = |all: &[&str]| all.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(None, None, 9).await, (texts(&["t0", "t1", "t3"]), false));
    assert_eq!(ids(None, Some("t0"), 1).await, (texts(&["t1"]), true));
    assert_eq!(ids(Some("user:alice"), None, 9).await, (texts(&["t0", "t1"]), false));
    assert_eq!(ids(Some("robot:ci"), Some("t3"), 9).await, (texts(&[]), false));
}

async fn a_trust_comes_back_as_it_was_made(f: Fixture) {
    let first = trust("gitlab");
    assert!(f.create_trust(first.clone(), stamp(1)).await.expect("answered"));
    assert!(!f.create_trust(first.clone(), stamp(1)).await.expect("answered"));
    let second = Trust { max_age: None, single_use: false, ..trust("gitlab-2") };
    assert!(f.create_trust(second.clone(), stamp(1)).await.expect("answered"));
    let other = Trust { issuer: "https://other.example".to_owned(), ..trust("other") };
    assert!(f.create_trust(other, stamp(1)).await.expect("answered"));
    assert_eq!(f.trust("gitlab").await.expect("answered"), Some(first.clone()));
    assert_eq!(f.trusts_of(&first.issuer).await.expect("listed"), [first.clone(), second]);
    assert_eq!(f.trusts(Some("gitlab-2"), 9).await.expect("listed").items.len(), 1);
    let condition = Condition { claim: "ref".to_owned(), values: vec!["main".to_owned(), "dev".to_owned()] };
    let changed = Trust { conditions: vec![condition], disabled: true, created_by: "ignored".to_owned(), ..first };
    assert!(f.set_trust(changed.clone(), stamp(2)).await.expect("answered"));
    let expected = Trust { created_by: "alice".to_owned(), ..changed };
    assert_eq!(f.trust("gitlab").await.expect("answered"), Some(expected));
    assert!(!f.set_trust(trust("unknown"), stamp(2)).await.expect("answered"));
    assert!(f.remove_trust("gitlab", stamp(3)).await.expect("answered"));
    assert!(!f.remove_trust("gitlab", stamp(3)).await.expect("answered"));
}

async fn an_assertion_is_taken_once(f: Fixture) {
    assert!(f.use_assertion("issuer", "1", at(9)).await.expect("answered"));
    assert!(!f.use_assertion("issuer", "1", at(9)).await.expect("answered"));
    assert!(f.use_assertion("issuer", "2", at(9)).await.expect("answered"));
    assert!(f.use_assertion("another", "1", at(9)).await.expect("answered"));
}

async fn one_of_two_makes_the_first_signing_key(f: Fixture) {
    let add = async |id: &str, only| f.add_signing_key(id, id.as_bytes(), only, stamp(1)).await.expect("answered");
    assert!(add("a", true).await);
    assert!(!add("b", true).await, "there is one");
    assert!(!add("a", false).await, "there is this one");
    assert!(add("b", false).await);
    assert!(f.retire_signing_key("a", stamp(2)).await.expect("answered"));
    assert!(!f.retire_signing_key("a", stamp(2)).await.expect("answered"));
    let key = |id: &str, retired| SigningKey { id: id.to_owned(), sealed: id.into(), created: at(1), retired };
    assert_eq!(f.signing_keys().await.expect("listed"), [key("a", Some(at(2))), key("b", None)]);
    assert!(f.remove_signing_key("a", stamp(3)).await.expect("answered"));
    assert!(!f.remove_signing_key("a", stamp(3)).await.expect("answered"));
    assert_eq!(f.signing_keys().await.expect("listed"), [key("b", None)]);
}

async fn an_invitation_is_accepted_once_and_in_time(f: Fixture) {
    let new = NewUser { name: "bob".to_owned(), ..NewUser::default() };
    f.create_user(new, stamp(0)).await.expect("answered");
    let invitation = |user: &str| Invitation { user: user.to_owned(), expires: at(10) };
    assert!(!f.add_invitation(&[1; 32], invitation("eve"), stamp(1)).await.expect("answered"));
    for secret in [1, 2] {
        assert!(f.add_invitation(&[secret; 32], invitation("bob"), stamp(1)).await.expect("answered"));
    }
    assert_eq!(f.invitation(&[1; 32], at(2)).await.expect("answered"), None, "a later one took its place");
    assert_eq!(f.invitation(&[2; 32], at(2)).await.expect("answered"), Some(invitation("bob")));
    assert_eq!(f.invitation(&[2; 32], at(10)).await.expect("answered"), None);
    assert_eq!(f.accept_invitation(&[2; 32], "hash", stamp(10)).await.expect("answered"), None, "too late");
    let accepted = f.accept_invitation(&[2; 32], "hash", stamp(9)).await.expect("answered");
    assert_eq!(accepted.as_deref(), Some("bob"));
    assert_eq!(f.accept_invitation(&[2; 32], "other", stamp(9)).await.expect("answered"), None);
    let bob = f.user("bob").await.expect("answered").expect("bob");
    assert_eq!((bob.password.as_deref(), bob.revision), (Some("hash"), 2));
}

async fn a_sign_up_is_confirmed_once_in_time_and_never_as_the_first_user(f: Fixture) {
    let sign_up = |text: &str| SignUp { email: format!("{text}@example.org"), name: text.to_owned(), expires: at(10) };
    f.add_sign_up(&[1; 32], sign_up("bob"), stamp(1)).await.expect("stored");
    let confirm =
        async |secret: u8, second| f.confirm_sign_up(&[secret; 32], "hash", stamp(second)).await.expect("answered");
    assert_eq!(confirm(1, 2).await, ConfirmSignUp::Ended, "nobody administers yet");
    assert_eq!(f.user("bob").await.expect("answered"), None);
    user(&f, "alice").await;
    let before = f.access_version().await.expect("answered");
    f.add_sign_up(&[2; 32], sign_up("bob"), stamp(1)).await.expect("stored");
    assert_eq!(f.access_version().await.expect("answered"), before, "strangers empty nobody's caches");
    assert_eq!(f.sign_up(&[1; 32], at(2)).await.expect("answered"), None, "a later one took its place");
    assert_eq!(f.sign_up(&[2; 32], at(2)).await.expect("answered"), Some(sign_up("bob")));
    assert_eq!(f.sign_up(&[2; 32], at(10)).await.expect("answered"), None);
    assert_eq!(confirm(2, 10).await, ConfirmSignUp::Ended, "too late");
    assert_eq!(confirm(2, 9).await, ConfirmSignUp::Created("bob".to_owned()));
    assert_eq!(confirm(2, 9).await, ConfirmSignUp::Ended);
    let bob = f.user("bob").await.expect("answered").expect("bob");
    assert_eq!(
        (bob.administrator, bob.source, bob.email.as_deref()),
        (false, UserSource::SignUp, Some("bob@example.org"))
    );
    let before = f.access_version().await.expect("answered");
    f.add_sign_up(&[3; 32], sign_up("alice"), stamp(1)).await.expect("stored");
    assert_eq!(confirm(3, 2).await, ConfirmSignUp::NameTaken("alice".to_owned()));
    assert_eq!(f.access_version().await.expect("answered"), before);
    assert_eq!(
        f.user("alice").await.expect("answered").and_then(|user| user.password).as_deref(),
        Some("hash of alice")
    );
    f.add_sign_up(&[4; 32], sign_up("carol"), stamp(1)).await.expect("stored");
    assert_eq!(f.prune_ended(at(11)).await.expect("pruned"), 1);
}

async fn a_session_ends_by_itself_or_by_hand(f: Fixture) {
    let one = session("s1", 10);
    f.create_session(&[1; 32], one.clone(), stamp(1)).await.expect("begun");
    assert_eq!(f.session(&[1; 32], at(9)).await.expect("answered"), Some(one.clone()));
    assert_eq!(f.session(&[1; 32], at(10)).await.expect("answered"), None);
    assert_eq!(f.session_of_id("s1").await.expect("answered"), Some(one));
    let before = f.access_version().await.expect("answered");
    assert!(f.remove_session("s1", stamp(2)).await.expect("answered"));
    assert!(f.access_version().await.expect("answered") > before, "who keeps sessions hears of it");
    assert!(!f.remove_session("s1", stamp(2)).await.expect("answered"));
}

async fn the_sessions_of_an_identity_are_listed_and_bounded(f: Fixture) {
    for n in 0..60_u8 {
        f.create_session(&[n; 32], session(&format!("s{n:02}"), 99), stamp(1)).await.expect("begun");
    }
    let bob = Session { identity: "user:bob".to_owned(), ..session("t", 99) };
    f.create_session(&[100; 32], bob, stamp(1)).await.expect("begun");
    let page = f.sessions("user:alice", at(2), None, 99).await.expect("listed");
    let ids: Vec<_> = page.items.iter().map(|session| session.id.as_str()).collect();
    assert_eq!((ids.len(), ids[0], ids[49]), (50, "s10", "s59"));
    let page = f.sessions("user:alice", at(2), Some("s20"), 2).await.expect("listed");
    assert_eq!((page.items[0].id.as_str(), page.items.len(), page.more), ("s21", 2, true));
    assert_eq!(f.sessions("user:alice", at(99), None, 9).await.expect("listed").items, []);
    assert_eq!(f.session(&[9; 32], at(2)).await.expect("answered"), None, "it made room");
}

async fn what_has_ended_is_pruned(f: Fixture) {
    user(&f, "alice").await;
    f.use_assertion("issuer", "1", at(10)).await.expect("answered");
    f.use_assertion("issuer", "2", at(20)).await.expect("answered");
    f.create_token(token(0, TokenKind::Access), stamp(1)).await.expect("answered");
    f.create_token(token(1, TokenKind::Refresh), stamp(1)).await.expect("answered");
    let invitation = Invitation { user: "alice".to_owned(), expires: at(10) };
    f.add_invitation(&[1; 32], invitation, stamp(1)).await.expect("answered");
    f.create_session(&[1; 32], session("s1", 10), stamp(1)).await.expect("begun");
    assert_eq!(f.prune_ended(at(15)).await.expect("pruned"), 3);
    assert!(f.use_assertion("issuer", "1", at(30)).await.expect("answered"), "long after it ended");
    assert!(!f.use_assertion("issuer", "2", at(30)).await.expect("answered"));
    assert_eq!(f.prune_ended(at(95)).await.expect("pruned"), 3, "two assertions and the refresh token");
    let kept = f.token("t0").await.expect("answered").expect("a token without an end");
    assert_eq!(kept.patterns, [pattern("team/**"), pattern("*/x")]);
}
