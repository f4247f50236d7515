//! Looks at a registry as no client does: plainly, and checking every digest.

use std::collections::HashMap;
use std::io::Read;

use reqwest::header::ACCEPT;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::ensure_eq;
use crate::harness::{During, Failure, Outcome};

const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// A view of one registry.
#[derive(Debug)]
pub struct Observer {
    host: String,
    login: Option<(String, String)>,
    runtime: Runtime,
    http: reqwest::Client,
}

/// A manifest as it was served, its digest checked against its bytes.
#[derive(Clone, Debug)]
pub struct Served {
    /// `sha256:…` of the bytes.
    pub digest: String,
    /// The bytes, parsed.
    pub document: Value,
}

impl Served {
    /// The digests of config and layers, in this order.
    pub fn blobs(&self) -> Vec<String> {
        let config = self.document.get("config").into_iter();
        let layers = self.document["layers"].as_array().into_iter().flatten();
        config.chain(layers).map(|descriptor| string(descriptor, "digest")).collect()
    }

    /// The descriptors of an index.
    pub fn children(&self) -> &[Value] {
        self.document["manifests"].as_array().map(Vec::as_slice).unwrap_or_default()
    }

    /// The digest of the child for this architecture.
    pub fn child(&self, architecture: &str) -> Outcome<String> {
        self.children()
            .iter()
            .find(|child| child["platform"]["architecture"] == architecture)
            .map(|child| string(child, "digest"))
            .during(|| format!("{} has no child for {architecture}", self.digest))
    }
}

/// A string member of a JSON object; empty if there is none.
pub fn string(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

impl Observer {
    /// A view of the registry at `host`.
    pub fn new(host: &str) -> Outcome<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let http = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        Ok(Self { host: host.to_owned(), login: None, runtime, http })
    }

    /// The same as somebody with a password.
    pub fn logged_in(mut self, user: &str, password: &str) -> Self {
        self.login = Some((user.to_owned(), password.to_owned()));
        self
    }

    /// The status of a path.
    pub fn status(&self, path: &str) -> Outcome<u16> {
        Ok(self.send(reqwest::Method::GET, path)?.status().as_u16())
    }

    /// The JSON document at a path.
    pub fn json(&self, path: &str) -> Outcome<Value> {
        let response = self.send(reqwest::Method::GET, path)?;
        ensure_eq!(response.status().as_u16(), 200, "GET {path}");
        let body = self.runtime.block_on(response.bytes())?;
        Ok(serde_json::from_slice(&body)?)
    }

    /// Every repository that the catalogue lists.
    pub fn repositories(&self) -> Outcome<Vec<String>> {
        strings(&self.json("/v2/_catalog?n=1000")?["repositories"])
    }

    /// Every tag of a repository, sorted; empty for one that is not there.
    pub fn tags(&self, repository: &str) -> Outcome<Vec<String>> {
        let path = format!("/v2/{repository}/tags/list?n=1000");
        if self.status(&path)? == 404 {
            return Ok(Vec::new());
        }
        let mut tags = strings(&self.json(&path)?["tags"])?;
        tags.sort();
        Ok(tags)
    }

    /// The referrers of a digest.
    pub fn referrers(&self, repository: &str, digest: &str) -> Outcome<Vec<Value>> {
        let index = self.json(&format!("/v2/{repository}/referrers/{digest}"))?;
        Ok(index["manifests"].as_array().cloned().unwrap_or_default())
    }

    /// A manifest by tag or digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Outcome<Served> {
        let path = format!("/v2/{repository}/manifests/{reference}");
        let response = self.send(reqwest::Method::GET, &path)?;
        ensure_eq!(response.status().as_u16(), 200, "GET {path}");
        let header = response.headers().get("docker-content-digest");
        let told = header.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let body = self.runtime.block_on(response.bytes())?;
        let digest = format!("sha256:{}", hex(&Sha256::digest(&body)));
        ensure_eq!(told, digest, "Docker-Content-Digest of {path}");
        Ok(Served { digest, document: serde_json::from_slice(&body)? })
    }

    /// A blob, as a stream. Its length is the registry's word; its hash is the reader's to check.
    pub fn blob(&self, repository: &str, digest: &str) -> Outcome<BlobReader<'_>> {
        let path = format!("/v2/{repository}/blobs/{digest}");
        let response = self.send(reqwest::Method::GET, &path)?;
        ensure_eq!(response.status().as_u16(), 200, "GET {path}");
        Ok(BlobReader { runtime: &self.runtime, response, chunk: bytes::Bytes::new() })
    }

    /// Reads a manifest, whatever it names, and whatever that names; every digest and every size is checked.
    /// Returns how many blobs there were.
    pub fn check_whole(&self, repository: &str, reference: &str) -> Outcome<usize> {
        let served = self.manifest(repository, reference)?;
        let mut seen = HashMap::new();
        self.check(repository, &served, &mut seen)?;
        Ok(seen.len())
    }

    fn check(&self, repository: &str, served: &Served, seen: &mut HashMap<String, u64>) -> Outcome {
        for child in served.children() {
            let digest = string(child, "digest");
            let inner = self.manifest(repository, &digest)?;
            ensure_eq!(inner.digest, digest, "child of {}", served.digest);
            self.check(repository, &inner, seen)?;
        }
        let layers = served.document["layers"].as_array().into_iter().flatten();
        for descriptor in served.document.get("config").into_iter().chain(layers) {
            let (digest, size) = (string(descriptor, "digest"), descriptor["size"].as_u64().unwrap_or_default());
            if seen.insert(digest.clone(), size).is_none() {
                let mut reader = self.blob(repository, &digest)?;
                let mut hasher = Sha256::new();
                let length = copy(&mut reader, |bytes| hasher.update(bytes))?;
                ensure_eq!(format!("sha256:{}", hex(&hasher.finalize())), digest, "bytes of a blob");
                ensure_eq!(length, size, "size of {digest}");
            }
        }
        Ok(())
    }

    fn send(&self, method: reqwest::Method, path: &str) -> Outcome<reqwest::Response> {
        let mut request = self.http.request(method, format!("http://{}{path}", self.host)).header(ACCEPT, MANIFESTS);
        if let Some((user, password)) = &self.login {
            request = request.basic_auth(user, Some(password));
        }
        self.runtime.block_on(request.send()).during(|| format!("cannot ask for {path}"))
    }
}

/// Reads to the end and shows every piece.
pub fn copy(reader: &mut impl Read, mut show: impl FnMut(&[u8])) -> Outcome<u64> {
    let mut buffer = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(total);
        }
        show(&buffer[..read]);
        total += read as u64;
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        use std::fmt::Write;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn strings(value: &Value) -> Outcome<Vec<String>> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(items) => Ok(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
        other => Err(Failure::new(format!("not a list: {other}"))),
    }
}

/// A blob on its way.
#[derive(Debug)]
pub struct BlobReader<'a> {
    runtime: &'a Runtime,
    response: reqwest::Response,
    chunk: bytes::Bytes,
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.chunk.is_empty() {
            match self.runtime.block_on(self.response.chunk()).map_err(std::io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => return Ok(0),
            }
        }
        let taken = buffer.len().min(self.chunk.len());
        buffer[..taken].copy_from_slice(&self.chunk.split_to(taken));
        Ok(taken)
    }
}
