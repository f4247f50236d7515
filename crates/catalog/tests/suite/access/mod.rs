//! Accounts, rights, credentials and the audit.

mod accounts;
mod audit;
mod credentials;
mod grants;
mod races;
mod version;
mod visibility;

use larder_catalog::model::access::{Effect, NewGrant, NewUser, Subject};
use larder_oci::{Action, Actions, RepositoryName};

use crate::fixture::{Fixture, name, pattern, stamp, stamp_of};

/// Makes a user; the first of all is an administrator.
async fn user(f: &Fixture, text: &str) {
    let new = NewUser { name: text.to_owned(), password: Some(format!("hash of {text}")), ..NewUser::default() };
    let made = f.create_user(new, stamp(0)).await.expect("answered");
    assert!(matches!(made, larder_catalog::model::access::CreateUser::Created { .. }), "{made:?}");
}

fn pull(subject: Subject, text: &str) -> NewGrant {
    let actions = Actions::of(&[Action::Pull]);
    NewGrant { subject, actions, pattern: pattern(text), effect: Effect::Allow, note: "for a test".to_owned() }
}

fn of(text: &str) -> Subject {
    Subject::User(text.to_owned())
}

/// Makes repositories in the name of this identity.
async fn repositories(f: &Fixture, identity: &str, names: &[&str]) {
    for text in names {
        assert!(f.create_repository(&name(text), stamp_of(identity, 0)).await.expect("answered"), "{text}");
    }
}

fn texts(names: &[RepositoryName]) -> Vec<&str> {
    names.iter().map(RepositoryName::as_str).collect()
}
