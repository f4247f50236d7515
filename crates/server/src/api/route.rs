//! Which resource of the API a path names.

use std::borrow::Cow;

use http::StatusCode;
use larder_oci::{ErrorCode, RepositoryName, Tag};

use super::problem::Problem;
use crate::percent::decode_segment;

/// A resource.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/api`
    Index,
    /// `/api/openapi.json`
    Document,
    /// `/api/v1/version`
    Version,
    /// `/api/v1/usage`
    Usage,
    /// `/api/v1/sweep`
    Sweep,
    /// `/api/v1/verify`
    Verify,
    /// `/api/v1/repositories`
    Repositories,
    /// `/api/v1/repositories/<name>`
    Repository(RepositoryName),
    /// `/api/v1/repositories/<name>/-/tags`
    Tags(RepositoryName),
    /// `/api/v1/repositories/<name>/-/tags/<tag>`
    Tag(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/-/tags/<tag>/history`
    History(RepositoryName, Tag),
}

impl Route {
    /// Reads a path as the client wrote it; each segment is decoded once, and nothing is normalised.
    pub fn parse(path: &str) -> Result<Self, Problem> {
        let rest = path.strip_prefix("/api").unwrap_or(path);
        let segments: Option<Vec<Cow<'_, str>>> = rest.split('/').skip(1).map(decode_segment).collect();
        let segments = segments.ok_or_else(Problem::nothing_here)?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        match segments.as_slice() {
            [] | [""] => Ok(Self::Index),
            ["openapi.json"] => Ok(Self::Document),
            ["v1", "version"] => Ok(Self::Version),
            ["v1", "usage"] => Ok(Self::Usage),
            ["v1", "sweep"] => Ok(Self::Sweep),
            ["v1", "verify"] => Ok(Self::Verify),
            ["v1", "repositories"] => Ok(Self::Repositories),
            ["v1", "repositories", name @ .., "-", "tags"] => Ok(Self::Tags(repository(name)?)),
            ["v1", "repositories", name @ .., "-", "tags", tag] => Ok(Self::Tag(repository(name)?, parse_tag(tag)?)),
            ["v1", "repositories", name @ .., "-", "tags", tag, "history"] => {
                Ok(Self::History(repository(name)?, parse_tag(tag)?))
            }
            ["v1", "repositories", name @ ..] if !name.contains(&"-") => Ok(Self::Repository(repository(name)?)),
            _ => Err(Problem::nothing_here()),
        }
    }

    /// The methods that the resource has.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Index | Self::Document | Self::Version | Self::Usage | Self::Tags(_) | Self::History(..) => {
                "GET, HEAD"
            }
            Self::Sweep | Self::Verify => "POST",
            Self::Repositories => "GET, HEAD, POST",
            Self::Repository(_) => "GET, HEAD, DELETE",
            Self::Tag(..) => "GET, HEAD, PUT, DELETE",
        }
    }
}

fn repository(segments: &[&str]) -> Result<RepositoryName, Problem> {
    segments.join("/").parse().map_err(|error: larder_oci::ParseError| {
        Problem::new(StatusCode::BAD_REQUEST, ErrorCode::NameInvalid.as_str(), error.to_string())
    })
}

fn parse_tag(text: &str) -> Result<Tag, Problem> {
    text.parse().map_err(|error: larder_oci::ParseError| {
        Problem::new(StatusCode::BAD_REQUEST, ErrorCode::TagInvalid.as_str(), error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dash_ends_the_name() {
        let name = |text: &str| text.parse::<RepositoryName>().expect("it is a name");
        let route = |path: &str| Route::parse(path).ok();
        assert_eq!(route("/api/v1/repositories/team/model"), Some(Route::Repository(name("team/model"))));
        assert_eq!(route("/api/v1/repositories/team/model/-/tags"), Some(Route::Tags(name("team/model"))));
        assert_eq!(route("/api/v1/repositories/a/tags/b/-/tags"), Some(Route::Tags(name("a/tags/b"))));
        let tag = "history".parse().expect("it is a tag");
        assert_eq!(route("/api/v1/repositories/a/-/tags/history"), Some(Route::Tag(name("a"), tag)));
        assert_eq!(route("/api"), Some(Route::Index));
        assert_eq!(route("/api/"), Some(Route::Index));
        for path in
            ["/api/v1", "/api/v1/repositories/", "/api/v1/repositories/a/-/", "/api/v1/repositories/a%2Fb", "/api/v1/-"]
        {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
