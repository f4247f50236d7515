//! Registries behind TLS, with certificates of an authority that nobody knows.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::larder::{Served, code, folders, larder, stderr, stdout};

/// A proxy that ends TLS before a server.
struct Terminator {
    /// `https://localhost:PORT`.
    url: String,
    /// The authority's certificate.
    authority: PathBuf,
    handshakes: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl Terminator {
    /// Before `served`, with a certificate for `names`.
    fn start(served: &Served, folder: &Path, names: &[&str]) -> Self {
        let (acceptor, authority) = certified(folder, names);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
        let handshakes = Arc::new(AtomicUsize::new(0));
        let (upstream, count) = (served.url().trim_start_matches("http://").to_owned(), Arc::clone(&handshakes));
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (acceptor, upstream) = (acceptor.clone(), upstream.clone());
                tokio::spawn(async move {
                    let Ok(mut inner) = acceptor.accept(stream).await else { return };
                    let mut outer = TcpStream::connect(upstream).await.expect("the server listens");
                    // A client that hangs up is the end of it.
                    let _ = tokio::io::copy_bidirectional(&mut inner, &mut outer).await;
                });
            }
        });
        Self { url, authority, handshakes, _runtime: runtime }
    }

    /// Runs a command against it, with these authorities as the system's.
    fn run(&self, words: &[&str], system: &Path) -> Output {
        let mut command = larder(words);
        command.args(["--server", &self.url]).env("SSL_CERT_FILE", system).env_remove("SSL_CERT_DIR");
        command.output().expect("the program can be started")
    }
}

/// An authority of our own, and what serves a certificate of it.
pub fn certified(folder: &Path, names: &[&str]) -> (TlsAcceptor, PathBuf) {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    // Two authorities of one name would be taken for each other, and the signature for a false one.
    params.distinguished_name.push(DnType::CommonName, folder.display().to_string());
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let file = folder.join("authority.pem");
    std::fs::write(&file, authority.pem()).expect("it can be written");
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).expect("names").signed_by(&key, &authority).expect("a certificate");
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], key).expect("they belong together");
    (TlsAcceptor::from(Arc::new(config)), file)
}

fn model(folder: &Path) -> (PathBuf, String) {
    let path = folder.join("model.bin");
    std::fs::write(&path, vec![0x5a; 3_000_000]).expect("it can be written");
    let text = path.display().to_string();
    (path, text)
}

/// Authorities of a system that knows others, and none at all.
fn strangers(folder: &Path) -> (PathBuf, PathBuf) {
    let other = folder.join("other");
    std::fs::create_dir(&other).expect("it can be made");
    (certified(&other, &["localhost"]).1, folder.join("absent.pem"))
}

#[test]
fn an_authority_of_ones_own_is_named_by_an_option_or_by_the_systems_variable() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let proxy = Terminator::start(&served, parent.path(), &["localhost"]);
    let (strangers, absent) = strangers(parent.path());
    let (path, source) = model(parent.path());
    let ca = proxy.authority.display().to_string();
    for (number, (words, system)) in [
        (&["--ca", &ca][..], &strangers),
        (&["--ca", &ca], &absent),
        (&[], &proxy.authority),
        (&["--insecure"], &strangers),
    ]
    .into_iter()
    .enumerate()
    {
        let reference = format!("ml-model:{number}");
        let pushed = proxy.run(&[&["push", &source, &reference], words].concat(), system);
        assert_eq!(code(&pushed), 0, "{words:?}: {}", stderr(&pushed));
        let back = parent.path().join(format!("back-{number}")).display().to_string();
        let pulled = proxy.run(&[&["pull", &reference, &back], words].concat(), system);
        assert_eq!(code(&pulled), 0, "{words:?}: {}", stderr(&pulled));
        assert!(
            std::fs::read(Path::new(&back).join("model.bin")).expect("it came")
                == std::fs::read(&path).expect("it is there")
        );
    }
    let listed = proxy.run(&["repo", "ls"], &proxy.authority);
    assert!(stdout(&listed).contains("ml-model"), "{}", stderr(&listed));
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_in_one_message_and_not_tried_again() {
    let (parent, data) = folders();
    let served = Served::start(&data);
    let (strangers, _) = strangers(parent.path());
    let (_, source) = model(parent.path());
    let here = parent.path().join("here").display().to_string();
    for (name, why) in [("localhost", "no authority that this machine knows"), ("other.example", "for other names")] {
        let proxy = Terminator::start(&served, parent.path(), &[name]);
        let system = if name == "localhost" { &strangers } else { &proxy.authority };
        for words in [&["push", &source, "ml-model:1"][..], &["pull", "ml-model:1", &here], &["inspect", "ml-model:1"]]
        {
            let before = proxy.handshakes.load(Ordering::Relaxed);
            let refused = proxy.run(words, system);
            assert_eq!(code(&refused), 6, "{words:?}: {}", stderr(&refused));
            let told = stderr(&refused);
            // Before it, a push says of each layer that it failed.
            let lines: Vec<&str> = told.lines().filter(|line| !line.contains(": failed: ")).collect();
            assert_eq!(lines.len(), 2, "{told}");
            assert!(lines[0].starts_with("larder: ") && lines[0].contains("certificate is not trusted"), "{told}");
            assert!(lines[0].contains(why) && lines[1].contains("--ca FILE"), "{told}");
            let layers = told.lines().count() - lines.len();
            assert_eq!(proxy.handshakes.load(Ordering::Relaxed) - before, layers.max(1), "{told}");
        }
    }
}
