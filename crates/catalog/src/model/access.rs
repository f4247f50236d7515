//! Plain values about accounts, rights, credentials and the audit.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use larder_oci::{Actions, RepositoryName, RepositoryPattern};
use serde::{Deserialize, Serialize};

use super::Stamp;

/// Where a user comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserSource {
    /// Made here.
    #[default]
    Local,
    /// First seen at a login with OIDC.
    Oidc,
    /// First seen at a login with LDAP.
    Ldap,
    /// Signed up, and confirmed a mail address.
    SignUp,
}

/// A person's account. Its identity is `user:NAME`.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Whether it may do everything.
    pub administrator: bool,
    /// Whether its credentials are refused.
    pub disabled: bool,
    /// An address for people, not for decisions.
    pub email: Option<String>,
    /// The hash of its password, as a PHC string.
    pub password: Option<String>,
    /// Counts up when earlier credentials end: with the password, and when it is disabled.
    pub revision: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it last proved who it is.
    pub last_seen: Option<Timestamp>,
    /// Where it comes from.
    pub source: UserSource,
}

/// Without the password's hash, which no log needs.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, administrator, disabled, email, revision, created, last_seen, source, password: _ } = self;
        let mut out = f.debug_struct("User");
        out.field("name", name).field("administrator", administrator).field("disabled", disabled);
        out.field("email", email).field("revision", revision).field("created", created);
        out.field("last_seen", last_seen).field("source", source).finish_non_exhaustive()
    }
}

/// A user to be made.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct NewUser {
    /// Its name.
    pub name: String,
    /// The hash of its password, as a PHC string.
    pub password: Option<String>,
    /// Whether it may do everything. The first user of all always may.
    pub administrator: bool,
    /// An address for people.
    pub email: Option<String>,
    /// Where it comes from.
    pub source: UserSource,
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What became of a user to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateUser {
    /// It is there now.
    Created {
        /// Whether it may do everything: it was asked for, or it is the first.
        administrator: bool,
    },
    /// There is one of this name already.
    Exists,
    /// Others' repositories lie at the name or under it; one of them.
    NameTaken(RepositoryName),
}

/// What to change about a user; `None` leaves it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Whether it may do everything.
    pub administrator: Option<bool>,
    /// Whether its credentials are refused. Ends earlier ones.
    pub disabled: Option<bool>,
    /// The address, or none any more.
    pub email: Option<Option<String>>,
    /// The hash of a new password, or none any more. Ends earlier credentials.
    pub password: Option<Option<String>>,
}

impl fmt::Debug for UserChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UserChange");
        out.field("administrator", &self.administrator).field("disabled", &self.disabled).field("email", &self.email);
        out.field("password", &self.password.is_some()).finish()
    }
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It holds.
    Done,
    /// There is nothing of this name.
    Absent,
    /// It would have left no enabled administrator; nothing was changed.
    LastAdministrator,
}

/// An account for machines. Its identity is `robot:NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Robot {
    /// Its name.
    pub name: String,
    /// What its rights never reach beyond.
    pub pattern: RepositoryPattern,
    /// What it is for.
    pub description: String,
    /// Whether its credentials are refused.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it last proved who it is.
    pub last_seen: Option<Timestamp>,
}

/// A robot to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRobot {
    /// Its name.
    pub name: String,
    /// What its rights never reach beyond.
    pub pattern: RepositoryPattern,
    /// What it is for.
    pub description: String,
}

/// What to change about a robot; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RobotChange {
    /// What its rights never reach beyond.
    pub pattern: Option<RepositoryPattern>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether its credentials are refused.
    pub disabled: Option<bool>,
}

/// Users that grants mean together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
}

