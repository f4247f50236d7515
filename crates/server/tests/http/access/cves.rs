//! What went wrong elsewhere and concerns access (reliability §4.3), each as a request to this registry.

use http::Method;
use serde_json::{Value, json};

use super::fixture::{Guarded, token};
use crate::world::{IMAGE, descriptor, image, random, sha256};

/// zot CVE-2024-39897, Gitea CVE-2026-28740: knowing a digest is no right to its bytes, whichever way it is asked for.
#[tokio::test]
async fn cve_2024_39897_a_digest_opens_nothing() {
    let guarded = Guarded::new().await;
    let (root, mallory) = (guarded.as_user("root"), guarded.user("mallory").await);
    let layer = random(500);
    let digest = root.blob("root/secret", layer.clone()).await;
    let manifest = root.image("root/secret", "1").await;
    for repository in ["root/secret", "mallory/own", "mallory/other"] {
        let denied = if repository == "root/secret" { 403 } else { 404 };
        for digest in [digest, manifest] {
            mallory.get(&format!("/v2/{repository}/blobs/{digest}")).await.expect(denied);
            mallory.head(&format!("/v2/{repository}/blobs/{digest}")).await.expect(denied);
            mallory.get(&format!("/v2/{repository}/manifests/{digest}")).await.expect(denied);
        }
    }
    mallory.post(&format!("/v2/mallory/own/blobs/uploads/?mount={digest}&from=root/secret"), "").await.expect(202);
    mallory.post(&format!("/v2/mallory/own/blobs/uploads/?mount={digest}"), "").await.expect(202);
    // A manifest that names it, pushed without the bytes.
    let config = random(10);
    mallory.blob("mallory/own", config.clone()).await;
    let dangling = image(&[descriptor(IMAGE, &config), descriptor(IMAGE, &layer)]);
    mallory.manifest("mallory/own", "1", &dangling).await.expect(201);
    mallory.get(&format!("/v2/mallory/own/blobs/{digest}")).await.expect(404);
    // A false size is refused for members only: other repositories' lengths are not told.
    let mut lying = dangling;
    lying["layers"][0]["size"] = json!(1);
    mallory.manifest("mallory/own", "2", &lying).await.expect(201);
}

/// Harbor CVE-2020-29662: another spelling of a path is the same path or none.
#[tokio::test]
async fn cve_2020_29662_no_path_leads_around_the_door() {
    let guarded = Guarded::new().await;
    let (root, mallory) = (guarded.as_user("root"), guarded.user("mallory").await);
    root.image("root/secret", "1").await;
    let scope = token(&mallory, "repository:mallory/own:pull,push").await;
    let bearer = guarded.stranger().bearer(&scope);
    for path in [
        "/v2/_catalog/",
        "/v2//_catalog",
        "//v2/_catalog",
        "/v2/_Catalog",
        "/v2/%5fcatalog",
        "/v2/./_catalog",
        "/V2/_catalog",
        "/v2/root%2Fsecret/manifests/1",
        "/v2/root%2fsecret/tags/list",
        "/v2/mallory/own/%2e%2e/%2e%2e/root/secret/manifests/1",
        "/v2/mallory/own/../../root/secret/manifests/1",
        "/v2//root/secret/manifests/1",
        "/v2/root//secret/manifests/1",
        "/v2/root/secret/manifests/1/",
        "/v2/root/secret;x/manifests/1",
        "/v2/ROOT/secret/manifests/1",
        "/v2/root/secre%74/manifests/1",
        "/v2/ro\u{2044}ot/secret/manifests/1",
        "/api/v1/repositories/root%2Fsecret",
        "/api/v1//repositories/root/secret",
        "/api/v1/repositories/root/secret/-/tags/1/../1",
        "/API/v1/repositories",
    ] {
        for client in [&guarded.stranger(), &mallory, &bearer] {
            let Ok(uri) = path.parse::<http::Uri>() else { continue };
            let answer = client.get(&uri.to_string()).await;
            let status = answer.status.as_u16();
            assert!(
                matches!(status, 400 | 401 | 403 | 404) || answer.json() == json!({ "repositories": [] }),
                "{path}: {status}"
            );
            assert!(!String::from_utf8_lossy(&answer.body).contains("sha256:"), "{path}");
        }
    }
}

