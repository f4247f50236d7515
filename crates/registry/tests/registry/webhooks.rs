//! Webhooks: what is told, in which order, how often it is tried, and in which words.

use std::time::Duration;

use larder_oci::Digest;
use larder_registry::webhooks::{
    Attempt, Delivery, DeliveryState, EventKind, Format, NewWebhook, Notice, Source, WebhookChange, WebhookError,
    render,
};
use larder_registry::{Actor, Error, PageRequest, Rights, Settings, testing};
use serde_json::{Value, json};

use crate::driver::{Driver, image, name};

const HOUR: Duration = Duration::from_secs(3600);

fn new(name: &str) -> NewWebhook {
    NewWebhook {
        name: name.to_owned(),
        url: "https://listener.example/hook".to_owned(),
        format: Format::CloudEvents,
        kinds: Vec::new(),
        patterns: Vec::new(),
        tags: None,
        private: false,
    }
}

/// A registry with a webhook `ci`.
async fn with(new: NewWebhook) -> Driver {
    let driver = Driver::new().await;
    driver.registry.add_webhook(&Actor::operator(), new, b"sealed".to_vec()).await.expect("it is made");
    driver
}

async fn queue(driver: &Driver) -> usize {
    driver.registry.queue_deliveries().await.expect("events become deliveries")
}

async fn claim(driver: &Driver) -> Vec<Delivery> {
    driver.registry.claim_deliveries("ci", 100).await.expect("they are claimed")
}

async fn settle(driver: &Driver, delivery: &Delivery, attempt: Attempt) {
    driver.registry.settle_delivery(delivery, &attempt).await.expect("it is written down");
}

async fn log(driver: &Driver, state: Option<DeliveryState>) -> Vec<Delivery> {
    driver.registry.deliveries(&Actor::operator(), "ci", state, None, 100).await.expect("a log").items
}

fn notice(delivery: &Delivery) -> Notice {
    Notice::from_json(&delivery.payload).expect("it reads back")
}

/// `event repository:tag` of each.
fn told(deliveries: &[Delivery]) -> Vec<String> {
    let mut told: Vec<_> = deliveries
        .iter()
        .map(|delivery| {
            let notice = notice(delivery);
            let tag = notice.tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            format!("{} {}{tag}", notice.kind, delivery.lane)
        })
        .collect();
    told.sort();
    told
}

#[tokio::test]
async fn what_happens_is_queued_once_and_in_the_order_of_its_repository() {
    let driver = with(new("ci")).await;
    let digest = driver.push_image("team/a", "1", &[b"a"]).await;
    driver.push_image("team/b", "1", &[b"b"]).await;
    driver.delete("team/a", "1").await.expect("a tag goes");
    assert_eq!(queue(&driver).await, 5);
    assert_eq!(queue(&driver).await, 0, "each event once");
    let mut order = Vec::new();
    for _ in 0..4 {
        for delivery in claim(&driver).await {
            if delivery.lane == "team/a" {
                order.push(notice(&delivery).event);
            }
            settle(&driver, &delivery, Attempt::Taken(200)).await;
        }
    }
    assert_eq!(order, ["manifest.pushed", "tag.moved", "tag.deleted"]);
    let log = log(&driver, None).await;
    assert!(
        log.iter().all(|delivery| delivery.state == DeliveryState::Done && delivery.status == Some(200)),
        "{log:?}"
    );
    let moved = log.iter().map(notice).find(|notice| notice.event == "tag.moved").expect("it was told");
    assert_eq!(moved.identity, "anonymous");
    assert_eq!(
        moved.media_type.as_deref(),
        Some("application/vnd.oci.image.manifest.v1+json"),
        "asked for at queueing"
    );
    assert!(log.iter().map(notice).any(|notice| notice.digest == Some(digest.to_string())));
    let statistics = driver.registry.statistics().await;
    assert_eq!((statistics.deliveries_made, statistics.deliveries_failed), (5, 0));
    assert_eq!(statistics.delivery_backlog, Some((0, 0)));
}

