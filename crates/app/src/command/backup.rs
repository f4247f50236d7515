//! `larder backup` and `larder restore`: everything into a folder, and back into an empty data folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use larder_blobs::fs::FsStore;
use larder_registry::{Actor, Backup, RestoreReport, VerifyOptions, VerifyReport};
use serde_json::{Value, json};

use super::upkeep::{Spinner, owner_only};
use crate::accounts::configured_key;
use crate::config::{self, Configuration, SettingFlags, rounded_size};
use crate::context::{Context, DataArg};
use crate::opened::{self, chain};
use crate::outcome::{Exit, Failure, Result};
use crate::serve::data_folder::DataFolder;
use crate::target::Target;

/// Stands in a data folder while a backup is being put back into it, and names the backup.
const RESTORING: &str = "larder-restore";
/// What an empty folder may hold: what a process that held it left, and what `mkfs` makes.
const NOTHING: [&str; 3] = ["lock", "run", "lost+found"];

/// Options of `backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// The backup's folder on the registry's machine: new, empty, or that of an earlier backup, which is brought up to date
    #[arg(value_name = "DIR")]
    pub to: PathBuf,
    /// Also copy `secret.key`, without which sealed secrets (of webhooks, of logins) have to be set again after a restore; then keep the folder as safe as the key
    #[arg(long)]
    pub with_key: bool,
    /// Where from
    #[command(flatten)]
    pub data: DataArg,
}

/// Options of `restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The backup's folder
    #[arg(value_name = "DIR")]
    pub from: PathBuf,
    /// Where to: `--data` names a new or empty folder
    #[command(flatten)]
    pub data: DataArg,
}

/// Runs `larder backup`. Exit code 1 when something was damaged and is not in the backup.
pub async fn backup(args: BackupArgs, context: &Context) -> Result {
    let to = std::path::absolute(&args.to)?;
    let target = Target::choose(&args.data, context)?;
    let key = match (&target, args.with_key) {
        (Target::Folder(data), true) => Some(key_of(data)?),
        (Target::Server(_), true) => {
            return Err(Failure::usage("--with-key copies a file of the data folder: name the folder with --data DIR"));
        }
        (_, false) => None,
    };
    let api = target.open().await?;
    let progress = Spinner::of(context);
    let outcome = api.task("/api/v1/backups", &json!({ "path": to }), |at| progress.say(told(at))).await;
    progress.finish();
    let outcome = outcome.map_err(|failure| owner_only(failure).about(to.display())).and_then(|report| {
        if let Some(key) = key {
            copy_private(&key, &to.join("secret.key"))
                .map_err(|error| Failure::failed(format!("the secret key {}: {error}", key.display())))?;
        }
        context.emit(&report, |out| backed_up(out, &report, &to))?;
        if report["damaged"].as_array().is_some_and(Vec::is_empty) {
            Ok(())
        } else {
            Err(Failure::reported(Exit::Failed))
        }
    });
    super::closing(outcome, api).await
}

fn told(at: &Value) -> String {
    let size = |of: &str| rounded_size(at[of]["bytes"].as_u64().unwrap_or(0));
    format!("{} of {} blobs, {} of {}", at["done"]["count"], at["whole"]["count"], size("done"), size("whole"))
}

fn backed_up(out: &mut dyn Write, report: &Value, to: &Path) -> io::Result<()> {
    let counted = |of: &str| {
        format!("{} blobs ({})", report[of]["count"], rounded_size(report[of]["bytes"].as_u64().unwrap_or(0)))
    };
    damage(out, &report["damaged"])?;
    let moment = report["taken_at"].as_str().unwrap_or_default();
    let (all, copied, removed) = (counted("blobs"), counted("copied"), counted("removed"));
    writeln!(out, "{} holds the state of {moment}: {all}. Copied {copied}, removed {removed}.", to.display())
}

fn damage(out: &mut dyn Write, damaged: &Value) -> io::Result<()> {
    for damaged in damaged.as_array().into_iter().flatten() {
        let word = |value: &Value| value.as_str().unwrap_or_default().replace('_', " ");
        writeln!(out, "{}, and not in the backup: {}", word(&damaged["kind"]), word(&damaged["digest"]))?;
        for affected in damaged["affects"].as_array().into_iter().flatten() {
            writeln!(out, "  affects {}", affected.as_str().unwrap_or_default())?;
        }
    }
    Ok(())
}

