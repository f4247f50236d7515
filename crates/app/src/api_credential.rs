//! Who asks the administration API over the network: a token of the environment, a login of `larder login`, or one of docker and podman.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use larder_client::credentials::{Credential, Credentials, DockerCredentials};
use serde_json::Value;

use crate::api_client::innermost;
use crate::logins::Logins;
use crate::outcome::{Exit, Failure, Result};

/// What proves who asks.
#[derive(Clone)]
pub enum ApiCredential {
    /// Nothing.
    Nobody,
    /// A user with a password or a token.
    Basic {
        /// The user.
        user: String,
        /// The password or the token.
        secret: String,
    },
    /// A token by itself.
    Bearer(String),
    /// What `docker login` keeps of a token service: tokens are fetched with it.
    Refresh(String),
}

impl ApiCredential {
    /// The one for a server's address.
    pub async fn find(base: &str) -> Result<Self> {
        if let Ok(token) = std::env::var("LARDER_TOKEN")
            && !token.trim().is_empty()
        {
            return Ok(Self::Bearer(token.trim().to_owned()));
        }
        let host = host_of(base);
        if let Some(login) = Logins::load()?.servers.get(host) {
            return Ok(Self::Basic { user: login.user.clone(), secret: login.secret.clone() });
        }
        // A helper of docker's that is broken does not keep anybody from what needs no login.
        let found = DockerCredentials::from_environment().find(host, None).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "docker's logins cannot be read");
            None
        });
        Ok(match found {
            None => Self::Nobody,
            Some(Credential::Password { user, password }) => Self::Basic { user, secret: password.expose().to_owned() },
            Some(Credential::IdentityToken(token)) => Self::Refresh(token.expose().to_owned()),
            Some(Credential::RegistryToken(token)) => Self::Bearer(token.expose().to_owned()),
        })
    }

    /// The header that shows it.
    pub fn authorization(&self) -> Option<String> {
        match self {
            Self::Nobody | Self::Refresh(_) => None,
            Self::Basic { user, secret } => Some(format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))),
            Self::Bearer(token) => Some(format!("Bearer {token}")),
        }
    }

    /// Whether tokens are fetched with it.
    pub fn is_refresh(&self) -> bool {
        matches!(self, Self::Refresh(_))
    }

    /// Fetches the token that a challenge asks for; answers the header that shows it.
    pub async fn answer(&self, client: &reqwest::Client, base: &str, challenge: &str) -> Result<String> {
        let Self::Refresh(token) = self else { return Err(Failure::failed("there is nothing to fetch a token with")) };
        let service = parameter(challenge, "service").unwrap_or_default();
        let scope = parameter(challenge, "scope").unwrap_or_default();
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token.as_str()),
            ("client_id", "larder"),
            ("service", service.as_str()),
            ("scope", scope.as_str()),
        ];
        let lost = |error: reqwest::Error| Failure::unreachable(format!("{base}: {}", innermost(&error)));
        let answer = client.post(format!("{base}/token")).form(&form).send().await.map_err(lost)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(lost)?;
        if status != 200 {
            return Err(Failure::of_answer(status, &body).with_hint(format!("Log in again: larder login {base}")));
        }
        let document: Value = serde_json::from_slice(&body)?;
        let token = document["access_token"].as_str().or(document["token"].as_str());
        let token = token.ok_or_else(|| Failure::new(Exit::Failed, "the token service answered without a token"))?;
        Ok(format!("Bearer {token}"))
    }
}

/// `host` or `host:port` of an address.
pub fn host_of(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

/// A quoted parameter of a challenge.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let start = challenge.find(&format!("{name}=\""))? + name.len() + 2;
    let rest = challenge.get(start..)?;
    Some(rest[..rest.find('"')?].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_service_and_scope() {
        let line = "Bearer realm=\"https://r/token\",service=\"r\",scope=\"repository:a/b:pull,push\"";
        assert_eq!(parameter(line, "service").as_deref(), Some("r"));
        assert_eq!(parameter(line, "scope").as_deref(), Some("repository:a/b:pull,push"));
        assert_eq!(parameter(line, "error"), None);
        assert_eq!(host_of("https://r.example:5000/x"), "r.example:5000");
    }
}
