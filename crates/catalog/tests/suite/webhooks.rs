//! Webhooks, and deliveries in their lanes.

use larder_catalog::model::webhooks::{Delivery, DeliveryState, Settlement, Webhook};

use crate::fixture::{Fixture, at, name, new_delivery, pattern, stamp, webhook};

crate::on_every_database!(
    a_webhook_is_made_changed_listed_and_removed,
    a_webhook_is_told_of_what_happens_after_it_was_made_or_came_back,
    events_become_deliveries_once,
    of_a_lane_only_the_oldest_is_claimed,
    a_parked_delivery_lets_the_next_one_go,
    what_its_claimant_never_settled_is_claimed_again,
    deliveries_are_made_again_at_the_end_of_their_lane,
    ended_deliveries_are_pruned_and_waiting_ones_are_not,
    lanes_hold_their_order_while_others_add_to_them,
);

async fn made(f: &Fixture, text: &str) -> Webhook {
    assert!(f.create_webhook(webhook(text), stamp(0)).await.expect("answered"));
    f.webhook(text).await.expect("answered").expect("it was made").webhook
}

/// A webhook with these deliveries, queued in minute 0: lane and number.
async fn queued(f: &Fixture, lanes: &[(&str, i64)]) {
    let hook = made(f, "ci").await;
    let new = lanes.iter().map(|(lane, number)| new_delivery(lane, *number)).collect();
    assert!(f.queue_deliveries("ci", (hook.cursor, hook.cursor), new, at(0)).await.expect("answered"));
}

async fn claimed(f: &Fixture, minute: i64) -> Vec<Delivery> {
    f.claim_deliveries("ci", at(minute), at(minute + 1), 99).await.expect("answered")
}

async fn settled(f: &Fixture, delivery: &Delivery, settlement: Settlement, minute: i64) {
    let error = (settlement != Settlement::Done).then_some("no route");
    assert!(f.settle_delivery(delivery, settlement, Some(500), error, at(minute)).await.expect("answered"));
}

fn messages(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.message.as_str()).collect()
}

async fn a_webhook_is_made_changed_listed_and_removed(f: Fixture) {
    let hook = made(&f, "ci").await;
    assert_eq!((hook.created, hook.created_by.as_str()), (at(0), "alice"));
    assert!(!f.create_webhook(webhook("ci"), stamp(0)).await.expect("answered"), "there is one");
    made(&f, "chat").await;
    let changed =
        Webhook { url: "https://other.example".to_owned(), patterns: vec![pattern("team/*")], tags: None, ..hook };
    assert!(f.set_webhook(changed.clone(), stamp(1)).await.expect("answered"));
    assert!(!f.set_webhook(webhook("none"), stamp(1)).await.expect("answered"));
    let page = f.webhooks(None, 1).await.expect("answered");
    assert_eq!((page.items[0].webhook.name.as_str(), page.more), ("chat", true));
    let page = f.webhooks(Some("chat"), 9).await.expect("answered");
    assert_eq!(page.items.iter().map(|one| one.webhook.clone()).collect::<Vec<_>>(), [changed]);
    f.queue_delivery("ci", new_delivery("-", 1), stamp(2)).await.expect("answered").expect("it is there");
    assert!(f.remove_webhook("ci", stamp(3)).await.expect("answered"));
    assert!(!f.remove_webhook("ci", stamp(3)).await.expect("answered"));
    assert_eq!(f.queue_delivery("ci", new_delivery("-", 1), stamp(2)).await.expect("answered"), None);
    made(&f, "ci").await;
    assert_eq!(f.deliveries("ci", None, None, 9).await.expect("answered").items, [], "they went with the old one");
    let kinds: Vec<_> = f.events(0, 99).await.expect("answered").items.into_iter().map(|event| event.kind).collect();
    assert!(
        kinds.contains(&"webhook.changed".to_owned()) && kinds.contains(&"webhook.removed".to_owned()),
        "{kinds:?}"
    );
    let said = f.events(0, 99).await.expect("answered").items.into_iter().map(|event| event.payload);
    assert!(said.clone().all(|payload| !payload.contains("listener.example")), "addresses may be secrets");
}