/// The catalogue and the list of referrers show nothing of others (Harbor CVE-2020-29662, reliability A-1).
#[tokio::test]
async fn lists_and_referrers_leak_nothing() {
    let guarded = Guarded::new().await;
    let (root, mallory) = (guarded.as_user("root"), guarded.user("mallory").await);
    let subject = root.image("root/secret", "1").await;
    let config = random(20);
    root.blob("root/secret", config.clone()).await;
    let mut signature = image(&[descriptor(IMAGE, &config)]);
    let size = root.head(&format!("/v2/root/secret/manifests/{subject}")).await.header("content-length").parse::<u64>();
    signature["subject"] =
        json!({ "mediaType": IMAGE, "digest": subject.to_string(), "size": size.expect("a length") });
    signature["artifactType"] = json!("application/x.secret-signature");
    root.manifest("root/secret", &sha256(signature.to_string().as_bytes()).to_string(), &signature).await.expect(201);
    let referrers = root.get(&format!("/v2/root/secret/referrers/{subject}")).await;
    assert_eq!(referrers.json()["manifests"].as_array().map(Vec::len), Some(1));

    mallory.get(&format!("/v2/root/secret/referrers/{subject}")).await.expect(403);
    let own = mallory.get(&format!("/v2/mallory/own/referrers/{subject}")).await;
    assert!(own.status == 404 || own.json()["manifests"] == json!([]), "{:?}", own.status);
    assert_eq!(mallory.get("/v2/_catalog").await.json(), json!({ "repositories": [] }));
    assert_eq!(mallory.get("/v2/_catalog?last=root/secre&n=1").await.json(), json!({ "repositories": [] }));
    assert_eq!(mallory.get("/api/v1/repositories").await.json(), json!({ "repositories": [] }));
}

/// Gitea CVE-2026-28699, -28744, -20706: the limits of a token hold on every route and by every way of showing it.
#[tokio::test]
async fn cve_2026_28699_a_tokens_limits_hold_everywhere() {
    let guarded = Guarded::new().await;
    let alice = guarded.user("alice").await;
    alice.image("alice/model", "1").await;
    alice.image("alice/other", "1").await;
    let limited = json!({ "name": "ci", "actions": ["pull"], "repositories": ["alice/model"] });
    let secret = guarded.token_of(&alice, &limited).await;
    let basic = guarded.stranger().basic("alice", &secret);
    let bearer = guarded.stranger().bearer(&secret);
    let changed = guarded.stranger().bearer(&token(&basic, "repository:alice/model:* repository:alice/other:*").await);
    for client in [&basic, &bearer, &changed] {
        client.get("/v2/alice/model/manifests/1").await.expect(200);
        for (method, path) in [
            (Method::GET, "/v2/alice/other/manifests/1"),
            (Method::PUT, "/v2/alice/model/manifests/2"),
            (Method::POST, "/v2/alice/model/blobs/uploads/"),
            (Method::DELETE, "/v2/alice/model/manifests/1"),
            (Method::DELETE, "/api/v1/repositories/alice/model"),
            (Method::DELETE, "/api/v1/repositories/alice/model/-/tags/1"),
            (Method::GET, "/api/v1/repositories/alice/other"),
        ] {
            client.call(method.clone(), path, &[("content-type", "application/json")], "{}").await.expect(403);
        }
        for (method, path, body) in [
            (Method::PATCH, "/api/v1/repositories/alice/model", json!({ "public": true })),
            (
                Method::POST,
                "/api/v1/grants",
                json!({ "subject": "anonymous", "actions": ["pull"], "repositories": "alice/model" }),
            ),
            (Method::POST, "/api/v1/tokens", json!({ "name": "wider", "actions": ["admin"] })),
            (
                Method::POST,
                "/api/v1/robots",
                json!({ "name": "bot", "repositories": "alice/**", "actions": ["admin"] }),
            ),
            (Method::PUT, "/api/v1/repositories/alice/model/-/tags/2", json!({ "reference": "1" })),
        ] {
            client.json(method, path, &body).await.expect(403);
        }
        let listed = client.get("/api/v1/repositories").await.json();
        let names: Vec<_> =
            listed["repositories"].as_array().expect("a list").iter().map(|one| one["name"].clone()).collect();
        assert!(names.iter().all(|name| name == "alice/model"), "{listed}");
    }
}

