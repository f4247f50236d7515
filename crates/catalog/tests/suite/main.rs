//! The catalog's rules, on every database that it runs on: SQLite in memory, SQLite on disk, and PostgreSQL where `LARDER_TEST_POSTGRES` names one.

mod access;
mod blobs;
mod fixture;
mod import;
mod manifests;
mod model;
mod outbox;
mod pages;
mod races;
mod repositories;
mod sweep;
mod tags;
mod uploads;
mod verify;

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
            $(#[tokio::test] async fn $name() {
                if let Some(fixture) = crate::fixture::Fixture::postgres().await {
                    super::$name(fixture).await;
                }
            })*
        }
    };
}
pub(crate) use on_every_database;
