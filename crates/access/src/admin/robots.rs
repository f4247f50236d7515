//! Robots: accounts for machines, owned by whoever administers their pattern.

use larder_catalog::model::Page;
use larder_catalog::model::access::{Effect, NewGrant, NewRobot, Robot, RobotChange, Subject};
use larder_oci::{Actions, RepositoryPattern};

use super::{Answer, By, absent, exists, named, seen, text};
use crate::access::Access;

/// A robot to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRobotAccount {
    /// The name.
    pub name: String,
    /// What its rights never reach beyond; whoever administers all of that administers the robot.
    pub pattern: RepositoryPattern,
    /// What it is for.
    pub description: String,
    /// What it may do there from the beginning: a grant, which can be changed. May be empty.
    pub actions: Actions,
}

/// What to change about a robot; nothing leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RobotSettings {
    /// What it is for.
    pub description: Option<String>,
    /// Whether its credentials are refused.
    pub disabled: Option<bool>,
}

impl Access {
    /// Makes a robot, and the grant on its pattern.
    ///
    /// # Errors
    ///
    /// [`Problem::Exists`](crate::Problem::Exists).
    pub async fn add_robot(&self, by: &By, new: NewRobotAccount) -> Answer<Robot> {
        by.must_administer(&new.pattern)?;
        named(&new.name)?;
        text("a description", &new.description, 1_000)?;
        let robot = NewRobot { name: new.name.clone(), pattern: new.pattern.clone(), description: new.description };
        if !self.inner.catalog.create_robot(robot, by.stamp(self)).await? {
            return Err(exists("robot", &new.name));
        }
        if !new.actions.is_empty() {
            let grant = NewGrant {
                subject: Subject::Robot(new.name.clone()),
                actions: new.actions,
                pattern: new.pattern,
                effect: Effect::Allow,
                note: "made with the robot".to_owned(),
            };
            self.inner.catalog.add_grant(grant, by.stamp(self)).await?;
        }
        self.robot_row(&new.name).await
    }

    /// Robots after this name, in order: those that the caller administers.
    pub async fn robots(&self, by: &By, after: Option<&str>, limit: usize) -> Answer<Page<Robot>> {
        let fetch =
            |after: Option<String>, limit| async move { self.inner.catalog.robots(after.as_deref(), limit).await };
        let key = |robot: &Robot| robot.name.clone();
        seen(limit, after.map(str::to_owned), key, |robot| by.administers(&robot.pattern), fetch).await
    }

    /// One robot.
    ///
    /// # Errors
    ///
    /// [`Problem::Absent`](crate::Problem::Absent), also for one that the caller does not administer.
    pub async fn robot(&self, by: &By, name: &str) -> Answer<Robot> {
        let robot = self.robot_row(name).await?;
        if by.administers(&robot.pattern) || by.is(&format!("robot:{name}")) {
            Ok(robot)
        } else {
            Err(absent("robot", name))
        }
    }

    /// Changes a robot.
    ///
    /// # Errors
    ///
    /// As [`robot`](Self::robot).
    pub async fn set_robot(&self, by: &By, name: &str, settings: RobotSettings) -> Answer<Robot> {
        self.own_robot(by, name).await?;
        text("a description", settings.description.as_deref().unwrap_or_default(), 1_000)?;
        let change = RobotChange { pattern: None, description: settings.description, disabled: settings.disabled };
        let found = self.inner.catalog.set_robot(name, change, by.stamp(self)).await?;
        if found { self.robot_row(name).await } else { Err(absent("robot", name)) }
    }

    /// Removes a robot with its grants and tokens.
    ///
    /// # Errors
    ///
    /// As [`robot`](Self::robot).
    pub async fn remove_robot(&self, by: &By, name: &str) -> Answer<()> {
        self.own_robot(by, name).await?;
        let found = self.inner.catalog.remove_robot(name, by.stamp(self)).await?;
        if found { Ok(()) } else { Err(absent("robot", name)) }
    }

    /// The robot, if the caller administers it.
    pub(super) async fn own_robot(&self, by: &By, name: &str) -> Answer<Robot> {
        let robot = self.robot_row(name).await?;
        if by.administers(&robot.pattern) { Ok(robot) } else { Err(absent("robot", name)) }
    }

    async fn robot_row(&self, name: &str) -> Answer<Robot> {
        self.inner.catalog.robot(name).await?.ok_or_else(|| absent("robot", name))
    }
}