/// Harbor CVE-2022-31666 to -31671, -2024-22278: every route of administration, against somebody else's objects.
#[tokio::test]
async fn cve_2022_31667_others_objects_are_out_of_reach() {
    let guarded = Guarded::new().await;
    let (alice, mallory) = (guarded.user("alice").await, guarded.user("mallory").await);
    alice.image("alice/model", "1").await;
    let made = alice.json(Method::POST, "/api/v1/tokens", &json!({ "name": "hers", "actions": ["pull"] })).await.json();
    let robot = json!({ "name": "her-robot", "repositories": "alice/**", "actions": ["pull"] });
    alice.json(Method::POST, "/api/v1/robots", &robot).await.expect(201);
    let grant = json!({ "subject": "robot:her-robot", "actions": ["push"], "repositories": "alice/model" });
    let grant = alice.json(Method::POST, "/api/v1/grants", &grant).await.json();
    let trust = json!({
        "name": "her-trust", "issuer": "https://issuer.example", "audience": "larder",
        "conditions": [{ "claim": "sub", "values": ["job"] }], "actions": ["pull"], "repositories": ["alice/**"],
    });
    alice.json(Method::POST, "/api/v1/trusts", &trust).await.expect(201);
    guarded.operator().json(Method::POST, "/api/v1/groups", &json!({ "name": "hers" })).await.expect(201);
    let token = format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"));
    let grant = format!("/api/v1/grants/{}", grant["id"]);
    for (method, path, body) in [
        (Method::GET, "/api/v1/users", Value::Null),
        (Method::GET, "/api/v1/users/alice", Value::Null),
        (Method::PATCH, "/api/v1/users/alice", json!({ "disabled": true })),
        (Method::DELETE, "/api/v1/users/alice", Value::Null),
        (Method::PUT, "/api/v1/users/alice/password", json!({ "password": "a new long password" })),
        (Method::POST, "/api/v1/users/alice/invitation", Value::Null),
        (Method::PATCH, "/api/v1/users/mallory", json!({ "administrator": true })),
        (Method::GET, "/api/v1/groups", Value::Null),
        (Method::GET, "/api/v1/groups/hers", Value::Null),
        (Method::PUT, "/api/v1/groups/hers/members/mallory", Value::Null),
        (Method::DELETE, "/api/v1/groups/hers", Value::Null),
        (Method::GET, "/api/v1/robots/her-robot", Value::Null),
        (Method::PATCH, "/api/v1/robots/her-robot", json!({ "disabled": true })),
        (Method::DELETE, "/api/v1/robots/her-robot", Value::Null),
        (Method::POST, "/api/v1/tokens", json!({ "name": "x", "owner": "user:alice", "actions": ["pull"] })),
        (Method::POST, "/api/v1/tokens", json!({ "name": "x", "owner": "robot:her-robot", "actions": ["pull"] })),
        (Method::GET, "/api/v1/tokens?owner=user:alice", Value::Null),
        (Method::GET, "/api/v1/tokens?owner=*", Value::Null),
        (Method::DELETE, &token, Value::Null),
        (Method::GET, &grant, Value::Null),
        (Method::DELETE, &grant, Value::Null),
        (
            Method::POST,
            "/api/v1/grants",
            json!({ "subject": "user:mallory", "actions": ["pull"], "repositories": "alice/**" }),
        ),
        (
            Method::POST,
            "/api/v1/grants",
            json!({ "subject": "user:mallory", "actions": ["pull"], "repositories": "**" }),
        ),
        (Method::GET, "/api/v1/grants/explain?identity=user:alice&repository=alice/model", Value::Null),
        (Method::GET, "/api/v1/trusts/her-trust", Value::Null),
        (Method::PUT, "/api/v1/trusts/her-trust", trust.clone()),
        (Method::PATCH, "/api/v1/trusts/her-trust", json!({ "disabled": true })),
        (Method::DELETE, "/api/v1/trusts/her-trust", Value::Null),
        (Method::GET, "/api/v1/audit", Value::Null),
        (Method::GET, "/api/v1/usage", Value::Null),
        (Method::POST, "/api/v1/sweep", json!({})),
        (Method::POST, "/api/v1/verify", json!({})),
        (Method::PATCH, "/api/v1/repositories/alice/model", json!({ "public": true })),
        (Method::DELETE, "/api/v1/repositories/alice/model", Value::Null),
        (Method::POST, "/api/v1/repositories", json!({ "name": "alice/new" })),
    ] {
        let answer = mallory.json(method.clone(), path, &body).await;
        assert!(matches!(answer.status.as_u16(), 403 | 404), "{method} {path}: {}", answer.status);
        let stranger = guarded.stranger().json(method.clone(), path, &body).await;
        assert_eq!(stranger.status, 401, "{method} {path}");
        // Whether there is such an account makes no difference (CVE-2020-13794).
        if path.contains("/users/alice") {
            let absent = mallory.json(method.clone(), &path.replace("alice", "nobody"), &body).await;
            assert_eq!(
                (answer.status, &answer.json()["detail"]),
                (absent.status, &absent.json()["detail"]),
                "{method} {path}"
            );
        }
    }
    assert_eq!(mallory.get("/api/v1/robots").await.json(), json!({ "robots": [] }));
    assert_eq!(mallory.get("/api/v1/trusts").await.json(), json!({ "trusts": [] }));
    assert_eq!(mallory.get("/api/v1/grants").await.json(), json!({ "grants": [] }));
    alice.get("/api/v1/robots/her-robot").await.expect(200);
}

