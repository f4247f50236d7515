//! Figures for Prometheus. No label holds the name of a repository.

use std::fmt::Write as _;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use http::{Method, StatusCode};
use larder_registry::{LATENCY_CLASSES, Latency, Statistics};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The server's own figures.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
    received: Family<RouteLabels, Counter>,
    sent: Family<RouteLabels, Counter>,
    connections: Gauge<i64, AtomicI64>,
    accepted: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

/// Counts a connection for as long as it lives.
pub(crate) struct OpenConnection(Gauge<i64, AtomicI64>);

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("larder");
        let requests = Family::default();
        let seconds = Family::<RouteLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.000_5, 2.0, 16))
        });
        let (received, sent) = (Family::default(), Family::default());
        let (connections, accepted) = (Gauge::default(), Counter::default());
        registry.register("http_requests", "Answered requests", Clone::clone(&requests));
        registry.register_with_unit(
            "http_response_head",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            seconds.clone(),
        );
        registry.register_with_unit("http_received", "Bytes of request bodies", Unit::Bytes, Clone::clone(&received));
        registry.register_with_unit("http_sent", "Bytes of answers' bodies", Unit::Bytes, Clone::clone(&sent));
        registry.register("connections", "Open connections", Clone::clone(&connections));
        registry.register("connections_accepted", "Accepted connections", Clone::clone(&accepted));
        Self { registry, requests, seconds, received, sent, connections, accepted }
    }

    /// Counts an answer.
    pub fn answered(&self, route: &'static str, method: &Method, status: StatusCode, took: Duration) {
        let labels = RequestLabels { route, method: method_label(method), status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }

    /// Counts bytes.
    pub fn transferred(&self, route: &'static str, received: u64, sent: u64) {
        let labels = RouteLabels { route };
        if received > 0 {
            self.received.get_or_create(&labels).inc_by(received);
        }
        if sent > 0 {
            self.sent.get_or_create(&labels).inc_by(sent);
        }
    }

    /// Counts a connection until the value is dropped.
    pub fn connection(&self) -> OpenConnection {
        self.accepted.inc();
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// The text that Prometheus reads, with the registry's figures.
    pub fn render(&self, statistics: &Statistics) -> String {
        let mut text = String::new();
        let domain = domain_metrics(statistics);
        let written = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &domain))
            .and_then(|()| encode_eof(&mut text));
        if written.is_err() {
            // Writing into a string cannot fail; a metric of ours that cannot be written should not take the others with it.
            let _ = text.write_str("# EOF\n");
        }
        text
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A method as a label; a client may invent as many as it likes.
fn method_label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The registry's figures are read when asked for, so they are put into a table of their own each time.
fn domain_metrics(statistics: &Statistics) -> Registry {
    let mut registry = Registry::with_prefix("larder");
    let mut counter = |name: &str, help: &str, value: u64| registry.register(name, help, ConstCounter::new(value));
    counter("damaged_reads", "Reads that found an object missing or of the wrong length", statistics.damaged_reads);
    counter("swept_blobs", "Objects that the sweep removed", statistics.swept_blobs);
    counter("swept_bytes", "Bytes that the sweep removed", statistics.swept_bytes);
    counter("blobs_committed", "Blobs taken", statistics.uploads_committed);
    counter("blob_bytes_committed", "Bytes of blobs taken", statistics.bytes_committed);
    counter("scrubbed_blobs", "Objects that the scrub read back", statistics.scrubbed_blobs);
    counter("scrubbed_bytes", "Bytes that the scrub read back", statistics.scrubbed_bytes);
    counter("scrub_wrong", "Objects and manifests that the scrub found missing or wrong", statistics.scrub_wrong);
    counter("rules_refused", "Pushes, moves, deletes and pulls that rules refused", statistics.rules_refused);
    counter("rules_warned", "Warnings of rules about what they let pass", statistics.rules_warned);
    counter("webhook_deliveries", "Deliveries to webhooks that were made", statistics.deliveries_made);
    counter("webhook_failures", "Attempts of deliveries to webhooks that failed", statistics.deliveries_failed);
    let catalog = &statistics.catalog;
    counter("catalog_commits", "Commits of write transactions", catalog.commits);
    counter("catalog_units", "Units of work that were committed", catalog.units);
    counter("catalog_failures", "Units of work that failed", catalog.failures);
    counter("catalog_retries", "Transactions that were run again", catalog.retries);
    counter("catalog_checkpoints", "Checkpoints of the write-ahead log", catalog.checkpoints);
    let seconds = ConstCounter::new(catalog.commit_seconds_total);
    registry.register("catalog_commit_seconds", "Seconds spent in commits", seconds);
    let mut latency = |name: &str, help: &str, latency: Latency| {
        registry.register_with_unit(name, help, Unit::Seconds, ConstHistogram(latency));
    };
    latency("catalog_write", "Time of a unit that writes, with its wait for its turn and the disk", catalog.writes);
    latency("catalog_read", "Time of a unit that reads, with its wait for a connection", catalog.reads);
    gauge(&mut registry, "catalog_wal_bytes", "Length of the write-ahead log", catalog.wal_bytes);
    let spent = u64::from(catalog.reserve_spent);
    gauge(&mut registry, "catalog_reserve_spent", "Whether the catalog's reserve of disk space is spent", spent);
    let halted = u64::from(statistics.scrub_halted);
    gauge(&mut registry, "scrub_halted", "Whether the scrub has stopped because too much was wrong", halted);
    gauge(&mut registry, "upload_writers", "Requests writing to an upload session", statistics.open_writers);
    if let Some((sessions, bytes)) = statistics.open_uploads {
        gauge(&mut registry, "upload_sessions", "Open upload sessions", sessions);
        gauge(&mut registry, "upload_session_bytes", "Bytes that are durable in open upload sessions", bytes);
    }
    if let Some(incomplete) = statistics.incomplete_manifests {
        let help = "Manifests whose blobs or manifests were not all there when they were pushed";
        gauge(&mut registry, "incomplete_manifests", help, incomplete);
    }
    if let Some((waiting, parked)) = statistics.delivery_backlog {
        gauge(&mut registry, "webhook_deliveries_waiting", "Deliveries to webhooks that wait", waiting);
        gauge(&mut registry, "webhook_deliveries_parked", "Deliveries to webhooks that were given up", parked);
    }
    if let Some((available, total)) = statistics.space {
        gauge(&mut registry, "store_available_bytes", "Free space of the store", available);
        gauge(&mut registry, "store_total_bytes", "Size of the store", total);
    }
    registry
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
}

/// Times that the catalog has counted.
#[derive(Debug)]
struct ConstHistogram(Latency);

impl EncodeMetric for ConstHistogram {
    fn encode(&self, mut encoder: MetricEncoder) -> std::fmt::Result {
        let classes = LATENCY_CLASSES.into_iter().zip(self.0.classes);
        let buckets: Vec<(f64, u64)> = classes.chain([(f64::MAX, self.0.longer)]).collect();
        encoder.encode_histogram::<NoLabelSet>(self.0.seconds_total, self.0.count(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
