//! The administration API, over whichever road leads to it: TCP, the control socket, or a registry opened by this very process. A command is
//! written once and does not know the difference.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::header::{CONTENT_TYPE, LINK, WWW_AUTHENTICATE};
use http::{HeaderMap, Method, StatusCode};
use larder_access::Access;
use larder_server::{Body, Config, Peer, Service};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::api_credential::ApiCredential;
use crate::authorities;
use crate::opened::{Opened, chain};
use crate::outcome::{Failure, Result};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// Bytes of the longest answer that is read as one document.
const LONGEST: usize = 64 << 20;
/// Entries of a page of a list.
const PAGE: usize = 500;

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// A client of `/api/v1`.
pub struct ApiClient {
    road: Road,
}

enum Road {
    /// A server, by its base address; `shown` is how failures call it.
    Http {
        client: reqwest::Client,
        base: String,
        shown: String,
        /// Found when it is first needed; the control socket needs none.
        credential: OnceCell<ApiCredential>,
    },
    /// A registry in this process.
    Here { service: Service, access: Access, opened: Box<Opened> },
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    pieces: Pieces,
}

impl ApiClient {
    /// A server on the network.
    pub fn tcp(base: &str) -> Result<Self> {
        Self::over(base, OnceCell::new())
    }

    /// A server on the network, asked as somebody.
    pub fn tcp_as(base: &str, credential: ApiCredential) -> Result<Self> {
        Self::over(base, OnceCell::new_with(Some(credential)))
    }

    fn over(base: &str, credential: OnceCell<ApiCredential>) -> Result<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let builder = builder().tls_certs_merge(authorities::of(&base)?);
        let client = builder.build().map_err(|error| Failure::failed(chain(&error)))?;
        Ok(Self { road: Road::Http { client, shown: base.clone(), base, credential } })
    }

    /// The server that holds a data folder, through its control socket.
    pub fn control(socket: &Path) -> Result<Self> {
        let client = builder().unix_socket(socket).build().map_err(|error| Failure::failed(chain(&error)))?;
        Ok(Self {
            road: Road::Http {
                client,
                base: "http://localhost".to_owned(),
                shown: socket.display().to_string(),
                credential: OnceCell::new_with(Some(ApiCredential::Nobody)),
            },
        })
    }

    /// A registry that this process opened, with its accounts; [`close`](Self::close) it at the end.
    pub fn here(opened: Opened, access: Access) -> Self {
        let service = larder_server::guarded_service(opened.registry.clone(), access.clone(), Config::default());
        Self { road: Road::Here { service, access, opened: Box::new(opened) } }
    }

    /// Lets go of a registry in this process.
    pub async fn close(self) -> Result {
        match self.road {
            Road::Http { .. } => Ok(()),
            Road::Here { service, access, opened } => {
                drop(service);
                access.close().await;
                opened.registry.close().await.map_err(|error| Failure::failed(chain(&error)))
            }
        }
    }

    /// Reads a document.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        read(self.ask(Method::GET, path, None).await?).await
    }

    /// Reads the pages of a list, one after the other, and hands each to `take`.
    pub async fn pages<T: DeserializeOwned>(&self, path: &str, mut take: impl FnMut(T) -> Result) -> Result {
        let mut next = Some(format!("{path}{}limit={PAGE}", if path.contains('?') { '&' } else { '?' }));
        while let Some(path) = next {
            let (page, following) = self.page(&path).await?;
            next = following;
            take(page)?;
        }
        Ok(())
    }

    /// Reads one page of a list, and the path of the next.
    pub async fn page<T: DeserializeOwned>(&self, path: &str) -> Result<(T, Option<String>)> {
        let answer = self.ask(Method::GET, path, None).await?;
        let next = next_page(&answer.headers);
        Ok((read(answer).await?, next))
    }

    /// Sends a document and reads one.
    pub async fn send<T: DeserializeOwned>(&self, method: Method, path: &str, body: &Value) -> Result<T> {
        read(self.ask(method, path, Some(&body.to_string())).await?).await
    }

    /// Sends a document where nothing comes back.
    pub async fn tell(&self, method: Method, path: &str, body: &Value) -> Result {
        self.tell_text(method, path, &body.to_string()).await
    }

    /// The same with a JSON document as it was written.
    pub async fn tell_text(&self, method: Method, path: &str, body: &str) -> Result {
        self.ask(method, path, Some(body)).await.map(drop)
    }

    /// Sends a JSON document as it was written, and reads one page of what it comes to and the path of the next.
    pub async fn page_of_text<T: DeserializeOwned>(&self, path: &str, body: &str) -> Result<(T, Option<String>)> {
        let answer = self.ask(Method::POST, path, Some(body)).await?;
        let next = next_page(&answer.headers);
        Ok((read(answer).await?, next))
    }

    /// Deletes something.
    pub async fn delete(&self, path: &str) -> Result {
        self.ask(Method::DELETE, path, None).await.map(drop)
    }

    /// Begins a long task: hands its progress to `tell` and answers with its report.
    pub async fn task(&self, path: &str, body: &Value, mut tell: impl FnMut(&Value)) -> Result<Value> {
        let mut pieces = self.ask(Method::POST, path, Some(&body.to_string())).await?.pieces;
        let mut waiting = Vec::new();
        while let Some(piece) = pieces.next().await {
            waiting.extend_from_slice(&piece?);
            while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                let line: Value = serde_json::from_slice(&line)?;
                if let Some(report) = line.get("report") {
                    return Ok(report.clone());
                }
                if let Some(problem) = line.get("problem") {
                    let status =
                        problem["status"].as_u64().and_then(|status| u16::try_from(status).ok()).unwrap_or(500);
                    return Err(Failure::of_answer(status, problem.to_string().as_bytes()));
                }
                tell(&line["progress"]);
            }
        }
        Err(Failure::failed("the server broke off before it reported"))
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&str>) -> Result<Answer> {
        let answer = match &self.road {
            Road::Http { client, base, shown, credential } => {
                let credential = credential.get_or_try_init(|| ApiCredential::find(base)).await?;
                let line = credential.authorization();
                let first = over_http(client, base, shown, method.clone(), path, body, line.as_deref()).await?;
                match challenge(&first) {
                    // A refresh token gets a token for just this.
                    Some(challenge) if first.status == StatusCode::UNAUTHORIZED && credential.is_refresh() => {
                        let line = credential.answer(client, base, &challenge).await?;
                        over_http(client, base, shown, method, path, body, Some(&line)).await?
                    }
                    _ => first,
                }
            }
            Road::Here { service, .. } => in_process(service, method, path, body).await?,
        };
        if answer.status.is_success() {
            return Ok(answer);
        }
        let status = answer.status.as_u16();
        let body = collect(answer).await?;
        let failure = Failure::of_answer(status, &body);
        Err(match &self.road {
            Road::Http { base, .. } if status == 401 => failure.with_hint(format!("Log in first: larder login {base}")),
            _ => failure,
        })
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
}