#[tokio::test]
async fn a_webhook_hears_of_its_kinds_repositories_and_tags_only() {
    let cases: &[(NewWebhook, &[&str])] = &[
        (NewWebhook { kinds: vec![EventKind::Push], ..new("ci") }, &["push other/x", "push team/a", "push team/b"]),
        (
            NewWebhook { patterns: vec!["team/a".parse().expect("a pattern")], ..new("ci") },
            &["push team/a", "tag team/a:prod"],
        ),
        (
            NewWebhook { tags: Some("v*".parse().expect("a pattern")), ..new("ci") },
            &["tag other/x:v2", "tag team/b:v1"],
        ),
        (
            NewWebhook {
                patterns: vec!["team/*".parse().expect("a pattern")],
                kinds: vec![EventKind::Tag, EventKind::Delete],
                ..new("ci")
            },
            &["tag team/a:prod", "tag team/b:v1"],
        ),
    ];
    for (new, expected) in cases {
        let driver = with(new.clone()).await;
        for (repository, tag) in [("team/a", "prod"), ("team/b", "v1"), ("other/x", "v2")] {
            driver.push_image(repository, tag, &[b"x"]).await;
        }
        queue(&driver).await;
        assert_eq!(told(&log(&driver, None).await), *expected);
    }
}

#[tokio::test]
async fn failures_are_tried_again_later_and_later_and_hold_their_repository_up_alone() {
    let driver = with(NewWebhook { kinds: vec![EventKind::Tag], ..new("ci") }).await;
    for tag in ["1", "2"] {
        driver.push_image("team/a", tag, &[b"a"]).await;
    }
    driver.push_image("team/b", "1", &[b"a"]).await;
    queue(&driver).await;
    for pause in [1, 2, 4, 8] {
        let due = claim(&driver).await;
        let first = due.iter().find(|delivery| delivery.lane == "team/a").expect("it is due");
        assert_eq!(notice(first).tag.as_deref(), Some("1"), "the second waits");
        settle(&driver, first, Attempt::Refused(500)).await;
        if let Some(other) = due.iter().find(|delivery| delivery.lane == "team/b") {
            settle(&driver, other, Attempt::Taken(204)).await;
        }
        driver.clock.advance(Duration::from_millis(pause * 1_000 - 1));
        assert_eq!(claim(&driver).await, []);
        driver.clock.advance(Duration::from_millis(1));
    }
    let due = claim(&driver).await;
    assert_eq!((due[0].attempts, due.len()), (5, 1));
    settle(&driver, &due[0], Attempt::Taken(200)).await;
    assert_eq!(notice(&claim(&driver).await[0]).tag.as_deref(), Some("2"));
}

#[tokio::test]
async fn what_failed_for_a_day_is_parked_and_the_order_goes_on() {
    let driver = with(NewWebhook { kinds: vec![EventKind::Tag], ..new("ci") }).await;
    driver.push_image("team/a", "1", &[b"a"]).await;
    queue(&driver).await;
    driver.clock.advance(23 * HOUR);
    driver.push_image("team/a", "2", &[b"a"]).await;
    queue(&driver).await;
    let first = claim(&driver).await.remove(0);
    settle(&driver, &first, Attempt::Lost("no route to host".to_owned())).await;
    assert_eq!(log(&driver, Some(DeliveryState::Parked)).await, []);
    // An attempt of its own at the end of the day, then it is given up.
    driver.clock.advance(HOUR);
    let last = claim(&driver).await.remove(0);
    assert_eq!(last.id, first.id);
    settle(&driver, &last, Attempt::Lost("no route to host".to_owned())).await;
    let parked = log(&driver, Some(DeliveryState::Parked)).await;
    assert_eq!((parked.len(), parked[0].id, parked[0].error.as_deref()), (1, first.id, Some("no route to host")));
    let second = claim(&driver).await.remove(0);
    assert_eq!(notice(&second).tag.as_deref(), Some("2"), "the order goes on");
    settle(&driver, &second, Attempt::Refused(503)).await;
    let waiting = log(&driver, Some(DeliveryState::Waiting)).await;
    assert_eq!((waiting.len(), waiting[0].error.as_deref()), (1, Some("answered 503")), "its own day is not over");
    assert_eq!(driver.registry.statistics().await.delivery_backlog, Some((1, 1)));

    // By hand it comes back, with the id that a listener may know it by.
    driver.registry.redeliver(&Actor::operator(), "ci", first.id).await.expect("it is parked");
    driver.clock.advance(HOUR);
    let second = claim(&driver).await.remove(0);
    settle(&driver, &second, Attempt::Taken(200)).await;
    let again = claim(&driver).await.remove(0);
    assert_eq!((&again.message, notice(&again).tag.as_deref()), (&first.message, Some("1")));
}

