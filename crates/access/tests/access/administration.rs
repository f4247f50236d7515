//! Who may change what: every method, by every kind of caller.

use std::time::Duration;

use larder_access::{
    By, Condition, Effect, GrantFilter, NewAccount, NewPermission, NewTrust, Problem, Subject, UserSettings, Verdict,
};
use larder_oci::Action;

use crate::world::{HERE, PASSWORD, World, actions, name, operator, pattern};

fn new_user(name: &str) -> NewAccount {
    NewAccount { name: name.to_owned(), password: Some(PASSWORD.to_owned()), ..NewAccount::default() }
}

fn permission(subject: &str, actions_text: &str, pattern_text: &str) -> NewPermission {
    NewPermission {
        subject: subject.parse().unwrap(),
        actions: actions(actions_text),
        pattern: pattern(pattern_text),
        effect: Effect::Allow,
        note: String::new(),
    }
}

fn trust(name: &str, pattern_text: &str) -> NewTrust {
    NewTrust {
        name: name.to_owned(),
        issuer: "https://issuer.example".to_owned(),
        audience: "larder".to_owned(),
        conditions: vec![Condition { claim: "repository".to_owned(), values: vec!["team/model".to_owned()] }],
        actions: actions("pull,push"),
        patterns: vec![pattern(pattern_text)],
        single_use: false,
        max_age: None,
        ttl: Duration::from_secs(600),
    }
}

#[tokio::test]
async fn accounts_are_administrators_business() {
    let world = World::peopled().await;
    let callers = [world.anonymous().await, world.by("alice").await, world.by("admin").await, operator()];
    for (place, by) in callers.iter().enumerate() {
        let may = place >= 2;
        let access = &world.access;
        let outcomes = [
            access.add_user(by, new_user(&format!("new{place}"))).await.map(drop),
            access.users(by, None, 10).await.map(drop),
            access.user(by, "bob").await.map(drop),
            access.set_user(by, "bob", UserSettings { email: Some(None), ..UserSettings::default() }).await.map(drop),
            access
                .set_user(by, "bob", UserSettings { administrator: Some(true), ..UserSettings::default() })
                .await
                .map(drop),
            access
                .set_user(by, "bob", UserSettings { administrator: Some(false), ..UserSettings::default() })
                .await
                .map(drop),
            access.set_password(by, "bob", None, "another horse").await,
            access.invite(by, "bob", Duration::from_secs(3600)).await.map(drop),
            access.add_group(by, &format!("g{place}"), "").await,
            access.groups(by, None, 10).await.map(drop),
            access.group(by, "g2").await.map(drop).or_else(|problem| absent(problem, place != 3 && may)),
            access.set_group(by, "g2", "text").await.or_else(|problem| absent(problem, false)),
            access.add_member(by, "g2", "alice").await,
            access.members(by, "g2", None, 10).await.map(drop),
            access.remove_member(by, "g2", "alice").await,
            access.audit(by, &Default::default(), None, 10).await.map(drop),
            access.tokens(by, Some("*"), None, 10).await.map(drop),
            access.tokens(by, Some("user:bob"), None, 10).await.map(drop),
            access.add_trust(by, trust(&format!("t{place}"), "**")).await.map(drop),
            access.remove_user(by, &format!("new{place}")).await,
        ];
        for (which, outcome) in outcomes.into_iter().enumerate() {
            match outcome {
                Ok(()) => assert!(may, "caller {place} may not do {which}"),
                Err(Problem::NotAllowed(_)) => assert!(!may, "caller {place} may do {which}"),
                Err(other) => panic!("caller {place}, {which}: {other}"),
            }
        }
    }
}

fn absent(problem: Problem, fine: bool) -> Result<(), Problem> {
    if fine && matches!(problem, Problem::Absent { .. }) { Ok(()) } else { Err(problem) }
}

