//! `larder serve`: from settings to a running registry, and from a signal to a stopped one.

pub mod addresses;
pub mod data_folder;
mod descriptors;
mod greeting;
mod notify;
mod password_file;
mod self_signed;
mod take_over;
mod tls;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use larder_access::Access;
use larder_server::{Admission, Allowance, Config, Drain, Limits, Server};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::accounts;
use crate::config::{self, Configuration, SettingFlags, Source};
use crate::context::Context;
use crate::jobs;
use crate::logging;
use crate::opened::{self, Opened, chain};
use crate::outcome::{Exit, Failure, Result};
use crate::privileges::{Standing, become_owner};
use crate::protected_files::ProtectedFiles;
use crate::serve::data_folder::{DataFolder, control_socket};
use crate::serve::password_file::PasswordFile;
use crate::serve::tls::ServedTls;

/// How long what still runs may take after the server has ended.
const LAST_BREATH: Duration = Duration::from_secs(2);
/// The user whom the image makes when nobody said who may log in.
const FIRST_USER: &str = "admin";

/// Options of `serve`.
#[derive(Args, Debug, Default)]
pub struct ServeArgs {
    /// A configuration file, as `--config` names one; a `.yml` is read as that of `registry:2`
    #[arg(conflicts_with = "config")]
    pub file: Option<PathBuf>,
    /// Settings
    #[command(flatten)]
    pub flags: SettingFlags,
}

/// Runs the server until it is told to stop.
pub fn run(args: ServeArgs, context: &Context) -> Result {
    let mut flags = args.flags;
    flags.config = flags.config.or(args.file);
    let configuration = Configuration::load(&flags, &config::environment())?;
    let activated = addresses::activated()?;
    let made =
        configuration.text("data").is_some_and(|data| opened::catalog_path(&configuration, Path::new(data)).exists());
    if !made && !accounts::are_configured(&configuration) && !makes_first_user(&configuration) {
        // Before a folder is made for nothing.
        addresses::refuse_unmeant(&configuration, &activated)?;
    }
    tls::is_configured(&configuration)?;
    // Before logging, whose exporter has threads of its own. What root alone may read is read through a child from then on.
    let stands_in = configuration.switch("registry2.stand_in");
    let mut protected = tls::configured_files(&configuration);
    protected.extend(password_file::configured_file(&configuration));
    protected.extend(accounts::configured_key(&configuration));
    let files = ProtectedFiles::new(if stands_in { protected } else { Vec::new() });
    let standing = match configuration.text("data") {
        Some(data) if stands_in => become_owner(Path::new(data), false)?,
        _ => Standing::Unchanged,
    };
    let telemetry = logging::start(&configuration)?;
    for warning in configuration.warnings() {
        tracing::warn!("{warning}");
    }
    if standing == Standing::PowerlessRoot {
        tracing::warn!(
            "the data folder belongs to root, so the server stays root, without capabilities; `chown -R 65532` it to run as nobody in particular"
        );
    }
    descriptors::raise_limit(&configuration);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(&configuration, activated, files, context));
    runtime.shutdown_timeout(LAST_BREATH);
    telemetry.finish();
    outcome
}

async fn serve(
    configuration: &Configuration,
    activated: Vec<TcpListener>,
    files: ProtectedFiles,
    context: &Context,
) -> Result {
    // Before anything slow, so that an early signal is not the default one.
    let mut signals = Signals::listen()?;
    let folder = DataFolder::take(Path::new(configuration.text("data").unwrap_or("larder-data")))?;
    let tls = ServedTls::open(configuration, &files, folder.root())?;
    let password_file = PasswordFile::open(configuration, &files, folder.root())?;
    let Opened { registry, catalog, folder } = opened::open(configuration, folder).await?;
    let htpasswd = password_file.as_ref().map(|file| file.path().to_owned());
    let access = accounts::open(configuration, catalog.clone(), folder.root(), htpasswd, &files).await?;
    let mut standing = standing(configuration, &access, &activated).await?;
    let mut old_tree = take_over::begin(configuration, &registry, folder.root()).await?;
    let mut server = Server::guarded(registry.clone(), access.clone(), server_config(configuration)?);
    addresses::listen(&mut server, configuration, activated, tls.as_ref().map(ServedTls::tls)).await?;
    addresses::look_at_plain(&server, configuration)?;
    let control = control_socket(folder.root());
    server
        .listen_for_control(&control)
        .map_err(|error| Failure::failed(format!("the control socket {}: {error}", control.display())))?;
    if let Some(text) = configuration.text("metrics.listen") {
        for address in addresses::resolve(text)? {
            server
                .listen_for_metrics(address)
                .await
                .map_err(|error| Failure::failed(format!("metrics.listen: {address}: {error}")))?;
        }
    }
    let authority = tls.as_ref().and_then(ServedTls::authority);
    if let Err(failure) =
        greeting::greet(context, configuration, folder.root(), &server, &standing, authority.as_deref())
    {
        tracing::debug!(%failure, "nobody reads the greeting");
    }
    // Nothing of it stays in memory.
    standing.forget();
    notify::notify("READY=1");

    let mut work = jobs::start(configuration, &registry, &catalog, &access);
    if let Some(tls) = tls {
        work.spawn(tls.watch());
    }
    work.spawn(accounts::keep(access.clone()));
    if let Some(file) = password_file {
        work.spawn(file.watch());
    }
    let drain = server.drain();
    let served = tokio::select! {
        () = server.serve() => Ok(()),
        lost = catalog.fatal() => Err(lost),
        failure = old_tree.failure() => return Err(failure),
        never = signals.drive(&drain) => match never {},
    };
    drop((work, old_tree));
    // A failure to remove it leaves a socket that nobody answers on; the next server replaces it.
    let _ = std::fs::remove_file(&control);
    match served {
        Ok(()) => {
            access.close().await;
            let closed = registry.close().await;
            closed.map_err(|error| Failure::failed(chain(&error)))?;
            tracing::info!("stopped");
            Ok(())
        }
        Err(reason) => {
            Err(Failure::new(Exit::CatalogLost, format!("the catalog cannot be written any more: {reason}"))
                .with_hint("Look at the disk first. A restart goes on from what is durable."))
        }
    }
}