async fn a_webhook_is_told_of_what_happens_after_it_was_made_or_came_back(f: Fixture) {
    f.create_repository(&name("before"), stamp(0)).await.expect("made");
    let hook = made(&f, "ci").await;
    let seen = f.events(hook.cursor, 99).await.expect("answered").items;
    assert!(seen.iter().all(|event| event.kind == "webhook.created"), "{seen:?}");
    let off = Webhook { disabled: true, ..hook.clone() };
    assert!(f.set_webhook(off, stamp(1)).await.expect("answered"));
    assert_eq!(f.active_webhooks().await.expect("answered"), []);
    assert!(!f.queue_deliveries("ci", (hook.cursor, hook.cursor + 1), vec![], at(1)).await.expect("answered"));
    f.create_repository(&name("meanwhile"), stamp(2)).await.expect("made");
    assert!(f.set_webhook(hook, stamp(3)).await.expect("answered"));
    let back = f.active_webhooks().await.expect("answered").remove(0);
    let seen = f.events(back.cursor, 99).await.expect("answered").items;
    assert!(seen.iter().all(|event| event.repository.is_none()), "{seen:?}");
}

async fn events_become_deliveries_once(f: Fixture) {
    let hook = made(&f, "ci").await;
    let (from, to) = (hook.cursor, hook.cursor + 5);
    let new = || vec![new_delivery("a", 1)];
    assert!(f.queue_deliveries("ci", (from, to), new(), at(0)).await.expect("answered"));
    assert!(!f.queue_deliveries("ci", (from, to), new(), at(0)).await.expect("answered"), "somebody was faster");
    assert!(!f.queue_deliveries("none", (from, to), new(), at(0)).await.expect("answered"));
    assert_eq!(f.deliveries("ci", None, None, 9).await.expect("answered").items.len(), 1);
    assert_eq!(f.webhook("ci").await.expect("answered").expect("it is there").webhook.cursor, to);
}

async fn of_a_lane_only_the_oldest_is_claimed(f: Fixture) {
    queued(&f, &[("a", 1), ("a", 2), ("b", 3), ("a", 4)]).await;
    assert_eq!(f.due_webhooks(at(0)).await.expect("answered").len(), 1);
    let first = claimed(&f, 0).await;
    assert_eq!(messages(&first), ["evt_1", "evt_3"]);
    assert_eq!(claimed(&f, 0).await, [], "they are under way");
    assert_eq!(f.due_webhooks(at(0)).await.expect("answered"), []);
    settled(&f, &first[0], Settlement::Again(at(10)), 1).await;
    settled(&f, &first[1], Settlement::Done, 1).await;
    assert_eq!(claimed(&f, 9).await, [], "the lane waits for its oldest");
    let again = claimed(&f, 10).await;
    assert_eq!((messages(&again), again[0].attempts), (vec!["evt_1"], 2));
    settled(&f, &again[0], Settlement::Done, 10).await;
    assert_eq!(messages(&claimed(&f, 10).await), ["evt_2"]);
    let done = f.delivery("ci", again[0].id).await.expect("answered").expect("it is there");
    assert_eq!(
        (done.state, done.status, done.error, done.finished),
        (DeliveryState::Done, Some(500), None, Some(at(10)))
    );
    assert!(!f.settle_delivery(&again[0], Settlement::Parked, None, None, at(11)).await.expect("answered"));
}

