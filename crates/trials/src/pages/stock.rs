//! What the registry under trial holds: a small team's images, a model, and accounts.

use larder_oci::Digest;
use serde_json::{Value, json};

use crate::harness::{During, Failure, Outcome};
use crate::raw::content::{Content, sha256};
use crate::raw::{Client, Connection, Larder, Payload};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Pushes to one repository.
struct Shelf<'a> {
    client: &'a mut Client,
    name: &'a str,
}

impl Shelf<'_> {
    fn blob(&mut self, media_type: &str, bytes: &[u8]) -> Outcome<Value> {
        let digest = sha256(bytes);
        let reply = self.client.push(self.name, &digest, Payload::Bytes(bytes))?;
        expect(reply.status, 201, || format!("a blob of {}", self.name))?;
        Ok(json!({ "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len() }))
    }

    fn manifest(&mut self, reference: &str, manifest: &Value) -> Outcome<(Digest, usize)> {
        let bytes = manifest.to_string().into_bytes();
        let digest = sha256(&bytes);
        let by_digest = digest.to_string();
        let reference = if reference.is_empty() { &by_digest } else { reference };
        let reply = self.client.put_manifest(self.name, reference, &bytes)?;
        expect(reply.status, 201, || format!("manifest {reference} of {}", self.name))?;
        Ok((digest, bytes.len()))
    }

    /// An image for one architecture; its top layer follows from `version`.
    fn image(&mut self, reference: &str, architecture: &str, version: u64) -> Outcome<Value> {
        let base = self.blob(LAYER, &Content { seed: 1, size: 3_200_000 }.bytes())?;
        let packages = self.blob(LAYER, &Content { seed: 2 + version / 3, size: 1_900_000 }.bytes())?;
        let model = self.blob(LAYER, &Content { seed: 100 + version, size: 260_000 }.bytes())?;
        let config = self.blob(CONFIG, configuration(architecture, version).to_string().as_bytes())?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [base, packages, model],
            "annotations": { "org.opencontainers.image.revision": "5f1d2c9", "org.opencontainers.image.source": "https://git.example/team/churn" },
        });
        let (digest, size) = self.manifest(reference, &manifest)?;
        let platform = json!({ "os": "linux", "architecture": architecture });
        Ok(json!({ "mediaType": MANIFEST, "digest": digest.to_string(), "size": size, "platform": platform }))
    }

    fn artifact(&mut self, reference: &str, artifact_type: &str, layers: &[Value], subject: Option<&Value>) -> Outcome {
        let config = self.blob("application/vnd.oci.empty.v1+json", b"{}")?;
        let mut manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type, "config": config, "layers": layers,
        });
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        self.manifest(reference, &manifest).map(drop)
    }
}

/// Fills the registry while it is open: `team/churn` with versions and platforms, a model, and one that nobody else is to see.
pub fn fill(client: &mut Client) -> Outcome {
    let mut churn = Shelf { client, name: "team/churn" };
    for (version, tag) in ["1.0.0", "1.0.1", "1.1.0", "prod"].iter().enumerate() {
        churn.image(tag, "amd64", version as u64)?;
    }
    churn.image("prod", "amd64", 9)?;
    let entries = [churn.image("", "amd64", 10)?, churn.image("", "arm64", 11)?];
    let index =
        json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries });
    churn.manifest("2.0.0", &index)?;
    churn.manifest("latest", &index)?;
    churn.artifact("", "application/vnd.dev.cosign.artifact.sig.v1+json", &[], Some(&entries[0]))?;
    churn.artifact("", "application/spdx+json", &[], Some(&entries[0]))?;

    let mut model = Shelf { client, name: "team/models/sentence-encoder" };
    let files = [("weights/model.safetensors", 4_100_000), ("tokenizer.json", 220_000), ("README.md", 3_000)];
    let mut layers = Vec::new();
    for (seed, (path, size)) in files.into_iter().enumerate() {
        let bytes = Content { seed: 500 + seed as u64, size }.bytes();
        let mut layer = model.blob("application/vnd.cncf.model.weight.v1.raw", &bytes)?;
        layer["annotations"] = json!({ "org.cncf.model.filepath": path });
        layers.push(layer);
    }
    model.artifact("1.0", "application/vnd.cncf.model.manifest.v1+json", &layers, None)?;

    Shelf { client, name: "finance/fraud" }.image("0.9", "amd64", 40)?;
    Shelf { client, name: "open/base" }.image("12", "amd64", 50)?;
    Ok(())
}

