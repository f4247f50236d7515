//! Log lines to standard error, as text or JSON, and OpenTelemetry traces when an endpoint is configured.

use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::config::Configuration;
use crate::outcome::{Failure, Result};

/// How long the last traces may take to leave.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a command logs: warnings, but not the TLS library's own, which the command's error says in better words.
const QUIETLY: &str = "warn,rustls_platform_verifier=off";

/// Keeps the export of traces going; [`finish`](Telemetry::finish) sends what is left.
#[derive(Debug, Default)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

impl Telemetry {
    /// Sends what was not sent yet. Blocks for a few seconds at most.
    pub fn finish(self) {
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(FAREWELL)
        {
            tracing::debug!(%error, "the last traces were not sent");
        }
    }
}

/// Starts logging for a server.
pub fn start(configuration: &Configuration) -> Result<Telemetry> {
    let filter = EnvFilter::new(configuration.text("log.level").unwrap_or("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match configuration.text("log.format") {
        Some("json") => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
        _ => lines.with_ansi(takes_colours()).boxed(),
    };
    let provider = configuration.text("telemetry.otlp_endpoint").map(provider).transpose()?;
    // What is logged and what is traced are two questions: a quiet log does not empty the traces.
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer().with_tracer(provider.tracer("larder")).with_filter(LevelFilter::INFO)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces)
        .try_init()
        .map_err(|error| Failure::failed(format!("logging cannot be started: {error}")))?;
    Ok(Telemetry { provider })
}

/// Starts logging for a command: warnings, or what `LARDER_LOG__LEVEL` says.
pub fn start_quietly() {
    let level = std::env::var("LARDER_LOG__LEVEL").unwrap_or_else(|_| QUIETLY.to_owned());
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(takes_colours());
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new(QUIETLY));
    // A second start, in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

fn takes_colours() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .build()
        .map_err(|error| Failure::failed(format!("telemetry.otlp_endpoint: {error}")))?;
    let resource = Resource::builder().with_service_name("larder").build();
    Ok(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build())
}
