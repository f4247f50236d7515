//! Pages about accounts and access, as an administrator and as everybody else uses them.

use http::Method;
use serde_json::{Value, json};

use crate::access::fixture::{Guarded, password};
use crate::browser::{Browser, hidden, text};
use crate::world::Answer;

const HOSTILE: &str = "\"><script>alert(1)</script>";

/// A registry, and its administrator's browser.
async fn administered() -> (Guarded, Browser) {
    let guarded = Guarded::new().await;
    let root = signed_in(&guarded, "root").await;
    (guarded, root)
}

async fn signed_in(guarded: &Guarded, user: &str) -> Browser {
    let browser = Browser::new(guarded.stranger());
    browser.sign_in(user).await.expect(303);
    browser
}

/// Sends a form of a page that was just loaded.
async fn fill(browser: &Browser, page: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    let page = browser.open(page).await;
    page.expect(200);
    browser.send(&page, path, fields).await
}

/// A form that changes something, and the page after it says so.
#[track_caller]
fn says(answer: &Answer, words: &str) -> String {
    answer.expect(200);
    let page = text(answer);
    assert!(page.contains(words), "{words:?} is not in {page}");
    page
}

/// A form that cannot be done: the fault at its field, what was typed still there, and nothing of it markup.
#[track_caller]
fn refused(answer: &Answer, status: u16, field: &str, kept: &str) {
    answer.expect(status);
    let page = text(answer);
    assert!(page.contains(&format!("id=\"{field}-fault\"")), "no fault at {field} in {page}");
    assert!(page.contains(kept), "{kept:?} is not in {page}");
    assert!(!page.contains("<script>alert"), "{page}");
}

async fn api(guarded: &Guarded, path: &str) -> Value {
    guarded.operator().get(path).await.json()
}

async fn audited(guarded: &Guarded, action: &str) -> bool {
    let audit = api(guarded, &format!("/api/v1/audit?action={action}&identity=user:root")).await;
    audit["entries"].as_array().is_some_and(|entries| !entries.is_empty())
}