#[tokio::test]
async fn a_test_is_told_once_and_beside_what_waits() {
    let driver = with(NewWebhook { format: Format::Slack, ..new("ci") }).await;
    let test = driver.registry.test_webhook(&Actor::operator(), "ci").await.expect("it is queued");
    assert_eq!((notice(&test).kind, test.state), (EventKind::Test, DeliveryState::Waiting));
    let due = claim(&driver).await;
    settle(&driver, &due[0], Attempt::Refused(404)).await;
    let test = driver.registry.delivery(&Actor::operator(), "ci", test.id).await.expect("it is there");
    assert_eq!((test.state, test.status), (DeliveryState::Parked, Some(404)));
}

#[tokio::test]
async fn a_webhook_out_of_use_hears_nothing_and_what_waits_waits() {
    let driver = with(NewWebhook { kinds: vec![EventKind::Tag], ..new("ci") }).await;
    let operator = Actor::operator();
    let switch = |disabled| WebhookChange { disabled: Some(disabled), ..WebhookChange::default() };
    driver.push_image("team/a", "1", &[b"a"]).await;
    queue(&driver).await;
    driver.registry.set_webhook(&operator, "ci", switch(true)).await.expect("it is there");
    driver.push_image("team/a", "2", &[b"a"]).await;
    assert_eq!(queue(&driver).await, 0);
    assert!(driver.registry.due_webhooks().await.expect("answered").is_empty());
    driver.registry.set_webhook(&operator, "ci", switch(false)).await.expect("it is there");
    assert_eq!(queue(&driver).await, 0, "what happened meanwhile is not told");
    assert_eq!(driver.registry.due_webhooks().await.expect("answered").len(), 1, "what waited is");
}

#[tokio::test]
async fn one_in_so_many_pulls_is_told() {
    let driver = Driver::with(Settings { pull_events: 3, ..testing::settings() }).await;
    let new = NewWebhook { kinds: vec![EventKind::Pull], ..new("ci") };
    driver.registry.add_webhook(&Actor::operator(), new, vec![]).await.expect("it is made");
    let digest = driver.push_image("team/a", "prod", &[b"a"]).await;
    for _ in 0..7 {
        driver.resolve("team/a", "prod").await;
    }
    assert_eq!(queue(&driver).await, 0, "they are written with the pull times");
    driver.registry.flush_pulls().await.expect("they are written");
    assert_eq!(queue(&driver).await, 3);
    let told = notice(&log(&driver, None).await[0]);
    assert_eq!((told.kind, told.subject().as_deref()), (EventKind::Pull, Some("team/a:prod")));
    assert_eq!((told.digest, told.size.is_some()), (Some(digest.to_string()), true));
    let silent = Driver::new().await;
    silent.push_image("team/a", "prod", &[b"a"]).await;
    silent.resolve("team/a", "prod").await;
    silent.registry.flush_pulls().await.expect("they are written");
    assert_eq!(silent.registry.queue_deliveries().await.expect("answered"), 0);
}

