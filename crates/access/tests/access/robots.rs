//! Robots: within their pattern, whatever else is granted.

use std::time::Duration;

use larder_access::{By, Effect, NewCredential, NewRobotAccount, Problem, Refused, RobotSettings, Verdict};
use larder_oci::Action;

use crate::world::{HERE, World, actions, name, operator, pattern};

async fn robot(world: &World, by: &By, name: &str, pattern_text: &str) -> Result<(), Problem> {
    let new = NewRobotAccount {
        name: name.to_owned(),
        pattern: pattern(pattern_text),
        description: "builds".to_owned(),
        actions: actions("pull,push"),
    };
    world.access.add_robot(by, new).await.map(drop)
}

async fn token(world: &World, by: &By, owner: &str) -> Result<larder_access::PlainToken, Problem> {
    let new = NewCredential {
        owner: Some(owner.to_owned()),
        name: "ci".to_owned(),
        actions: actions("pull,push,delete"),
        patterns: Vec::new(),
        ttl: Some(Duration::from_secs(3600)),
    };
    world.access.create_token(by, new).await.map(|(_, plain)| plain)
}

#[tokio::test]
async fn a_robot_stays_within_its_pattern() {
    let world = World::peopled().await;
    robot(&world, &operator(), "ci", "team/**").await.unwrap();
    let plain = token(&world, &operator(), "robot:ci").await.unwrap();
    world.grant("robot:ci", "pull,push", "**", Effect::Allow).await;
    world.grant("signed-in", "pull", "base/**", Effect::Allow).await;
    let caller = world.bearer(plain.reveal()).await.unwrap();
    assert_eq!(caller.identity, "robot:ci");
    assert_eq!(caller.rights.allowed(&name("team/model")), actions("pull,push"));
    assert_eq!(
        caller.rights.verdict(Action::Pull, &name("other/model")),
        Verdict::Silent,
        "granted, and beyond its pattern"
    );
    assert_eq!(caller.rights.verdict(Action::Pull, &name("base/x")), Verdict::Silent);
    assert_eq!(caller.rights.verdict(Action::Push, &name("robot/x")), Verdict::Silent, "no namespace of its own");
    let visible: Vec<String> = caller.rights.visible().allow.iter().map(ToString::to_string).collect();
    assert_eq!(visible, ["team/**"]);
}

#[tokio::test]
async fn a_disabled_or_removed_robot_is_refused_at_once() {
    let world = World::peopled().await;
    robot(&world, &operator(), "ci", "team/**").await.unwrap();
    let plain = token(&world, &operator(), "robot:ci").await.unwrap();
    let caller = world.bearer(plain.reveal()).await.unwrap();
    let bearer =
        world.access.issue(&caller, "larder", "repository:team/a:pull".parse().unwrap(), None).await.unwrap().token;
    let settings = RobotSettings { disabled: Some(true), description: None };
    world.access.set_robot(&operator(), "ci", settings).await.unwrap();
    assert_eq!(world.bearer(plain.reveal()).await.unwrap_err(), Refused::Disabled);
    assert_eq!(world.bearer(&bearer).await.unwrap_err(), Refused::Disabled);
    world.access.remove_robot(&operator(), "ci").await.unwrap();
    assert_eq!(world.bearer(plain.reveal()).await.unwrap_err(), Refused::Wrong);
    assert_eq!(world.bearer(&bearer).await.unwrap_err(), Refused::Wrong);
}

// Harbor CVE-2019-16919, CVE-2022-31667: robots of others.
#[tokio::test]
async fn robots_belong_to_who_administers_their_pattern() {
    let world = World::peopled().await;
    let (alice, bob) = (world.by("alice").await, world.by("bob").await);
    robot(&world, &alice, "alices", "alice/**").await.unwrap();
    assert!(matches!(robot(&world, &alice, "r", "bob/**").await, Err(Problem::NotAllowed(_))));
    assert!(matches!(robot(&world, &alice, "r", "**").await, Err(Problem::NotAllowed(_))));
    token(&world, &alice, "robot:alices").await.unwrap();
    assert!(matches!(token(&world, &bob, "robot:alices").await, Err(Problem::Absent { .. })));
    assert!(matches!(world.access.robot(&bob, "alices").await, Err(Problem::Absent { .. })));
    assert!(matches!(world.access.remove_robot(&bob, "alices").await, Err(Problem::Absent { .. })));
    assert!(world.access.tokens(&bob, Some("robot:alices"), None, 10).await.is_err());
    assert!(world.access.robots(&bob, None, 10).await.unwrap().items.is_empty());
    assert_eq!(world.access.robots(&alice, None, 10).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_robots_token_always_ends() {
    let world = World::peopled().await;
    robot(&world, &operator(), "ci", "team/**").await.unwrap();
    let new = NewCredential {
        owner: Some("robot:ci".to_owned()),
        name: "ci".to_owned(),
        actions: actions("pull"),
        patterns: Vec::new(),
        ttl: None,
    };
    let (row, plain) = world.access.create_token(&operator(), new).await.unwrap();
    assert!(row.expires.is_some());
    let robot = world.bearer(plain.reveal()).await.unwrap();
    let by = By::of(&robot, HERE, None);
    world.token(&by, "pull", &[], Some(60)).await.expect("it may renew its own, within its limits");
    assert!(matches!(world.token(&by, "pull,push", &[], Some(60)).await, Err(Problem::NotAllowed(_))));
}
