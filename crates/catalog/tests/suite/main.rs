//! The catalog's rules, on every database that it runs on: SQLite in memory, SQLite on disk, and PostgreSQL.
//!
//! The last needs a server that `LARDER_TEST_POSTGRES` names, and fails without; so it is ignored until it is asked for with `--ignored`.

mod access;
mod blobs;
mod browse;
mod fixture;
mod history;
mod import;
mod kept;
mod manifests;
mod model;
mod outbox;
mod pages;
mod policies;
mod promotion;
mod quotas;
mod races;
mod repositories;
mod rules;
mod search;
mod snapshot;
mod sweep;
mod tag_list;
mod tags;
mod trash;
mod uploads;
mod verify;
mod webhooks;

/// Makes each function a test on every database.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(crate::fixture::Fixture::memory().await).await; })*
        }
        mod disk {
            $(#[tokio::test] async fn $name() { super::$name(crate::fixture::Fixture::disk().await).await; })*
        }
        mod postgres {
            $(#[tokio::test] #[ignore = "needs LARDER_TEST_POSTGRES"] async fn $name() {
                super::$name(crate::fixture::Fixture::postgres().await).await;
            })*
        }
    };
}
pub(crate) use on_every_database;
