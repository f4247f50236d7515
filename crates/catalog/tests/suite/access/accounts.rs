//! Users, robots, groups.

use larder_catalog::model::access::{
    Changed, CreateUser, Group, Invitation, NewRobot, NewUser, RobotChange, TokenKind, User, UserChange, UserSource,
};

use super::{of, pull, repositories, user};
use crate::fixture::{Fixture, at, name, pattern, session, stamp, token};

crate::on_every_database!(
    the_first_user_is_an_administrator,
    a_name_under_which_others_repositories_lie_is_taken,
    a_former_users_repositories_are_not_the_next_ones,
    a_user_is_changed_part_by_part,
    the_last_administrator_stays,
    a_removed_user_leaves_nothing_that_speaks_for_it,
    who_was_seen_is_noted_once_and_never_earlier,
    robots_come_and_go_with_what_is_theirs,
    groups_have_members_with_and_without_accounts,
    what_a_provider_states_about_groups_ends_when_it_does,
);

fn new(text: &str) -> NewUser {
    NewUser { name: text.to_owned(), ..NewUser::default() }
}

async fn the_first_user_is_an_administrator(f: Fixture) {
    assert!(!f.accounts_exist().await.expect("answered"));
    let first = f.create_user(new("alice"), stamp(3)).await.expect("answered");
    assert_eq!(first, CreateUser::Created { administrator: true });
    assert!(f.accounts_exist().await.expect("answered"));
    let bob = NewUser { source: UserSource::Ldap, email: Some("bob@example.org".to_owned()), ..new("bob") };
    let second = f.create_user(bob, stamp(3)).await.expect("answered");
    assert_eq!(second, CreateUser::Created { administrator: false });
    let third = NewUser { administrator: true, ..new("carol") };
    assert_eq!(f.create_user(third, stamp(3)).await.expect("answered"), CreateUser::Created { administrator: true });
    assert_eq!(f.create_user(new("bob"), stamp(3)).await.expect("answered"), CreateUser::Exists);
    let expected = User {
        name: "bob".to_owned(),
        administrator: false,
        disabled: false,
        email: Some("bob@example.org".to_owned()),
        password: None,
        revision: 1,
        created: at(3),
        last_seen: None,
        source: UserSource::Ldap,
    };
    assert_eq!(f.user("bob").await.expect("answered"), Some(expected));
    assert_eq!(f.user("eve").await.expect("answered"), None);
    let page = f.users(Some("alice"), 1).await.expect("listed");
    assert_eq!((page.items[0].name.as_str(), page.items.len(), page.more), ("bob", 1, true));
}

/// Case 11.
async fn a_name_under_which_others_repositories_lie_is_taken(f: Fixture) {
    repositories(&f, "anonymous", &["first/model", "bob/model"]).await;
    repositories(&f, "user:carol", &["carol/model"]).await;
    repositories(&f, "user:eve", &["dave", "ev", "eve-2/x", "eve.x"]).await;
    let made = f.create_user(new("first"), stamp(1)).await.expect("answered");
    assert_eq!(made, CreateUser::Created { administrator: true }, "the first user sees everything anyway");
    let taken = |text: &str| CreateUser::NameTaken(name(text));
    assert_eq!(f.create_user(new("bob"), stamp(1)).await.expect("answered"), taken("bob/model"));
    assert_eq!(f.create_user(new("dave"), stamp(1)).await.expect("answered"), taken("dave"));
    for own in ["carol", "eve"] {
        let made = f.create_user(new(own), stamp(1)).await.expect("answered");
        assert_eq!(made, CreateUser::Created { administrator: false }, "{own}");
    }
    assert_eq!(f.user("bob").await.expect("answered"), None);
}

async fn a_former_users_repositories_are_not_the_next_ones(f: Fixture) {
    user(&f, "admin").await;
    user(&f, "bob").await;
    repositories(&f, "user:bob", &["bob/model"]).await;
    assert_eq!(f.remove_user("bob", stamp(2)).await.expect("answered"), Changed::Done);
    let again = f.create_user(new("bob"), stamp(3)).await.expect("answered");
    assert_eq!(again, CreateUser::NameTaken(name("bob/model")));
    f.remove_repository(&name("bob/model"), stamp(4), at(9), None).await.expect("removed");
    let again = f.create_user(new("bob"), stamp(5)).await.expect("answered");
    assert_eq!(again, CreateUser::Created { administrator: false });
}