#[tokio::test]
async fn a_user_is_invited_changed_disabled_and_removed() {
    let (guarded, root) = administered().await;
    let made =
        fill(&root, "/access/users", "/access/users", &[("name", "carol"), ("email", "carol@example.org")]).await;
    let page = root.follow(&made).await;
    assert_eq!(page.header("cache-control"), "no-store");
    let page = says(&page, "Pass this link on");
    let link = page.split("http://localhost:5000/invitation?token=").nth(1).expect("a link");
    let path = format!("/invitation?token={}", link.split(['<', '"']).next().expect("its secret"));
    assert!(!text(&root.open(made.header("location")).await).contains("Pass this link on"), "it is shown once");
    let carol = Browser::new(guarded.stranger());
    let welcome = carol.open(&path).await;
    carol.submit(&welcome, "/invitation", &[("password", &password("carol"))]).await.expect(303);
    carol.open("/account").await.expect(200);

    let at = "/access/users/carol";
    let done = async |fields: &[(&str, &str)], said: &str| {
        let answer = fill(&root, at, at, fields).await;
        says(&root.follow(&answer).await, said)
    };
    done(&[("do", "email"), ("email", "c@example.org")], "mail address is changed").await;
    done(&[("do", "promote")], "An administrator from now on").await;
    assert_eq!(api(&guarded, "/api/v1/users/carol").await["administrator"], true);
    done(&[("do", "demote")], "No administrator any more").await;
    done(&[("do", "disable")], "Disabled").await;
    guarded.as_user("carol").get("/api/v1/whoami").await.expect(401);
    done(&[("do", "enable")], "Enabled again").await;
    let again = fill(&root, at, at, &[("do", "invite")]).await;
    says(&root.follow(&again).await, "Pass this link on");
    let user = api(&guarded, "/api/v1/users/carol").await;
    assert_eq!((&user["email"], &user["disabled"]), (&json!("c@example.org"), &json!(false)));

    refused(&fill(&root, at, at, &[("do", "remove"), ("confirm", "carl")]).await, 400, "confirm", "Type carol");
    let gone = fill(&root, at, at, &[("do", "remove"), ("confirm", "carol")]).await;
    says(&root.follow(&gone).await, "carol has no account any more");
    root.open(at).await.expect(404);
    for action in ["user.created", "user.removed"] {
        assert!(audited(&guarded, action).await, "{action}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_user_is_said_at_its_field() {
    let (guarded, root) = administered().await;
    guarded.user("alice").await;
    guarded.operator().image("taken/model", "1").await;
    let send = async |name: &str, email: &str| {
        fill(&root, "/access/users", "/access/users", &[("name", name), ("email", email), ("administrator", "yes")])
            .await
    };
    refused(&send("alice", "a@example.org").await, 400, "name", "value=\"a@example.org\"");
    refused(&send("Not A Name", "").await, 400, "name", "value=\"Not A Name\"");
    refused(&send(HOSTILE, HOSTILE).await, 400, "name", "name=\"administrator\" value=\"yes\" checked");
    refused(&send("taken", "").await, 400, "name", "taken/model");
    refused(&send("bob", "no address").await, 400, "email", "value=\"bob\"");
    let at = "/access/users/root";
    let last = fill(&root, at, at, &[("do", "demote")]).await;
    last.expect(409);
    assert!(text(&last).contains("root is the last administrator"), "{}", text(&last));
    refused(&fill(&root, at, at, &[("do", "email"), ("email", HOSTILE)]).await, 400, "email", "Save the address");
    fill(&root, at, at, &[("do", "fly")]).await.expect(400);
    root.open("/access/users/nobody").await.expect(404);
    root.open("/access/users/%3Cscript%3E").await.expect(404);
    assert_eq!(api(&guarded, "/api/v1/users").await["users"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_group_is_made_filled_and_removed() {
    let (guarded, root) = administered().await;
    guarded.user("alice").await;
    let made = fill(&root, "/access/groups", "/access/groups", &[("name", "ml"), ("description", "Models")]).await;
    says(&root.follow(&made).await, "The group ml is there");
    let at = "/access/groups/ml";
    refused(&fill(&root, at, at, &[("do", "add"), ("member", "nobody")]).await, 400, "member", "value=\"nobody\"");
    let added = fill(&root, at, at, &[("do", "add"), ("member", "alice")]).await;
    says(&root.follow(&added).await, "href=\"/access/users/alice\"");
    assert_eq!(api(&guarded, "/api/v1/groups/ml/members").await["members"], json!(["alice"]));
    let out = fill(&root, at, at, &[("do", "take-out"), ("member", "alice")]).await;
    says(&root.follow(&out).await, "Nobody is in it yet");
    let described = fill(&root, at, at, &[("do", "describe"), ("description", HOSTILE)]).await;
    assert!(!text(&root.follow(&described).await).contains("<script>alert"));
    fill(&root, at, at, &[("do", "describe"), ("description", "a\u{7}b")]).await.expect(400);
    refused(
        &fill(&root, "/access/groups", "/access/groups", &[("name", "ml"), ("description", "kept")]).await,
        400,
        "name",
        "value=\"kept\"",
    );
    refused(&fill(&root, at, at, &[("do", "remove"), ("confirm", "")]).await, 400, "confirm", "Type ml");
    let gone = fill(&root, at, at, &[("do", "remove"), ("confirm", "ml")]).await;
    says(&root.follow(&gone).await, "No group yet");
    root.open(at).await.expect(404);
    assert!(audited(&guarded, "group").await);
}

#[tokio::test]
async fn a_robot_is_made_and_gets_a_token_once() {
    let (guarded, root) = administered().await;
    guarded.operator().image("team/model", "1").await;
    let fields = [("name", "ci"), ("pattern", "team/**"), ("actions", "pull"), ("description", "builds")];
    let page = says(
        &root.follow(&fill(&root, "/access/robots", "/access/robots", &fields).await).await,
        "The robot ci is there",
    );
    assert!(page.contains("href=\"/access/tokens?owner=robot:ci\""), "{page}");
    let tokens = "/access/tokens?owner=robot:ci";
    let made = [("name", "nightly"), ("actions", "pull"), ("patterns", "team/model\r\nteam/x"), ("days", "30")];
    let made = fill(&root, tokens, "/access/tokens", &made).await;
    let shown = root.follow(&made).await;
    assert_eq!(shown.header("cache-control"), "no-store");
    let page = says(&shown, "The new token");
    assert!(page.contains("docker login localhost:5000 -u ci"), "{page}");
    let secret = page.split("ldr_").nth(1).expect("a token").chars().take_while(char::is_ascii_alphanumeric);
    let secret = format!("ldr_{}", secret.collect::<String>());
    let robot = guarded.stranger().basic("ci", &secret);
    robot.get("/v2/team/model/manifests/1").await.expect(200);
    assert!(!text(&root.open(made.header("location")).await).contains(&secret), "it is shown once");
    let list = api(&guarded, "/api/v1/tokens?owner=robot:ci").await;
    let id = list["tokens"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(list["tokens"][0]["repositories"], json!(["team/model", "team/x"]));
    let revoked = fill(&root, tokens, "/access/tokens", &[("do", "revoke"), ("id", &id)]).await;
    says(&root.follow(&revoked).await, "Revoked");
    robot.get("/v2/team/model/manifests/1").await.expect(401);

    for (field, value, at) in [
        ("days", "0", "days"),
        ("days", "x", "days"),
        ("patterns", "**/Bad", "patterns"),
        ("actions", "fly", "actions"),
    ] {
        let mut fields = vec![("name", "kept"), ("actions", "pull"), ("patterns", ""), ("days", "7")];
        fields.retain(|(name, _)| *name != field);
        fields.push((field, value));
        refused(&fill(&root, tokens, "/access/tokens", &fields).await, 400, at, "value=\"kept\"");
    }
    let at = "/access/robots/ci";
    let disabled = fill(&root, at, at, &[("do", "disable")]).await;
    says(&root.follow(&disabled).await, "Disabled");
    assert_eq!(api(&guarded, "/api/v1/robots/ci").await["disabled"], true);
    let described = fill(&root, at, at, &[("do", "describe"), ("description", HOSTILE)]).await;
    assert!(!text(&root.follow(&described).await).contains("<script>alert"));
    let gone = fill(&root, at, at, &[("do", "remove"), ("confirm", "ci")]).await;
    says(&root.follow(&gone).await, "The robot ci is gone");
    for (name, pattern, field) in
        [("ok", "Bad Pattern", "pattern"), ("Bad Name", "team/**", "name"), ("root", HOSTILE, "pattern")]
    {
        let fields = [("name", name), ("pattern", pattern), ("actions", "push")];
        refused(&fill(&root, "/access/robots", "/access/robots", &fields).await, 400, field, "value=\"push\" checked");
    }
    assert!(text(&root.open("/access/tokens?owner=robot:gone").await).contains("There is no robot gone"));
    assert!(audited(&guarded, "robot").await && audited(&guarded, "token").await);
}

#[tokio::test]
async fn a_grant_is_made_explained_and_taken_back() {
    let (guarded, root) = administered().await;
    let alice = guarded.user("alice").await;
    guarded.operator().image("team/model", "1").await;
    let fields = [
        ("subject", "alice"),
        ("pattern", "team/**"),
        ("actions", "pull"),
        ("actions", "push"),
        ("effect", "allow"),
        ("note", "for the audit"),
    ];
    let page = says(
        &root.follow(&fill(&root, "/access/grants", "/access/grants", &fields).await).await,
        "user:alice has a grant on team/**",
    );
    assert!(page.contains("for the audit"), "{page}");
    alice.get("/v2/team/model/manifests/1").await.expect(200);
    let why = says(&root.open("/access/explain?identity=alice&repository=team/model").await, "allowed by grant");
    assert!(why.contains("no rule says anything"), "delete is not granted: {why}");
    let filtered = text(&root.open("/access/grants?subject=user:alice&repositories=team/**").await);
    assert!(filtered.contains("for the audit"), "{filtered}");
    assert!(text(&root.open("/access/grants?subject=group:none").await).contains("No grant fits"));
    let id =
        api(&guarded, "/api/v1/grants?subject=user:alice&repositories=team/**").await["grants"][0]["id"].to_string();
    let back = fill(&root, "/access/grants", "/access/grants", &[("do", "remove"), ("id", &id)]).await;
    says(&root.follow(&back).await, "is taken back");
    alice.get("/v2/team/model/manifests/1").await.expect(403);

    for (subject, pattern, action, field) in [
        ("nobody", "team/**", "pull", "subject"),
        ("team:x", "team/**", "pull", "subject"),
        ("", "team/**", "pull", "subject"),
        ("alice", "Team", "pull", "pattern"),
        ("alice", HOSTILE, "pull", "pattern"),
        ("alice", "team/**", "none", "actions"),
    ] {
        let fields =
            [("subject", subject), ("pattern", pattern), ("actions", action), ("effect", "deny"), ("note", "kept")];
        let answer = fill(&root, "/access/grants", "/access/grants", &fields).await;
        refused(&answer, 400, field, "id=\"deny\" name=\"effect\" value=\"deny\" checked");
    }
    fill(&root, "/access/grants", "/access/grants", &[("do", "remove"), ("id", "99999")]).await.expect(404);
    for (query, field) in [("identity=nobody&repository=a", "identity"), ("identity=alice&repository=A", "repository")]
    {
        refused(&root.open(&format!("/access/explain?{query}")).await, 400, field, "");
    }
    root.open("/access/grants?subject=x:y").await.expect(400);
    assert!(audited(&guarded, "grant").await);
}

#[tokio::test]
async fn a_trust_is_made_changed_and_taken_out_of_use() {
    let (guarded, root) = administered().await;
    let good = [
        ("name", "gitlab"),
        ("issuer", "https://gitlab.com"),
        ("audience", "registry"),
        ("conditions", "namespace_id = 7\r\nref=main\r\nref=prod"),
        ("patterns", "team/**"),
        ("actions", "push"),
        ("minutes", "30"),
        ("max_age", ""),
    ];
    let made = fill(&root, "/access/trusts", "/access/trusts", &good).await;
    says(&root.follow(&made).await, "Tokens of https://gitlab.com are taken");
    let trust = api(&guarded, "/api/v1/trusts/gitlab").await;
    let conditions =
        json!([{ "claim": "namespace_id", "values": ["7"] }, { "claim": "ref", "values": ["main", "prod"] }]);
    assert_eq!((&trust["conditions"], &trust["expires_in"]), (&conditions, &json!(1800)));
    let at = "/access/trusts/gitlab";
    let changed =
        fill(&root, at, at, &[&good[1..], &[("do", "set"), ("single_use", "yes"), ("max_age", "60")]].concat()).await;
    let duplicates = changed.status == 303;
    assert!(duplicates, "{}", text(&changed));
    let changed = api(&guarded, "/api/v1/trusts/gitlab").await;
    assert_eq!(changed["single_use"], true);
    for (deed, disabled) in [("disable", true), ("enable", false)] {
        fill(&root, at, at, &[("do", deed)]).await.expect(303);
        assert_eq!(api(&guarded, "/api/v1/trusts/gitlab").await["disabled"], disabled);
    }
    for (field, value) in [
        ("issuer", "http://gitlab.com"),
        ("audience", ""),
        ("conditions", "ref=main"),
        ("conditions", ""),
        ("conditions", HOSTILE),
        ("patterns", "Team"),
        ("patterns", ""),
        ("minutes", "0"),
        ("minutes", "x"),
        ("max_age", "x"),
    ] {
        let fields: Vec<_> =
            good.iter().map(|(name, given)| (*name, if *name == field { value } else { *given })).collect();
        let fields: Vec<_> =
            fields.into_iter().map(|(name, given)| (name, if name == "name" { "other" } else { given })).collect();
        refused(&fill(&root, "/access/trusts", "/access/trusts", &fields).await, 400, field, "value=\"other\"");
        refused(&fill(&root, at, at, &[&fields[1..], &[("do", "set")]].concat()).await, 400, field, "Save the trust");
    }
    refused(&fill(&root, "/access/trusts", "/access/trusts", &good).await, 400, "name", "value=\"gitlab\"");
    let gone = fill(&root, at, at, &[("do", "remove"), ("confirm", "gitlab")]).await;
    says(&root.follow(&gone).await, "No trust yet");
    assert!(audited(&guarded, "trust").await);
}

#[tokio::test]
async fn sessions_are_shown_and_ended() {
    let (guarded, root) = administered().await;
    guarded.user("alice").await;
    let alice = signed_in(&guarded, "alice").await;
    let own = says(&alice.open("/account/devices").await, "This one");
    assert!(own.contains("192.0.2.7"), "{own}");
    guarded.pass(std::time::Duration::from_secs(1));
    let other = signed_in(&guarded, "alice").await;
    let ids: Vec<String> = api(&guarded, "/api/v1/sessions?identity=user:alice").await["sessions"]
        .as_array()
        .expect("sessions")
        .iter()
        .filter_map(|session| session["id"].as_str().map(str::to_owned))
        .collect();
    let ended = fill(&other, "/account/devices", "/account/devices", &[("id", &ids[0])]).await;
    says(&other.follow(&ended).await, "That device is signed out");
    alice.open("/account/devices").await.expect(303);
    says(&root.open("/access/sessions?identity=alice").await, &ids[1]);
    let ended =
        fill(&root, "/access/sessions?identity=alice", "/access/sessions", &[("id", &ids[1]), ("identity", "alice")])
            .await;
    says(&root.follow(&ended).await, "No browser is signed in");
    other.open("/account/devices").await.expect(303);
    // Nobody else's, whatever is sent.
    guarded.user("bob").await;
    let bob = signed_in(&guarded, "bob").await;
    let of_root = api(&guarded, "/api/v1/sessions?identity=user:root").await["sessions"][0]["id"].clone();
    let answer = fill(&bob, "/account/devices", "/account/devices", &[("id", of_root.as_str().expect("an id"))]).await;
    answer.expect(404);
    root.open("/account").await.expect(200);
}

#[tokio::test]
async fn the_audit_is_filtered_by_its_address() {
    let (guarded, root) = administered().await;
    guarded.user("alice").await;
    guarded.grant("user:alice", &["pull"], "team/**").await;
    let all = says(&root.open("/access/audit").await, "user.created");
    assert!(all.contains("grant."), "{all}");
    let users = says(&root.open("/access/audit?action=user").await, "user.created");
    assert!(!users.contains("<code title=\"Request ") || !users.contains(">grant."), "{users}");
    assert!(text(&root.open("/access/audit?identity=alice&outcome=denied").await).contains("Nothing fits"));
    assert!(text(&root.open("/access/audit?until=2020-01-01").await).contains("Nothing fits"));
    says(&root.open("/access/audit?since=2020-01-01&until=2100-01-01T00:00:00Z&repository=").await, "user.created");
    for query in ["since=yesterday", "until=x", "repository=Bad"] {
        let page = root.open(&format!("/access/audit?{query}")).await;
        page.expect(400);
        assert!(text(&page).contains("role=\"alert\""), "{query}");
    }
    for number in 0..60 {
        let user = json!({ "name": format!("u{number}"), "password": password("u") });
        guarded.operator().json(Method::POST, "/api/v1/users", &user).await.expect(201);
    }
    let first = text(&root.open("/access/audit?action=user.created").await);
    let next = first
        .split("rel=\"next\" href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("more")
        .replace("&#38;", "&");
    assert!(next.starts_with("/access/audit?action=user.created&after="), "{next}");
    let second = says(&root.open(&next).await, "user.created");
    assert!(second.contains("href=\"/access/audit?action=user.created\">Newest"), "{second}");
    let users = text(&root.open("/access/users").await);
    assert!(users.contains("href=\"/access/users?after=") && !users.contains("/access/users/u9\""), "{users}");
}

#[tokio::test]
async fn ones_own_password_is_changed_by_who_knows_it() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let alice = signed_in(&guarded, "alice").await;
    let at = "/account/password";
    let new = "another battery staple";
    let send = async |current: &str, new: &str, again: &str| {
        fill(&alice, at, at, &[("current", current), ("new", new), ("again", again)]).await
    };
    refused(&send("wrong", new, new).await, 403, "current", "The current password is not that");
    refused(&send(&password("alice"), new, "something else").await, 400, "again", "");
    refused(&send(&password("alice"), "short", "short").await, 400, "new", "");
    let page = text(&send(HOSTILE, HOSTILE, HOSTILE).await);
    assert!(!page.contains("alert(1)"), "a password is not shown again: {page}");
    let done = send(&password("alice"), new, new).await;
    done.expect(303);
    assert_eq!(done.header("location"), "/login?next=/account");
    alice.open("/account").await.expect(303);
    guarded.stranger().basic("alice", new).get("/api/v1/whoami").await.expect(200);
    guarded.access.tick().await;
    let denied = api(&guarded, "/api/v1/audit?identity=user:alice&outcome=denied").await;
    assert!(denied["entries"].as_array().is_some_and(|all| !all.is_empty()), "{denied}");
}

#[tokio::test]
async fn ones_own_tokens_are_made_shown_once_and_revoked() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let alice = signed_in(&guarded, "alice").await;
    let at = "/account/tokens";
    let fields = [("name", HOSTILE), ("actions", "pull"), ("patterns", "alice/**"), ("days", "")];
    let made = fill(&alice, at, at, &fields).await;
    let page = says(&alice.follow(&made).await, "The new token");
    assert!(!page.contains("<script>alert"), "{page}");
    let secret = page.split("ldr_").nth(1).expect("a token").chars().take_while(char::is_ascii_alphanumeric);
    let secret = format!("ldr_{}", secret.collect::<String>());
    let client = guarded.stranger().basic("alice", &secret);
    client.get("/api/v1/whoami").await.expect(200);
    // Not for somebody else, though he has the address.
    guarded.user("bob").await;
    let bob = signed_in(&guarded, "bob").await;
    let again = fill(&alice, at, at, &[("name", "two"), ("actions", "pull"), ("days", "1")]).await;
    assert!(!text(&bob.open(again.header("location")).await).contains("The new token"));
    says(&alice.follow(&again).await, "The new token");
    let tokens = api(&guarded, "/api/v1/tokens?owner=user:alice").await;
    let id = tokens["tokens"].as_array().and_then(|all| all.iter().find(|token| token["name"] == HOSTILE)).expect("it")
        ["id"]
        .clone();
    let id = id.as_str().expect("an id");
    fill(&bob, at, at, &[("name", "own"), ("actions", "pull"), ("days", "1")]).await.expect(303);
    let csrf = hidden(&bob.open(at).await).into_iter().find(|(name, _)| name == "csrf").expect("a token");
    let stolen = [csrf, ("do".to_owned(), "revoke".to_owned()), ("id".to_owned(), id.to_owned())];
    bob.post(at, &stolen).await.expect(404);
    let revoked = fill(&alice, at, at, &[("do", "revoke"), ("id", id)]).await;
    says(&alice.follow(&revoked).await, "The token is revoked");
    client.get("/api/v1/whoami").await.expect(401);
    // Whatever owner a form names, it is one's own.
    let forged = fill(&bob, at, at, &[("name", "x"), ("actions", "pull"), ("owner", "user:root")]).await;
    forged.expect(303);
    assert_eq!(api(&guarded, "/api/v1/tokens?owner=user:root").await["tokens"], json!([]));
}

#[tokio::test]
async fn others_see_their_account_and_strangers_nothing() {
    let guarded = Guarded::new().await;
    guarded.user("alice").await;
    let alice = signed_in(&guarded, "alice").await;
    let home = text(&alice.open("/").await);
    assert!(!home.contains("/access"), "{home}");
    let stranger = Browser::new(guarded.stranger());
    let places =
        ["users", "users/root", "groups", "robots", "grants", "explain", "tokens", "trusts", "sessions", "audit"];
    for place in places.iter().map(|place| format!("/access/{place}")).chain(["/access".to_owned()]) {
        let (hers, nobodys) = (alice.open(&place).await, stranger.open(&place).await);
        hers.expect(404);
        nobodys.expect(404);
        assert!(text(&hers).contains("Nothing to see here"), "{place}");
    }
    for place in ["", "/password", "/tokens", "/devices"] {
        alice.open(&format!("/account{place}")).await.expect(200);
        let away = stranger.open(&format!("/account{place}")).await;
        away.expect(303);
        assert_eq!(away.header("location"), format!("/login?next=/account{place}"));
    }
    alice.open("/account/other").await.expect(404);
    alice.open("/access/other").await.expect(404);
    // A robot has no account to look after.
    let (root, robot) =
        (guarded.as_user("root"), json!({ "name": "ci", "repositories": "team/**", "actions": ["pull"] }));
    root.json(Method::POST, "/api/v1/robots", &robot).await.expect(201);
    let secret = guarded.token_of(&root, &json!({ "owner": "robot:ci", "actions": ["pull"] })).await;
    guarded.stranger().basic("ci", &secret).get("/account").await.expect(404);
}
