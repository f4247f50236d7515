//! Users: made by administrators or by an invitation, and their passwords.

use std::time::Duration;

use jiff::Timestamp;
use larder_catalog::model::Page;
use larder_catalog::model::access::{Changed, CreateUser, Invitation, NewUser, User, UserChange, UserSource};

use super::{Answer, By, PAGE, absent, exists, named, text};
use crate::access::Access;
use crate::clock::after;
use crate::password::{self, Stored};
use crate::{Origin, PlainToken, Problem};

/// A user, as people see one: without the hash of the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// Whether it may do everything.
    pub administrator: bool,
    /// Whether its credentials are refused.
    pub disabled: bool,
    /// The mail address.
    pub email: Option<String>,
    /// Whether it has a password here.
    pub has_password: bool,
    /// Where it comes from.
    pub source: UserSource,
    /// When it was made.
    pub created: Timestamp,
    /// When it last proved who it is, to a minute.
    pub last_seen: Option<Timestamp>,
}

impl From<User> for Account {
    fn from(user: User) -> Self {
        Self {
            name: user.name,
            administrator: user.administrator,
            disabled: user.disabled,
            email: user.email,
            has_password: user.password.is_some(),
            source: user.source,
            created: user.created,
            last_seen: user.last_seen,
        }
    }
}

/// A user to be made.
#[derive(Clone, Default)]
pub struct NewAccount {
    /// The name.
    pub name: String,
    /// The password; without one, an [invitation](Access::invite) sets it.
    pub password: Option<String>,
    /// Whether it may do everything. The first user of all always may.
    pub administrator: bool,
    /// The mail address.
    pub email: Option<String>,
}

impl std::fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewAccount").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What to change about a user; nothing leaves it.
#[derive(Clone, Debug, Default)]
pub struct UserSettings {
    /// Whether it may do everything.
    pub administrator: Option<bool>,
    /// Whether its credentials are refused; disabling ends all that were issued.
    pub disabled: Option<bool>,
    /// The mail address, or none any more.
    pub email: Option<Option<String>>,
}

/// What is said of an invitation that does not hold.
const ENDED: &str = "the invitation has ended, or was used";

impl Access {
    /// Makes a user. Administrators, or the data folder's owner; the first user of all is an administrator and ends the open state.
    ///
    /// # Errors
    ///
    /// [`Problem::Exists`]; [`Problem::NameTaken`] where others' repositories lie under the name; [`Problem::Invalid`].
    pub async fn add_user(&self, by: &By, new: NewAccount) -> Answer<Account> {
        by.must_administer_accounts()?;
        named(&new.name)?;
        check_email(new.email.as_deref())?;
        let password = match &new.password {
            Some(password) => Some(self.hashed(&new.name, password).await?),
            None => None,
        };
        let user = NewUser {
            name: new.name.clone(),
            password,
            administrator: new.administrator,
            email: new.email,
            source: UserSource::Local,
        };
        match self.inner.catalog.create_user(user, by.stamp(self)).await? {
            CreateUser::Created { .. } => self.account(&new.name).await,
            CreateUser::Exists => Err(exists("user", &new.name)),
            CreateUser::NameTaken(repository) => {
                Err(Problem::NameTaken { name: new.name, repository: repository.to_string() })
            }
        }
    }

    /// Users after this name, in order. For administrators.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`].
    pub async fn users(&self, by: &By, after: Option<&str>, limit: usize) -> Answer<Page<Account>> {
        by.must_administer_accounts()?;
        let page = self.inner.catalog.users(after, limit.min(PAGE)).await?;
        Ok(Page { items: page.items.into_iter().map(Account::from).collect(), more: page.more })
    }

    /// One user. For administrators, and for the user.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`], whether there is such a user or not; [`Problem::Absent`].
    pub async fn user(&self, by: &By, name: &str) -> Answer<Account> {
        if !by.is(&format!("user:{name}")) {
            by.must_administer_accounts()?;
        }
        self.account(name).await
    }

    /// Changes a user. For administrators; a user's own mail address also by the user.
    ///
    /// # Errors
    ///
    /// [`Problem::LastAdministrator`]; [`Problem::Absent`].
    pub async fn set_user(&self, by: &By, name: &str, settings: UserSettings) -> Answer<Account> {
        let only_email = settings.administrator.is_none() && settings.disabled.is_none();
        if !(only_email && by.is(&format!("user:{name}"))) {
            by.must_administer_accounts()?;
        }
        check_email(settings.email.as_ref().and_then(|email| email.as_deref()))?;
        let change = UserChange {
            administrator: settings.administrator,
            disabled: settings.disabled,
            email: settings.email,
            password: None,
        };
        changed(name, self.inner.catalog.set_user(name, change, by.stamp(self)).await?)?;
        self.account(name).await
    }

