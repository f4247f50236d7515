//! The command line: one module per command, each parsed by clap and run with a [`Context`].

pub mod about;
mod arrivals;
pub mod audit;
pub mod backup;
pub mod complete;
pub mod config;
pub mod copy;
pub mod docker;
#[cfg(test)]
mod documented;
pub mod grant;
pub mod group;
pub mod import;
mod import_registry;
pub mod inspect;
pub mod layouts;
mod listing;
pub mod login;
pub mod policy;
pub mod promote;
pub mod pull;
pub mod purge;
pub mod push;
pub mod quota;
mod reference_arg;
mod registry_args;
pub mod repo;
pub mod robot;
pub mod rules;
pub mod search;
pub mod stage;
pub mod tag;
pub mod token;
mod transfer_progress;
pub mod trust;
pub mod upkeep;
mod usage_by;
pub mod user;
pub mod webhook;

use clap::{Parser, Subcommand};

use crate::api_client::ApiClient;
use crate::context::{Context, DataArg, Globals};
use crate::outcome::Result;
use crate::protected_files::ReaderArgs;
use crate::serve::ServeArgs;

/// A container registry for machine-learning teams.
///
/// Without a command it is `larder serve`.
#[derive(Debug, Parser)]
#[command(name = "larder", version, propagate_version = false)]
pub struct CommandLine {
    /// Options that every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do; nothing is `serve`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the registry
    Serve(ServeArgs),
    /// Push an image or a model to one registry or several
    Push(push::PushArgs),
    /// Pull an image or a model
    Pull(pull::PullArgs),
    /// Copy from one registry to others, or within one
    Copy(copy::CopyArgs),
    /// Show what a reference points at
    Inspect(inspect::InspectArgs),
    /// Log in to a registry, and docker and podman with it
    Login(login::LoginArgs),
    /// Forget a login
    Logout(login::LogoutArgs),
    /// Show who one is there
    Whoami(login::WhoamiArgs),
    /// Have docker and podman ask this program for logins
    ConfigureDocker(docker::ConfigureArgs),
    /// Find repositories and images
    Search(search::SearchArgs),
    /// Look after repositories
    #[command(subcommand)]
    Repo(repo::RepoCommand),
    /// Look after tags
    #[command(subcommand)]
    Tag(tag::TagCommand),
    /// Let a version enter a stage: dev, staging, prod
    Promote(promote::PromoteArgs),
    /// Approve that a version enters a stage
    Approve(promote::ApproveArgs),
    /// Point a stage at what stood there before
    Rollback(promote::RollbackArgs),
    /// Say which stages repositories have, and see what stands in them
    #[command(subcommand)]
    Stage(stage::StageCommand),
    /// Say which images a repository lets go of, and see it first
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Say what may be pushed, moved, removed and pulled
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Look after users
    #[command(subcommand)]
    User(user::UserCommand),
    /// Look after groups
    #[command(subcommand)]
    Group(group::GroupCommand),
    /// Look after robots: accounts for machines
    #[command(subcommand)]
    Robot(robot::RobotCommand),
    /// Look after tokens
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Say who may do what where
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// Say how much repositories may hold
    #[command(subcommand)]
    Quota(quota::QuotaCommand),
    /// Say whose identity tokens are taken, so that CI needs no secret
    #[command(subcommand)]
    Trust(trust::TrustCommand),
    /// Have others told of what happens here
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Show who did what, and who was refused
    Audit(audit::AuditArgs),
    /// Remove for good what must not stay, such as a secret that was pushed
    Purge(purge::PurgeArgs),
    /// Collect garbage now and report; the server also does it by itself
    Sweep(upkeep::SweepArgs),
    /// Show how the server's reading back of everything stands, or begin a pass
    Scrub(upkeep::ScrubArgs),
    /// Read everything back: rows against bytes, hashes against names
    Verify(upkeep::VerifyArgs),
    /// Show where the bytes are
    Usage(upkeep::UsageArgs),
    /// Copy everything into a folder while the registry works: the first time whole, later what is new
    Backup(backup::BackupArgs),
    /// Put a backup back into an empty data folder
    Restore(backup::RestoreArgs),
    /// Write a repository with all its tags as an OCI layout
    Export(layouts::ExportArgs),
    /// Move in from another registry
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Check, show and explain the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell
    Completions(about::CompletionsArgs),
    /// Print the version
    Version,
    /// Not needed here: garbage is collected while the registry runs (for scripts written for `registry:2`)
    GarbageCollect(about::GarbageCollectArgs),
    /// What a shell asks while somebody types
    #[command(hide = true)]
    Complete(complete::CompleteArgs),
    /// What docker asks of `docker-credential-larder`
    #[command(hide = true, subcommand)]
    DockerCredential(docker::HelperCommand),
    /// Read files for a server that gave up root
    #[command(hide = true)]
    ReadProtectedFiles(ReaderArgs),
    /// Print the reference of the command line
    #[command(hide = true)]
    MarkdownHelp,
    /// Print the description of the administration API
    #[command(hide = true)]
    Openapi,
}