#[tokio::test]
async fn webhooks_are_an_administrators() {
    let driver = with(new("ci")).await;
    let everybody = Actor::anonymous(Rights::Everything);
    let refused = driver.registry.add_webhook(&everybody, new("x"), vec![]).await;
    assert!(matches!(refused, Err(WebhookError::Registry(Error::Denied))), "{refused:?}");
    let page = PageRequest { limit: 9, after: None };
    assert!(matches!(driver.registry.webhooks(&everybody, &page).await, Err(WebhookError::Registry(Error::Denied))));
    let refused = driver.registry.webhook(&everybody, "none").await;
    assert!(matches!(refused, Err(WebhookError::Registry(Error::Denied))), "whether there is one is not told");
    for outcome in [
        driver.registry.deliveries(&everybody, "ci", None, None, 9).await.map(drop),
        driver.registry.test_webhook(&everybody, "ci").await.map(drop),
        driver.registry.redeliver(&everybody, "ci", 1).await.map(drop),
        driver.registry.remove_webhook(&everybody, "ci").await,
        driver.registry.set_webhook(&everybody, "ci", WebhookChange::default()).await.map(drop),
    ] {
        assert!(matches!(outcome, Err(WebhookError::Registry(Error::Denied))), "{outcome:?}");
    }
    let read_only = Driver::with(Settings { read_only: true, ..testing::settings() }).await;
    let refused = read_only.registry.add_webhook(&Actor::operator(), new("x"), vec![]).await;
    assert!(matches!(refused, Err(WebhookError::Registry(Error::ReadOnly))), "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_words() {
    let driver = with(new("ci")).await;
    let operator = Actor::operator();
    let cases = [
        (NewWebhook { name: "Ci".to_owned(), ..new("") }, "no name of a webhook"),
        (NewWebhook { url: "ftp://x".to_owned(), ..new("x") }, "https://"),
        (NewWebhook { url: "http://10.0.0.1/".to_owned(), ..new("x") }, "no public address"),
        (
            NewWebhook { format: Format::Registry2, kinds: vec![EventKind::Quarantine], ..new("x") },
            "no words for quarantine",
        ),
    ];
    for (new, words) in cases {
        match driver.registry.add_webhook(&operator, new, vec![]).await {
            Err(WebhookError::Invalid(why)) => assert!(why.contains(words), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let again = driver.registry.add_webhook(&operator, new("ci"), vec![]).await;
    assert!(matches!(again, Err(WebhookError::Exists(name)) if name == "ci"));
    let change = WebhookChange { format: Some(Format::Registry2), ..WebhookChange::default() };
    let refused = driver.registry.set_webhook(&operator, "ci", change).await;
    assert!(matches!(refused, Err(WebhookError::Invalid(_))), "its kinds have no words there");
    let unknown = driver.registry.redeliver(&operator, "ci", 99).await;
    assert!(matches!(unknown, Err(WebhookError::DeliveryUnknown { id: 99, .. })));
}

/// A notice of each shape, made by what really happens.
async fn notices() -> (Vec<Notice>, Digest, Digest) {
    let driver = with(new("ci")).await;
    let first = driver.push_image("team/model", "prod", &[b"one"]).await;
    driver.push_blob("team/model", b"two").await;
    let second = driver.push_manifest("team/model", "prod", &image(&[b"two"])).await.expect("a second version").digest;
    driver.delete("team/model", "prod").await.expect("a tag goes");
    driver.delete("team/model", &first.to_string()).await.expect("a manifest goes");
    driver.registry.remove_repository(&driver.actor, &name("team/model")).await.expect("all goes");
    queue(&driver).await;
    let mut notices: Vec<Notice> = log(&driver, None).await.iter().map(notice).collect();
    notices.reverse();
    (notices, first, second)
}

fn said(format: Format, notice: &Notice, source: &Source) -> (String, Value) {
    let body = render(format, notice, "evt_7", source);
    (body.content_type.to_owned(), serde_json::from_slice(&body.bytes).expect("it is JSON"))
}

#[tokio::test]
async fn cloud_events_are_said_so() {
    let (notices, first, second) = notices().await;
    let moved = notices.iter().find(|notice| notice.previous_digest.is_some()).expect("the tag moved");
    let source = Source { url: Some("https://registry.example".to_owned()) };
    let (content_type, event) = said(Format::CloudEvents, moved, &source);
    assert_eq!(content_type, "application/cloudevents+json; charset=utf-8");
    let expected = json!({
        "specversion": "1.0",
        "id": "evt_7",
        "source": "https://registry.example",
        "type": "larder.tag.moved",
        "subject": "team/model:prod",
        "time": "2026-11-21T12:00:00Z",
        "datacontenttype": "application/json",
        "data": {
            "kind": "tag",
            "event": "tag.moved",
            "repository": "team/model",
            "tag": "prod",
            "digest": second.to_string(),
            "previous_digest": first.to_string(),
            "how": "push",
            "identity": "anonymous",
            "time": "2026-11-21T12:00:00Z",
            "details": { "stage": "prod" },
        },
    });
    // When it was queued, the repository was gone: what its manifest was is not known any more.
    assert_eq!(event, expected);
    let (_, event) = said(Format::CloudEvents, &notices[0], &Source::default());
    assert_eq!((&event["source"], &event["type"]), (&json!("urn:larder"), &json!("larder.manifest.pushed")));
    assert_eq!(event["subject"], format!("team/model@{first}"));
    assert_eq!(event["data"]["media_type"], "application/vnd.oci.image.manifest.v1+json");
}

#[tokio::test]
async fn registry_2_s_listeners_hear_what_they_know() {
    let (notices, first, _) = notices().await;
    let source = Source { url: Some("https://registry.example:8443".to_owned()) };
    let (content_type, envelope) = said(Format::Registry2, &notices[0], &source);
    assert_eq!(content_type, "application/vnd.docker.distribution.events.v1+json");
    let size = notices[0].size.expect("it is known");
    let expected = json!({ "events": [{
        "id": "evt_7",
        "timestamp": "2026-11-21T12:00:00Z",
        "action": "push",
        "target": {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "size": size,
            "length": size,
            "digest": first.to_string(),
            "repository": "team/model",
            "url": format!("https://registry.example:8443/v2/team/model/manifests/{first}"),
        },
        "request": { "id": "", "addr": "", "host": "registry.example:8443", "method": "PUT", "useragent": "" },
        "actor": { "name": "anonymous" },
        "source": { "addr": "registry.example:8443", "instanceID": "" },
    }] });
    assert_eq!(envelope, expected);
    let moved = said(Format::Registry2, &notices[1], &source).1;
    assert_eq!((&moved["events"][0]["action"], &moved["events"][0]["target"]["tag"]), (&json!("push"), &json!("prod")));
    let deleted: Vec<Value> = notices
        .iter()
        .filter(|notice| notice.kind == EventKind::Delete)
        .map(|notice| said(Format::Registry2, notice, &source).1["events"][0]["target"].clone())
        .collect();
    assert_eq!(deleted[0], json!({ "repository": "team/model", "tag": "prod" }));
    assert_eq!(deleted[1], json!({ "repository": "team/model", "digest": first.to_string() }));
}

#[tokio::test]
async fn people_are_told_in_sentences() {
    let (notices, first, second) = notices().await;
    let short = |digest: &Digest| digest.to_string()[..19].to_owned();
    let (one, two) = (short(&first), short(&second));
    let texts: Vec<String> = notices
        .iter()
        .map(|notice| said(Format::Slack, notice, &Source::default()).1["text"].as_str().unwrap_or("").to_owned())
        .collect();
    let expected = [
        format!("`team/model@{one}` was pushed by anonymous."),
        format!("`team/model:prod` is `{one}` now, by anonymous (push)."),
        format!("`team/model@{two}` was pushed by anonymous."),
        format!("`team/model:prod` moved from `{one}` to `{two}`, by anonymous (push)."),
        "`team/model:prod` was deleted by anonymous.".to_owned(),
        format!("`team/model@{one}` was deleted by anonymous."),
    ];
    assert_eq!(texts[..6], expected);
    assert_eq!(texts.last().map(String::as_str), Some("`team/model` was deleted by anonymous."));
    let identity = "<!channel> & co".to_owned();
    let loud = Notice { identity, ..notices[0].clone() };
    let text = said(Format::Slack, &loud, &Source::default()).1["text"].as_str().unwrap_or("").to_owned();
    assert!(text.ends_with("by &lt;!channel&gt; &amp; co."), "{text}");
}