    /// Sets a password: a user the own one, who knows the current one; an administrator anybody's. Ends what was issued for the old one.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`] also where the current password is not that; [`Problem::Busy`] when it was wrong too often.
    pub async fn set_password(&self, by: &By, name: &str, current: Option<&str>, new: &str) -> Answer<()> {
        if by.is(&format!("user:{name}")) && !(by.is_administrator() && current.is_none()) {
            self.confirm(by, name, current.unwrap_or_default()).await?;
        } else {
            by.must_administer_accounts()?;
        }
        let password = Some(Some(self.hashed(name, new).await?));
        let change = UserChange { password, ..UserChange::default() };
        changed(name, self.inner.catalog.set_user(name, change, by.stamp(self)).await?)
    }

    /// Removes a user, with grants, memberships, tokens and logins. Repositories stay. For administrators.
    ///
    /// # Errors
    ///
    /// [`Problem::LastAdministrator`]; [`Problem::Absent`].
    pub async fn remove_user(&self, by: &By, name: &str) -> Answer<()> {
        by.must_administer_accounts()?;
        changed(name, self.inner.catalog.remove_user(name, by.stamp(self)).await?)
    }

    /// Makes a link's secret with which the user sets the password, once, within `ttl` (an hour to 30 days). It needs no mail: the administrator
    /// passes it on.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`].
    pub async fn invite(&self, by: &By, name: &str, ttl: Duration) -> Answer<PlainToken> {
        by.must_administer_accounts()?;
        let ttl = ttl.clamp(Duration::from_secs(3600), Duration::from_secs(30 * 24 * 3600));
        let secret = PlainToken::generate();
        let invitation = Invitation { user: name.to_owned(), expires: after(self.inner.now(), ttl) };
        let made = self.inner.catalog.add_invitation(&secret.hash(), invitation, by.stamp(self)).await?;
        if made { Ok(secret) } else { Err(absent("user", name)) }
    }

    /// Whom an invitation is for.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`] for a secret that was never made, was used or has ended.
    pub async fn invited(&self, secret: &str) -> Answer<String> {
        let ended = || Problem::NotAllowed(ENDED);
        let hash = PlainToken::parse(secret).ok_or_else(ended)?.hash();
        let invitation = self.inner.catalog.invitation(&hash, self.inner.now()).await?;
        Ok(invitation.ok_or_else(ended)?.user)
    }

    /// Sets the password of whom the secret was made for, and ends it.
    ///
    /// # Errors
    ///
    /// [`Problem::NotAllowed`] for a secret that was never made, was used or has ended; [`Problem::Invalid`] for the password.
    pub async fn accept_invitation(&self, secret: &str, password: &str, origin: Origin) -> Answer<Account> {
        let ended = || Problem::NotAllowed(ENDED);
        let hash = PlainToken::parse(secret).ok_or_else(ended)?.hash();
        let now = self.inner.now();
        let invitation = self.inner.catalog.invitation(&hash, now).await?.ok_or_else(ended)?;
        let password = self.hashed(&invitation.user, password).await?;
        let by = By {
            identity: format!("user:{}", invitation.user),
            credential: Some("invitation".to_owned()),
            address: origin.address,
            ..By::operator(None)
        };
        let user = self.inner.catalog.accept_invitation(&hash, &password, by.stamp(self)).await?.ok_or_else(ended)?;
        self.account(&user).await
    }

    pub(crate) async fn account(&self, name: &str) -> Answer<Account> {
        let user = self.inner.catalog.user(name).await?.ok_or_else(|| absent("user", name))?;
        Ok(Account::from(user))
    }

    /// Whether this is the current password, throttled like a login.
    async fn confirm(&self, by: &By, name: &str, current: &str) -> Answer<()> {
        let wrong = || Problem::NotAllowed("the current password is not that");
        let stored = self.inner.catalog.user(name).await?.and_then(|user| user.password).ok_or_else(wrong)?;
        let (throttle, now) = (&self.inner.throttle, self.inner.now());
        throttle.attempt(name, by.address, now).map_err(|_| Problem::Busy)?;
        let stored = Stored::Argon2(stored);
        let _alone = self.inner.passwords.alone(name, &stored, current).await;
        match self.inner.passwords.verify(name, &stored, current, now).await {
            Ok(true) => {
                throttle.forgive(name, by.address);
                Ok(())
            }
            Ok(false) => Err(wrong()),
            Err(_) => {
                throttle.withdraw(name, by.address);
                Err(Problem::Busy)
            }
        }
    }

    pub(crate) async fn hashed(&self, name: &str, password: &str) -> Answer<String> {
        if let Some(reason) = password::refuse(name, password) {
            return Err(Problem::Invalid(reason));
        }
        self.inner.passwords.hash(password).await.map_err(|_| Problem::Busy)
    }
}

fn changed(name: &str, changed: Changed) -> Answer<()> {
    match changed {
        Changed::Done => Ok(()),
        Changed::Absent => Err(absent("user", name)),
        Changed::LastAdministrator => Err(Problem::LastAdministrator(name.to_owned())),
    }
}

fn check_email(email: Option<&str>) -> Answer<()> {
    let Some(email) = email else { return Ok(()) };
    text("a mail address", email, 254)?;
    match email.split_once('@') {
        Some((name, host)) if !name.is_empty() && !host.is_empty() && !email.contains(' ') => Ok(()),
        _ => Err(Problem::Invalid("a mail address is NAME@HOST".to_owned())),
    }
}