/// Runs `larder restore`. Exit code 1 when something of it is missing or wrong.
pub async fn restore(args: RestoreArgs, context: &Context) -> Result {
    let Some(data) = &args.data.data else {
        return Err(Failure::usage("it is not said where to restore to: --data DIR names a new or empty folder"));
    };
    let refused = |error: larder_registry::Error| Failure::failed(chain(&error)).about(args.from.display());
    let backup = Backup::open(&args.from).await.map_err(refused)?;
    let flags = SettingFlags { data: Some(data.display().to_string()), ..SettingFlags::default() };
    let configuration = Configuration::load(&flags, &config::environment())?;
    refuse_occupied(data, &backup)?;
    let folder = DataFolder::take(data)?;
    let (root, catalog) = (folder.root().to_owned(), opened::catalog_path(&configuration, folder.root()));
    std::fs::write(root.join(RESTORING), backup.name())?;
    let progress = Spinner::of(context);
    let report = put_back(&backup, &opened::blobs_path(&configuration, &root), &progress).await;
    progress.finish();
    let report = report?;
    let key = backup.secret_key();
    let has_key = key.exists();
    if has_key && configured_key(&configuration).is_none() {
        copy_private(&key, &root.join("secret.key"))?;
    }
    remove_log(&catalog)?;
    copy_private(&backup.catalog(), &catalog)?;
    drop(backup);
    let opened = opened::open(&configuration, folder).await?;
    let verified = settle(&opened.registry, context).await;
    let closed = opened.registry.close().await;
    let (report, verified) = (report, verified?);
    closed.map_err(|error| Failure::failed(chain(&error)))?;
    std::fs::remove_file(root.join(RESTORING))?;
    let sound = report.damaged.is_empty() && verified.is_sound();
    let mut said = json!(report);
    said["verified"] = json!(verified);
    said["sound"] = sound.into();
    context.emit(&said, |out| restored(out, &said, &report, &verified, &root))?;
    if !has_key {
        context.note(
            "The backup holds no secret.key: put the old one into the data folder before the first start, or sign in anew and set the secrets \
             of webhooks again.",
        );
    }
    if sound { Ok(()) } else { Err(Failure::reported(Exit::Failed)) }
}

/// An attempt with the same backup that was cut off goes on; anything else in the folder is somebody's.
fn refuse_occupied(data: &Path, backup: &Backup) -> Result {
    if std::fs::read_to_string(data.join(RESTORING)).is_ok_and(|name| name == backup.name()) {
        return Ok(());
    }
    let entries = match std::fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        if !NOTHING.contains(&&*entry?.file_name().to_string_lossy()) {
            return Err(Failure::failed(format!("{} is not empty", data.display()))
                .with_hint("A backup is put back into a new folder; move it to its place when it is whole."));
        }
    }
    Ok(())
}

async fn put_back(backup: &Backup, blobs: &Path, progress: &Spinner) -> Result<RestoreReport> {
    let failed = |error: &dyn std::error::Error| Failure::failed(chain(error)).about(blobs.display());
    let path = blobs.to_owned();
    let store = tokio::task::spawn_blocking(move || FsStore::open(&path)).await;
    let store = store.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    let tell = |at| progress.say(told(&json!(at)));
    backup.put_back(&store, &tell).await.map_err(|error| failed(&error))
}

async fn settle(registry: &larder_registry::Registry, context: &Context) -> Result<VerifyReport> {
    let (owner, progress) = (Actor::operator(), Spinner::of(context));
    let work = async {
        registry.settle_restored(&owner).await?;
        let tell = |at: larder_registry::VerifyProgress| progress.say(format!("read back {} blobs", at.blobs));
        registry.verify(&owner, VerifyOptions { repair: false, force: true }, &tell).await
    };
    let outcome = work.await.map_err(|error| Failure::failed(chain(&error)));
    progress.finish();
    outcome
}

fn restored(
    out: &mut dyn Write,
    said: &Value,
    report: &RestoreReport,
    verified: &VerifyReport,
    root: &Path,
) -> io::Result<()> {
    damage(out, &said["damaged"])?;
    let (blobs, size, manifests) = (report.blobs.count, rounded_size(report.blobs.bytes), verified.manifests);
    let verdict = if said["sound"] == true { "everything is there and right" } else { "something is missing or wrong" };
    writeln!(
        out,
        "{} holds the state of {} again: {blobs} blobs ({size}) and {manifests} manifests.",
        root.display(),
        report.taken_at
    )?;
    writeln!(out, "Read back: {verdict}. Start it with `larder serve --data {}`.", root.display())
}

/// A server that was refused the half-restored folder may have left a log, which belongs to another catalog.
fn remove_log(catalog: &Path) -> Result {
    for end in ["-wal", "-shm"] {
        match std::fs::remove_file(format!("{}{end}", catalog.display())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

fn key_of(data: &Path) -> Result<PathBuf> {
    let flags = SettingFlags { data: Some(data.display().to_string()), ..SettingFlags::default() };
    let configuration = Configuration::load(&flags, &config::environment())?;
    let key = configured_key(&configuration).unwrap_or_else(|| data.join("secret.key"));
    if !key.exists() {
        return Err(Failure::not_found(format!("there is no secret key at {}", key.display())));
    }
    Ok(key)
}

/// A copy that only its owner can read, whole and durable under its name or not there.
fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    let part = to.with_extension("part");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    io::copy(&mut File::open(from)?, &mut file)?;
    file.sync_all()?;
    std::fs::rename(&part, to)?;
    match to.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
