//! Self sign-up through the program: its mails go to a mail server that runs here.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::larder::{PATIENCE, Served, code, folders, larder, stderr, stdout};
use crate::unknown_authorities::certified;

const PASSWORD: &str = "correct horse battery";
const MAIL_PASSWORD: &str = "the mail server's own";

/// How the mail server speaks.
#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Plain,
    StartTls,
    Tls,
}

/// A mail server (RFC 5321): what was said to it, and the mails.
#[derive(Clone, Default)]
struct Heard {
    commands: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<String>>>,
}

impl Heard {
    /// The mail number `count`, decoded.
    async fn mail(&self, count: usize) -> String {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(mail) = self.mails.lock().expect("no panic under it").get(count) {
                return mail.replace("=\n", "").replace("=3D", "=");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no mail came: {:?}", self.said());
    }

    fn said(&self) -> Vec<String> {
        self.commands.lock().expect("no panic under it").clone()
    }
}

async fn mail_server(speaks: Speaks, acceptor: Option<TlsAcceptor>) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let heard = Heard::default();
    let told = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (heard, acceptor) = (told.clone(), acceptor.clone());
            tokio::spawn(async move {
                if speaks == Speaks::Tls {
                    let acceptor = acceptor.expect("TLS needs a certificate");
                    if let Ok(stream) = acceptor.accept(stream).await {
                        session(stream, true, &heard, true).await;
                    }
                    return;
                }
                let offers = speaks == Speaks::StartTls;
                if let Some(stream) = session(stream, true, &heard, !offers).await {
                    let acceptor = acceptor.expect("TLS needs a certificate");
                    let stream = acceptor.accept(stream).await.expect("a handshake");
                    heard.commands.lock().expect("no panic under it").push("(encrypted)".to_owned());
                    session(stream, false, &heard, true).await;
                }
            });
        }
    });
    (port, heard)
}

/// Talks until the client goes; answers the connection where TLS is to begin on it.
async fn session<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    greets: bool,
    heard: &Heard,
    is_final: bool,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    if greets {
        stream.write_all(b"220 mail.example.com ready\r\n").await.ok()?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return None;
        }
        let line = line.trim_end().to_owned();
        heard.commands.lock().expect("no panic under it").push(line.clone());
        let word = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer = match word.as_str() {
            "EHLO" if is_final => "250-mail.example.com\r\n250 AUTH PLAIN LOGIN\r\n",
            "EHLO" => "250-mail.example.com\r\n250 STARTTLS\r\n",
            "STARTTLS" => {
                stream.write_all(b"220 go on\r\n").await.ok()?;
                return Some(stream.into_inner());
            }
            "AUTH" => "235 welcome\r\n",
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                let mut mail = String::new();
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return None;
                    }
                    if line.trim_end() == "." {
                        break;
                    }
                    mail.push_str(&line.replace("\r\n", "\n"));
                }
                heard.mails.lock().expect("no panic under it").push(mail);
                "250 taken\r\n"
            }
            "QUIT" => "221 bye\r\n",
            _ => "250 fine\r\n",
        };
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// A server with an administrator, whose mails go to `mail`; its log goes into `log`.
fn served(parent: &Path, data: &Path, mail: &str, more: &[(&str, &str)]) -> Served {
    let folder = data.display().to_string();
    let add = larder(&["user", "add", "admin", "--password-stdin", "--data", &folder]);
    made(add, &format!("{PASSWORD}\n"), parent);
    let mut command = larder(&["serve", "--data", &folder, "--output", "jsonl", "--listen", "127.0.0.1:0"]);
    command.envs([
        ("LARDER_MAIL__SERVER", mail),
        ("LARDER_MAIL__FROM", "Models <registry@example.com>"),
        ("LARDER_MAIL__USER", "registry"),
        ("LARDER_MAIL__PASSWORD", MAIL_PASSWORD),
        ("LARDER_SIGNUP__DOMAINS", "example.com,example.org"),
        ("LARDER_PUBLIC_URL", "https://registry.example.com"),
        ("LARDER_LOG__LEVEL", "trace"),
        ("LARDER_DRAIN__DELAY", "0s"),
    ]);
    command.envs(more.iter().copied());
    let log = std::fs::File::create(parent.join("log")).expect("a file");
    Served::logging_to(command, log)
}

