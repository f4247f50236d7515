//! The HTTP face of the registry: the distribution protocol, the administration API, pages for people, health and metrics.
//!
//! A handler parses, calls one method of [`larder_registry::Registry`] and renders the answer. This crate must not know how bytes are kept,
//! and holds no SQL; what a request may do is decided from the [`Actor`](larder_registry::Actor) that it is given by the accounts of [`larder_access::Access`], or by
//! [`Admission`] while there are none.

mod answer;
mod api;
mod authentication;
mod challenge;
mod config;
mod connection;
mod cookies;
mod description;
mod drain;
mod etag;
mod form;
mod health;
mod html;
mod invite;
mod limits;
mod listener;
mod metrics;
mod open_state;
mod pages;
mod peer;
mod percent;
mod query;
mod request_body;
mod request_log;
mod server;
mod service;
mod site;
mod tls;
mod token_service;
mod ui;
mod v1;
mod v2;
mod welcome;

pub use api::openapi::document as openapi_document;
pub use axum::body::Body;
pub use config::{AddressRange, Allowance, Config, Limits};
pub use drain::Drain;
pub use listener::Bound;
pub use open_state::Admission;
pub use peer::Peer;
pub use server::Server;
pub use service::{Service, guarded_service, service};
pub use tls::{ClientCertificate, Tls, TlsError, TlsFiles, TlsPart, Validity};
