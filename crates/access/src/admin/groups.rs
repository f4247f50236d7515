//! Groups and their members. For administrators; a member may see the group.

use larder_catalog::model::Page;
use larder_catalog::model::access::Group;

use super::{Answer, By, PAGE, absent, exists, named, text};
use crate::access::Access;

impl Access {
    /// Makes a group.
    ///
    /// # Errors
    ///
    /// [`Problem::Exists`](crate::Problem::Exists).
    pub async fn add_group(&self, by: &By, name: &str, description: &str) -> Answer<()> {
        by.must_administer_accounts()?;
        named(name)?;
        text("a description", description, 1_000)?;
        let group = Group { name: name.to_owned(), description: description.to_owned() };
        let made = self.inner.catalog.create_group(group, by.stamp(self)).await?;
        if made { Ok(()) } else { Err(exists("group", name)) }
    }

    /// Groups after this name, in order.
    pub async fn groups(&self, by: &By, after: Option<&str>, limit: usize) -> Answer<Page<Group>> {
        by.must_administer_accounts()?;
        Ok(self.inner.catalog.groups(after, limit.min(PAGE)).await?)
    }

    /// One group.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`](crate::Problem::Absent).
    pub async fn group(&self, by: &By, name: &str) -> Answer<Group> {
        by.must_administer_accounts()?;
        self.inner.catalog.group(name).await?.ok_or_else(|| absent("group", name))
    }

    /// Describes a group anew.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`](crate::Problem::Absent).
    pub async fn set_group(&self, by: &By, name: &str, description: &str) -> Answer<()> {
        by.must_administer_accounts()?;
        text("a description", description, 1_000)?;
        let found = self.inner.catalog.set_group(name, description, by.stamp(self)).await?;
        if found { Ok(()) } else { Err(absent("group", name)) }
    }

    /// Removes a group with its memberships and grants.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`](crate::Problem::Absent).
    pub async fn remove_group(&self, by: &By, name: &str) -> Answer<()> {
        by.must_administer_accounts()?;
        let found = self.inner.catalog.remove_group(name, by.stamp(self)).await?;
        if found { Ok(()) } else { Err(absent("group", name)) }
    }

    /// Puts a user into a group. A user of a password file or a directory needs no account here.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`](crate::Problem::Absent) for the group, or for a user whom nobody knows.
    pub async fn add_member(&self, by: &By, group: &str, user: &str) -> Answer<()> {
        by.must_administer_accounts()?;
        self.must_be_known(user).await?;
        let found = self.inner.catalog.add_member(group, user, by.stamp(self)).await?;
        if found { Ok(()) } else { Err(absent("group", group)) }
    }

    /// Takes a user out of a group.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`](crate::Problem::Absent) if the user is not in it.
    pub async fn remove_member(&self, by: &By, group: &str, user: &str) -> Answer<()> {
        by.must_administer_accounts()?;
        let found = self.inner.catalog.remove_member(group, user, by.stamp(self)).await?;
        if found { Ok(()) } else { Err(absent("member", user)) }
    }

    /// The names of a group's members after this one, in order.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`](crate::Problem::Absent).
    pub async fn members(&self, by: &By, group: &str, after: Option<&str>, limit: usize) -> Answer<Page<String>> {
        by.must_administer_accounts()?;
        let page = self.inner.catalog.members(group, after, limit.min(PAGE)).await?;
        page.ok_or_else(|| absent("group", group))
    }

    /// Whether somebody of this name can log in: an account here, a line of the password file, or whoever a directory may know.
    pub(super) async fn must_be_known(&self, user: &str) -> Answer<()> {
        let file = self.inner.htpasswd.as_ref().map(|file| file.users());
        let in_file = file.is_some_and(|users| users.hash(user).is_some());
        if in_file {
            return Ok(());
        }
        named(user)?;
        let elsewhere = self.inner.settings.ldap.is_some() || self.inner.settings.oidc_login.is_some();
        if elsewhere || self.inner.catalog.user(user).await?.is_some() {
            return Ok(());
        }
        Err(absent("user", user))
    }
}
