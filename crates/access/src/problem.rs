//! What can go wrong with a change, and at the start.

/// Why a change was not made. In every case nothing of it was applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Problem {
    /// The caller may not do this.
    #[error("not allowed: {0}")]
    NotAllowed(&'static str),
    /// There is nothing of this name.
    #[error("there is no {what} {name}")]
    Absent {
        /// `user`, `group`, `robot`, `token`, `grant`, `trust`, `quota`, `session`.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Something of this name is there.
    #[error("the {what} {name} exists")]
    Exists {
        /// As above.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A user cannot have the name under which others' repositories lie (case 11).
    #[error("repositories that others made lie under {name}: {repository}")]
    NameTaken {
        /// The name.
        name: String,
        /// One of the repositories.
        repository: String,
    },
    /// The last administrator who can log in stays one.
    #[error("{0} is the last administrator")]
    LastAdministrator(String),
    /// The value is none of those allowed; the text says what would be.
    #[error("{0}")]
    Invalid(String),
    /// Too many passwords wait to be hashed: come again.
    #[error("too many passwords are being set, try again")]
    Busy,
    /// The catalog did not answer.
    #[error(transparent)]
    Catalog(#[from] larder_catalog::Error),
}

/// Why access control could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A setting does not do.
    #[error("{0}")]
    Setting(String),
    /// The password file cannot be used.
    #[error("the password file {path}: {reason}")]
    Htpasswd {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// The key's file cannot be used.
    #[error("the secret key {path}: {reason}")]
    SecretKey {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// The catalog did not answer.
    #[error(transparent)]
    Catalog(#[from] larder_catalog::Error),
}
