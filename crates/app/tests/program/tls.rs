//! TLS of a running server, as its users set it up.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, Version};

use crate::larder::{PATIENCE, Served, code, folders, larder, old_file, stderr};

/// An authority of a test, and the files of a server that it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key can be made");
        let pem = params.self_signed(&key).expect("it can be signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().expect("a key can be made");
        let params = CertificateParams::new(names).expect("they are names");
        let certificate = params.signed_by(&key, &self.issuer).expect("it can be signed");
        let (chain, private) = (folder.join("domain.crt"), folder.join("domain.key"));
        std::fs::write(&chain, certificate.pem()).expect("it can be written");
        std::fs::write(&private, key.serialize_pem()).expect("it can be written");
        (chain, private)
    }

    fn client(&self) -> Client {
        client(&self.pem)
    }
}

/// A client that trusts one authority, opens a connection for each request, and says which certificate it saw.
fn client(authority: &str) -> Client {
    let root = Certificate::from_pem(authority.as_bytes()).expect("it is a certificate");
    let builder = Client::builder().tls_certs_only([root]).tls_info(true).pool_max_idle_per_host(0);
    builder.build().expect("it can be made")
}

async fn seen(client: &Client, url: &str) -> Vec<u8> {
    let answer = client.get(format!("{url}/healthz")).send().await.expect("it is answered");
    assert_eq!(answer.status(), 200);
    let facts = answer.extensions().get::<reqwest::tls::TlsInfo>().expect("it came by TLS");
    facts.peer_certificate().expect("the server showed one").to_vec()
}

fn variables(certificate: &Path, key: &Path) -> Vec<(&'static str, String)> {
    vec![("LARDER_TLS__CERTIFICATE", certificate.display().to_string()), ("LARDER_TLS__KEY", key.display().to_string())]
}

fn borrowed<'a>(variables: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    variables.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

#[tokio::test]
async fn a_certificate_of_our_own_is_trusted_by_its_authority_and_survives_a_restart() {
    let (_parent, data) = folders();
    let mut served = Served::start_with(&data, &["--tls-self-signed"], &[]);
    let authority = served.greeting["authority"].as_str().expect("it is named").to_owned();
    let pem = std::fs::read_to_string(&authority).expect("it was made");
    let url = served.url().replace("127.0.0.1", "localhost");
    assert!(url.starts_with("https://"), "{url}");
    let answer = client(&pem).get(format!("{url}/v2/")).send().await.expect("it is trusted");
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
    assert!(!answer.headers().contains_key("strict-transport-security"));
    let refused = Client::builder().build().expect("it can be made").get(format!("{url}/v2/")).send().await;
    assert!(refused.is_err(), "nobody trusts it unasked");
    let before = seen(&client(&pem), &url).await;
    served.stop();

    let again = Served::start_with(&data, &["--tls-self-signed"], &[]);
    let url = again.url().replace("127.0.0.1", "localhost");
    assert_eq!(seen(&client(&pem), &url).await, before, "clients need not be told twice");
}

