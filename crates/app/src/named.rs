//! `NAME` and `NAME:TAG` as administration commands take them. A host before the name says which server is meant.

use larder_oci::{Digest, ImageReference, RepositoryName, Tag};

use crate::context::{Context, DataArg};
use crate::outcome::{Failure, Result};
use crate::target::{Target, server_url};

/// A repository, and perhaps something in it.
#[derive(Debug)]
pub struct Named {
    /// Where it is.
    pub target: Target,
    /// The repository.
    pub repository: RepositoryName,
    /// The tag that was written.
    pub tag: Option<Tag>,
    /// The digest that was written.
    pub digest: Option<Digest>,
}

impl Named {
    /// Reads `[HOST/]NAME[:TAG][@DIGEST]`.
    pub fn read(text: &str, data: &DataArg, context: &Context) -> Result<Self> {
        let read: ImageReference =
            text.parse().map_err(|error: larder_oci::ParseError| Failure::usage(error.to_string()))?;
        let ImageReference { host, repository, tag, digest } = read;
        let target = match (host, &data.data, context.server()) {
            (None, _, _) => Target::choose(data, context)?,
            (Some(host), None, None) => Target::Server(server_url(&host)),
            (Some(host), None, Some(server)) if authority(server) == host => Target::choose(data, context)?,
            (Some(host), _, _) => {
                return Err(Failure::usage(format!(
                    "`{text}` names the server {host}, and another registry is named beside it"
                )));
            }
        };
        Ok(Self { target, repository, tag, digest })
    }

    /// Reads a repository's name alone.
    pub fn repository(text: &str, data: &DataArg, context: &Context) -> Result<Self> {
        let named = Self::read(text, data, context)?;
        if named.tag.is_some() || named.digest.is_some() {
            return Err(Failure::usage(format!("`{text}`: a repository's name has no tag and no digest")));
        }
        Ok(named)
    }

    /// Reads a repository's name with a tag.
    pub fn tagged(text: &str, data: &DataArg, context: &Context) -> Result<(Self, Tag)> {
        let mut named = Self::read(text, data, context)?;
        match (named.tag.take(), named.digest) {
            (Some(tag), None) => Ok((named, tag)),
            _ => Err(Failure::usage(format!("`{text}`: write NAME:TAG"))),
        }
    }

    /// The path of the repository in the API.
    pub fn path(&self) -> String {
        format!("/api/v1/repositories/{}", self.repository)
    }
}

fn authority(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Exit;

    #[test]
    fn a_host_before_the_name_is_the_server() {
        let named = Named::read("localhost:5000/ml-model:1.0", &DataArg::default(), &Context::silent(None))
            .expect("it is right");
        assert!(matches!(&named.target, Target::Server(url) if url == "http://localhost:5000"), "{named:?}");
        let same = Context::silent(Some("http://localhost:5000"));
        assert!(Named::read("localhost:5000/ml-model", &DataArg::default(), &same).is_ok());
        let other = Context::silent(Some("http://localhost:6000"));
        let failure = Named::read("localhost:5000/ml-model", &DataArg::default(), &other).expect_err("two servers");
        assert_eq!(failure.exit(), Exit::Usage);
    }

    #[test]
    fn a_tag_is_asked_for_where_one_is_needed() {
        let context = Context::silent(Some("localhost:5000"));
        assert!(Named::tagged("a/b:1", &DataArg::default(), &context).is_ok());
        assert!(Named::tagged("a/b", &DataArg::default(), &context).is_err());
        assert!(Named::repository("a/b:1", &DataArg::default(), &context).is_err());
    }
}
