//! Why somebody may, or may not.

use jiff::Timestamp;
use larder_oci::{Action, RepositoryName};

use super::{Answer, By, absent};
use crate::access::Access;
use crate::{Caller, CallerKind, Problem, Reason, Rights, Verdict};

/// What somebody may in a repository, and because of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The identity that was asked about.
    pub identity: String,
    /// The repository.
    pub repository: RepositoryName,
    /// Whether it is public; absent ones are not.
    pub public: bool,
    /// Each action with the decision and what bears on it, the deciding first.
    pub actions: Vec<(Action, bool, Verdict, Vec<Reason>)>,
}

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoAmI {
    /// The identity.
    pub identity: String,
    /// What kind of party.
    pub kind: CallerKind,
    /// The credential's id.
    pub credential: String,
    /// Whether accounts may be administered.
    pub administrator: bool,
    /// The groups.
    pub groups: Vec<String>,
    /// When the credential ends.
    pub until: Option<Timestamp>,
}

impl Access {
    /// Says what an identity (`anonymous`, `user:NAME`, `robot:NAME`) may in a repository and why, without the limits of any token. For
    /// administrators, for who administers the repository, and about oneself.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`], [`Problem::Absent`] for the identity.
    pub async fn explain(&self, by: &By, identity: &str, repository: &RepositoryName) -> Answer<Explanation> {
        if !by.is(identity) && !by.is_administrator() && !by.administers(&repository.into()) {
            return Err(Problem::NotAllowed("only who administers the repository asks about others"));
        }
        let rights = self.rights_of(identity).await?;
        let facts = self.inner.catalog.repository_facts(repository).await?;
        let public = facts.is_some_and(|facts| facts.public);
        let decide = |action: Action| {
            let verdict = rights.verdict(action, repository);
            (action, verdict.permits(action, public), verdict, rights.explain(action, repository))
        };
        let actions = Action::ALL.into_iter().map(decide).collect();
        Ok(Explanation { identity: identity.to_owned(), repository: repository.clone(), public, actions })
    }

    /// What an identity may, without the limits of any token.
    async fn rights_of(&self, identity: &str) -> Answer<std::sync::Arc<Rights>> {
        match identity.split_once(':') {
            Some(("user", name)) => {
                self.must_be_known(name).await?;
                let row = self.user_row(name).await?;
                let file = self.inner.htpasswd.as_ref().map(|file| file.users());
                let in_file = file.is_some_and(|users| users.hash(name).is_some());
                let facts = self.facts_of_user(name, row.as_deref(), in_file).await?;
                Ok(std::sync::Arc::new(Rights::compile(facts)))
            }
            Some(("robot", name)) if self.inner.catalog.robot(name).await?.is_none() => Err(absent("robot", name)),
            None | Some(("robot", _)) if identity == "anonymous" || identity.contains(':') => {
                Ok(std::sync::Arc::clone(&self.standing(identity, "none").await?.rights))
            }
            _ => Err(Problem::Invalid("an identity is anonymous, user:NAME or robot:NAME".to_owned())),
        }
    }

    /// Who the caller is.
    ///
    /// # Errors
    ///
    /// [`Problem::Catalog`].
    pub async fn whoami(&self, caller: &Caller) -> Answer<WhoAmI> {
        let groups = match (caller.kind, caller.name()) {
            (CallerKind::User, Some(name)) => self.inner.catalog.groups_of(name).await?,
            _ => Vec::new(),
        };
        Ok(WhoAmI {
            identity: caller.identity.clone(),
            kind: caller.kind,
            credential: caller.credential.clone(),
            administrator: caller.scope.is_none() && caller.rights.administrator(),
            groups,
            until: caller.until,
        })
    }
}
