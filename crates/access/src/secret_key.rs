//! The key of `secret.key`: seals what the catalog must not hold in the clear.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hmac, rand};
use zeroize::Zeroize;

use crate::OpenError;

const VERSION: u8 = 1;
const TAG: usize = 16;

/// 32 random bytes that live beside the catalog and in no backup of it (behaviour §7).
#[derive(Clone)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// A new one.
    pub fn generate() -> Self {
        let mut bytes = [0; 32];
        rand::fill(&mut bytes).expect("the operating system gives random bytes");
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits; white space around them counts for nothing.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits: Vec<u8> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        (digits.len() == 64).then(|| Self(bytes.try_into().expect("64 digits are 32 bytes")))
    }

    /// Reads the key's file, or makes it (0600) if it is absent.
    ///
    /// # Errors
    ///
    /// [`OpenError::SecretKey`] for a file that others may read, that does not hold a key, or that cannot be read or made.
    pub fn load_or_make(path: &Path) -> Result<Self, OpenError> {
        let wrong = |reason: String| OpenError::SecretKey { path: path.display().to_string(), reason };
        let mut text = String::new();
        match std::fs::File::open(path) {
            Ok(mut file) => {
                let mode = file.metadata().map_err(|error| wrong(error.to_string()))?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(wrong(format!("others may read it (mode {:o}): chmod 600", mode & 0o777)));
                }
                (&mut file).take(1024).read_to_string(&mut text).map_err(|error| wrong(error.to_string()))?;
                Self::parse(&text).ok_or_else(|| wrong("it does not hold 64 hexadecimal digits".to_owned()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = Self::generate();
                key.write(path).map_err(|error| wrong(error.to_string()))?;
                Ok(key)
            }
            Err(error) => Err(wrong(error.to_string())),
        }
    }

    /// Durable before it is used: a key that a power cut takes back would make everything sealed with it unreadable.
    fn write(&self, path: &Path) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(file, "{digits}")?;
        file.sync_all()?;
        match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => std::fs::File::open(folder)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// Encrypts. `context` says what it is and has to be said again to open it, so that one sealed thing cannot be passed off as another.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).expect("the operating system gives random bytes");
        let mut sealed = plain.to_vec();
        self.cipher()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed)
            .expect("what is sealed is far smaller than AES-GCM's limit");
        [&[VERSION][..], &nonce, &sealed].concat()
    }

    /// Decrypts; nothing if it was sealed with another key or for another purpose, or was changed.
    pub fn open(&self, context: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN)?;
        if *version != VERSION || text.len() < TAG {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let plain = self.cipher().open_in_place(nonce, Aad::from(context), &mut text).ok()?.len();
        text.truncate(plain);
        Some(text)
    }

    /// A key of its own for one purpose.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        hmac::sign(&key, purpose.as_bytes()).as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.derive("larder sealing 1"));
        LessSafeKey::new(key.expect("AES-256 takes 32 bytes"))
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_purpose_only() {
        let key = SecretKey::generate();
        let sealed = key.seal("signing key 1", b"private");
        assert_eq!(key.open("signing key 1", &sealed).as_deref(), Some(&b"private"[..]));
        assert_eq!(key.open("signing key 2", &sealed), None);
        assert_eq!(SecretKey::generate().open("signing key 1", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open("signing key 1", &changed), None, "changed at {at}");
            assert_eq!(key.open("signing key 1", &sealed[..at]), None, "cut at {at}");
        }
        assert_ne!(key.seal("x", b"private"), key.seal("x", b"private"));
    }

    #[test]
    fn the_file_is_made_once_and_read_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        let made = SecretKey::load_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = SecretKey::load_or_make(&path).unwrap();
        assert_eq!(read.open("x", &made.seal("x", b"y")).as_deref(), Some(&b"y"[..]));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.key");
        SecretKey::load_or_make(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(SecretKey::load_or_make(&path).unwrap_err().to_string().contains("others may read it"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "abc").unwrap();
        let refused = SecretKey::load_or_make(&path).unwrap_err().to_string();
        assert!(refused.contains("64 hexadecimal digits") && !refused.contains("abc"), "{refused}");
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let key = SecretKey::parse(&"ab".repeat(32)).unwrap();
        assert!(!format!("{key:?}").contains("ab"));
        assert!(SecretKey::parse(&"ab".repeat(31)).is_none());
        assert!(SecretKey::parse(&"zz".repeat(32)).is_none());
    }
}