/// Who may log in, as far as it is known at the start: whether accounts exist, and what the image does when nobody said anything about that.
pub enum Accounts {
    /// None, and nothing that says who may log in: the open state.
    Open,
    /// None but those of a password file, a directory or an identity provider.
    Elsewhere,
    /// There are some.
    Exist,
    /// There is one since a moment ago, with this password.
    FirstMade(String),
}

impl Accounts {
    fn forget(&mut self) {
        if let Self::FirstMade(password) = self {
            password.clear();
        }
    }
}

async fn standing(configuration: &Configuration, access: &Access, activated: &[TcpListener]) -> Result<Accounts> {
    let unknown = |error: larder_access::Refused| Failure::failed(chain(&error));
    if access.accounts_exist().await.map_err(unknown)? {
        if configuration.source("access.open") != &Source::Default {
            tracing::warn!(
                "access.open has no effect, since accounts exist. `larder grant add anonymous pull '**'` lets everybody pull, and so for other actions"
            );
        }
        return Ok(Accounts::Exist);
    }
    if !access.is_open().await.map_err(unknown)? {
        return Ok(Accounts::Elsewhere);
    }
    if makes_first_user(configuration) {
        return accounts::make_first_user(access, FIRST_USER).await.map(Accounts::FirstMade);
    }
    addresses::refuse_unmeant(configuration, activated)?;
    Ok(Accounts::Open)
}

/// Whether this is the image, started without a word about who may log in (behaviour §7).
fn makes_first_user(configuration: &Configuration) -> bool {
    configuration.switch("registry2.stand_in")
        && configuration.source("access.open") == &Source::Default
        && !configuration.switch("read_only")
        && !accounts::are_configured(configuration)
}

/// What ends a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The first signal begins the drain, the second cuts it short, a third ends the process on the spot.
    async fn drive(&mut self, drain: &Drain) -> std::convert::Infallible {
        self.next().await;
        notify::notify("STOPPING=1");
        tracing::info!("stopping: open requests are served until drain.timeout; a second signal ends them at once");
        drain.begin();
        self.next().await;
        drain.hasten();
        self.next().await;
        std::process::exit(1)
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// What one identity, or one address, may.
fn allowance(configuration: &Configuration, whose: &str) -> Allowance {
    let limit = |what: &str| Some(configuration.number(&format!("limits.{whose}_{what}"))).filter(|limit| *limit > 0);
    Allowance { requests: limit("requests"), uploads: limit("uploads"), bytes: limit("bytes") }
}

/// The HTTP server's settings.
pub fn server_config(configuration: &Configuration) -> Result<Config> {
    let number = |path: &str| usize::try_from(configuration.number(path)).unwrap_or(usize::MAX);
    let mut proxy_trusted = Vec::new();
    for range in configuration.list("proxy.trusted") {
        proxy_trusted.push(range.parse().map_err(|error: String| Failure::usage(format!("proxy.trusted: {error}")))?);
    }
    Ok(Config {
        admission: match configuration.text("access.open") {
            Some("read") => Admission::OpenRead,
            Some("write") => Admission::OpenWrite,
            _ => Admission::Loopback,
        },
        realm: configuration.text("access.realm").unwrap_or("Larder").to_owned(),
        public_url: configuration.text("public_url").map(str::to_owned),
        proxy_trusted,
        manifest_limit: number("limits.manifest_bytes"),
        drain_delay: configuration.duration("drain.delay"),
        drain_timeout: configuration.duration("drain.timeout"),
        hsts: Some(configuration.duration("tls.hsts"))
            .filter(|hsts| !hsts.is_zero() && !configuration.switch("tls.self_signed")),
        limits: Limits {
            connections: number("limits.connections"),
            header_timeout: configuration.duration("limits.header_timeout"),
            idle_timeout: configuration.duration("limits.idle_timeout"),
            stall_timeout: configuration.duration("limits.stall_timeout"),
            header_bytes: number("limits.header_bytes"),
            streams: u32::try_from(configuration.number("limits.streams")).unwrap_or(u32::MAX),
        },
        of_identity: allowance(configuration, "identity"),
        of_address: allowance(configuration, "address"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}
