//! `registry:2`'s password file: case 9, and what ends its rights.

use larder_access::{Effect, HtpasswdRights, Refused, Verdict};
use larder_oci::{Action, Actions};

use crate::world::{HERE, World, actions, basic, name, operator};

/// A line as `htpasswd -Bbn NAME PASSWORD` writes it.
fn line(name: &str, password: &str) -> String {
    let hash = bcrypt::hash_with_result(password, 5).unwrap().format_for_version(bcrypt::Version::TwoY);
    format!("{name}:{hash}\n")
}

async fn world(delete: bool) -> (World, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    std::fs::write(&path, line("alice", "secret") + &line("CI.Bot", "secret")).unwrap();
    let world = World::with(|settings| {
        settings.htpasswd = Some(path);
        settings.htpasswd_rights = HtpasswdRights { delete };
    })
    .await;
    (world, folder)
}

#[tokio::test]
async fn everyone_in_the_file_pulls_and_pushes_and_administers_nothing() {
    let (world, _folder) = world(false).await;
    assert!(!world.access.is_open().await.unwrap() && !world.access.accounts_exist().await.unwrap());
    for user in ["alice", "CI.Bot"] {
        let caller = world.identify(basic(user, "secret")).await.unwrap();
        assert_eq!((caller.identity, caller.credential.as_str()), (format!("user:{user}"), "htpasswd"));
        assert_eq!(caller.rights.allowed(&name("ml-model")), actions("pull,push,tag-move"));
        assert_eq!(caller.rights.allowed(&name("alice/x")), actions("pull,push,tag-move"), "no own namespace yet");
        assert_eq!(caller.rights.visible().allow[0].as_str(), "**", "and list the catalogue");
    }
    for (user, password) in [("alice", "wrong"), ("bob", "secret"), ("alice", "")] {
        assert_eq!(world.identify(basic(user, password)).await.unwrap_err(), Refused::Wrong);
    }
}

#[tokio::test]
async fn a_password_longer_than_bcrypt_logs_in_as_it_did_before() {
    let (world, folder) = world(false).await;
    let long = "correct horse battery staple ".repeat(10);
    std::fs::write(folder.path().join("htpasswd"), line("alice", &long)).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    world.identify(basic("alice", &long)).await.expect("whole, as people type it");
    assert_eq!(world.identify(basic("alice", &long[..71])).await.unwrap_err(), Refused::Wrong);
    assert_eq!(
        world.identify(basic("alice", &long.replace("correct", "incorrect"))).await.unwrap_err(),
        Refused::Wrong
    );
}

#[tokio::test]
async fn delete_is_as_configured() {
    let (world, _folder) = world(true).await;
    let caller = world.identify(basic("alice", "secret")).await.unwrap();
    assert_eq!(caller.rights.verdict(Action::Delete, &name("ml-model")), Verdict::Allowed);
}

#[tokio::test]
async fn the_first_grant_ends_it() {
    let (world, _folder) = world(false).await;
    world.grant("user:alice", "pull", "team/**", Effect::Allow).await;
    let alice = world.identify(basic("alice", "secret")).await.unwrap();
    assert_eq!(alice.rights.allowed(&name("ml-model")), Actions::EMPTY);
    assert_eq!(alice.rights.allowed(&name("team/model")), actions("pull"));
    assert_eq!(alice.rights.verdict(Action::Admin, &name("alice/x")), Verdict::Allowed, "own namespace");
    let bot = world.identify(basic("CI.Bot", "secret")).await.unwrap();
    assert_eq!(bot.rights.allowed(&name("CI.Bot/x".to_lowercase().as_str())), Actions::EMPTY);
}

#[tokio::test]
async fn an_account_of_the_name_comes_first() {
    let (world, _folder) = world(false).await;
    world.add_user("admin").await;
    world.add_user("alice").await;
    assert_eq!(world.login("alice").await.credential, "password");
    assert_eq!(
        world.identify(basic("alice", "secret")).await.unwrap_err(),
        Refused::Wrong,
        "the file's password does not count beside it"
    );
}

#[tokio::test]
async fn a_changed_line_ends_what_was_issued_for_it() {
    let (world, folder) = world(false).await;
    let alice = world.identify(basic("alice", "secret")).await.unwrap();
    let token = world.access.issue(&alice, "larder", "repository:a:pull".parse().unwrap(), None).await.unwrap().token;
    let refresh = world.access.issue_refresh(&alice, "docker").await.unwrap();
    world.bearer(&token).await.unwrap();
    world.access.refresh(refresh.reveal(), HERE).await.unwrap();
    std::fs::write(folder.path().join("htpasswd"), line("alice", "changed") + "\n").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(world.bearer(&token).await.unwrap_err(), Refused::Wrong);
    assert_eq!(world.access.refresh(refresh.reveal(), HERE).await.unwrap_err(), Refused::Wrong);
    assert_eq!(world.identify(basic("alice", "secret")).await.unwrap_err(), Refused::Wrong);
    world.identify(basic("alice", "changed")).await.unwrap();
}

#[tokio::test]
async fn its_users_have_tokens_and_join_groups() {
    let (world, folder) = world(false).await;
    world.add_user("admin").await;
    let alice = world.identify(basic("alice", "secret")).await.unwrap();
    let by = larder_access::By::of(&alice, HERE, None);
    let (_, token) = world.token(&by, "pull", &[], None).await.unwrap();
    world.access.add_group(&operator(), "ml", "").await.unwrap();
    world.access.add_member(&operator(), "ml", "alice").await.unwrap();
    world.grant("group:ml", "pull", "team/**", Effect::Allow).await;
    assert_eq!(world.bearer(token.reveal()).await.unwrap().rights.allowed(&name("team/x")), actions("pull"));
    std::fs::write(folder.path().join("htpasswd"), "").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(world.bearer(token.reveal()).await.unwrap_err(), Refused::Wrong, "who is gone from the file is gone");
    assert_eq!(world.login("admin").await.credential, "password");
}