// Harbor CVE-2019-3990: a list of users is not for everybody; nor is the answer whether one exists.
#[tokio::test]
async fn one_sees_oneself_and_nobody_else() {
    let world = World::peopled().await;
    let alice = world.by("alice").await;
    assert_eq!(world.access.user(&alice, "alice").await.unwrap().name, "alice");
    let (known, unknown) = (world.access.user(&alice, "bob").await, world.access.user(&alice, "nobody").await);
    assert_eq!(known.unwrap_err().to_string(), unknown.unwrap_err().to_string());
    let email = UserSettings { email: Some(Some("alice@example.org".to_owned())), ..UserSettings::default() };
    assert_eq!(
        world.access.set_user(&alice, "alice", email).await.unwrap().email.as_deref(),
        Some("alice@example.org")
    );
    let me_admin = UserSettings { administrator: Some(true), ..UserSettings::default() };
    assert!(
        matches!(world.access.set_user(&alice, "alice", me_admin).await, Err(Problem::NotAllowed(_))),
        "CVE-2019-16097"
    );
}

#[tokio::test]
async fn the_last_administrator_stays() {
    let world = World::peopled().await;
    let no_more = UserSettings { administrator: Some(false), ..UserSettings::default() };
    let disable = UserSettings { disabled: Some(true), ..UserSettings::default() };
    for change in [no_more.clone(), disable] {
        let refused = world.access.set_user(&operator(), "admin", change).await;
        assert!(matches!(refused, Err(Problem::LastAdministrator(_))), "{refused:?}");
    }
    assert!(matches!(world.access.remove_user(&operator(), "admin").await, Err(Problem::LastAdministrator(_))));
    let also = UserSettings { administrator: Some(true), ..UserSettings::default() };
    world.access.set_user(&operator(), "alice", also).await.unwrap();
    world.access.set_user(&operator(), "admin", no_more).await.unwrap();
}

// Case 11: a name under which others' repositories lie cannot become a user's.
#[tokio::test]
async fn a_name_under_which_others_repositories_lie_is_taken() {
    let world = World::peopled().await;
    world.repository("team/model", "user:alice").await;
    let refused = world.access.add_user(&operator(), new_user("team")).await.unwrap_err();
    assert!(matches!(&refused, Problem::NameTaken { repository, .. } if repository == "team/model"), "{refused}");
    assert!(matches!(world.access.add_user(&operator(), new_user("alice")).await, Err(Problem::Exists { .. })));
    for bad in ["", "A", "a b", "a$b", "a+b", "a/b", "-"] {
        assert!(matches!(world.access.add_user(&operator(), new_user(bad)).await, Err(Problem::Invalid(_))), "{bad}");
    }
}

#[tokio::test]
async fn grants_are_made_by_who_administers_the_whole_pattern() {
    let world = World::peopled().await;
    let (alice, bob) = (world.by("alice").await, world.by("bob").await);
    let grant = world.access.add_grant(&alice, permission("user:bob", "pull", "alice/model")).await.unwrap();
    world.access.add_grant(&alice, permission("signed-in", "pull", "alice/open/**")).await.unwrap();
    for elsewhere in ["bob/x", "alice", "**", "*/model", "alic*/x"] {
        let refused = world.access.add_grant(&alice, permission("user:bob", "pull", elsewhere)).await;
        assert!(matches!(refused, Err(Problem::NotAllowed(_))), "{elsewhere}: {refused:?}");
    }
    for nobody in ["user:nobody", "group:nobody", "robot:nobody"] {
        let refused = world.access.add_grant(&alice, permission(nobody, "pull", "alice/x")).await;
        assert!(matches!(refused, Err(Problem::Absent { .. })), "{nobody}");
    }
    assert!(matches!(
        world.access.add_grant(&alice, permission("user:bob", "", "alice/x")).await,
        Err(Problem::Invalid(_))
    ));
    assert!(
        matches!(world.access.remove_grant(&bob, grant).await, Err(Problem::Absent { .. })),
        "not whom it is about"
    );
    assert_eq!(world.access.grant(&bob, grant).await.unwrap().id, grant, "who sees it though");
    let seen = |page: larder_access::Page<larder_access::Grant>| page.items.len();
    let all = GrantFilter::default();
    assert_eq!(seen(world.access.grants(&alice, &all, None, 10).await.unwrap()), 2);
    assert_eq!(seen(world.access.grants(&bob, &all, None, 10).await.unwrap()), 1);
    assert_eq!(seen(world.access.grants(&world.anonymous().await, &all, None, 10).await.unwrap()), 0);
    world.access.remove_grant(&alice, grant).await.unwrap();
}