/// Whom a grant is about. As text: `user:NAME`, `robot:NAME`, `group:NAME`, `signed-in`, `anonymous`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// One user.
    User(String),
    /// One robot.
    Robot(String),
    /// The members of a group.
    Group(String),
    /// Everybody with an account.
    SignedIn,
    /// Everybody.
    Anonymous,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Robot(name) => write!(f, "robot:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::SignedIn => f.write_str("signed-in"),
            Self::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// A text that names no subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subject is user:NAME, robot:NAME, group:NAME, signed-in or anonymous")]
pub struct NoSubject;

impl FromStr for Subject {
    type Err = NoSubject;

    fn from_str(text: &str) -> Result<Self, NoSubject> {
        Ok(match text.split_once(':') {
            None if text == "signed-in" => Self::SignedIn,
            None if text == "anonymous" => Self::Anonymous,
            Some((_, "")) | None => return Err(NoSubject),
            Some(("user", name)) => Self::User(name.to_owned()),
            Some(("robot", name)) => Self::Robot(name.to_owned()),
            Some(("group", name)) => Self::Group(name.to_owned()),
            Some(_) => return Err(NoSubject),
        })
    }
}

/// Whether a grant gives or takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It gives.
    #[default]
    Allow,
    /// It takes, whatever others give.
    Deny,
}

/// A rule: who may, or may not, do what where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Counts up.
    pub id: i64,
    /// Whom it is about.
    pub subject: Subject,
    /// What.
    pub actions: Actions,
    /// Where.
    pub pattern: RepositoryPattern,
    /// Whether it gives or takes.
    pub effect: Effect,
    /// Whether it came with the making of the repository, and goes with it.
    pub creator: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Why.
    pub note: String,
}

/// A grant to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewGrant {
    /// Whom it is about.
    pub subject: Subject,
    /// What.
    pub actions: Actions,
    /// Where.
    pub pattern: RepositoryPattern,
    /// Whether it gives or takes.
    pub effect: Effect,
    /// Why.
    pub note: String,
}

/// Which grants to list; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// About this subject.
    pub subject: Option<Subject>,
    /// With exactly this pattern.
    pub pattern: Option<RepositoryPattern>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// A personal access token, or a robot's.
    #[default]
    Access,
    /// The token service's, to get bearer tokens with. In no list.
    Refresh,
}

/// A stored token. The token itself is known to its holder only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its id, which may be shown.
    pub id: String,
    /// What it is for.
    pub kind: TokenKind,
    /// The identity that it speaks for.
    pub owner: String,
    /// What its owner calls it.
    pub name: String,
    /// What it is limited to.
    pub actions: Actions,
    /// Where it is limited to; nothing here is no limit.
    pub patterns: Vec<RepositoryPattern>,
    /// The credential that it was made with, for a refresh token: the id of another token, or `password`.
    pub parent: Option<String>,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Option<Timestamp>,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
}

/// A token to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewToken {
    /// Its id, which may be shown.
    pub id: String,
    /// SHA-256 of the whole token.
    pub hash: [u8; 32],
    /// What it is for.
    pub kind: TokenKind,
    /// The identity that it speaks for.
    pub owner: String,
    /// What its owner calls it.
    pub name: String,
    /// What it is limited to.
    pub actions: Actions,
    /// Where it is limited to; nothing here is no limit.
    pub patterns: Vec<RepositoryPattern>,
    /// The credential that it is made with, for a refresh token.
    pub parent: Option<String>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

/// What a claim of an assertion must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The claim's name.
    pub claim: String,
    /// One of these.
    pub values: Vec<String>,
}

/// Whose assertions are taken for what. The identity of one is `trust:NAME#SUB`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Its name.
    pub name: String,
    /// The issuer's address, exactly as assertions state it.
    pub issuer: String,
    /// The audience that assertions must state.
    pub audience: String,
    /// What their claims must be: all of it.
    pub conditions: Vec<Condition>,
    /// What it gives.
    pub actions: Actions,
    /// Where.
    pub patterns: Vec<RepositoryPattern>,
    /// Whether each assertion is taken once.
    pub single_use: bool,
    /// How old an assertion may be.
    pub max_age: Option<Duration>,
    /// How long what it is exchanged for holds.
    pub ttl: Duration,
    /// Whether it is out of use.
    pub disabled: bool,
    /// When it was made; what a new one states here does not count.
    pub created: Timestamp,
    /// Who made it; what a new one states here does not count.
    pub created_by: String,
}