/// Harbor CVE-2019-16097: a field too many made an administrator.
#[tokio::test]
async fn cve_2019_16097_unknown_fields_are_refused() {
    let guarded = Guarded::new().await;
    let operator = guarded.operator();
    for (method, path, body) in [
        (
            Method::POST,
            "/api/v1/users",
            json!({ "name": "eve", "password": "a long password", "has_admin_role": true }),
        ),
        (Method::PATCH, "/api/v1/users/root", json!({ "role": "owner" })),
        (Method::PUT, "/api/v1/users/root/password", json!({ "password": "a long password", "administrator": true })),
        (Method::POST, "/api/v1/groups", json!({ "name": "g", "admin": true })),
        (Method::POST, "/api/v1/robots", json!({ "name": "r", "repositories": "a/**", "administrator": true })),
        (Method::POST, "/api/v1/tokens", json!({ "name": "t", "actions": ["pull"], "id": "chosen" })),
        (
            Method::POST,
            "/api/v1/grants",
            json!({ "subject": "user:root", "actions": ["pull"], "repositories": "a", "id": 1 }),
        ),
        (Method::POST, "/api/v1/trusts", json!({ "name": "t", "disabled": false })),
        (Method::POST, "/api/v1/oidc/exchange", json!({ "token": "x", "identity": "user:root" })),
        (Method::POST, "/api/v1/invitations", json!({ "invitation": "x", "password": "y", "user": "root" })),
        (Method::PATCH, "/api/v1/repositories/a", json!({ "public": true, "owner": "me" })),
        (Method::POST, "/api/v1/repositories", json!({ "name": "a", "owner": "me" })),
    ] {
        operator.json(method.clone(), path, &body).await.expect(400);
    }
}

