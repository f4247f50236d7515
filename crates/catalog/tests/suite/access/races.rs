//! Changes of rights beside each other, and beside the making and removing of repositories.

use larder_catalog::model::access::{Changed, CreateUser, NewUser, UserChange};

use super::{of, pull, texts, user};
use crate::fixture::{Fixture, at, manifest, name, stamp, stamp_of, visible};

crate::on_every_database!(
    of_many_first_users_one_is_an_administrator,
    two_administrators_do_not_remove_each_other,
    repositories_made_beside_a_grant_are_in_its_list,
    first_pushes_beside_changes_come_to_an_end,
);

async fn of_many_first_users_one_is_an_administrator(f: Fixture) {
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let catalog = f.catalog.clone();
            let new = NewUser { name: format!("user-{n}"), ..NewUser::default() };
            tokio::spawn(async move { catalog.create_user(new, stamp(1)).await.expect("answered") })
        })
        .collect();
    let mut administrators = 0;
    for task in tasks {
        let made = task.await.expect("no panic");
        administrators += usize::from(made == CreateUser::Created { administrator: true });
    }
    assert_eq!(administrators, 1);
}

async fn two_administrators_do_not_remove_each_other(f: Fixture) {
    user(&f, "a").await;
    for _ in 0..10 {
        let new = NewUser { name: "b".to_owned(), administrator: true, ..NewUser::default() };
        f.create_user(new, stamp(1)).await.expect("answered");
        let (one, other) = (f.catalog.clone(), f.catalog.clone());
        let one = tokio::spawn(async move { one.remove_user("b", stamp(2)).await.expect("answered") });
        let other = tokio::spawn(async move {
            let demoted = UserChange { administrator: Some(false), ..UserChange::default() };
            other.set_user("a", demoted, stamp(2)).await.expect("answered")
        });
        let outcomes = [one.await.expect("no panic"), other.await.expect("no panic")];
        assert_eq!(outcomes.iter().filter(|outcome| **outcome == Changed::Done).count(), 1, "{outcomes:?}");
        let back = UserChange { administrator: Some(true), ..UserChange::default() };
        f.set_user("a", back, stamp(3)).await.expect("answered");
        f.remove_user("b", stamp(3)).await.expect("answered");
    }
}

async fn repositories_made_beside_a_grant_are_in_its_list(f: Fixture) {
    for round in 0..10 {
        let makers: Vec<_> = (0..4)
            .map(|maker| {
                let catalog = f.catalog.clone();
                tokio::spawn(async move {
                    for n in 0..5 {
                        let made = name(&format!("m{maker}-{n}/r{round}"));
                        catalog.create_repository(&made, stamp(1)).await.expect("answered");
                        if n == 3 {
                            catalog.remove_repository(&made, stamp(1), at(9), None).await.expect("answered");
                        }
                    }
                })
            })
            .collect();
        let text = format!("*/r{round}");
        let grant = f.add_grant(pull(of("bob"), &text), stamp(1)).await.expect("granted");
        for maker in makers {
            maker.await.expect("no panic");
        }
        let page = f.repositories(&visible(&[&text], &[]), None, 100).await.expect("listed");
        assert_eq!(page.items.len(), 16, "{:?}", texts(&page.items));
        assert!(f.remove_grant(grant, stamp(2)).await.expect("answered"));
    }
}

async fn first_pushes_beside_changes_come_to_an_end(f: Fixture) {
    user(&f, "admin").await;
    let pushers: Vec<_> = (0..4_u64)
        .map(|pusher| {
            let catalog = f.catalog.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let mut push = manifest(&format!("r{n}/x{pusher}"), n, vec![], &["t"]);
                    push.stamp = stamp_of(&format!("user:pusher-{pusher}"), 1);
                    catalog.put_manifest(push).await.expect("pushed");
                }
            })
        })
        .collect();
    for n in 0..20 {
        let grant = f.add_grant(pull(of("bob"), &format!("*/x{}", n % 4)), stamp(1)).await.expect("granted");
        if n % 2 == 0 {
            f.remove_grant(grant, stamp(1)).await.expect("answered");
        }
    }
    for pusher in pushers {
        pusher.await.expect("no panic");
    }
    let page = f.repositories(&visible(&["*/x1"], &[]), None, 100).await.expect("listed");
    assert_eq!(page.items.len(), 10);
    for pusher in 0..4 {
        assert_eq!(f.grants_for(&[of(&format!("pusher-{pusher}"))]).await.expect("listed").len(), 10);
    }
}
