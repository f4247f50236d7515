//! A registry filled by pushes, and what it answered afterwards: that is what has to come back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use larder_oci::{Digest, fallback_tag, media_type};
use serde_json::{Value, json};

use crate::bench::peers::Peer;
use crate::ensure;
use crate::harness::{Failure, Outcome};
use crate::raw::content::Content;
use crate::raw::{Client, Payload};

const REPOSITORIES: [&str; 3] = ["ml-model", "team/models/deep/ml-model", "team/models"];
/// Lengths of layers: nothing, little, more than a piece of anything.
const LAYERS: [u64; 3] = [0, 4_321, 3_000_003];
const IMAGES: u64 = 6;

/// What a registry held.
pub(super) struct Filled {
    /// Its root directory.
    pub root: PathBuf,
    /// Media type and bytes by repository and digest.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    /// Digests by repository and tag.
    tags: BTreeMap<(String, String), String>,
    /// Blobs by repository.
    blobs: BTreeSet<(String, Digest, u64)>,
    /// Referrers by repository and subject.
    referrers: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Filled {
    /// Starts the registry in `folder`, fills it, asks it for everything, and stops it.
    pub fn by(peer: &Peer, folder: &Path) -> Outcome<Self> {
        let (mut process, _) = peer.start(folder)?;
        let mut filled = Self::empty(folder.join("data"));
        let mut client = process.client();
        for (number, repository) in REPOSITORIES.iter().enumerate() {
            filled.fill(&mut client, repository, number as u64)?;
        }
        filled.ask(&mut client)?;
        process.stop()?;
        Ok(filled)
    }

    /// One more image, pushed by somebody who went back.
    pub fn one_more(client: &mut Client) -> Outcome<Self> {
        let mut late = Self::empty(PathBuf::new());
        let image = late.image(client, "ml-model", 9_000)?;
        late.put(client, "ml-model", "late", &image)?;
        late.ask(client)?;
        Ok(late)
    }

    fn empty(root: PathBuf) -> Self {
        Self {
            root,
            manifests: BTreeMap::new(),
            tags: BTreeMap::new(),
            blobs: BTreeSet::new(),
            referrers: BTreeMap::new(),
        }
    }

    fn fill(&mut self, client: &mut Client, repository: &str, number: u64) -> Outcome {
        let mut images = Vec::new();
        for image in 0..IMAGES {
            // Half of the images are in every repository.
            let seed = if image % 2 == 0 { image } else { 100 * (number + 1) + image };
            let document = self.image(client, repository, seed)?;
            let tag = format!("v1.{image}");
            images.push(self.put(client, repository, &tag, &document)?);
            self.put(client, repository, "latest", &document)?;
        }
        let index = self.index(repository, &images[..2]);
        let index = self.put(client, repository, "multi", &index)?;
        self.put(
            client,
            repository,
            "nested",
            &json!({
                "schemaVersion": 2,
                "mediaType": media_type::OCI_INDEX,
                "manifests": [self.descriptor(repository, &index)],
            }),
        )?;
        let untagged = self.image(client, repository, 500 + number)?;
        let digest = sha256(untagged.to_string().as_bytes());
        self.put(client, repository, &digest.to_string(), &untagged)?;
        self.docker(client, repository, number)?;
        self.refer(client, repository, &images[0])?;
        self.blob(client, repository, Content { seed: 700 + number, size: 12_345 })?;
        Ok(())
    }

    /// An image of Docker's own format.
    fn docker(&mut self, client: &mut Client, repository: &str, number: u64) -> Outcome {
        let (config, config_size) = self.bytes(client, repository, format!("{{\"docker\":{number}}}").as_bytes())?;
        let layer = Content { seed: 800 + number, size: 9_999 };
        let digest = self.blob(client, repository, layer)?;
        let document = json!({
            "schemaVersion": 2,
            "mediaType": media_type::DOCKER_MANIFEST,
            "config": descriptor("application/vnd.docker.container.image.v1+json", &config, config_size),
            "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", &digest, layer.size)],
        });
        self.put(client, repository, "docker", &document).map(drop)
    }

    /// Signatures as clients leave them where a registry has no list of referrers: one in the fallback tag, and one that nobody entered there.
    fn refer(&mut self, client: &mut Client, repository: &str, subject: &Digest) -> Outcome {
        let mut entries = Vec::new();
        for number in 0..3 {
            let (config, size) = self.bytes(client, repository, b"{}")?;
            let document = json!({
                "schemaVersion": 2,
                "mediaType": media_type::OCI_MANIFEST,
                "artifactType": "application/vnd.example.signature",
                "config": descriptor(media_type::OCI_EMPTY, &config, size),
                "layers": [],
                "annotations": { "number": number.to_string() },
                "subject": self.descriptor(repository, subject),
            });
            let digest = sha256(document.to_string().as_bytes());
            self.put(client, repository, &digest.to_string(), &document)?;
            let known = self.referrers.entry((repository.to_owned(), subject.to_string())).or_default();
            known.insert(digest.to_string());
            if number > 0 {
                let mut entry = self.descriptor(repository, &digest);
                entry["artifactType"] = "application/vnd.example.signature".into();
                entries.push(entry);
            }
        }
        let index = json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries });
        self.put(client, repository, fallback_tag(subject).as_str(), &index).map(drop)
    }

    fn image(&mut self, client: &mut Client, repository: &str, seed: u64) -> Outcome<Value> {
        let (config, size) = self.bytes(client, repository, format!("{{\"seed\":{seed}}}").as_bytes())?;
        let mut layers = Vec::new();
        for length in LAYERS {
            let layer = Content { seed: if length == 0 { 0 } else { seed }, size: length };
            layers.push(descriptor(
                "application/vnd.oci.image.layer.v1.tar",
                &self.blob(client, repository, layer)?,
                length,
            ));
        }
        Ok(json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_MANIFEST,
            "config": descriptor(media_type::OCI_CONFIG, &config, size),
            "layers": layers,
        }))
    }

    fn index(&self, repository: &str, children: &[Digest]) -> Value {
        let entries: Vec<Value> = children.iter().map(|child| self.descriptor(repository, child)).collect();
        json!({ "schemaVersion": 2, "mediaType": media_type::OCI_INDEX, "manifests": entries })
    }

    fn descriptor(&self, repository: &str, digest: &Digest) -> Value {
        let known = self.manifests.get(&(repository.to_owned(), digest.to_string()));
        let (kind, bytes) = known.map_or((media_type::OCI_MANIFEST, 0), |(kind, bytes)| (kind.as_str(), bytes.len()));
        descriptor(kind, digest, bytes as u64)
    }

    fn blob(&mut self, client: &mut Client, repository: &str, content: Content) -> Outcome<Digest> {
        self.bytes(client, repository, &content.bytes()).map(|(digest, _)| digest)
    }

    fn bytes(&mut self, client: &mut Client, repository: &str, bytes: &[u8]) -> Outcome<(Digest, u64)> {
        let (digest, size) = (sha256(bytes), bytes.len() as u64);
        if self.blobs.insert((repository.to_owned(), digest, size)) {
            let reply = client.push(repository, &digest, Payload::Bytes(bytes))?;
            ensure!(reply.status == 201, "a blob was not taken: {} {}", reply.status, reply.text());
        }
        Ok((digest, size))
    }

    fn put(&mut self, client: &mut Client, repository: &str, reference: &str, document: &Value) -> Outcome<Digest> {
        let bytes = document.to_string().into_bytes();
        let (digest, kind) = (sha256(&bytes), document["mediaType"].as_str().unwrap_or_default());
        let path = format!("/v2/{repository}/manifests/{reference}");
        let reply = client.send("PUT", &path, &[("Content-Type", kind)], Payload::Bytes(&bytes))?;
        ensure!(reply.status == 201, "{repository}:{reference} was not taken: {} {}", reply.status, reply.text());
        self.manifests.insert((repository.to_owned(), digest.to_string()), (kind.to_owned(), bytes));
        if !reference.contains(':') {
            self.tags.insert((repository.to_owned(), reference.to_owned()), digest.to_string());
        }
        Ok(digest)
    }

    /// The old registry itself says what there is; a ledger of pushes alone would not notice what it changes.
    fn ask(&mut self, client: &mut Client) -> Outcome {
        for ((repository, digest), (kind, bytes)) in &mut self.manifests {
            let (found_kind, found) = manifest(client, repository, digest, kind)?;
            ensure!(found == *bytes, "{repository}@{digest} does not come back from where it was pushed");
            *kind = found_kind;
        }
        for ((repository, tag), digest) in &self.tags {
            let kind = &self.manifests[&(repository.clone(), digest.clone())].0;
            let found = sha256(&manifest(client, repository, tag, kind)?.1).to_string();
            ensure!(found == *digest, "{repository}:{tag} is {found} there, not {digest}");
        }
        Ok(())
    }

    /// Every answer of this registry against what the old one answered. Says how much that was.
    pub fn compare(&self, client: &mut Client) -> Outcome<String> {
        for ((repository, digest), (kind, bytes)) in &self.manifests {
            let (found_kind, found) = manifest(client, repository, digest, kind)?;
            ensure!(found == *bytes, "{repository}@{digest} has other bytes");
            ensure!(found_kind == *kind, "{repository}@{digest} is {found_kind}, not {kind}");
        }
        for (repository, digest, size) in &self.blobs {
            let (status, found, length) = client.blob(repository, digest)?;
            ensure!(
                (status, found, length) == (200, *digest, *size),
                "{repository}@{digest}: {status}, {found}, {length}"
            );
        }
        self.compare_tags(client)?;
        self.compare_referrers(client)?;
        Ok(format!("{} manifests, {} blobs, {} tags", self.manifests.len(), self.blobs.len(), self.tags.len()))
    }

    /// What a copy over the network can bring: tags, and what belongs to them.
    pub fn compare_tagged(&self, client: &mut Client) -> Outcome<String> {
        for ((repository, tag), digest) in &self.tags {
            let (kind, bytes) = &self.manifests[&(repository.clone(), digest.clone())];
            ensure!(manifest(client, repository, tag, kind)?.1 == *bytes, "{repository}:{tag} has other bytes");
            let document: Value = serde_json::from_slice(bytes)?;
            let layers = document["layers"].as_array().into_iter().flatten();
            for part in layers.chain(document.get("config")) {
                let digest: Digest = part["digest"].as_str().unwrap_or_default().parse()?;
                let (status, found, _) = client.blob(repository, &digest)?;
                ensure!((status, found) == (200, digest), "{repository}@{digest}: {status}");
            }
        }
        self.compare_tags(client)?;
        Ok(format!("{} tags", self.tags.len()))
    }

    fn compare_tags(&self, client: &mut Client) -> Outcome {
        let repositories: BTreeSet<&String> = self.tags.keys().map(|(repository, _)| repository).collect();
        for repository in repositories {
            let expected: BTreeSet<&str> =
                self.tags.keys().filter(|(name, _)| name == repository).map(|(_, tag)| tag.as_str()).collect();
            let listed = client.get(&format!("/v2/{repository}/tags/list"))?.json();
            let listed: BTreeSet<&str> =
                listed["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            ensure!(listed.is_superset(&expected), "{repository} has the tags {listed:?}, not {expected:?}");
        }
        for ((repository, tag), digest) in &self.tags {
            let kind = &self.manifests[&(repository.clone(), digest.clone())].0;
            let found = sha256(&manifest(client, repository, tag, kind)?.1).to_string();
            ensure!(found == *digest, "{repository}:{tag} is {found}, not {digest}");
        }
        Ok(())
    }

    fn compare_referrers(&self, client: &mut Client) -> Outcome {
        for ((repository, subject), expected) in &self.referrers {
            let listed = client.get(&format!("/v2/{repository}/referrers/{subject}"))?.json();
            let entries = listed["manifests"].as_array().into_iter().flatten();
            let found: BTreeSet<String> =
                entries.filter_map(|entry| entry["digest"].as_str()).map(str::to_owned).collect();
            ensure!(found == *expected, "the referrers of {repository}@{subject} are {found:?}, not {expected:?}");
        }
        Ok(())
    }
}

/// Media type and bytes.
fn manifest(client: &mut Client, repository: &str, reference: &str, kind: &str) -> Outcome<(String, Vec<u8>)> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    let reply = client.send("GET", &path, &[("Accept", kind)], Payload::Empty)?;
    if reply.status != 200 {
        return Err(Failure::new(format!("{repository} {reference}: {} {}", reply.status, reply.text())));
    }
    let kind = reply.header("content-type").unwrap_or_default().to_owned();
    Ok((kind, reply.body))
}

fn descriptor(kind: &str, digest: &Digest, size: u64) -> Value {
    json!({ "mediaType": kind, "digest": digest.to_string(), "size": size })
}

fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    let mut hash = sha2::Sha256::new();
    hash.update(bytes);
    crate::raw::content::of_hash(hash)
}