/// A key that bearer tokens are signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKey {
    /// Its id, stated by what it signed.
    pub id: String,
    /// The key, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it only verifies.
    pub retired: Option<Timestamp>,
}

/// A link with which somebody chooses the password of an account, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The account.
    pub user: String,
    /// When it ends.
    pub expires: Timestamp,
}

/// A mail address whose owner asked for an account and has not opened the link yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignUp {
    /// The address.
    pub email: String,
    /// The name that the account is to have.
    pub name: String,
    /// When the link ends.
    pub expires: Timestamp,
}

/// What came of confirming a sign-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfirmSignUp {
    /// The user of this name was made.
    Created(String),
    /// The sign-up has ended, or nobody administers yet.
    Ended,
    /// Somebody has the name by now, or others' repositories lie under it.
    NameTaken(String),
}

/// A login to the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id, which may be shown.
    pub id: String,
    /// Who.
    pub identity: String,
    /// What it was begun with: `password`, `htpasswd`, `ldap`, `oidc`.
    pub credential: String,
    /// The state of the account that the credential was checked against: when that changes, the session has ended.
    pub revision: i64,
    /// From where it was begun.
    pub address: Option<String>,
    /// With which program.
    pub agent: String,
    /// When.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It was done.
    Allowed,
    /// It was refused.
    Denied,
    /// It could not be done.
    Failed,
}

/// A row of the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Counts up; what an entry to be written states here does not count.
    pub id: i64,
    /// When; of several that were folded, when first.
    pub at: Timestamp,
    /// Who.
    pub identity: String,
    /// With what.
    pub credential: Option<String>,
    /// From where.
    pub address: Option<String>,
    /// What.
    pub action: String,
    /// In which repository.
    pub repository: Option<RepositoryName>,
    /// To what: a tag, a digest, a name.
    pub object: Option<String>,
    /// What became of it.
    pub outcome: Outcome,
    /// In which request; of several that were folded, the first.
    pub request_id: Option<String>,
    /// How many such attempts this row stands for.
    pub count: u64,
    /// More about it: JSON.
    pub detail: Option<String>,
}

impl AuditEntry {
    /// An entry about one attempt, to be written.
    pub fn new(stamp: &Stamp, action: impl Into<String>, outcome: Outcome) -> Self {
        Self {
            id: 0,
            at: stamp.at,
            identity: stamp.identity.clone(),
            credential: stamp.origin.credential.clone(),
            address: stamp.origin.address.clone(),
            action: action.into(),
            repository: None,
            object: None,
            outcome,
            request_id: stamp.request_id.clone(),
            count: 1,
            detail: None,
        }
    }
}

/// Which rows of the audit to show; all that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// By this identity.
    pub identity: Option<String>,
    /// In repositories that this matches.
    pub repository: Option<RepositoryPattern>,
    /// This action, or those under it: `tag` is `tag.moved` and `tag.deleted`.
    pub action: Option<String>,
    /// With this outcome.
    pub outcome: Option<Outcome>,
}

/// A page of the audit, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// At most the limit that was asked for; fewer, or none, where rows that do not fit lie between.
    pub items: Vec<AuditEntry>,
    /// Before which id to go on; `None` at the end.
    pub next: Option<i64>,
}

/// What to change about a repository; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositoryChange {
    /// Whether everybody may pull it.
    pub public: Option<bool>,
    /// What its owners say about it.
    pub description: Option<String>,
}

/// What decisions need to know of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Whether everybody may pull it.
    pub public: bool,
    /// What its owners say about it.
    pub description: String,
    /// When it was made.
    pub created: Timestamp,
    /// Who made it; `None` where that was not noted.
    pub created_by: Option<String>,
}
