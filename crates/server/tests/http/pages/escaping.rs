//! A hostile corpus: whatever people push or ask for stays text.

use serde_json::json;

use super::html::openings;
use super::stock::{BROWSER, config, describe, open, push_artifact, push_image};
use crate::world::{World, descriptor, random};

const HOSTILE: [&str; 8] = [
    "<script>alert(1)</script>",
    "\"><script>alert(1)</script>",
    "' onmouseover='alert(1)",
    "\" onfocus=\"alert(1)\" autofocus=\"",
    "</code></pre><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "https://example.org/\"><script>alert(1)</script>",
    "{{7*7}} {% include \"layout.html\" %} &lt;script&gt; \u{202e}\u{0}",
];

/// Nothing that is not ours is in the page's markup.
fn is_tame(path: &str, page: &str) {
    for tag in openings(page) {
        let ours = tag.name != "script" || tag.value("src").is_some_and(|src| src.starts_with("/-/assets/"));
        let picture = tag.name != "img" || tag.value("src").is_some_and(|src| src.starts_with("/-/assets/"));
        assert!(ours && picture, "{path}: {tag:?}");
        for (name, value) in &tag.attributes {
            assert!(!name.starts_with("on") && name != "autofocus" && name != "style", "{path}: {tag:?}");
            let leads = name == "href" || name == "action";
            let safe = value.starts_with('/')
                || value.starts_with('#')
                || value.starts_with("https://")
                || value.starts_with("http://");
            assert!(!leads || safe, "{path}: {tag:?}");
        }
    }
}

#[tokio::test]
async fn what_is_pushed_stays_text() {
    let world = World::new().await;
    let client = world.operator();
    for (n, hostile) in HOSTILE.into_iter().enumerate() {
        let name = format!("hostile/n{n}");
        let mut document = config();
        for part in ["os", "architecture", "variant", "author"] {
            document[part] = hostile.into();
        }
        document["config"] = json!({
            "User": hostile, "WorkingDir": hostile, "Entrypoint": [hostile], "Cmd": hostile, "StopSignal": hostile,
            "Env": [format!("{hostile}={hostile}"), format!("API_TOKEN={hostile}")],
            "Labels": { hostile: hostile, "org.opencontainers.image.source": hostile },
            "ExposedPorts": { hostile: {} }, "Volumes": { hostile: {} },
        });
        document["history"] = json!([{ "created_by": hostile }, { "created_by": format!("ENV PASSWORD={hostile}") }]);
        push_image(&client, &name, "1", &document, &[random(10), random(10)]).await;
        push_image(&client, &name, "2", &config(), &[random(10), random(10)]).await;
        let bytes = random(20);
        let mut file = descriptor("application/octet-stream", &bytes);
        file["annotations"] = json!({ "org.opencontainers.image.title": hostile, hostile: hostile });
        client.blob(&name, bytes).await;
        let artifact = push_artifact(&client, &name, hostile, &[file], None).await;
        describe(&client, &name, &hostile.replace('\u{0}', ""), true).await;
        for path in [
            "/".to_owned(),
            format!("/r/{name}"),
            format!("/r/{name}/-/tags/1"),
            format!("/r/{name}/-/manifests/{artifact}"),
            format!("/r/{name}/-/compare?from=1&to=2"),
            format!("/r/{name}/-/tags/1/history"),
        ] {
            let answer = open(&client, &path).await;
            answer.expect(200);
            is_tame(&path, &String::from_utf8_lossy(&answer.body));
        }
        let raw = open(&client, &format!("/r/{name}/-/manifests/{artifact}/raw")).await;
        raw.expect(200);
        assert_eq!(raw.header("content-type"), "text/plain; charset=utf-8");
        assert_eq!(raw.header("x-content-type-options"), "nosniff");
        assert!(raw.header("content-security-policy").contains("default-src 'none'"));
    }
}

#[tokio::test]
async fn what_is_asked_for_stays_text() {
    let world = World::new().await;
    let client = world.operator();
    client.image("a", "1").await;
    for hostile in HOSTILE {
        let encoded: String = hostile.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for path in [
            format!("/?q={encoded}"),
            format!("/?visibility={encoded}"),
            format!("/?after={encoded}"),
            format!("/r/a?tag={encoded}"),
            format!("/r/a?sort=name&after={encoded}"),
            format!("/r/a?after={encoded}"),
            format!("/r/a/-/compare?from={encoded}&to={encoded}"),
            format!("/r/a/-/tags/1/history?before={encoded}"),
            format!("/r/{encoded}"),
            format!("/r/a/-/tags/{encoded}"),
            format!("/{encoded}"),
        ] {
            let answer = open(&client, &path).await;
            assert!(matches!(answer.status.as_u16(), 200 | 404), "{path} is answered with {}", answer.status);
            is_tame(&path, &String::from_utf8_lossy(&answer.body));
        }
        let Ok(value) = http::HeaderValue::from_str(hostile) else { continue };
        let Ok(value) = value.to_str() else { continue };
        let answer = client.get_with("/connect", &[BROWSER, ("x-forwarded-host", value), ("user-agent", value)]).await;
        is_tame("/connect", &String::from_utf8_lossy(&answer.body));
    }
}
