//! A directory without TLS: on this machine, and nowhere else.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::larder::{Served, code, folders, larder, stderr};

const SETTINGS: [(&str, &str); 2] =
    [("LARDER_LDAP__START_TLS", "false"), ("LARDER_LDAP__USER_BASE", "ou=people,dc=example,dc=com")];

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_on_this_machine_is_asked_in_the_clear_where_that_is_set() {
    let (_parent, data) = folders();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("ldap://127.0.0.1:{}", listener.local_addr().expect("an address").port());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = vec![0; 4096];
            let length = stream.read(&mut bytes).await.unwrap_or(0);
            asked.lock().expect("no panic under it").extend_from_slice(&bytes[..length]);
        }
    });
    let variables = [SETTINGS[0], SETTINGS[1], ("LARDER_LDAP__URL", url.as_str())];
    let served = Served::start_with(&data, &[], &variables);
    let ping = reqwest::Client::new().get(format!("{}/v2/", served.url())).basic_auth("carol", Some("secret"));
    let status = ping.send().await.expect("it is answered").status();
    assert!(status == 503 || status == 401, "a directory that hangs up lets nobody in: {status}");
    let heard = heard.lock().expect("no panic under it").clone();
    let said = |text: &str| heard.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(said("ou=people,dc=example,dc=com") && said("carol"), "a search in the clear: {heard:?}");
    assert!(!said("1.3.6.1.4.1.1466.20037"), "and no StartTLS before it");
}

#[test]
fn a_directory_elsewhere_is_not() {
    let (_parent, data) = folders();
    let folder = data.display().to_string();
    for url in ["ldap://192.0.2.1", "ldap://directory.example.com:389"] {
        let mut command = larder(&["serve", "--data", &folder, "--listen", "127.0.0.1:0"]);
        let output = command.envs(SETTINGS).env("LARDER_LDAP__URL", url).output().expect("it runs");
        assert_ne!(code(&output), 0);
        assert!(stderr(&output).contains("in the clear"), "{}", stderr(&output));
    }
}