fn made(mut command: std::process::Command, input: &str, parent: &Path) {
    let file = parent.join("input");
    std::fs::write(&file, input).expect("it can be written");
    let output = command.stdin(std::fs::File::open(file).expect("it is there")).stdout(Stdio::piped()).output();
    let output = output.expect("it runs");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

async fn post(served: &Served, path: &str, body: Value) -> (u16, Value) {
    let answer = reqwest::Client::new().post(format!("{}{path}", served.url())).json(&body).send().await;
    let answer = answer.expect("it is answered");
    (answer.status().as_u16(), answer.json().await.expect("it is JSON"))
}

fn token(mail: &str) -> String {
    let rest = mail.split_once("https://registry.example.com/signup/confirm?token=").expect("a link").1;
    rest.split_whitespace().next().expect("a token").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_comes_by_mail_and_makes_an_account() {
    let (parent, data) = folders();
    let (port, heard) = mail_server(Speaks::Plain, None).await;
    let plain = [("LARDER_MAIL__START_TLS", "false")];
    let mut served = served(parent.path(), &data, &format!("smtp://127.0.0.1:{port}"), &plain);
    let (status, _) = post(&served, "/api/v1/signups", json!({ "email": "carol@example.com" })).await;
    assert_eq!(status, 202);
    let mail = heard.mail(0).await;
    assert!(heard.said().iter().any(|line| line == "MAIL FROM:<registry@example.com>"), "{:?}", heard.said());
    assert!(heard.said().iter().any(|line| line == "RCPT TO:<carol@example.com>"), "{:?}", heard.said());
    assert!(heard.said().iter().any(|line| line.starts_with("AUTH PLAIN ")), "{:?}", heard.said());
    for line in ["From: Models <registry@example.com>", "To: carol@example.com", "Auto-Submitted: auto-generated"] {
        assert!(mail.contains(line), "{mail}");
    }
    assert!(mail.contains("Subject: Your account at registry.example.com"), "{mail}");
    let link = token(&mail);
    let confirmed = json!({ "token": link, "password": PASSWORD });
    let (status, user) = post(&served, "/api/v1/signups/confirm", confirmed).await;
    assert_eq!((status, &user["name"]), (201, &json!("carol")));
    let ping = reqwest::Client::new().get(format!("{}/v2/", served.url())).basic_auth("carol", Some(PASSWORD));
    assert_eq!(ping.send().await.expect("it is answered").status(), 200);

    let folder = data.display().to_string();
    let shown = larder(&["user", "show", "carol", "--data", &folder]).output().expect("it runs");
    assert!(stdout(&shown).contains("sign-up") && stdout(&shown).contains("carol@example.com"), "{}", stdout(&shown));
    let listed = larder(&["user", "ls", "--data", &folder]).output().expect("it runs");
    assert!(stdout(&listed).contains("sign-up"), "{}", stdout(&listed));
    let audit = larder(&["audit", "--data", &folder, "--output", "jsonl"]).output().expect("it runs");
    assert!(stdout(&audit).contains("signup.asked"), "{}", stdout(&audit));

    // The name is taken: the same answer, and another mail.
    assert_eq!(post(&served, "/api/v1/signups", json!({ "email": "carol@example.org" })).await.0, 202);
    let mail = heard.mail(1).await;
    assert!(mail.contains("already") && !mail.contains("token="), "{mail}");
    served.stop();
    let log = std::fs::read_to_string(parent.path().join("log")).expect("a log");
    let encoded = heard.said().iter().find_map(|line| line.strip_prefix("AUTH PLAIN ").map(str::to_owned));
    for secret in [&link, MAIL_PASSWORD, PASSWORD, &encoded.expect("it logged in")] {
        assert!(!log.contains(secret) && !stdout(&audit).contains(secret), "{secret} stands in the log");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_is_spoken_to_by_tls() {
    for speaks in [Speaks::StartTls, Speaks::Tls] {
        let (parent, data) = folders();
        let (acceptor, authority) = certified(parent.path(), &["localhost"]);
        let (port, heard) = mail_server(speaks, Some(acceptor)).await;
        let scheme = if speaks == Speaks::Tls { "smtps" } else { "smtp" };
        let trust = authority.display().to_string();
        let trusts = [("SSL_CERT_FILE", trust.as_str())];
        let served = served(parent.path(), &data, &format!("{scheme}://localhost:{port}"), &trusts);
        assert_eq!(post(&served, "/api/v1/signups", json!({ "email": "carol@example.com" })).await.0, 202);
        token(&heard.mail(0).await);
        let said = heard.said();
        if speaks == Speaks::StartTls {
            let before: Vec<&String> = said.iter().take_while(|line| *line != "(encrypted)").collect();
            assert!(before.iter().all(|line| line.starts_with("EHLO") || *line == "STARTTLS"), "{before:?}");
        }
        assert!(said.iter().any(|line| line.starts_with("AUTH ")), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_cannot_be_trusted_gets_nothing() {
    // One without StartTLS, and one whose certificate is of an authority that nobody knows.
    for speaks in [Speaks::Plain, Speaks::StartTls] {
        let (parent, data) = folders();
        let (acceptor, _) = certified(parent.path(), &["localhost"]);
        let (port, heard) = mail_server(speaks, Some(acceptor)).await;
        let served = served(parent.path(), &data, &format!("smtp://localhost:{port}"), &[]);
        assert_eq!(post(&served, "/api/v1/signups", json!({ "email": "carol@example.com" })).await.0, 202);
        let begun = Instant::now();
        let log = || std::fs::read_to_string(parent.path().join("log")).unwrap_or_default();
        while !log().contains("could not be sent") {
            assert!(begun.elapsed() < PATIENCE, "{}", log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = heard.said();
        assert!(
            said.iter().all(|line| line.starts_with("EHLO") || matches!(line.as_str(), "STARTTLS" | "QUIT")),
            "{said:?}"
        );
        assert!(heard.mails.lock().expect("no panic under it").is_empty());
    }
}

#[test]
fn settings_that_do_not_do_are_refused_at_the_start() {
    let (_parent, data) = folders();
    let folder = data.display().to_string();
    let complete = [
        ("LARDER_SIGNUP__DOMAINS", "example.com"),
        ("LARDER_MAIL__SERVER", "smtps://mail.example.com"),
        ("LARDER_MAIL__FROM", "registry@example.com"),
        ("LARDER_PUBLIC_URL", "https://registry.example.com"),
    ];
    for (without, with, said) in [
        ("LARDER_MAIL__SERVER", None, "signup.domains needs mail.server"),
        ("LARDER_PUBLIC_URL", None, "signup.domains needs public_url"),
        ("LARDER_MAIL__FROM", None, "mail.from"),
        ("LARDER_MAIL__FROM", Some("nobody"), "mail.from"),
        ("LARDER_MAIL__SERVER", Some("mail.example.com"), "smtps://HOST"),
        ("LARDER_SIGNUP__DOMAINS", Some("*"), "no mail domain"),
    ] {
        let mut command = larder(&["serve", "--data", &folder, "--listen", "127.0.0.1:0"]);
        command.envs(complete.into_iter().filter(|(name, _)| *name != without));
        command.envs(with.map(|value| (without, value)));
        let output = command.output().expect("it runs");
        assert_ne!(code(&output), 0, "{said}");
        assert!(stderr(&output).contains(said), "{said}: {}", stderr(&output));
    }
}