async fn a_parked_delivery_lets_the_next_one_go(f: Fixture) {
    queued(&f, &[("a", 1), ("a", 2)]).await;
    let first = claimed(&f, 0).await;
    settled(&f, &first[0], Settlement::Parked, 5).await;
    assert_eq!(messages(&claimed(&f, 5).await), ["evt_2"]);
    assert_eq!(f.delivery_backlog().await.expect("answered"), (1, 1));
    let standing = f.webhook("ci").await.expect("answered").expect("it is there");
    assert_eq!((standing.waiting, standing.parked), (1, 1));
    let parked = f.deliveries("ci", Some(DeliveryState::Parked), None, 9).await.expect("answered").items;
    assert_eq!((messages(&parked), parked[0].error.as_deref()), (vec!["evt_1"], Some("no route")));
}

async fn what_its_claimant_never_settled_is_claimed_again(f: Fixture) {
    queued(&f, &[("a", 1)]).await;
    assert_eq!(claimed(&f, 0).await.len(), 1);
    let again = claimed(&f, 1).await;
    assert_eq!((messages(&again), again[0].attempts), (vec!["evt_1"], 2));
}

async fn deliveries_are_made_again_at_the_end_of_their_lane(f: Fixture) {
    queued(&f, &[("a", 1), ("a", 2), ("a", 3)]).await;
    let first = claimed(&f, 0).await.remove(0);
    settled(&f, &first, Settlement::Done, 0).await;
    let second = claimed(&f, 0).await.remove(0);
    settled(&f, &second, Settlement::Parked, 0).await;
    let third = claimed(&f, 0).await.remove(0);
    settled(&f, &third, Settlement::Again(at(60)), 0).await;
    let copy = f.redeliver("ci", first.id, stamp(1)).await.expect("answered").expect("it is there");
    let moved = f.redeliver("ci", second.id, stamp(1)).await.expect("answered").expect("it is there");
    assert_eq!(f.redeliver("ci", third.id, stamp(1)).await.expect("answered"), Some(third.id));
    assert_eq!(f.redeliver("ci", 4711, stamp(1)).await.expect("answered"), None);
    assert_eq!(f.redeliver("other", first.id, stamp(1)).await.expect("answered"), None);
    let all = f.deliveries("ci", None, None, 9).await.expect("answered").items;
    assert_eq!(all.iter().map(|one| one.id).collect::<Vec<_>>(), [moved, copy, third.id, first.id]);
    for expected in ["evt_3", "evt_1", "evt_2"] {
        let next = claimed(&f, 1).await;
        assert_eq!(messages(&next), [expected], "the one that waited is due at once, the others follow");
        settled(&f, &next[0], Settlement::Done, 1).await;
    }
}

async fn ended_deliveries_are_pruned_and_waiting_ones_are_not(f: Fixture) {
    queued(&f, &[("a", 1), ("b", 2), ("c", 3)]).await;
    let all = claimed(&f, 0).await;
    settled(&f, &all[0], Settlement::Done, 1).await;
    settled(&f, &all[1], Settlement::Parked, 2).await;
    assert_eq!(f.prune_deliveries(at(1)).await.expect("pruned"), 0);
    assert_eq!(f.prune_deliveries(at(99)).await.expect("pruned"), 2);
    assert_eq!(messages(&f.deliveries("ci", None, None, 9).await.expect("answered").items), ["evt_3"]);
}

/// Who adds to a lane while its last delivery ends must not leave it without a turn.
async fn lanes_hold_their_order_while_others_add_to_them(f: Fixture) {
    made(&f, "ci").await;
    let writers: Vec<_> = (0..3_i64)
        .map(|writer| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move {
                for n in 0..20 {
                    let new = new_delivery("a", writer * 100 + n);
                    catalog.queue_delivery("ci", new, stamp(0)).await.expect("queued").expect("it is there");
                }
            })
        })
        .collect();
    let mut seen = Vec::new();
    for _ in 0..20_000 {
        for delivery in claimed(&f, 0).await {
            seen.push(delivery.id);
            settled(&f, &delivery, Settlement::Done, 0).await;
        }
        if seen.len() == 60 {
            break;
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.expect("a writer");
    }
    assert_eq!(seen.len(), 60, "no lane stands still");
    assert!(seen.is_sorted(), "{seen:?}");
}
