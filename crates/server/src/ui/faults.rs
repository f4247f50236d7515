//! What is wrong with what somebody filled in. He sees it at its field, with everything that he typed still there.

use http::StatusCode;
use larder_registry::Error;

use super::Result;
use super::trouble::{Trouble, sentence};

/// What is wrong: with fields by their names, or with the whole.
#[derive(Debug)]
pub(super) struct Faults {
    status: StatusCode,
    whole: Option<String>,
    fields: Vec<(&'static str, String)>,
}

impl Faults {
    /// Nothing is wrong, or nothing was filled in yet.
    pub fn none() -> Self {
        Self { status: StatusCode::OK, whole: None, fields: Vec::new() }
    }

    /// Something is wrong with the whole.
    pub fn whole(text: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, whole: Some(text.into()), fields: Vec::new() }
    }

    /// Something is wrong with a field.
    pub fn at(field: &'static str, text: impl Into<String>) -> Self {
        let mut faults = Self::none();
        faults.add(field, text);
        faults
    }

    /// The same with another status.
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// Something is wrong with a field too.
    pub fn add(&mut self, field: &'static str, text: impl Into<String>) {
        self.status = StatusCode::BAD_REQUEST;
        self.fields.push((field, text.into()));
    }

    /// What the domain did not take, where somebody can fill in something better; anything else is a page of its own.
    pub fn of(error: Error) -> Result<Self> {
        let status = StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let elsewhere = matches!(error, Error::Denied | Error::RepositoryUnknown(_) | Error::TakingOver);
        if elsewhere || status == StatusCode::INTERNAL_SERVER_ERROR {
            return Err(error.into());
        }
        Ok(Self::whole(sentence(&error.public_message())).with_status(status))
    }

    /// The same for what is wrong with one field.
    pub fn of_field(field: &'static str, error: Error) -> Result<Self> {
        let faults = Self::of(error)?;
        let status = faults.status;
        Ok(Self::at(field, faults.whole.unwrap_or_default()).with_status(status))
    }

    /// What the accounts did not take.
    pub fn of_accounts(problem: larder_access::Problem) -> Result<Self> {
        use larder_access::Problem;
        let status = match &problem {
            Problem::Invalid(_) => StatusCode::BAD_REQUEST,
            Problem::Exists { .. } | Problem::NameTaken { .. } | Problem::LastAdministrator(_) => StatusCode::CONFLICT,
            Problem::Busy => StatusCode::TOO_MANY_REQUESTS,
            Problem::NotAllowed(_) | Problem::Absent { .. } | Problem::Catalog(_) => {
                return Err(Trouble::from(problem));
            }
        };
        Ok(Self::whole(sentence(&problem.to_string())).with_status(status))
    }

    pub fn is_empty(&self) -> bool {
        self.whole.is_none() && self.fields.is_empty()
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What is wrong with a field.
    pub fn about(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, text)| text.as_str())
    }

    /// What stands above the form.
    pub fn summary(&self) -> Option<&str> {
        match (&self.whole, self.fields.len()) {
            (Some(whole), _) => Some(whole),
            (None, 0) => None,
            (None, _) => Some("Nothing was changed yet. See below what to mend."),
        }
    }
}