/// Harbor CVE-2025-30086, -2024-22261: what a list is asked with is a value, and tells nothing that it does not show.
#[tokio::test]
async fn cve_2025_30086_filters_are_values() {
    let guarded = Guarded::new().await;
    let operator = guarded.operator();
    for path in [
        "/api/v1/users?after=' OR 1=1 --&limit=5",
        "/api/v1/users?q=password%3d~%24argon2",
        "/api/v1/users?sort=password",
        "/api/v1/grants?subject=user:x' OR '1'='1",
        "/api/v1/audit?identity=' UNION SELECT password FROM users --",
        "/api/v1/audit?action=%25&repository=**",
        "/api/v1/tokens?owner=user:root' --",
        "/api/v1/audit?outcome=1",
        "/api/v1/audit?since=yesterday",
    ] {
        let answer = operator.get(&path.replace(' ', "%20")).await;
        assert!(matches!(answer.status.as_u16(), 200 | 400 | 403 | 404), "{path}: {}", answer.status);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!body.contains("argon2") && !body.to_lowercase().contains("sql"), "{path}: {body}");
    }
}

/// Gitea CVE-2026-27771, Harbor CVE-2022-46463: what is private is nobody's without a grant, whichever way it is asked for.
#[tokio::test]
async fn cve_2026_27771_what_is_private_is_not_read_by_strangers() {
    let guarded = Guarded::new().await;
    let (root, bob) = (guarded.as_user("root"), guarded.user("bob").await);
    let manifest = root.image("root/secret", "1").await;
    let blob = root.blob("root/secret", random(99)).await;
    root.image("root/open", "1").await;
    guarded.publish("root/open").await;
    let anonymous =
        guarded.stranger().bearer(&token(&guarded.stranger(), "repository:root/secret:pull registry:catalog:*").await);
    let wide = guarded.stranger().bearer(&token(&bob, "repository:root/secret:pull,push,*").await);
    for path in [
        "/v2/root/secret/manifests/1".to_owned(),
        format!("/v2/root/secret/manifests/{manifest}"),
        format!("/v2/root/secret/blobs/{blob}"),
        "/v2/root/secret/tags/list".to_owned(),
        format!("/v2/root/secret/referrers/{manifest}"),
        format!("/v2/root/open/blobs/{blob}"),
        "/api/v1/repositories/root/secret".to_owned(),
        "/api/v1/repositories/root/secret/-/tags".to_owned(),
        "/api/v1/repositories/root/secret/-/tags/1/history".to_owned(),
    ] {
        for client in [&guarded.stranger(), &anonymous, &bob, &wide] {
            for method in [Method::GET, Method::HEAD] {
                let answer = client.call(method, &path, &[("range", "bytes=0-1")], "").await;
                assert!(matches!(answer.status.as_u16(), 401 | 403 | 404), "{path}: {}", answer.status);
            }
        }
    }
    let catalogue = anonymous.get("/v2/_catalog").await;
    assert_eq!(catalogue.json(), json!({ "repositories": ["root/open"] }));
}

/// Harbor CVE-2026-4404: no password works that nobody has set.
#[tokio::test]
async fn cve_2026_4404_there_is_no_password_of_the_house() {
    let guarded = Guarded::new().await;
    guarded
        .operator()
        .json(Method::POST, "/api/v1/users", &json!({ "name": "admin", "administrator": true }))
        .await
        .expect(201);
    for password in ["", "admin", "Harbor12345", "password", "larder", "null", "changeme"] {
        for user in ["admin", "root", "larder", "operator", "anonymous", ""] {
            let client = guarded.stranger().from("198.51.100.4").basic(user, password);
            let answer = client.get("/v2/").await;
            assert!(matches!(answer.status.as_u16(), 401 | 429), "{user}:{password} {}", answer.status);
        }
    }
}

/// Quay CVE-2024-9683: a password counts to its end.
#[tokio::test]
async fn cve_2024_9683_a_part_of_a_password_is_none() {
    let guarded = Guarded::new().await;
    let long = "x1-".repeat(60);
    guarded
        .operator()
        .json(Method::POST, "/api/v1/users", &json!({ "name": "alice", "password": long }))
        .await
        .expect(201);
    guarded.stranger().basic("alice", &long).get("/v2/").await.expect(200);
    for (n, length) in [20, 55, 56, 64, 71, 72, 73, 128, 179].into_iter().enumerate() {
        let elsewhere = guarded.stranger().from(&format!("198.51.100.{n}"));
        let answer = elsewhere.basic("alice", &long[..length]).get("/v2/").await;
        assert!(matches!(answer.status.as_u16(), 401 | 429), "{length}: {}", answer.status);
    }
    guarded.stranger().from("203.0.113.1").basic("alice", &format!("{long}x")).get("/v2/").await.expect(401);
}

