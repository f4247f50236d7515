//! People whom somebody else vouches for: they become users at their first login, and their groups follow what is said there.

use larder_catalog::model::access::{CreateUser, NewUser, UserSource};

use crate::access::{Access, unavailable};
use crate::{AccountName, Refused};

impl Access {
    /// Makes the user if there is none, and makes the memberships that a provider states exactly these. `groups` is absent where nobody is asked.
    ///
    /// # Errors
    ///
    /// [`Refused::Unfit`] for somebody who cannot have the name, and for an unknown one where `create` says that nobody new is let in.
    pub(crate) async fn welcome(
        &self,
        name: &AccountName,
        email: Option<String>,
        groups: Option<&[String]>,
        source: UserSource,
        create: bool,
    ) -> Result<(), Refused> {
        let catalog = &self.inner.catalog;
        let mut stamp = self.inner.own_stamp(self.inner.now());
        stamp.identity = format!("user:{name}");
        if self.user_row(name.as_str()).await?.is_none() {
            if !create {
                return Err(Refused::Unfit("there is no account for this login: ask an administrator".to_owned()));
            }
            self.must_not_be_the_first().await?;
            let user = NewUser { name: name.to_string(), email, source, ..NewUser::default() };
            if let CreateUser::NameTaken(_) = catalog.create_user(user, stamp.clone()).await.map_err(unavailable)? {
                return Err(Refused::Unfit(
                    "others' repositories lie under this name: ask an administrator".to_owned(),
                ));
            }
        }
        if let Some(groups) = groups {
            let groups: Vec<String> =
                groups.iter().filter(|group| group.parse::<AccountName>().is_ok()).cloned().collect();
            catalog.set_external_groups(name.as_str(), &groups, stamp).await.map_err(unavailable)?;
        }
        Ok(())
    }

    /// The first user of all is an administrator. Who logs in first somewhere else must not become that.
    pub(crate) async fn must_not_be_the_first(&self) -> Result<(), Refused> {
        let page = self.inner.catalog.users(None, 1).await.map_err(unavailable)?;
        if page.items.is_empty() {
            return Err(Refused::Unfit(
                "make the first administrator with `larder user add` before others log in".to_owned(),
            ));
        }
        Ok(())
    }
}
