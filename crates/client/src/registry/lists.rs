//! Lists: tags, repositories, referrers. Pages are followed on the registry itself only (**Invariant 10**, from the other side).

use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;
use http::Method;
use http::header::LINK;
use reqwest::{Response, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use larder_oci::descriptor::Descriptor;
use larder_oci::digest::Digest;
use larder_oci::fallback_tag;
use larder_oci::media_type;
use larder_oci::name::RepositoryName;
use larder_oci::operation::ReferrersIndex;
use larder_oci::reference::Reference;
use larder_oci::tag::Tag;

use super::auth::Scopes;
use super::transport::Call;
use super::{Registry, Repository, origin, reply};
use crate::error::{Error, Result};
use crate::link_header;

/// One page of a list; no registry needs more.
const PAGE_LIMIT: usize = 32 * 1024 * 1024;
/// A list that goes on for ever is cut here.
const PAGES: usize = 100_000;
/// More referrers of one subject than anything should follow (CVE-2023-46737 and its kin).
const REFERRERS: usize = 10_000;

/// One page of a list, and where the next one is.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on this page, in the registry's order.
    pub items: Vec<T>,
    /// The address of the next page.
    next: Option<Url>,
}

impl<T> Page<T> {
    /// Whether this is the last page.
    pub fn is_last(&self) -> bool {
        self.next.is_none()
    }
}

/// A page of names as another registry writes it. One that is no name by the specification cannot be asked for, and is no reason to
/// withhold the others.
#[derive(Deserialize)]
struct Listed {
    tags: Option<Vec<Value>>,
    repositories: Option<Vec<Value>>,
}

impl Listed {
    /// The names that are names; the others are told of.
    fn read<T: FromStr<Err: Display>>(&self, names: Option<&Vec<Value>>, subject: &str) -> Vec<T> {
        let read = |name: &Value| {
            let why = match name.as_str().map(str::parse::<T>) {
                Some(Ok(name)) => return Some(name),
                Some(Err(error)) => error.to_string(),
                None => format!("{} is no text", reply::printable(&name.to_string())),
            };
            tracing::warn!("{subject}: one of the list is left out: {why}");
            None
        };
        names.into_iter().flatten().filter_map(read).collect()
    }
}

impl Registry {
    /// The first page of all repositories, `limit` at most.
    pub async fn repositories(&self, limit: usize) -> Result<Page<RepositoryName>> {
        let mut url = self.host.url("_catalog")?;
        url.query_pairs_mut().append_pair("n", &limit.to_string());
        self.repository_page(url).await
    }

    /// The page after `page`.
    pub async fn more_repositories(&self, page: &Page<RepositoryName>) -> Result<Option<Page<RepositoryName>>> {
        match &page.next {
            Some(url) => self.repository_page(url.clone()).await.map(Some),
            None => Ok(None),
        }
    }

    async fn repository_page(&self, url: Url) -> Result<Page<RepositoryName>> {
        let call = Call::new(Method::GET, url, Scopes::catalog(), format!("{} repositories", self.host.name));
        let response = self.host.expect(&call, &[200]).await?;
        let next = self.host.next_page(&call.url, &response)?;
        let list: Listed = self.host.json(response, &call.subject).await?;
        Ok(Page { items: list.read(list.repositories.as_ref(), &call.subject), next })
    }
}

impl Repository {
    /// The first page of tags (end-8), `limit` at most.
    pub async fn tags(&self, limit: usize) -> Result<Page<Tag>> {
        let mut url = self.host.url(&format!("{}/tags/list", self.name))?;
        url.query_pairs_mut().append_pair("n", &limit.to_string());
        self.tag_page(url).await
    }

    /// The page after `page`.
    pub async fn more_tags(&self, page: &Page<Tag>) -> Result<Option<Page<Tag>>> {
        match &page.next {
            Some(url) => self.tag_page(url.clone()).await.map(Some),
            None => Ok(None),
        }
    }

    /// All tags, page by page.
    pub async fn all_tags(&self) -> Result<Vec<Tag>> {
        let mut page = self.tags(1000).await?;
        let mut all = std::mem::take(&mut page.items);
        for _ in 0..PAGES {
            let Some(mut more) = self.more_tags(&page).await? else { return Ok(all) };
            all.append(&mut more.items);
            page = more;
        }
        Err(Error::Protocol { subject: self.subject("tags"), why: "the list does not end".to_owned() })
    }

