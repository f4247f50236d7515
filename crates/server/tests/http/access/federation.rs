//! Jobs in CI that hold no secret: their provider's token for one of ours, and then as docker does it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::Method;
use larder_access::{Fetch, FetchError};
use larder_server::Config;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};

use super::fixture::{Guarded, settings, token};

const ISSUER: &str = "https://ci.example";

/// An identity provider, its documents at hand.
struct Issuer(KeyPair);

impl Issuer {
    fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).expect("a key"))
    }

    fn sign(&self, claims: &Value) -> String {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": "1" });
        let message = format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()));
        let signature = self.0.sign(message.as_bytes()).expect("a signature");
        format!("{message}.{}", encode(&signature))
    }
}

#[async_trait]
impl Fetch for Issuer {
    async fn get(&self, url: &str, _: usize) -> Result<Vec<u8>, FetchError> {
        let document = match url.strip_prefix(ISSUER) {
            Some("/.well-known/openid-configuration") => {
                json!({ "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys") })
            }
            Some("/keys") => json!({ "keys": [{
                "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "1",
                "x": BASE64_URL_SAFE_NO_PAD.encode(self.0.der_bytes()),
            }] }),
            _ => return Err(FetchError::Unreachable(url.to_owned())),
        };
        Ok(document.to_string().into_bytes())
    }

    async fn post_form(
        &self,
        url: &str,
        _: &[(&str, &str)],
        _: Option<(&str, &str)>,
        _: usize,
    ) -> Result<Vec<u8>, FetchError> {
        Err(FetchError::Unreachable(url.to_owned()))
    }
}

/// What the provider says of a job; the test's clock stands at this day's noon.
fn claims(project: &str, subject: &str) -> Value {
    let noon: jiff::Timestamp = "2026-11-21T12:00:00Z".parse().expect("a time");
    let now = noon.as_second();
    json!({ "iss": ISSUER, "aud": "larder", "sub": subject, "project": project, "iat": now, "nbf": now, "exp": now + 600 })
}

async fn guarded(issuer: &Arc<Issuer>) -> Guarded {
    let guarded = Guarded::asking(Arc::clone(issuer) as Arc<_>, settings(), Config::default()).await;
    let root = guarded.user("root").await;
    let trust = json!({
        "name": "ci", "issuer": ISSUER, "audience": "larder", "conditions": [{ "claim": "project", "values": ["team/model"] }],
        "actions": ["pull", "push"], "repositories": ["team/**"], "expires_in": 900,
    });
    root.json(Method::POST, "/api/v1/trusts", &trust).await.expect(201);
    root.image("root/secret", "1").await;
    guarded
}

#[tokio::test]
async fn a_job_pushes_with_its_providers_token() {
    let issuer = Arc::new(Issuer::new());
    let guarded = guarded(&issuer).await;
    let stranger = guarded.stranger();
    let id_token = issuer.sign(&claims("team/model", "job 7"));
    let answer = stranger.json(Method::POST, "/api/v1/oidc/exchange", &json!({ "token": id_token })).await;
    answer.expect(200);
    assert_eq!(answer.header("cache-control"), "no-store");
    let given = answer.json();
    assert_eq!(given["identity"], "trust:ci#job 7");
    assert!(given["expires_in"].as_u64().is_some_and(|seconds| (60..=900).contains(&seconds)), "{given}");
    let ours = given["token"].as_str().expect("a token").to_owned();
    // As the password of docker login, straight as a bearer, and the provider's own token in the password's place.
    for client in [stranger.basic("ci", &ours), stranger.bearer(&ours), stranger.basic("ci", &id_token)] {
        let bearer =
            stranger.bearer(&token(&client, "repository:team/model:pull,push repository:root/secret:pull").await);
        for client in [&client, &bearer] {
            client.image("team/model", "1").await;
            client.get("/v2/team/model/manifests/1").await.expect(200);
            client.delete("/v2/team/model/manifests/1").await.expect(403);
            client.get("/v2/root/secret/manifests/1").await.expect(403);
            client
                .json(Method::POST, "/api/v1/tokens", &json!({ "name": "kept", "actions": ["push"] }))
                .await
                .expect(403);
        }
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = format!(
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&subject_token={id_token}&scope=repository%3Ateam%2Fmodel%3Apull"
    );
    let answer = stranger.call(Method::POST, "/token", &form, body).await;
    answer.expect(200);
    assert_eq!(answer.json()["scope"], "repository:team/model:pull");

    // An upload goes on with a second exchange: it belongs to the trust and the subject.
    let first = stranger.basic("ci", &ours);
    let path = first.post("/v2/team/model/blobs/uploads/", "").await.header("location").to_owned();
    let again = stranger.basic("ci", &issuer.sign(&claims("team/model", "job 7")));
    again.call(Method::PATCH, &path, &[], "bytes").await.expect(202);
    let other = stranger.basic("ci", &issuer.sign(&claims("team/model", "job 8")));
    other.call(Method::PATCH, &path, &[], "bytes").await.expect(404);

    guarded.as_user("root").delete("/api/v1/trusts/ci").await.expect(204);
    first.get("/v2/team/model/manifests/1").await.expect(401);
}

#[tokio::test]
async fn what_does_not_fit_is_told_to_its_holder_and_gets_nothing() {
    let issuer = Arc::new(Issuer::new());
    let guarded = guarded(&issuer).await;
    let stranger = guarded.stranger();
    let mut wrong_audience = claims("team/model", "job");
    wrong_audience["aud"] = json!("another");
    let mut none = issuer.sign(&claims("team/model", "job"));
    none.replace_range(..none.find('.').expect("it has parts"), &BASE64_URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#));
    let stranger_signed = Issuer::new().sign(&claims("team/model", "job"));
    for (id_token, word) in [
        (issuer.sign(&claims("other/model", "job")), "project"),
        (issuer.sign(&wrong_audience), "audience"),
        (none, "no trust"),
        (stranger_signed, "no trust"),
    ] {
        let answer = stranger.json(Method::POST, "/api/v1/oidc/exchange", &json!({ "token": id_token })).await;
        answer.expect(401);
        assert!(
            answer.json()["detail"].as_str().is_some_and(|detail| detail.contains(word)),
            "{word}: {:?}",
            answer.body
        );
        super::fixture::ask(&stranger.basic("ci", &id_token), "repository:team/model:push").await.expect(401);
    }
    let late = issuer.sign(&claims("team/model", "job"));
    guarded.pass(Duration::from_secs(3600));
    stranger.json(Method::POST, "/api/v1/oidc/exchange", &json!({ "token": late })).await.expect(401);
}
