//! What an identity with a credential may right now: read from the catalog, compiled, and kept while nothing changes.

use std::sync::Arc;

use aws_lc_rs::hmac;
use jiff::Timestamp;
use larder_catalog::model::access::{Effect, Grant, Subject, Trust, User};
use larder_oci::{Action, Actions, RepositoryName, RepositoryPattern};

use crate::access::{Access, Inner, unavailable};
use crate::rights::Rule;
use crate::{CallerKind, Facts, Limit, Refused, Rights};

/// How an identity stands.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) kind: CallerKind,
    pub(crate) rights: Arc<Rights>,
    /// What signed tokens carry: it differs when the account or its password is not the one of before.
    pub(crate) revision: i64,
    /// When the credential ends.
    pub(crate) until: Option<Timestamp>,
    pub(crate) is_disabled: bool,
}

/// What a credential's id says (see [`Caller::credential`](crate::Caller::credential)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Credential<'a> {
    None,
    Password,
    Htpasswd,
    Ldap,
    Oidc,
    Certificate,
    Token(&'a str),
    Exchange,
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        Some(match text.split_once(':') {
            Some(("token", id)) => Self::Token(id),
            Some(("exchange", _)) => Self::Exchange,
            Some(_) => return None,
            None => match text {
                "none" => Self::None,
                "password" => Self::Password,
                "htpasswd" => Self::Htpasswd,
                "ldap" => Self::Ldap,
                "oidc" => Self::Oidc,
                "certificate" => Self::Certificate,
                _ => return None,
            },
        })
    }

    /// What the answer depends on: two exchanges of one identity stand alike.
    fn key(self) -> &'a str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::Htpasswd => "htpasswd",
            Self::Ldap => "ldap",
            Self::Oidc => "oidc",
            Self::Certificate => "certificate",
            Self::Token(id) => id,
            Self::Exchange => "exchange",
        }
    }
}

impl Access {
    /// How this identity stands with this credential.
    ///
    /// # Errors
    ///
    /// [`Refused::Wrong`] when there is no such account or credential any more.
    pub(crate) async fn standing(&self, identity: &str, credential: &str) -> Result<Arc<Standing>, Refused> {
        let credential = Credential::parse(credential).ok_or(Refused::Wrong)?;
        let key = format!("{identity}\n{}", credential.key());
        let epoch = self.inner.epoch().await?;
        if let Some(standing) = self.inner.standings.get(key.as_str(), &epoch) {
            return Ok(standing);
        }
        let standing = Arc::new(self.read_standing(identity, credential).await?);
        self.inner.standings.put(key, epoch, Arc::clone(&standing));
        Ok(standing)
    }

    async fn read_standing(&self, identity: &str, credential: Credential<'_>) -> Result<Standing, Refused> {
        let mut standing = match identity.split_once(':') {
            None if identity == "anonymous" => self.of_anonymous().await?,
            Some(("user", name)) => self.of_user(name, credential).await?,
            Some(("robot", name)) => self.of_robot(name).await?,
            Some(("trust", subject)) => self.of_trust(subject).await?,
            _ => return Err(Refused::Wrong),
        };
        if let Credential::Token(id) = credential {
            self.limit_to_token(&mut standing, identity, id).await?;
        }
        Ok(standing)
    }

    async fn of_anonymous(&self) -> Result<Standing, Refused> {
        let grants = self.grants_about(&[Subject::Anonymous]).await?;
        let facts = Facts { rules: rules(grants, true), ..Facts::default() };
        Ok(Standing::of(CallerKind::Anonymous, facts, 0))
    }