#[tokio::test]
async fn an_administrator_whom_a_deny_locks_out_takes_it_back() {
    let world = World::peopled().await;
    let grant = world.grant("signed-in", "pull,push,delete,tag-move,admin", "**", Effect::Deny).await;
    let admin = world.by("admin").await;
    assert_eq!(world.login("admin").await.rights.verdict(Action::Pull, &name("a/b")), Verdict::Denied);
    assert!(world.access.add_grant(&admin, permission("user:bob", "pull", "a/b")).await.is_err());
    world.access.remove_grant(&admin, grant).await.unwrap();
    assert_eq!(world.login("admin").await.rights.verdict(Action::Pull, &name("a/b")), Verdict::Allowed);
}

#[tokio::test]
async fn a_token_makes_no_token_that_may_more() {
    let world = World::peopled().await;
    let alice = world.by("alice").await;
    let (row, plain) = world.token(&alice, "pull,push", &["alice/**"], Some(3600)).await.unwrap();
    let by = By::of(&world.bearer(plain.reveal()).await.unwrap(), HERE, None);
    let (smaller, _) = world.token(&by, "pull", &["alice/model"], None).await.unwrap();
    assert_eq!(smaller.expires, row.expires, "and none that lives longer");
    for (limits, patterns) in
        [("pull,delete", &["alice/x"][..]), ("pull", &["**"]), ("pull", &[]), ("admin", &["alice/x"])]
    {
        let refused = world.token(&by, limits, patterns, None).await;
        assert!(matches!(refused, Err(Problem::NotAllowed(_))), "{limits} {patterns:?}");
    }
    assert!(world.access.add_grant(&by, permission("user:bob", "pull", "alice/x")).await.is_err(), "nor grants");
    let admin = world.by("admin").await;
    let (_, admins) = world.token(&admin, "pull", &[], None).await.unwrap();
    let by = By::of(&world.bearer(admins.reveal()).await.unwrap(), HERE, None);
    assert!(!by.is_administrator() && world.access.users(&by, None, 10).await.is_err());
}

#[tokio::test]
async fn tokens_are_their_owners_business() {
    let world = World::peopled().await;
    let (alice, bob, admin) = (world.by("alice").await, world.by("bob").await, world.by("admin").await);
    let (row, _) = world.token(&alice, "pull", &[], None).await.unwrap();
    assert!(matches!(world.access.revoke_token(&bob, &row.id).await, Err(Problem::Absent { .. })));
    assert!(world.access.tokens(&bob, Some("user:alice"), None, 10).await.is_err());
    assert_eq!(world.access.tokens(&alice, None, None, 10).await.unwrap().items.len(), 1);
    assert_eq!(world.access.tokens(&admin, Some("user:alice"), None, 10).await.unwrap().items.len(), 1);
    for by in [&bob, &admin] {
        let new = larder_access::NewCredential {
            owner: Some("user:alice".to_owned()),
            name: "t".to_owned(),
            actions: actions("pull"),
            patterns: Vec::new(),
            ttl: None,
        };
        assert!(
            matches!(world.access.create_token(by, new).await, Err(Problem::NotAllowed(_))),
            "nobody speaks for another"
        );
    }
    assert!(world.token(&world.anonymous().await, "pull", &[], None).await.is_err());
    world.access.revoke_token(&admin, &row.id).await.expect("an administrator revokes any");
    assert!(matches!(world.access.revoke_token(&alice, &row.id).await, Err(Problem::Absent { .. })), "once");
}

