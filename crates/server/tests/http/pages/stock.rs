//! A repository with one of each: an image with a history, an index, a model, a signature.

use http::Method;
use larder_oci::Digest;
use serde_json::{Value, json};

use crate::world::{Answer, CONFIG, Client, IMAGE, INDEX, LAYER, descriptor, image, random};

/// What a browser asks for.
pub const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8");

/// Asks as a browser does that follows a link.
pub async fn open(client: &Client, path: &str) -> Answer {
    client.get_with(path, &[BROWSER]).await
}

/// A page's text.
#[track_caller]
pub fn text(answer: &Answer) -> String {
    answer.expect(200);
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    String::from_utf8(answer.body.to_vec()).expect("a page is text")
}

/// A configuration with everything that a page shows.
pub fn config() -> Value {
    json!({
        "os": "linux", "architecture": "amd64", "created": "2026-11-20T10:00:00Z", "author": "data team",
        "config": {
            "User": "1000", "WorkingDir": "/app", "Entrypoint": ["python", "serve.py"], "Cmd": ["--port", "8080"],
            "Env": ["PATH=/usr/bin", "HF_TOKEN=hf_abcdefgh", "MODEL=churn"],
            "ExposedPorts": { "8080/tcp": {} },
            "Labels": { "org.opencontainers.image.source": "https://git.example/team/model", "stage": "dev" },
        },
        "rootfs": { "type": "layers", "diff_ids": [] },
        "history": [
            { "created_by": "/bin/sh -c #(nop) ADD file:0 in /" },
            { "created_by": "ENV MODEL=churn", "empty_layer": true },
            { "created_by": "RUN /bin/sh -c pip install torch # buildkit" },
        ],
    })
}

/// Pushes an image with this configuration and these layers.
pub async fn push_image(client: &Client, name: &str, reference: &str, config: &Value, layers: &[Vec<u8>]) -> Digest {
    let config = config.to_string().into_bytes();
    let mut parts = vec![descriptor(CONFIG, &config)];
    client.blob(name, config).await;
    for layer in layers {
        parts.push(descriptor(LAYER, layer));
        client.blob(name, layer.clone()).await;
    }
    let answer = client.manifest(name, reference, &image(&parts)).await;
    answer.expect(201);
    answer.header("docker-content-digest").parse().expect("a digest")
}

/// Fills a repository; answers the digests of image, index, model and signature.
pub async fn fill(client: &Client, name: &str) -> [Digest; 4] {
    let (base, top) = (random(3_000), random(500));
    let image = push_image(client, name, "1.0.0", &config(), &[base.clone(), top]).await;
    let mut arm = config();
    arm["architecture"] = "arm64".into();
    arm["config"]["Env"] = json!(["PATH=/usr/bin", "MODEL=churn-2"]);
    let other = push_image(client, name, "1.1.0-arm64", &arm, &[base, random(700)]).await;
    let index = push_index(client, name, "1.1.0", &[(image, "amd64"), (other, "arm64")]).await;
    let model = push_model(client, name).await;
    let size = length_of(client, name, &image.to_string()).await;
    let subject = json!({ "mediaType": IMAGE, "digest": image.to_string(), "size": size });
    let signature =
        push_artifact(client, name, "application/vnd.dev.cosign.artifact.sig.v1+json", &[], Some(subject)).await;
    push_index(client, name, "latest", &[(image, "amd64"), (other, "arm64")]).await;
    [image, index, model, signature]
}

fn index_of(images: &[(Digest, &str)]) -> Value {
    let entries: Vec<Value> = images
        .iter()
        .map(|(digest, architecture)| {
            json!({ "mediaType": IMAGE, "digest": digest.to_string(), "size": 1, "platform": { "os": "linux", "architecture": architecture } })
        })
        .collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries })
}

/// A manifest's length, as its descriptors have to say it.
async fn length_of(client: &Client, name: &str, digest: &str) -> u64 {
    let head = client.head(&format!("/v2/{name}/manifests/{digest}")).await;
    head.header("content-length").parse().expect("a length")
}

async fn push_index(client: &Client, name: &str, tag: &str, images: &[(Digest, &str)]) -> Digest {
    let mut index = index_of(images);
    for entry in index["manifests"].as_array_mut().expect("entries") {
        entry["size"] = length_of(client, name, entry["digest"].as_str().expect("a digest")).await.into();
    }
    let answer = client.manifest(name, tag, &index).await;
    answer.expect(201);
    answer.header("docker-content-digest").parse().expect("a digest")
}

async fn push_model(client: &Client, name: &str) -> Digest {
    let weights = random(2_000);
    let mut layer = descriptor("application/vnd.cncf.model.weight.v1.raw", &weights);
    layer["annotations"] = json!({ "org.cncf.model.filepath": "weights/model.safetensors" });
    client.blob(name, weights).await;
    let digest = push_artifact(client, name, "application/vnd.cncf.model.manifest.v1+json", &[layer], None).await;
    let tag = format!("/api/v1/repositories/{name}/-/tags/weights");
    client.json(Method::PUT, &tag, &json!({ "reference": digest.to_string() })).await.expect(200);
    digest
}

/// Pushes an artifact of this type, without a tag, and answers its digest.
pub async fn push_artifact(
    client: &Client,
    name: &str,
    artifact_type: &str,
    layers: &[Value],
    subject: Option<Value>,
) -> Digest {
    let empty = b"{}".to_vec();
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": IMAGE, "artifactType": artifact_type,
        "config": descriptor("application/vnd.oci.empty.v1+json", &empty), "layers": layers,
        "annotations": { "org.opencontainers.image.created": "2026-11-20T10:00:00Z" },
    });
    if let Some(subject) = subject {
        manifest["subject"] = subject;
    }
    client.blob(name, empty).await;
    let digest = crate::world::sha256(manifest.to_string().as_bytes());
    client.manifest(name, &digest.to_string(), &manifest).await.expect(201);
    digest
}

/// Describes a repository and shows or hides it.
pub async fn describe(client: &Client, name: &str, description: &str, public: bool) {
    let change = json!({ "description": description, "public": public });
    client.json(Method::PATCH, &format!("/api/v1/repositories/{name}"), &change).await.expect(200);
}