async fn over_http(
    client: &reqwest::Client,
    base: &str,
    shown: &str,
    method: Method,
    path: &str,
    body: Option<&str>,
    authorization: Option<&str>,
) -> Result<Answer> {
    let mut request = client.request(method, format!("{base}{path}"));
    if let Some(line) = authorization {
        request = request.header(http::header::AUTHORIZATION, line);
    }
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, "application/json").body(body.to_owned());
    }
    let lost = |error: reqwest::Error| Failure::unreachable(format!("{shown}: {}", innermost(&error)));
    let response = request.send().await.map_err(lost)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let broken =
        |error: reqwest::Error| Failure::unreachable(format!("the connection broke off: {}", innermost(&error)));
    Ok(Answer { status, headers, pieces: Box::pin(response.bytes_stream().map_err(broken)) })
}

async fn in_process(service: &Service, method: Method, path: &str, body: Option<&str>) -> Result<Answer> {
    let mut request = http::Request::builder().method(method).uri(path).extension(Peer::operator());
    if body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_owned()));
    let request = request.body(body).map_err(|error| Failure::usage(error.to_string()))?;
    let (head, body) = service.handle(request).await.into_parts();
    let pieces = body.into_data_stream().map_err(|error| Failure::failed(error.to_string()));
    Ok(Answer { status: head.status, headers: head.headers, pieces: Box::pin(pieces) })
}

/// The challenge of an answer.
fn challenge(answer: &Answer) -> Option<String> {
    answer.headers.get(WWW_AUTHENTICATE)?.to_str().ok().map(str::to_owned)
}

/// The cause that says most to a person: "connection refused" rather than "error sending request".
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    deepest.to_string()
}

async fn read<T: DeserializeOwned>(answer: Answer) -> Result<T> {
    let body = collect(answer).await?;
    serde_json::from_slice(&body)
        .map_err(|error| Failure::failed(format!("the server's answer cannot be read ({error}): is it a Larder?")))
}

async fn collect(mut answer: Answer) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = answer.pieces.next().await {
        body.extend_from_slice(&piece?);
        if body.len() > LONGEST {
            return Err(Failure::failed("the server's answer is too long"));
        }
    }
    Ok(body)
}

/// The path of `Link: <…>; rel="next"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let line = headers.get(LINK)?.to_str().ok()?;
    let (target, attributes) = line.strip_prefix('<')?.split_once('>')?;
    (attributes.contains("rel=\"next\"") && target.starts_with('/')).then(|| target.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_a_path_of_the_same_server() {
        let next = |line: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, line.parse().expect("it is a header"));
            next_page(&headers)
        };
        assert_eq!(
            next("</api/v1/repositories?limit=2&after=b>; rel=\"next\"").as_deref(),
            Some("/api/v1/repositories?limit=2&after=b")
        );
        assert_eq!(next("<https://elsewhere/x>; rel=\"next\""), None);
        assert_eq!(next("</x>; rel=\"prev\""), None);
    }
}
