//! A key that shows that a text came from this server: what a form carries, what a browser keeps for a moment.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::token::PlainToken;

/// Signs short texts.
#[derive(Clone)]
pub struct FormKey(hmac::Key);

impl FormKey {
    /// A key of its own, which nobody else has and which ends with the process.
    pub fn generate() -> Self {
        Self::of(PlainToken::generate().reveal().as_bytes())
    }

    pub(crate) fn of(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The text's signature, of letters that a form, a header and a path can carry.
    pub fn sign(&self, text: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, text.as_bytes()))
    }

    /// Whether a signature is this text's.
    pub fn verify(&self, text: &str, signature: &str) -> bool {
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        hmac::verify(&self.0, text.as_bytes(), &signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_text_and_one_key() {
        let (key, other) = (FormKey::generate(), FormKey::generate());
        let signature = key.sign("text");
        assert!(key.verify("text", &signature));
        assert!(!key.verify("texts", &signature) && !other.verify("text", &signature) && !key.verify("text", ""));
    }
}