    async fn of_user(&self, name: &str, credential: Credential<'_>) -> Result<Standing, Refused> {
        let row = self.user_row(name).await?;
        let file = self.inner.htpasswd.as_ref().map(|file| file.users());
        let hash = file.as_ref().and_then(|users| users.hash(name));
        let fingerprint = |parts: &[&str]| self.inner.fingerprint(parts);
        let revision = match (credential, &row, hash) {
            (Credential::Htpasswd, _, Some(hash)) => fingerprint(&["htpasswd", hash]),
            (Credential::Token(_), Some(_), _) | (Credential::Token(_), None, Some(_)) => 0,
            (Credential::None, ..) => 0,
            (Credential::Password | Credential::Ldap | Credential::Oidc | Credential::Certificate, Some(row), _) => {
                fingerprint(&["user", &row.created.to_string(), &row.revision.to_string()])
            }
            _ => return Err(Refused::Wrong),
        };
        let facts = self.facts_of_user(name, row.as_deref(), hash.is_some()).await?;
        let standing = Standing::of(CallerKind::User, facts, revision);
        Ok(Standing { is_disabled: row.is_some_and(|row| row.disabled), ..standing })
    }

    /// What the rules say of a user, whatever he comes with.
    pub(crate) async fn facts_of_user(&self, name: &str, row: Option<&User>, in_file: bool) -> Result<Facts, Refused> {
        let groups = self.inner.catalog.groups_of(name).await.map_err(unavailable)?;
        let mut subjects = vec![Subject::User(name.to_owned()), Subject::SignedIn, Subject::Anonymous];
        subjects.extend(groups.into_iter().map(Subject::Group));
        let mut rules = rules(self.grants_about(&subjects).await?, false);
        if in_file && !self.accounts_exist().await? {
            rules.push(self.inner.rule_of_the_file());
        } else if let Some(rule) = own_namespace(name) {
            rules.push(rule);
        }
        Ok(Facts { administrator: row.is_some_and(|row| row.administrator), rules, limits: Vec::new() })
    }

    async fn of_robot(&self, name: &str) -> Result<Standing, Refused> {
        let robot = self.inner.catalog.robot(name).await.map_err(unavailable)?.ok_or(Refused::Wrong)?;
        let subjects = [Subject::Robot(name.to_owned()), Subject::SignedIn, Subject::Anonymous];
        let source = format!("robot {name}");
        let limit = Limit { actions: Actions::ALL, patterns: vec![robot.pattern], source, of_token: false };
        let facts = Facts {
            administrator: false,
            rules: rules(self.grants_about(&subjects).await?, false),
            limits: vec![limit],
        };
        let revision = self.inner.fingerprint(&["robot", &robot.created.to_string()]);
        Ok(Standing { is_disabled: robot.disabled, ..Standing::of(CallerKind::Robot, facts, revision) })
    }

    /// A trust has what it says, and what everybody has; it is no account, so nothing of everyone signed in.
    async fn of_trust(&self, subject: &str) -> Result<Standing, Refused> {
        let (name, _) = subject.split_once('#').ok_or(Refused::Wrong)?;
        let trust = self.inner.catalog.trust(name).await.map_err(unavailable)?.ok_or(Refused::Wrong)?;
        let mut rules = rules(self.grants_about(&[Subject::Anonymous]).await?, false);
        rules.extend(trust.patterns.iter().map(|pattern| Rule {
            deny: false,
            actions: trust.actions,
            pattern: pattern.clone(),
            source: format!("trust {name}"),
        }));
        let revision = self.inner.fingerprint_of_trust(&trust);
        let standing = Standing::of(CallerKind::Trust, Facts { rules, ..Facts::default() }, revision);
        Ok(Standing { is_disabled: trust.disabled, ..standing })
    }

    async fn limit_to_token(&self, standing: &mut Standing, identity: &str, id: &str) -> Result<(), Refused> {
        let token = self.inner.catalog.token(id).await.map_err(unavailable)?.ok_or(Refused::Wrong)?;
        if token.owner != identity || token.revoked.is_some() {
            return Err(Refused::Wrong);
        }
        let mut facts = standing.rights.facts().clone();
        let everywhere = || vec![RepositoryPattern::everything()];
        let patterns = if token.patterns.is_empty() { everywhere() } else { token.patterns };
        let source = format!("token {}", token.name);
        facts.limits.push(Limit { actions: token.actions, patterns, source, of_token: true });
        (standing.rights, standing.until) = (Arc::new(Rights::compile(facts)), token.expires);
        Ok(())
    }

