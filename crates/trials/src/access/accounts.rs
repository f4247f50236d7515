//! The accounts of a registry under trial, made as its owner makes them: with `larder` on its data folder.

use std::path::Path;

use serde_json::Value;

use crate::harness::Outcome;
use crate::harness::observer::string;
use crate::harness::site::{Output, Site};
use crate::harness::trial::Trial;

/// The owner of a data folder.
#[derive(Debug)]
pub struct Accounts {
    site: Site,
}

/// A token that stands in a password's place.
#[derive(Clone, Debug)]
pub struct Token {
    /// What it is revoked by.
    pub id: String,
    /// What is typed.
    pub secret: String,
}

impl Accounts {
    /// The owner of the trial's registry. It is open until the first account is made.
    pub fn of(trial: &mut Trial<'_>) -> Outcome<Self> {
        let data = trial.server()?.data().to_owned();
        Self::at(trial, &data)
    }

    /// The owner of a data folder.
    pub fn at(trial: &Trial<'_>, data: &Path) -> Outcome<Self> {
        Ok(Self { site: trial.larder()?.with("LARDER_DATA", data.display()) })
    }

    /// Makes users with these passwords; the first of all is an administrator.
    pub fn users(&self, users: &[(&str, &str)]) -> Outcome {
        for (name, password) in users {
            self.sh(&format!("printf '%s\\n' '{password}' | larder user add {name} --password-stdin --yes"))?;
        }
        Ok(())
    }

    /// Makes a token for a user or robot.
    pub fn token(&self, owner: &str, flags: &str) -> Outcome<Token> {
        let made = self.sh(&format!("larder token create trial --owner {owner} {flags} --output json"))?;
        let made: Value = serde_json::from_str(&made.out)?;
        Ok(Token { id: string(&made, "id"), secret: string(&made, "token") })
    }

    /// Takes a token back.
    pub fn revoke(&self, token: &Token) -> Outcome {
        self.sh(&format!("larder token rm {} --yes", token.id)).map(drop)
    }

    /// A line of the owner's.
    pub fn sh(&self, line: &str) -> Outcome<Output> {
        self.site.sh(line)
    }

    /// Where the owner sits.
    pub fn site(&self) -> &Site {
        &self.site
    }
}