#[tokio::test]
async fn a_trust_fixes_its_owner_and_is_checked() {
    let world = World::peopled().await;
    let alice = world.by("alice").await;
    world.access.add_trust(&alice, trust("ci", "alice/**")).await.unwrap();
    assert!(matches!(world.access.add_trust(&alice, trust("ci2", "bob/**")).await, Err(Problem::NotAllowed(_))));
    let bob = world.by("bob").await;
    assert!(matches!(world.access.trust(&bob, "ci").await, Err(Problem::Absent { .. })));
    assert!(matches!(world.access.remove_trust(&bob, "ci").await, Err(Problem::Absent { .. })));
    assert!(matches!(world.access.set_trust_disabled(&bob, "ci", true).await, Err(Problem::Absent { .. })));
    let on = |issuer: &str, claim: &str, value: &str| NewTrust {
        issuer: issuer.to_owned(),
        conditions: vec![Condition { claim: claim.to_owned(), values: vec![value.to_owned()] }],
        ..trust("shared", "alice/**")
    };
    let github = "https://token.actions.githubusercontent.com";
    for refused in [
        on(github, "repository", "team/model"),
        on(github, "repository_owner_id", "4*"),
        on("https://gitlab.com", "project_path", "team/model"),
        on("http://issuer.example", "a", "b"),
        on("ftp://issuer.example", "a", "b"),
        NewTrust { conditions: Vec::new(), ..trust("x", "alice/**") },
        NewTrust { audience: String::new(), ..trust("x", "alice/**") },
        NewTrust { patterns: Vec::new(), ..trust("x", "alice/**") },
        NewTrust { actions: actions(""), ..trust("x", "alice/**") },
        NewTrust { ttl: Duration::from_secs(13 * 3600), ..trust("x", "alice/**") },
    ] {
        let shown = format!("{refused:?}");
        assert!(matches!(world.access.add_trust(&alice, refused).await, Err(Problem::Invalid(_))), "{shown}");
    }
    world.access.add_trust(&alice, on(github, "repository_owner_id", "42")).await.unwrap();
}

#[tokio::test]
async fn the_explanation_names_the_grants() {
    let world = World::peopled().await;
    world.access.add_group(&operator(), "ml", "").await.unwrap();
    world.access.add_member(&operator(), "ml", "bob").await.unwrap();
    world.grant("group:ml", "pull,push", "team/**", Effect::Allow).await;
    let deny = world.grant("user:bob", "push", "team/prod", Effect::Deny).await;
    let explanation = world.access.explain(&operator(), "user:bob", &name("team/prod")).await.unwrap();
    let of = |action: Action| explanation.actions.iter().find(|(which, ..)| *which == action).unwrap().clone();
    let (_, permitted, verdict, reasons) = of(Action::Push);
    assert!(!permitted && verdict == Verdict::Denied);
    assert_eq!(reasons[0].to_string(), format!("denied by grant {deny} to user:bob (push on team/prod)"));
    assert!(reasons[1].to_string().contains("to group:ml"), "{}", reasons[1]);
    assert!(of(Action::Pull).1 && !of(Action::Delete).1 && of(Action::Delete).3.is_empty());
    let bob = world.by("bob").await;
    world.access.explain(&bob, "user:bob", &name("team/prod")).await.expect("about oneself");
    assert!(world.access.explain(&bob, "user:alice", &name("team/prod")).await.is_err());
    world.access.explain(&bob, "user:alice", &name("bob/x")).await.expect("about one's own repository");
    assert!(matches!(world.access.explain(&operator(), "user:nobody", &name("a")).await, Err(Problem::Absent { .. })));
    assert!(matches!(world.access.explain(&operator(), "nonsense", &name("a")).await, Err(Problem::Invalid(_))));
    assert!(!world.access.explain(&operator(), "anonymous", &name("a")).await.unwrap().public);
}

#[tokio::test]
async fn who_made_a_repository_administers_it() {
    let world = World::peopled().await;
    world.grant("user:alice", "push", "team/**", Effect::Allow).await;
    world.repository("team/model", "user:alice").await;
    let alice = world.login("alice").await;
    assert_eq!(alice.rights.verdict(Action::Admin, &name("team/model")), Verdict::Allowed);
    assert_eq!(alice.rights.verdict(Action::Admin, &name("team/other")), Verdict::Silent);
}

#[tokio::test]
async fn changes_stand_in_the_audit_with_who_and_from_where() {
    let world = World::peopled().await;
    let alice = By::of(&world.login("alice").await, HERE, Some("request-7".to_owned()));
    world.access.add_grant(&alice, permission("user:bob", "pull", "alice/model")).await.unwrap();
    let page = world.access.audit(&operator(), &Default::default(), None, 10).await.unwrap();
    let entry = page.items.iter().find(|entry| entry.action == "grant.added").unwrap();
    assert_eq!((entry.identity.as_str(), entry.credential.as_deref()), ("user:alice", Some("password")));
    assert_eq!((entry.address.as_deref(), entry.request_id.as_deref()), (Some("192.0.2.1"), Some("request-7")));
    let subject: Subject = "user:bob".parse().unwrap();
    assert!(entry.detail.as_deref().unwrap_or_default().contains("bob") && subject.to_string() == "user:bob");
}