/// Quay CVE-2026-32590: of an upload's state nothing is taken from the client but its id.
#[tokio::test]
async fn cve_2026_32590_the_state_of_an_upload_is_the_servers() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    let path = root.post("/v2/root/a/blobs/uploads/", "").await.header("location").to_owned();
    for state in
        ["_state=gASVKAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOU", "_state=%00%ff&offset=99", "_state=../../../etc/passwd"]
    {
        root.call(Method::PATCH, &format!("{path}?{state}"), &[], "x").await.expect(202);
    }
    let digest = sha256(b"xxx");
    root.put(&format!("{path}?_state=other&digest={digest}"), "").await.expect(201);
    root.get("/v2/root/a/blobs/uploads/..%2f..%2fetc%2fpasswd").await.expect(400);
}

/// zot CVE-2026-31801: who may make tags and not move them moves none, whichever way it is tried, and of a crowd one makes it.
#[tokio::test(flavor = "multi_thread")]
async fn cve_2026_31801_who_may_only_make_tags_overwrites_none() {
    let guarded = Guarded::new().await;
    let bob = guarded.user("bob").await;
    guarded.grant("user:bob", &["pull", "push"], "team/**").await;
    let first = bob.image("team/model", "latest").await;
    bob.image("team/model", "latest").await;
    guarded.rule("user:bob", &["tag-move"], "team/**", "deny").await;
    let second = bob.image("team/model", "new").await;
    let now = bob.head("/v2/team/model/manifests/latest").await.header("docker-content-digest").to_owned();
    assert_ne!(now, first.to_string(), "without a denial a push moves tags");
    // The same digest again is no move.
    let bytes = bob.get("/v2/team/model/manifests/latest").await.json();
    bob.manifest("team/model", "latest", &bytes).await.expect(201);
    let token = token(&bob, "repository:team/model:pull,push").await;
    for client in [&bob, &guarded.stranger().bearer(&token)] {
        let other = client.get("/v2/team/model/manifests/new").await.json();
        let refused = client.manifest("team/model", "latest", &other).await;
        refused.expect(403);
        assert_eq!(refused.code(), "DENIED");
        assert!(refused.json()["errors"][0]["message"].as_str().is_some_and(|said| said.contains("the tag latest")));
        let body = other.to_string();
        let by_digest = format!("/v2/team/model/manifests/{second}?tag=newer&tag=latest");
        client.call(Method::PUT, &by_digest, &[("content-type", IMAGE)], body).await.expect(403);
        client.get("/v2/team/model/manifests/newer").await.expect(404);
    }
    let path = "/api/v1/repositories/team/model/-/tags/latest";
    bob.json(Method::PUT, path, &json!({ "reference": "new" })).await.expect(403);
    bob.json(Method::POST, &format!("{path}/rollback"), &json!({ "to": "1" })).await.expect(403);
    bob.json(Method::PUT, &path.replace("latest", "newest"), &json!({ "reference": "new" })).await.expect(200);
    let promotions = "/api/v1/repositories/team/model/-/promotions";
    bob.json(Method::POST, promotions, &json!({ "reference": "new", "to": "prod" })).await.expect(200);
    bob.json(Method::POST, promotions, &json!({ "reference": "latest", "to": "prod" })).await.expect(403);
    let back = "/api/v1/repositories/team/model/-/stages/prod/rollback";
    bob.json(Method::POST, back, &json!({ "to": "1" })).await.expect(403);
    assert_eq!(bob.head("/v2/team/model/manifests/latest").await.header("docker-content-digest"), now);
    let mut manifests = Vec::new();
    for n in 0..8 {
        bob.image("team/model", &format!("n{n}")).await;
        manifests.push(bob.get(&format!("/v2/team/model/manifests/n{n}")).await.json());
    }
    let pushes = manifests.into_iter().map(|manifest| {
        let bob = bob.clone();
        tokio::spawn(async move { bob.manifest("team/model", "race", &manifest).await.status.as_u16() })
    });
    let mut made = 0;
    for push in pushes.collect::<Vec<_>>() {
        let status = push.await.expect("it is answered");
        assert!(matches!(status, 201 | 403), "{status}");
        made += u32::from(status == 201);
    }
    assert_eq!(made, 1, "exactly one makes the tag");
    guarded.access.tick().await;
    let audit = guarded.operator().get("/api/v1/audit?outcome=denied&identity=user:bob").await.json();
    assert!(audit["entries"].as_array().is_some_and(|entries| !entries.is_empty()), "{audit}");
}