    async fn grants_about(&self, subjects: &[Subject]) -> Result<Vec<Grant>, Refused> {
        self.inner.catalog.grants_for(subjects).await.map_err(unavailable)
    }

    /// The user's row, kept while nothing changes.
    pub(crate) async fn user_row(&self, name: &str) -> Result<Option<Arc<User>>, Refused> {
        let epoch = self.inner.epoch().await?;
        if let Some(user) = self.inner.users.get(name, &epoch) {
            return Ok(user);
        }
        let user = self.inner.catalog.user(name).await.map_err(unavailable)?.map(Arc::new);
        self.inner.users.put(name.to_owned(), epoch, user.clone());
        Ok(user)
    }
}

impl Standing {
    fn of(kind: CallerKind, facts: Facts, revision: i64) -> Self {
        Self { kind, rights: Arc::new(Rights::compile(facts)), revision, until: None, is_disabled: false }
    }
}

impl Inner {
    /// A number that tells one state of an account from another and says nothing about it.
    fn fingerprint(&self, parts: &[&str]) -> i64 {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.settings.secret_key.derive("larder revisions 1"));
        let tag = hmac::sign(&key, parts.join("\n").as_bytes());
        // 53 bits: JSON numbers hold no more everywhere.
        i64::from_le_bytes(tag.as_ref()[..8].try_into().expect("HMAC-SHA-256 has 32 bytes")) & ((1 << 53) - 1)
    }

    /// One of two, by the name alone.
    pub(crate) fn is_odd(&self, name: &str) -> bool {
        self.fingerprint(&["odd", name]) & 1 == 1
    }

    fn fingerprint_of_trust(&self, trust: &Trust) -> i64 {
        let conditions = serde_json::to_string(&trust.conditions).unwrap_or_default();
        self.fingerprint(&["trust", &trust.created.to_string(), &trust.issuer, &trust.audience, &conditions])
    }

    /// What everyone in the password file may while nothing else says who may what (behaviour §7).
    fn rule_of_the_file(&self) -> Rule {
        let mut actions = Actions::of(&[Action::Pull, Action::Push, Action::TagMove]);
        if self.settings.htpasswd_rights.delete {
            actions = actions.with(Action::Delete);
        }
        let source = "the password file, while no account and no grant exists".to_owned();
        Rule { deny: false, actions, pattern: RepositoryPattern::everything(), source }
    }
}

/// `NAME/**` is its user's, where that can be a repository's name.
fn own_namespace(name: &str) -> Option<Rule> {
    let pattern = RepositoryPattern::under(&name.parse::<RepositoryName>().ok()?)?;
    let actions = Actions::of(&[Action::Admin]);
    (!name.contains('/')).then(|| Rule { deny: false, actions, pattern, source: "own namespace".to_owned() })
}

/// Grants as rules. What anonymous callers are denied binds only them: what everybody is given, whoever logs in has too, and what is taken from
/// strangers is a reason to log in.
fn rules(grants: Vec<Grant>, is_anonymous: bool) -> Vec<Rule> {
    let binds = |grant: &Grant| grant.effect == Effect::Allow || grant.subject != Subject::Anonymous || is_anonymous;
    let rule = |grant: Grant| Rule {
        deny: grant.effect == Effect::Deny,
        actions: grant.actions,
        pattern: grant.pattern,
        source: match grant.subject {
            Subject::SignedIn => format!("grant {} to everyone signed in", grant.id),
            Subject::Anonymous => format!("grant {} to everybody", grant.id),
            subject => format!("grant {} to {subject}", grant.id),
        },
    };
    grants.into_iter().filter(binds).map(rule).collect()
}
