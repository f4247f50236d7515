//! Which registry an administration command is about: a server, or a data folder of this machine.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::accounts;
use crate::api_client::ApiClient;
use crate::config::{self, Configuration, SettingFlags, Source};
use crate::context::{Context, DataArg};
use crate::opened;
use crate::outcome::{Failure, Result};
use crate::privileges::become_owner;
use crate::protected_files::ProtectedFiles;
use crate::serve::data_folder::{DataFolder, Lock, control_socket, in_use};

/// What was meant.
#[derive(Debug)]
pub enum Target {
    /// A server.
    Server(String),
    /// A data folder.
    Folder(PathBuf),
}

impl Target {
    /// Chooses: `--data`, then `--server`, then a data folder that the environment or its file names, then the server of the last login.
    pub fn choose(data: &DataArg, context: &Context) -> Result<Self> {
        if let Some(folder) = &data.data {
            return Ok(Self::Folder(folder.clone()));
        }
        if let Some(server) = context.server() {
            return Ok(Self::Server(server_url(server)));
        }
        let configuration = Configuration::load(&SettingFlags::default(), &config::environment())?;
        match (configuration.source("data"), configuration.text("data")) {
            (Source::Default, _) | (_, None) => match context.server_or_login()? {
                Some(server) => Ok(Self::Server(server)),
                None => Err(Failure::usage("it is not said which registry is meant").with_hint(
                    "Write --server http://localhost:5000 (or set LARDER_SERVER), --data DIR for a data folder of this machine, or log in: \
                     larder login HOST.",
                )),
            },
            (_, Some(folder)) => Ok(Self::Folder(folder.into())),
        }
    }

    /// Becomes the owner of the folder that is meant, so that nothing of root's is left in it. Before any thread is made.
    pub fn take_on_rights(data: &DataArg, context: &Context) -> Result {
        match Self::choose(data, context) {
            Ok(Self::Folder(folder)) => become_owner(&folder, true).map(drop),
            // What is wrong is told when the command looks again.
            Ok(Self::Server(_)) | Err(_) => Ok(()),
        }
    }

    /// Opens the road to it.
    pub async fn open(self) -> Result<ApiClient> {
        match self {
            Self::Server(base) => ApiClient::tcp(&base),
            Self::Folder(folder) => open_folder(&folder, Absent::IsRefused).await,
        }
    }

    /// The same; a folder that holds no catalog yet gets one.
    pub async fn open_or_make(self) -> Result<ApiClient> {
        match self {
            Self::Server(base) => ApiClient::tcp(&base),
            Self::Folder(folder) => open_folder(&folder, Absent::IsMade).await,
        }
    }
}

/// A server as people write it: without a scheme it is http on this machine and https elsewhere.
pub fn server_url(server: &str) -> String {
    if server.contains("://") {
        return server.to_owned();
    }
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host).trim_matches(['[', ']']);
    let is_local = host == "localhost" || host.ends_with(".localhost") || host == "::1" || host.starts_with("127.");
    format!("{}://{server}", if is_local { "http" } else { "https" })
}

/// What to do about a folder without a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Absent {
    IsRefused,
    IsMade,
}

async fn open_folder(folder: &Path, absent: Absent) -> Result<ApiClient> {
    let flags = SettingFlags { data: Some(folder.display().to_string()), ..SettingFlags::default() };
    let configuration = Configuration::load(&flags, &config::environment())?;
    if absent == Absent::IsMade && !folder.exists() {
        drop(DataFolder::take(folder)?);
    }
    if absent == Absent::IsRefused {
        look_for_catalog(folder, &opened::catalog_path(&configuration, folder))?;
    }
    match DataFolder::try_take(folder)? {
        Lock::Held(folder) => {
            let opened = opened::open(&configuration, folder).await?;
            // The password file is the running server's business.
            let files = ProtectedFiles::new(Vec::new());
            let access =
                accounts::open(&configuration, opened.catalog.clone(), opened.folder.root(), None, &files).await?;
            Ok(ApiClient::here(opened, access))
        }
        Lock::Taken(owner) => {
            let socket = control_socket(folder);
            if !socket.exists() {
                return Err(in_use(folder, owner));
            }
            ApiClient::control(&socket)
        }
    }
}

/// A catalog that cannot be seen is not one that is not there.
fn look_for_catalog(folder: &Path, catalog: &Path) -> Result {
    match catalog.try_exists() {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Failure::not_found(format!("{} is no data folder of Larder: it holds no catalog", folder.display())))
        }
        Err(error) => {
            let failure = Failure::failed(format!("{} cannot be opened: {error}", catalog.display()));
            let hint = closed_folder(catalog).map(|closed| {
                let user = geteuid();
                format!("This command works as user {user}, whom {} does not let through.", closed.display())
            });
            Err(hint.into_iter().fold(failure, Failure::with_hint))
        }
    }
}

/// The folder on the way to `path` that this process may not pass.
fn closed_folder(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let mut way: Vec<&Path> = path.ancestors().collect();
    way.reverse();
    let denied = |step: &&Path| step.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::PermissionDenied);
    way.into_iter().find(denied).and_then(Path::parent).map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_scheme_is_plain_only_on_this_machine() {
        for (written, meant) in [
            ("localhost:5000", "http://localhost:5000"),
            ("127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("[::1]:5000", "http://[::1]:5000"),
            ("registry.example.com", "https://registry.example.com"),
            ("http://registry.lan:5000", "http://registry.lan:5000"),
        ] {
            assert_eq!(server_url(written), meant);
        }
    }
}