impl Command {
    /// The data folder that an administration command may work on.
    pub fn data(&self) -> Option<&DataArg> {
        match self {
            Self::Search(args) => Some(&args.data),
            Self::Repo(command) => Some(command.data()),
            Self::Tag(command) => Some(command.data()),
            Self::Promote(args) => Some(&args.data),
            Self::Approve(args) => Some(&args.data),
            Self::Rollback(args) => Some(&args.data),
            Self::Stage(command) => Some(command.data()),
            Self::Policy(command) => Some(command.data()),
            Self::Rules(command) => Some(command.data()),
            Self::User(command) => Some(command.data()),
            Self::Group(command) => Some(command.data()),
            Self::Robot(command) => Some(command.data()),
            Self::Token(command) => Some(command.data()),
            Self::Grant(command) => Some(command.data()),
            Self::Quota(command) => Some(command.data()),
            Self::Trust(command) => Some(command.data()),
            Self::Webhook(command) => Some(command.data()),
            Self::Audit(args) => Some(&args.data),
            Self::Backup(args) => Some(&args.data),
            Self::Restore(args) => Some(&args.data),
            Self::Whoami(args) => Some(&args.data),
            Self::Purge(args) => Some(&args.data),
            Self::Sweep(args) => Some(&args.data),
            Self::Scrub(args) => Some(&args.data),
            Self::Verify(args) => Some(&args.data),
            Self::Usage(args) => Some(&args.data),
            Self::Import(command) => command.data(),
            _ => None,
        }
    }
}

/// Runs what was asked for. The server is none of these: it makes its own runtime.
pub async fn run(command: Command, context: &Context) -> Result {
    match command {
        Command::Serve(args) => crate::serve::run(args, context),
        Command::Push(args) => push::run(args, context).await,
        Command::Pull(args) => pull::run(args, context).await,
        Command::Copy(args) => copy::run(args, context).await,
        Command::Inspect(args) => inspect::run(args, context).await,
        Command::Search(args) => search::run(args, context).await,
        Command::Repo(command) => repo::run(command, context).await,
        Command::Tag(command) => tag::run(command, context).await,
        Command::Promote(args) => promote::promote(args, context).await,
        Command::Approve(args) => promote::approve(args, context).await,
        Command::Rollback(args) => promote::rollback(args, context).await,
        Command::Stage(command) => stage::run(command, context).await,
        Command::Policy(command) => policy::run(command, context).await,
        Command::Rules(command) => rules::run(command, context).await,
        Command::Login(args) => login::login(args, context).await,
        Command::Logout(args) => login::logout(args, context).await,
        Command::Whoami(args) => login::whoami(args, context).await,
        Command::ConfigureDocker(args) => docker::configure(&args, context),
        Command::DockerCredential(command) => docker::helper(command, context).await,
        Command::User(command) => user::run(command, context).await,
        Command::Group(command) => group::run(command, context).await,
        Command::Robot(command) => robot::run(command, context).await,
        Command::Token(command) => token::run(command, context).await,
        Command::Grant(command) => grant::run(command, context).await,
        Command::Quota(command) => quota::run(command, context).await,
        Command::Trust(command) => trust::run(command, context).await,
        Command::Webhook(command) => webhook::run(command, context).await,
        Command::Audit(args) => audit::run(args, context).await,
        Command::Purge(args) => purge::run(args, context).await,
        Command::Sweep(args) => upkeep::sweep(args, context).await,
        Command::Scrub(args) => upkeep::scrub(args, context).await,
        Command::Verify(args) => upkeep::verify(args, context).await,
        Command::Usage(args) => upkeep::usage(args, context).await,
        Command::Backup(args) => backup::backup(args, context).await,
        Command::Restore(args) => backup::restore(args, context).await,
        Command::Export(args) => layouts::export(args, context).await,
        Command::Import(command) => import::run(command, context).await,
        Command::Config(command) => config::run(command, context),
        Command::Completions(args) => about::completions(&args, context),
        Command::Complete(args) => complete::run(args, context).await,
        Command::Version => about::version(context),
        Command::GarbageCollect(_) => about::garbage_collect(context),
        Command::ReadProtectedFiles(args) => crate::protected_files::serve(&args),
        Command::MarkdownHelp => about::markdown_help(context),
        Command::Openapi => about::openapi(context),
    }
}

/// Lets go of the API after the work; the work's own failure counts more.
async fn closing(outcome: Result, api: ApiClient) -> Result {
    let closed = api.close().await;
    outcome.and(closed)
}