/// Distribution CVE-2026-35172: what was deleted here is gone here, however often another repository that has it is asked.
#[tokio::test]
async fn cve_2026_35172_a_deleted_blob_does_not_come_back_through_another_repository() {
    let guarded = Guarded::new().await;
    let root = guarded.as_user("root");
    let bytes = random(5_000);
    let digest = root.blob("root/a", bytes.clone()).await;
    root.blob("root/b", bytes.clone()).await;
    let (here, there) = (format!("/v2/root/a/blobs/{digest}"), format!("/v2/root/b/blobs/{digest}"));
    root.get(&here).await.expect(200);
    root.delete(&here).await.expect(202);
    for _ in 0..2 {
        root.head(&here).await.expect(404);
        root.get(&here).await.expect(404);
        root.get_with(&here, &[("range", "bytes=0-9")]).await.expect(404);
        root.get_with(&here, &[("if-none-match", &format!("\"{digest}\""))]).await.expect(404);
        root.delete(&here).await.expect(404);
        root.post(&format!("/v2/root/c/blobs/uploads/?mount={digest}&from=root/a"), "").await.expect(202);
        // Another repository's answers bring nothing back.
        root.head(&there).await.expect(200);
        assert_eq!(root.get(&there).await.body, bytes);
        root.get_with(&there, &[("range", "bytes=0-9")]).await.expect(206);
    }
    root.post(&format!("/v2/root/c/blobs/uploads/?mount={digest}&from=root/b"), "").await.expect(201);
    root.get(&here).await.expect(404);
    root.blob("root/a", bytes.clone()).await;
    assert_eq!(root.get(&here).await.body, bytes, "the same bytes pushed again are there");
}

/// Quay CVE-2024-5891: a token opens what its owner may open, whatever it was made for.
#[tokio::test]
async fn cve_2024_5891_a_token_gives_no_right_that_its_owner_lacks() {
    let guarded = Guarded::new().await;
    let (root, mallory) = (guarded.as_user("root"), guarded.user("mallory").await);
    root.image("root/secret", "1").await;
    mallory.image("mallory/own", "1").await;
    let wide =
        json!({ "name": "wide", "actions": ["pull", "push", "delete", "tag-move", "admin"], "repositories": ["**"] });
    let wide = guarded.token_of(&mallory, &wide).await;
    for client in [guarded.stranger().basic("root", &wide), guarded.stranger().bearer(&wide)] {
        client.get("/v2/mallory/own/manifests/1").await.expect(200);
        client.get("/v2/root/secret/manifests/1").await.expect(403);
        client.delete("/v2/root/secret/manifests/1").await.expect(403);
        client.json(Method::PATCH, "/api/v1/repositories/root/secret", &json!({ "public": true })).await.expect(403);
        assert_eq!(client.get("/v2/_catalog").await.json(), json!({ "repositories": ["mallory/own"] }));
    }
    let grant = guarded.grant("user:mallory", &["pull"], "root/secret").await;
    let bearer = guarded.stranger().bearer(&wide);
    bearer.get("/v2/root/secret/manifests/1").await.expect(200);
    guarded.operator().delete(&format!("/api/v1/grants/{grant}")).await.expect(204);
    bearer.get("/v2/root/secret/manifests/1").await.expect(403);
}
