//! Identity providers, asked over HTTPS: few bytes, little patience, no redirect to elsewhere.

use std::sync::OnceLock;
use std::time::Duration;

use async_trait::async_trait;
use larder_access::{Fetch, FetchError};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Response};

use crate::api_client::innermost;

/// How long a request may take, answer and all.
const PATIENCE: Duration = Duration::from_secs(10);
/// Redirects that are followed, within one origin.
const REDIRECTS: usize = 3;

/// Asks with this machine's trust store. That is read when somebody first has to be asked: an image without one (nothing but `larder` is in ours)
/// serves all the same.
#[derive(Default)]
pub struct HttpFetch(OnceLock<Client>);

impl HttpFetch {
    fn client(&self) -> std::result::Result<&Client, FetchError> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let client = Client::builder()
            .timeout(PATIENCE)
            .connect_timeout(PATIENCE)
            .redirect(Policy::custom(stay))
            .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
            .build();
        let client = client.map_err(|error| FetchError::Unreachable(innermost(&error)))?;
        Ok(self.0.get_or_init(|| client))
    }
}

/// A provider that sends its clients elsewhere could as well be somebody who sends this server elsewhere.
fn stay(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let first = attempt.previous().first().map(|url| url.origin());
    if attempt.previous().len() > REDIRECTS || first.is_some_and(|first| first != attempt.url().origin()) {
        attempt.stop()
    } else {
        attempt.follow()
    }
}

#[async_trait]
impl Fetch for HttpFetch {
    async fn get(&self, url: &str, limit: usize) -> std::result::Result<Vec<u8>, FetchError> {
        answer(self.client()?.get(url).header("accept", "application/json"), limit).await
    }

    async fn post_form(
        &self,
        url: &str,
        form: &[(&str, &str)],
        basic: Option<(&str, &str)>,
        limit: usize,
    ) -> std::result::Result<Vec<u8>, FetchError> {
        let mut request = self.client()?.post(url).header("accept", "application/json").form(form);
        if let Some((name, password)) = basic {
            request = request.basic_auth(name, Some(password));
        }
        answer(request, limit).await
    }
}

async fn answer(request: RequestBuilder, limit: usize) -> std::result::Result<Vec<u8>, FetchError> {
    let lost = |error: reqwest::Error| FetchError::Unreachable(innermost(&error));
    let response = request.send().await.map_err(lost)?;
    let status = response.status();
    if status.is_success() {
        return body(response, limit).await?.ok_or(FetchError::TooLarge(limit));
    }
    let body = body(response, limit).await.ok().flatten().unwrap_or_default();
    Err(FetchError::Status { status: status.as_u16(), body })
}

/// The whole body; `None` when it is longer than `limit`.
async fn body(mut response: Response, limit: usize) -> std::result::Result<Option<Vec<u8>>, FetchError> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| FetchError::Unreachable(innermost(&error)))? {
        if body.len() + piece.len() > limit {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers every request with this text, and tells where.
    async fn provider(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it has one");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn answers_are_bounded_and_failures_are_told() {
        let fetch = HttpFetch::default();
        let url = provider("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello").await;
        assert_eq!(fetch.get(&url, 5).await, Ok(b"hello".to_vec()));
        assert_eq!(fetch.get(&url, 4).await, Err(FetchError::TooLarge(4)));
        let url = provider("HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!").await;
        let refused = fetch.post_form(&url, &[("a", "b")], Some(("u", "p")), 100).await;
        assert_eq!(refused, Err(FetchError::Status { status: 400, body: b"no!".to_vec() }));
        assert!(matches!(fetch.get("http://127.0.0.1:1/", 10).await, Err(FetchError::Unreachable(_))));
    }

    #[tokio::test]
    async fn a_redirect_elsewhere_is_not_followed() {
        let fetch = HttpFetch::default();
        let answer =
            "HTTP/1.1 302 Found\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let url = provider(answer).await;
        assert!(matches!(fetch.get(&url, 10).await, Err(FetchError::Status { status: 302, .. })));
    }
}