async fn a_user_is_changed_part_by_part(f: Fixture) {
    user(&f, "admin").await;
    user(&f, "bob").await;
    let set = async |change: UserChange| {
        assert_eq!(f.set_user("bob", change, stamp(1)).await.expect("answered"), Changed::Done);
        f.user("bob").await.expect("answered").expect("bob")
    };
    let email = Some("bob@example.org".to_owned());
    let bob = set(UserChange { email: Some(email.clone()), ..UserChange::default() }).await;
    assert_eq!((bob.email, bob.password.as_deref(), bob.revision), (email.clone(), Some("hash of bob"), 1));
    let bob = set(UserChange { password: Some(Some("another".to_owned())), ..UserChange::default() }).await;
    assert_eq!((bob.email, bob.password.as_deref(), bob.revision), (email, Some("another"), 2));
    let bob = set(UserChange { administrator: Some(true), ..UserChange::default() }).await;
    assert!(bob.administrator && bob.revision == 2);
    let bob = set(UserChange { disabled: Some(true), ..UserChange::default() }).await;
    assert!(bob.disabled && bob.revision == 3);
    let bob = set(UserChange { disabled: Some(false), email: Some(None), ..UserChange::default() }).await;
    assert!(!bob.disabled && bob.revision == 3 && bob.email.is_none());
    let nobody = f.set_user("eve", UserChange::default(), stamp(1)).await.expect("answered");
    assert_eq!(nobody, Changed::Absent);
    let debug =
        format!("{bob:?} {:?}", UserChange { password: Some(Some("secret".to_owned())), ..UserChange::default() });
    assert!(!debug.contains("another") && !debug.contains("secret"), "{debug}");
}

async fn the_last_administrator_stays(f: Fixture) {
    user(&f, "admin").await;
    user(&f, "bob").await;
    let demote = UserChange { administrator: Some(false), ..UserChange::default() };
    let disable = UserChange { disabled: Some(true), ..UserChange::default() };
    for change in [&demote, &disable] {
        let refused = f.set_user("admin", change.clone(), stamp(1)).await.expect("answered");
        assert_eq!(refused, Changed::LastAdministrator);
    }
    assert_eq!(f.remove_user("admin", stamp(1)).await.expect("answered"), Changed::LastAdministrator);
    let promote = UserChange { administrator: Some(true), ..UserChange::default() };
    assert_eq!(f.set_user("bob", promote, stamp(1)).await.expect("answered"), Changed::Done);
    assert_eq!(f.set_user("bob", disable, stamp(1)).await.expect("answered"), Changed::Done);
    let refused = f.remove_user("admin", stamp(1)).await.expect("answered");
    assert_eq!(refused, Changed::LastAdministrator, "one that is disabled does not count");
    let enable = UserChange { disabled: Some(false), ..UserChange::default() };
    assert_eq!(f.set_user("bob", enable, stamp(1)).await.expect("answered"), Changed::Done);
    assert_eq!(f.remove_user("admin", stamp(1)).await.expect("answered"), Changed::Done);
    assert_eq!(f.remove_user("admin", stamp(1)).await.expect("answered"), Changed::Absent);
}

async fn a_removed_user_leaves_nothing_that_speaks_for_it(f: Fixture) {
    user(&f, "admin").await;
    user(&f, "alice").await;
    let group = Group { name: "team".to_owned(), description: String::new() };
    assert!(f.create_group(group, stamp(1)).await.expect("answered"));
    assert!(f.add_member("team", "alice", stamp(1)).await.expect("answered"));
    f.add_grant(pull(of("alice"), "*/x"), stamp(1)).await.expect("granted");
    for (n, kind) in [TokenKind::Access, TokenKind::Refresh].into_iter().enumerate() {
        assert!(f.create_token(token(n, kind), stamp(1)).await.expect("answered"));
    }
    let invitation = Invitation { user: "alice".to_owned(), expires: at(99) };
    assert!(f.add_invitation(&[7; 32], invitation, stamp(1)).await.expect("answered"));
    f.create_session(&[7; 32], session("s1", 99), stamp(1)).await.expect("begun");
    assert_eq!(f.remove_user("alice", stamp(2)).await.expect("answered"), Changed::Done);
    assert_eq!(f.token_by_hash(&[0; 32]).await.expect("answered"), None);
    assert_eq!(f.token_by_hash(&[1; 32]).await.expect("answered"), None);
    assert_eq!(f.grants_for(&[of("alice")]).await.expect("listed"), []);
    assert_eq!(f.groups_of("alice").await.expect("listed"), [""; 0]);
    assert_eq!(f.invitation(&[7; 32], at(2)).await.expect("answered"), None);
    assert_eq!(f.session(&[7; 32], at(2)).await.expect("answered"), None);
}

async fn who_was_seen_is_noted_once_and_never_earlier(f: Fixture) {
    user(&f, "admin").await;
    let robot = NewRobot { name: "ci".to_owned(), pattern: pattern("team/**"), description: String::new() };
    assert!(f.create_robot(robot, stamp(0)).await.expect("answered"));
    let version = f.access_version().await.expect("a version");
    for minute in [5, 3] {
        let seen = ["user:admin", "robot:ci", "user:nobody", "anonymous"].map(|who| (who.to_owned(), at(minute)));
        f.seen(&seen).await.expect("noted");
    }
    assert_eq!(f.user("admin").await.expect("answered").expect("admin").last_seen, Some(at(5)));
    assert_eq!(f.robot("ci").await.expect("answered").expect("ci").last_seen, Some(at(5)));
    assert_eq!(f.access_version().await.expect("a version"), version, "nothing that decisions depend on");
}

