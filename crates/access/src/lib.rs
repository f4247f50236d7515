//! Who are you, may you: accounts, passwords, tokens, trusts, grants, and the decision that they add up to.
//!
//! [`Access`] is the door: [`Access::identify`] turns what a request presents into a [`Caller`], whose [`Rights`] are a pure value that
//! answers without asking anybody. This crate must not know HTTP, the domain of repositories, or how it is configured; what it needs of the
//! network it takes through [`Fetch`].

mod access;
mod account_name;
mod admin;
mod bearer;
mod caller;
mod clock;
mod denials;
mod directory;
mod federation;
mod form_key;
mod htpasswd;
mod identify;
mod issue;
mod keyring;
mod login;
mod newcomers;
mod overlap;
mod password;
mod ports;
mod problem;
mod recent;
mod rights;
mod secret_key;
mod sessions;
mod settings;
mod standing;
mod throttle;
pub mod token;
mod webhook_secret;

pub use access::Access;
pub use account_name::{AccountName, InvalidName};
pub use admin::{
    Account, Answer, By, Explanation, NewAccount, NewCredential, NewPermission, NewRobotAccount, NewTrust,
    RobotSettings, UserSettings, WhoAmI,
};
pub use bearer::Issued;
pub use caller::{Caller, CallerKind, Origin, Presented, Refused};
pub use clock::{Clock, ManualClock, SystemClock};
pub use denials::Denial;
pub use form_key::FormKey;
pub use larder_catalog::model::access::{
    AuditEntry, AuditFilter, AuditPage, Condition, Effect, Grant, GrantFilter, Group, NoSubject, Outcome, Robot,
    Session, Subject, Token, Trust, UserSource,
};
pub use larder_catalog::model::{NewQuota, Origin as StampOrigin, Page, Quota, Stamp};
pub use login::{DevicePoll, DeviceStart, LoginStart};
pub use ports::{Fetch, FetchError, Ports};
pub use problem::{OpenError, Problem};
pub use rights::{Facts, Limit, Reason, ReasonEffect, Rights, Rule, Verdict, Visible};
pub use secret_key::SecretKey;
pub use sessions::Begun;
pub use settings::{HtpasswdRights, Ldap, LdapBind, OidcLogin, Settings};
pub use token::PlainToken;
