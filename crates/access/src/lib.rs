//! Who are you, may you: accounts, passwords, tokens, trusts, grants, and the decision that they add up to.
//!
//! [`Access`] is the door: [`Access::identify`] turns what a request presents into a [`Caller`], whose [`Rights`] are a pure value that
//! answers without asking anybody. This crate must not know HTTP, the domain of repositories, or how it is configured; what it needs of the
//! network it takes through [`Fetch`].

mod account_name;
mod caller;
mod clock;
mod htpasswd;
mod overlap;
mod password;
mod ports;
mod problem;
mod recent;
mod rights;
mod secret_key;
mod settings;
mod throttle;
pub mod token;

pub use account_name::AccountName;
pub use caller::{Caller, CallerKind, Origin, Presented, Refused};
pub use clock::{Clock, ManualClock, SystemClock};
pub use ports::{Fetch, FetchError, Ports};
pub use problem::{OpenError, Problem};
pub use rights::{Facts, Limit, Reason, ReasonEffect, Rights, Rule, Verdict, Visible};
pub use secret_key::SecretKey;
pub use settings::{HtpasswdRights, Ldap, LdapBind, OidcLogin, Settings};
pub use token::PlainToken;