async fn robots_come_and_go_with_what_is_theirs(f: Fixture) {
    let robot = NewRobot { name: "ci".to_owned(), pattern: pattern("team/**"), description: "builds".to_owned() };
    assert!(f.create_robot(robot.clone(), stamp(1)).await.expect("answered"));
    assert!(!f.create_robot(robot, stamp(1)).await.expect("answered"));
    assert!(f.accounts_exist().await.expect("answered"));
    let change = RobotChange { pattern: Some(pattern("*/ci")), disabled: Some(true), ..RobotChange::default() };
    assert!(f.set_robot("ci", change, stamp(2)).await.expect("answered"));
    assert!(!f.set_robot("cd", RobotChange::default(), stamp(2)).await.expect("answered"));
    let found = f.robot("ci").await.expect("answered").expect("ci");
    assert_eq!((found.pattern.as_str(), found.description.as_str(), found.disabled), ("*/ci", "builds", true));
    assert_eq!((found.created, found.created_by.as_str()), (at(1), "alice"));
    assert_eq!(f.robots(None, 1).await.expect("listed").items, [found]);
    let subject = larder_catalog::model::access::Subject::Robot("ci".to_owned());
    f.add_grant(pull(subject.clone(), "*/ci"), stamp(2)).await.expect("granted");
    let mut own = token(0, TokenKind::Access);
    own.owner = "robot:ci".to_owned();
    assert!(f.create_token(own, stamp(2)).await.expect("answered"));
    assert!(f.remove_robot("ci", stamp(3)).await.expect("answered"));
    assert!(!f.remove_robot("ci", stamp(3)).await.expect("answered"));
    assert_eq!(f.grants_for(&[subject]).await.expect("listed"), []);
    assert_eq!(f.token("t0").await.expect("answered"), None);
}

async fn groups_have_members_with_and_without_accounts(f: Fixture) {
    let group = |text: &str| Group { name: text.to_owned(), description: "people".to_owned() };
    for text in ["a", "b"] {
        assert!(f.create_group(group(text), stamp(1)).await.expect("answered"));
    }
    assert!(!f.create_group(group("a"), stamp(1)).await.expect("answered"));
    for (group, user, there) in
        [("a", "x", true), ("b", "x", true), ("a", "y", true), ("a", "x", true), ("c", "x", false)]
    {
        assert_eq!(f.add_member(group, user, stamp(1)).await.expect("answered"), there, "{group} {user}");
    }
    assert_eq!(f.groups_of("x").await.expect("listed"), ["a", "b"]);
    let page = f.members("a", None, 1).await.expect("listed").expect("the group");
    assert_eq!((page.items, page.more), (vec!["x".to_owned()], true));
    let page = f.members("a", Some("x"), 1).await.expect("listed").expect("the group");
    assert_eq!((page.items, page.more), (vec!["y".to_owned()], false));
    assert_eq!(f.members("c", None, 1).await.expect("listed"), None);
    assert!(f.remove_member("a", "y", stamp(2)).await.expect("answered"));
    assert!(!f.remove_member("a", "y", stamp(2)).await.expect("answered"));
    assert!(f.set_group("b", "others", stamp(2)).await.expect("answered"));
    assert_eq!(f.group("b").await.expect("answered").expect("b").description, "others");
    assert_eq!(f.groups(Some("a"), 9).await.expect("listed").items.len(), 1);
    assert!(f.remove_group("a", stamp(3)).await.expect("answered"));
    assert!(!f.remove_group("a", stamp(3)).await.expect("answered"));
    assert_eq!(f.groups_of("x").await.expect("listed"), ["b"]);
}

/// CVE-2025-23208: a list of groups that only ever grew.
async fn what_a_provider_states_about_groups_ends_when_it_does(f: Fixture) {
    for text in ["here", "ops", "team"] {
        let group = Group { name: text.to_owned(), description: String::new() };
        assert!(f.create_group(group, stamp(1)).await.expect("answered"));
    }
    assert!(f.add_member("here", "bob", stamp(1)).await.expect("answered"));
    let state = async |groups: &[&str]| {
        let groups: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        let changed = f.set_external_groups("bob", &groups, stamp(2)).await.expect("answered");
        (changed, f.groups_of("bob").await.expect("listed"))
    };
    let owned = |groups: &[&str]| groups.iter().map(|&group| group.to_owned()).collect::<Vec<_>>();
    assert_eq!(state(&["team", "ops", "unknown"]).await, (true, owned(&["here", "ops", "team"])));
    assert_eq!(state(&["team", "ops"]).await, (false, owned(&["here", "ops", "team"])));
    assert_eq!(state(&["ops"]).await, (true, owned(&["here", "ops"])));
    assert!(f.add_member("ops", "bob", stamp(3)).await.expect("answered"));
    assert_eq!(state(&[]).await, (false, owned(&["here", "ops"])), "what was made here stays");
}