#[test]
fn how_to_trust_it_is_printed() {
    let (_parent, data) = folders();
    let mut command = larder(&["serve", "--listen", "127.0.0.1:0", "--tls-self-signed", "--data"]);
    let mut child = command
        .arg(&data)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let mut text = String::new();
    let begun = Instant::now();
    let out = child.stdout.take().expect("it is piped");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
    while !text.contains("others") && begun.elapsed() < PATIENCE {
        text.push_str(&lines.next().expect("there are more lines").expect("it can be read"));
        text.push('\n');
    }
    let _ = child.kill();
    let _ = child.wait();
    for word in ["/etc/docker/certs.d/localhost:", "/etc/containers/certs.d/", "hosts.toml", "buildkitd.toml", "ca.pem"]
    {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[tokio::test]
async fn plain_and_tls_stand_side_by_side_and_files_are_read_again() {
    let (parent, data) = folders();
    let authority = Authority::new();
    let (certificate, key) = authority.write(parent.path());
    let mut settings = variables(&certificate, &key);
    settings.push(("LARDER_TLS__LISTEN", "127.0.0.1:0".to_owned()));
    let served = Served::start_with(&data, &[], &borrowed(&settings));
    let addresses: Vec<_> = served.greeting["addresses"]
        .as_array()
        .expect("they are listed")
        .iter()
        .filter_map(|url| url.as_str())
        .collect();
    let (plain, secure) = (addresses[0], addresses[1]);
    assert!(plain.starts_with("http://") && secure.starts_with("https://"), "{addresses:?}");
    let client = authority.client();
    assert_eq!(client.get(format!("{plain}/v2/")).send().await.expect("it is answered").status(), 200);
    let answer = client.get(format!("{secure}/v2/")).send().await.expect("it is answered");
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");

    let before = seen(&client, secure).await;
    authority.write(parent.path());
    let begun = Instant::now();
    while seen(&client, secure).await == before {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is not used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[test]
fn files_that_do_not_do_are_told_at_the_start() {
    let (parent, data) = folders();
    let authority = Authority::new();
    let (certificate, key) = authority.write(parent.path());
    let other = parent.path().join("other.key");
    std::fs::write(&other, KeyPair::generate().expect("a key can be made").serialize_pem()).expect("it can be written");
    let absent = parent.path().join("absent.key");
    let start = |settings: &[(&str, &str)]| {
        let mut command = larder(&["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(&data).envs(settings.iter().copied()).output().expect("it runs")
    };
    let (certificate, key) = (certificate.display().to_string(), key.display().to_string());
    let pair = |key: &Path| {
        [
            ("LARDER_TLS__CERTIFICATE".to_owned(), certificate.clone()),
            ("LARDER_TLS__KEY".to_owned(), key.display().to_string()),
        ]
    };
    for (file, told) in [(&other, "not the key of the first certificate"), (&absent, "cannot be read")] {
        let settings = pair(file);
        let settings: Vec<_> = settings.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let output = start(&settings);
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        assert!(stderr(&output).contains("tls.key: ") && stderr(&output).contains(told), "{}", stderr(&output));
    }
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("LARDER_TLS__KEY", &key)], "tls.certificate is not"),
        (&[("LARDER_TLS__CERTIFICATE", &certificate)], "tls.key is not"),
        (&[("LARDER_TLS__LISTEN", "127.0.0.1:0")], "there is no certificate"),
        (
            &[("LARDER_TLS__REQUIRED", "true"), ("LARDER_LISTEN", "0.0.0.0:0"), ("LARDER_ACCESS__OPEN", "read")],
            "tls.required",
        ),
    ];
    for (settings, told) in cases {
        let mut command = larder(&["serve", "--data"]);
        let output = command.arg(&data).envs(settings.iter().copied()).output().expect("it runs");
        assert_eq!(code(&output), 2, "{}", stderr(&output));
        assert!(stderr(&output).contains(told), "{}", stderr(&output));
    }
}

/// Case 9: the key is root's alone, the data folder is not root's, and the key is replaced after root was given up.
#[tokio::test]
#[ignore = "needs root"]
async fn what_only_root_may_read_is_read_again_after_root_was_given_up() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
    let (parent, data) = folders();
    std::fs::create_dir(&data).expect("it can be made");
    chown(&data, Some(65_532), Some(65_532)).expect("root may");
    let open = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("root may");
    open(parent.path(), 0o711);
    let certs = parent.path().join("certs");
    std::fs::create_dir(&certs).expect("it can be made");
    open(&certs, 0o700);
    let authority = Authority::new();
    let (certificate, key) = authority.write(&certs);
    open(&key, 0o600);
    let mut settings = variables(&certificate, &key);
    settings.push(("LARDER_CONFIG", old_file(parent.path())));
    settings.push(("LARDER_ACCESS__OPEN", "read".to_owned()));
    let served = Served::start_with(&data, &[], &borrowed(&settings));
    let owner = std::fs::metadata(format!("/proc/{}", served.pid())).expect("it runs").uid();
    assert_eq!(owner, 65_532, "root was given up");
    let client = authority.client();
    let before = seen(&client, served.url()).await;
    authority.write(&certs);
    open(&key, 0o600);
    let begun = Instant::now();
    while seen(&client, served.url()).await == before {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is not used");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