/// An administrator, a developer and a reader, and what they may; it ends the open state.
pub fn people(larder: &Larder) -> Outcome {
    let control = |method: &str, path: &str, body: Value| -> Outcome {
        let mut connection = Connection::open_unix(&larder.data().join("run/larder.sock"))?;
        let body = body.to_string();
        let headers = [("Content-Type", "application/json")];
        let reply = connection.exchange(method, path, &headers, Payload::Bytes(body.as_bytes()))?;
        if reply.is_success() {
            return Ok(());
        }
        Err(Failure::new(format!("{method} {path}: {} {}", reply.status, String::from_utf8_lossy(&reply.body))))
    };
    for name in ["root", "dev", "reader"] {
        control("POST", "/api/v1/users", json!({ "name": name, "password": password(name) }))?;
    }
    let grant = |subject: &str, actions: &[&str], pattern: &str| {
        let grant = json!({ "subject": subject, "actions": actions, "repositories": pattern });
        control("POST", "/api/v1/grants", grant)
    };
    grant("user:dev", &["pull", "push"], "team/**")?;
    grant("user:reader", &["pull"], "team/churn")?;
    let rules = json!({ "rules": [{ "rulePriority": 1, "description": "Old encoders", "action": { "type": "expire" },
        "selection": { "tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 90 } }] });
    control("PUT", "/api/v1/repositories/team/models/sentence-encoder/-/policy", rules)?;
    let hook = json!({ "name": "deploy", "url": "https://ci.example/hooks/churn", "repositories": ["team/churn"] });
    control("POST", "/api/v1/webhooks", hook)?;
    let about = "# Churn\n\nPredicts which customers leave within **30 days**. Gradient boosting on weekly aggregates.\n\n\
                 | metric | value |\n|---|---|\n| AUC | 0.87 |\n\nThe [model card](https://git.example/team/churn) has more.";
    control("PATCH", "/api/v1/repositories/team/churn", json!({ "description": about }))?;
    control(
        "PATCH",
        "/api/v1/repositories/open/base",
        json!({ "public": true, "description": "The base image of all teams" }),
    )
}

/// A user's password.
pub fn password(name: &str) -> String {
    format!("correct horse of {name}")
}

fn configuration(architecture: &str, version: u64) -> Value {
    json!({
        "os": "linux", "architecture": architecture, "created": "2026-11-20T10:00:00Z",
        "config": {
            "User": "10001", "WorkingDir": "/app", "Entrypoint": ["python", "run_model.py"], "Cmd": ["--port", "8080"],
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHON_VERSION=3.12.7", format!("MODEL_VERSION={version}"), "HF_TOKEN=hf_notarealtoken"],
            "ExposedPorts": { "8080/tcp": {} },
            "Labels": { "org.opencontainers.image.source": "https://git.example/team/churn", "team": "growth" },
        },
        "rootfs": { "type": "layers", "diff_ids": [] },
        "history": [
            { "created_by": "/bin/sh -c #(nop) ADD file:9b38b383dd93169a663eed88edf3f2285b837257ead69dc40ab5ed1fb3f52c35 in / " },
            { "created_by": "ENV PYTHON_VERSION=3.12.7", "empty_layer": true },
            { "created_by": "RUN /bin/sh -c pip install --no-cache-dir --require-hashes -r requirements.txt # buildkit" },
            { "created_by": "COPY model.pkl run_model.py /app/ # buildkit" },
            { "created_by": "ENTRYPOINT [\"python\" \"run_model.py\"]", "empty_layer": true },
        ],
    })
}

fn expect(status: u16, wanted: u16, what: impl FnOnce() -> String) -> Outcome {
    (status == wanted).then_some(()).during(|| format!("{} was answered with {status}", what()))
}
