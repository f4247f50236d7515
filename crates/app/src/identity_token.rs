//! The identity token of a job in CI.

use std::env;
use std::time::Duration;

use serde_json::Value;

use crate::api_client::innermost;
use crate::outcome::{Failure, Result};

/// How long the provider may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The token of this job: `LARDER_ID_TOKEN`, or else one that GitHub Actions gives for this audience.
///
/// # Errors
/// When there is none; the hint says how to come by one.
pub async fn find(audience: &str) -> Result<String> {
    let given = |name: &str| env::var(name).ok().filter(|text| !text.trim().is_empty());
    if let Some(token) = given("LARDER_ID_TOKEN") {
        return Ok(token.trim().to_owned());
    }
    match (given("ACTIONS_ID_TOKEN_REQUEST_URL"), given("ACTIONS_ID_TOKEN_REQUEST_TOKEN")) {
        (Some(url), Some(token)) => of_github(&url, &token, audience).await,
        _ => Err(Failure::usage("this job has no identity token").with_hint(
            "GitHub Actions gives one to a job with `permissions: id-token: write`; GitLab CI with `id_tokens: LARDER_ID_TOKEN: aud: HOST`.",
        )),
    }
}

async fn of_github(url: &str, token: &str, audience: &str) -> Result<String> {
    let lost = |error: reqwest::Error| {
        Failure::unreachable(format!("GitHub Actions gave no identity token: {}", innermost(&error)))
    };
    let client = reqwest::Client::builder().timeout(PATIENCE).build().map_err(lost)?;
    let asked = client.get(url).query(&[("audience", audience)]).bearer_auth(token).send().await.map_err(lost)?;
    let status = asked.status();
    let body: Value = asked.json().await.map_err(lost)?;
    match body["value"].as_str() {
        Some(token) if status.is_success() => Ok(token.to_owned()),
        _ => Err(Failure::failed(format!("GitHub Actions gave no identity token: {status}"))),
    }
}
