//! `docker-credential-*` programs, as docker calls them.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use larder_client::credentials::{Credential, Credentials, DockerCredentials};

fn set_up(configuration: &str, script: &str) -> (tempfile::TempDir, DockerCredentials) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("config.json");
    fs::write(&file, configuration).expect("written");
    let helper = folder.path().join("docker-credential-test");
    fs::write(&helper, script).expect("written");
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).expect("executable");
    let credentials = DockerCredentials::from_files([folder.path().join("none.json"), file])
        .with_helpers_in(folder.path().to_owned());
    (folder, credentials)
}

const ECHO: &str = r#"#!/bin/sh
read server
[ "$1" = get ] || exit 2
case $server in
  known.example) echo '{"ServerURL":"known.example","Username":"alice","Secret":"for known.example"}' ;;
  token.example) echo '{"ServerURL":"token.example","Username":"<token>","Secret":"refresh"}' ;;
  broken.example) echo 'the key ring is locked'; exit 1 ;;
  *) echo 'credentials not found in native keychain'; exit 1 ;;
esac
"#;

#[tokio::test]
async fn the_store_is_asked_about_the_host() {
    let (_folder, credentials) = set_up(r#"{"credsStore":"test","auths":{"file.example":{"auth":"Ym9iOnB3"}}}"#, ECHO);
    match credentials.find("known.example", None).await.expect("answered") {
        Some(Credential::Password { user, password }) => {
            assert_eq!((user.as_str(), password.expose()), ("alice", "for known.example"))
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(credentials.find("token.example", None).await, Ok(Some(Credential::IdentityToken(_)))));
    assert!(matches!(credentials.find("other.example", None).await, Ok(None)));
    assert!(matches!(credentials.find("file.example", None).await, Ok(Some(Credential::Password { .. }))));
    let error = credentials.find("broken.example", None).await.expect_err("it failed").to_string();
    assert!(error.contains("docker-credential-test failed"), "{error}");
}

#[tokio::test]
async fn a_helper_is_a_name_and_never_a_path() {
    let (_folder, credentials) = set_up(r#"{"credHelpers":{"evil.example":"../../bin/sh"}}"#, ECHO);
    let error = credentials.find("evil.example", None).await.expect_err("refused").to_string();
    assert!(error.contains("no name of a credential helper"), "{error}");
}

#[tokio::test]
async fn secrets_are_not_printed() {
    let (_folder, credentials) = set_up(r#"{"credsStore":"test"}"#, ECHO);
    let found = credentials.find("known.example", None).await.expect("answered");
    assert!(!format!("{found:?}").contains("for known"), "{found:?}");
}
