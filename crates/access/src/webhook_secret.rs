//! The secrets that webhooks' messages are signed with (Standard Webhooks): made or taken here, sealed for the catalog, and used without leaving this crate.

use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroize;

use crate::admin::Answer;
use crate::{Access, Problem};

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// Random bytes of a new one, and how many it may have.
const BYTES: usize = 32;
const ALLOWED: std::ops::RangeInclusive<usize> = 24..=64;

impl Access {
    /// A new secret for the webhook of this name: as it is shown once, and sealed.
    pub fn new_webhook_secret(&self, webhook: &str) -> (String, Vec<u8>) {
        let mut key = [0; BYTES];
        rand::fill(&mut key).expect("the operating system gives random bytes");
        let shown = format!("{PREFIX}{}", STANDARD.encode(key));
        let sealed = self.inner.settings.secret_key.seal(&context(webhook), &key);
        key.zeroize();
        (shown, sealed)
    }

    /// Seals a secret that the listener has already, for the webhook of this name.
    ///
    /// # Errors
    ///
    /// [`Problem::Invalid`] for what is not `whsec_` and the Base64 of 24 to 64 bytes.
    pub fn seal_webhook_secret(&self, webhook: &str, secret: &str) -> Answer<Vec<u8>> {
        let key = secret.strip_prefix(PREFIX).and_then(|text| STANDARD.decode(text).ok());
        let Some(mut key) = key.filter(|key| ALLOWED.contains(&key.len())) else {
            return Err(Problem::Invalid("a webhook's secret is whsec_ and the Base64 of 24 to 64 bytes".to_owned()));
        };
        let sealed = self.inner.settings.secret_key.seal(&context(webhook), &key);
        key.zeroize();
        Ok(sealed)
    }

    /// The value of `webhook-signature` for a message with this id and body at this time, in seconds; nothing if the secret was sealed with another key.
    pub fn sign_webhook(&self, webhook: &str, sealed: &[u8], id: &str, timestamp: i64, body: &[u8]) -> Option<String> {
        let mut key = self.inner.settings.secret_key.open(&context(webhook), sealed)?;
        let signature = signature(&key, id, timestamp, body);
        key.zeroize();
        Some(signature)
    }
}

/// What a secret is sealed as: that of one webhook is nothing to another.
fn context(webhook: &str) -> String {
    format!("webhook {webhook}")
}

fn signature(key: &[u8], id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    signing.update(format!("{id}.{timestamp}.").as_bytes());
    signing.update(body);
    format!("v1,{}", STANDARD.encode(signing.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An example that libraries of Standard Webhooks are tested with.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("it is Base64");
        let signed = signature(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
