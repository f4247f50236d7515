//! What a list costs to somebody who sees ten of a hundred thousand repositories: a page (**Invariant 10**, behaviour §4).

use std::time::{Duration, Instant};

use larder_oci::Actions;

use super::names;
use crate::engine::{Kind, Tx, plans, values};
use crate::fixture::{Fixture, name, pattern, stamp, visible};
use crate::model::RepositoryFilter;
use crate::model::access::{Effect, NewGrant, RepositoryChange, Subject};

const REPOSITORIES: i64 = 100_000;
const PAGE: usize = 100;

/// `team-0/model-00000` to `team-99/model-99999`, each team with a thousand, and ten `…/secret-…` among them.
async fn fill(f: &Fixture) {
    let work = |tx: &mut Tx<'_>| {
        let sql = match tx {
            Tx::Sqlite(_) => {
                "INSERT INTO repositories (name, created_at) WITH RECURSIVE i (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM i WHERE n + 1 < $1)
                 SELECT 'team-' || (n % 100) || CASE WHEN n % 10000 = 77 THEN '/secret-' ELSE '/model-' END || n, 0 FROM i"
            }
            Tx::Postgres(_) => {
                "INSERT INTO repositories (name, created_at)
                 SELECT 'team-' || (n % 100) || CASE WHEN n % 10000 = 77 THEN '/secret-' ELSE '/model-' END || n, 0 FROM generate_series(0, CAST($1 AS BIGINT) - 1) AS n"
            }
        };
        tx.execute(sql, values![REPOSITORIES]).map(drop)
    };
    f.catalog.engine().write(Kind::Grow, work).await.expect("filled");
}

async fn grant(f: &Fixture, text: &str) {
    let (subject, pattern) = (Subject::User("alice".to_owned()), pattern(text));
    let grant = NewGrant { subject, actions: Actions::ALL, pattern, effect: Effect::Allow, note: String::new() };
    f.add_grant(grant, stamp(1)).await.expect("granted");
}

/// The names on a page, the rows that were read for it, and the least time of several.
async fn page(f: &Fixture, filter: &RepositoryFilter, after: Option<&str>) -> (Vec<String>, usize, Duration) {
    let mut least = (Vec::new(), usize::MAX, Duration::MAX);
    for _ in 0..20 {
        let (filter, after) = (filter.clone(), after.map(str::to_owned));
        let work = move |tx: &mut Tx<'_>| {
            let (begun, before) = (Instant::now(), plans::rows_read());
            let names = names(tx, &filter, after.as_deref(), PAGE)?;
            Ok((names, plans::rows_read() - before, begun.elapsed()))
        };
        let (names, rows, time) = f.catalog.engine().read(Kind::Snapshot, work).await.expect("listed");
        least = (names, rows.min(least.1), time.min(least.2));
    }
    least
}

async fn ten_of_a_hundred_thousand_cost_a_page(f: Fixture) {
    fill(&f).await;
    for text in ["*/secret-*", "**/secret-7*", "team-3/secret-*"] {
        grant(&f, text).await;
    }
    for n in [5_077, 6_078] {
        let public = RepositoryChange { public: Some(true), description: None };
        let repository = name(&format!("team-{}/model-{n}", n % 100));
        assert!(f.set_repository(&repository, public, stamp(1)).await.expect("answered"));
    }
    let scattered: Vec<String> = (0..10).map(|n| n * 9_109).map(|n| format!("team-{}/model-{n}", n % 100)).collect();
    let literals: Vec<&str> = scattered.iter().map(String::as_str).collect();
    let vain: Vec<String> = (0..1_000).map(|n| format!("nothing-{n}/**")).collect();
    let beside: Vec<&str> = vain.iter().chain(&scattered).map(String::as_str).collect();
    let public = RepositoryFilter::Visible { allow: vec![], deny: vec![pattern("team-78/**")], public: true };
    let cases = [
        ("by a pattern that begins with a wildcard", visible(&["*/secret-*"], &[]), 10),
        ("by two of them", visible(&["*/secret-*", "**/secret-7*"], &[]), 10),
        ("by their names", visible(&literals, &[]), 10),
        ("because they are public", public, 1),
        ("beside a thousand grants on nothing", visible(&beside, &[]), 10),
        ("in a team", visible(&["team-5/**"], &["team-5/model-1*"]), PAGE + 1),
        ("in all but one team", visible(&["**"], &["team-0/**"]), PAGE + 1),
    ];
    for (how, filter, expected) in &cases {
        let (names, rows, time) = page(&f, filter, None).await;
        assert_eq!(names.len(), *expected, "{how}");
        assert!(rows <= 6 * PAGE, "{how}: {rows} rows for {expected}");
        assert!(time <= Duration::from_millis(5), "{how}: {time:?}");
    }
    let all = RepositoryFilter::All;
    for after in [None, Some("team-5/"), Some("team-99/model-9")] {
        let (_, rows, time) = page(&f, &all, after).await;
        assert!(rows <= PAGE + 1, "{rows} rows after {after:?}");
        assert!(time <= Duration::from_millis(5), "{time:?} after {after:?}");
    }
}

#[tokio::test]
async fn on_sqlite() {
    ten_of_a_hundred_thousand_cost_a_page(Fixture::memory().await).await;
}

#[tokio::test]
#[ignore = "needs LARDER_TEST_POSTGRES"]
async fn on_postgres() {
    ten_of_a_hundred_thousand_cost_a_page(Fixture::postgres().await).await;
}