    async fn tag_page(&self, url: Url) -> Result<Page<Tag>> {
        let call = Call::new(Method::GET, url, self.pull(), self.subject("tags"));
        let response = self.host.expect(&call, &[200]).await?;
        let next = self.host.next_page(&call.url, &response)?;
        let list: Listed = self.host.json(response, &call.subject).await?;
        Ok(Page { items: list.read(list.tags.as_ref(), &call.subject), next })
    }

    /// Every manifest whose subject is `digest` (end-12), of one artifact type if given; from the fallback tag where the registry has no
    /// referrers API (specification, "Unavailable Referrers API").
    pub async fn referrers(&self, digest: &Digest, artifact_type: Option<&str>) -> Result<Vec<Descriptor>> {
        let mut url = self.host.url(&format!("{}/referrers/{digest}", self.name))?;
        if let Some(wanted) = artifact_type {
            url.query_pairs_mut().append_pair("artifactType", wanted);
        }
        let mut all = Vec::new();
        let mut next = Some(url);
        while let Some(url) = next {
            let call = Call::new(Method::GET, url, self.pull(), self.subject(format_args!("referrers of {digest}")));
            let response = self.host.expect(&call, &[200, 404]).await?;
            if response.status().as_u16() == 404 {
                all = self.fallback_index(digest).await?.map_or_else(Vec::new, |(index, _)| index.manifests);
                break;
            }
            next = self.host.next_page(&call.url, &response)?;
            let index: ReferrersIndex = self.host.json(response, &call.subject).await?;
            all.extend(index.manifests);
            if all.len() > REFERRERS {
                return Err(Error::Protocol { subject: call.subject, why: format!("more than {REFERRERS} referrers") });
            }
        }
        // A registry need not filter; then everything is in the answer.
        all.retain(|referrer| artifact_type.is_none_or(|wanted| referrer.artifact_type.as_deref() == Some(wanted)));
        Ok(all)
    }

    /// Names `referrer` under the fallback tag of its subject, for a registry that did not answer `OCI-Subject`. Two clients that do this at
    /// once may lose one entry; the specification has no better way.
    pub async fn add_to_fallback_tag(&self, subject: &Digest, referrer: &Descriptor) -> Result<()> {
        let mut index = match self.fallback_index(subject).await? {
            Some((index, _)) if index.manifests.iter().any(|known| known.digest == referrer.digest) => return Ok(()),
            Some((index, _)) => index,
            None => ReferrersIndex::new(Vec::new()),
        };
        index.manifests.push(referrer.clone());
        let bytes =
            serde_json::to_vec(&index).map_err(|error| Error::Setup(format!("an index cannot be written: {error}")))?;
        let tag = Reference::Tag(fallback_tag(subject));
        self.put_manifest(&tag, media_type::OCI_INDEX, Bytes::from(bytes), &[]).await.map(drop)
    }

    async fn fallback_index(&self, subject: &Digest) -> Result<Option<(ReferrersIndex, Digest)>> {
        let fetched = match self.manifest(&Reference::Tag(fallback_tag(subject))).await {
            Ok(fetched) => fetched,
            Err(error) if error.status() == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let invalid =
            |error| Error::Content { subject: self.subject(fallback_tag(subject)), why: format!("no index: {error}") };
        serde_json::from_slice(&fetched.bytes).map(|index| Some((index, fetched.digest))).map_err(invalid)
    }
}

impl super::transport::Host {
    /// The next page, which has to be on the registry itself: anything else would carry the caller's rights elsewhere.
    fn next_page(&self, from: &Url, response: &Response) -> Result<Option<Url>> {
        let lines = response.headers().get_all(LINK).iter().filter_map(|value| value.to_str().ok());
        let Some(target) = link_header::next(lines) else { return Ok(None) };
        let url = origin::follow(&self.base, from, &target)?;
        if !origin::same_origin(&url, &self.base) || url == *from {
            let why = format!("its next page is at {}", origin::host_of(&url));
            return Err(Error::Unsafe { host: self.name.clone(), why });
        }
        Ok(Some(url))
    }

    async fn json<T: DeserializeOwned>(&self, response: Response, subject: &str) -> Result<T> {
        let bytes = reply::body(response, PAGE_LIMIT, subject, self.options.idle).await?;
        serde_json::from_slice(&bytes).map_err(|error| Error::Protocol {
            subject: subject.to_owned(),
            why: format!("the answer cannot be read: {error}"),
        })
    }
}
