//! What to type to push and pull from here, with the address that the visitor really uses.

use askama::Template;
use askama::filters::HtmlSafe;

use super::commands::Command;
use super::frame::{Frame, page, person};
use super::{Result, Visit};

#[derive(Template)]
#[template(path = "connect.html")]
struct Page {
    frame: Frame,
    connect: Connect,
}

/// The instructions.
#[derive(Template)]
#[template(path = "part/connect.html")]
pub(super) struct Connect {
    host: String,
    secure: bool,
    /// Whether only this machine can mean the address.
    local: bool,
    /// Whether clients have to log in.
    accounts: bool,
    /// The user's name, where it is known.
    user: Option<String>,
    /// A repository's name that the visitor could use.
    example: String,
}

impl HtmlSafe for Connect {}

impl Connect {
    /// For this visitor.
    pub async fn of(visit: &Visit<'_>) -> Result<Self> {
        let accounts = visit.app.guard().await?.is_some();
        let identity = visit.visitor.caller.as_ref().map(|caller| caller.identity.as_str());
        let user =
            identity.filter(|identity| identity.starts_with("user:")).map(|identity| person(identity).to_owned());
        let example = match &user {
            Some(user) => format!("{user}/ml-model"),
            None if accounts => "team/ml-model".to_owned(),
            None => "ml-model".to_owned(),
        };
        let (host, secure, local) = (visit.host(), visit.site().is_secure(), visit.site().is_local());
        Ok(Self { host, secure, local, accounts, user, example })
    }

    /// Whether clients refuse the address until they are told to trust it.
    fn needs_trust(&self) -> bool {
        !self.secure && !self.local
    }

    /// The user's name, or a place for it.
    fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("USER")
    }

    fn docker(&self) -> Command {
        let Self { host, example, .. } = self;
        let login =
            if self.accounts { format!("docker login {host} --username {}\n", self.user()) } else { String::new() };
        let push = format!("docker tag ml-model:1.0 {host}/{example}:1.0\ndocker push {host}/{example}:1.0\n");
        Command::of("Push and pull with docker", format!("{login}{push}docker pull {host}/{example}:1.0"))
    }

    fn podman(&self) -> Command {
        let Self { host, example, .. } = self;
        let flag = if self.secure { "" } else { "--tls-verify=false " };
        let login = if self.accounts {
            format!("podman login {flag}{host} --username {}\n", self.user())
        } else {
            String::new()
        };
        let push = format!("podman push {flag}ml-model:1.0 {host}/{example}:1.0\n");
        Command::of("Push and pull with podman", format!("{login}{push}podman pull {flag}{host}/{example}:1.0"))
    }

    fn model(&self) -> Command {
        let Self { host, example, .. } = self;
        let login = if self.accounts {
            format!("larder login {}://{host}\n", if self.secure { "https" } else { "http" })
        } else {
            String::new()
        };
        Command::of(
            "Push a model's files",
            format!("{login}larder push ./model {host}/{example}:1.0\nlarder pull {host}/{example}:1.0 ./model"),
        )
    }

    fn docker_daemon(&self) -> Command {
        Command::of("/etc/docker/daemon.json", format!("{{\n  \"insecure-registries\": [\"{}\"]\n}}", self.host))
    }

    fn buildkit(&self) -> Command {
        let Self { host, .. } = self;
        let settings = if self.secure {
            format!("[registry.\"{host}\"]\n  ca = [\"/etc/ssl/certs/registry-ca.crt\"]")
        } else {
            format!("[registry.\"{host}\"]\n  http = true")
        };
        Command::of("buildkitd.toml", settings)
    }

    fn podman_registries(&self) -> Command {
        let text = format!("[[registry]]\nlocation = \"{}\"\ninsecure = true", self.host);
        Command::of("/etc/containers/registries.conf.d/larder.conf", text)
    }

    fn containerd_hosts(&self) -> Command {
        let Self { host, .. } = self;
        let scheme = if self.secure { "https" } else { "http" };
        let ca =
            if self.secure { format!("\n  ca = \"/etc/containerd/certs.d/{host}/ca.crt\"") } else { String::new() };
        let text = format!(
            "server = \"{scheme}://{host}\"\n\n[host.\"{scheme}://{host}\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]{ca}"
        );
        Command::of("hosts.toml", text)
    }

    fn ctr(&self) -> Command {
        let Self { host, example, .. } = self;
        let user = if self.accounts { format!("--user {} ", self.user()) } else { String::new() };
        let text = format!("ctr images pull {user}--hosts-dir /etc/containerd/certs.d {host}/{example}:1.0");
        Command::of("Pull with ctr", text)
    }

    fn kubernetes_secret(&self) -> Command {
        let text = format!(
            "kubectl create secret docker-registry larder \\\n  --docker-server={} --docker-username={} --docker-password=TOKEN",
            self.host,
            self.user()
        );
        Command::of("Make the secret", text)
    }

    fn kubernetes_pod(&self) -> Command {
        let secrets = if self.accounts { "  imagePullSecrets:\n    - name: larder\n" } else { "" };
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: ml-model\nspec:\n{secrets}  containers:\n    - name: ml-model\n      image: {}/{}:1.0",
            self.host, self.example
        );
        Command::of("pod.yaml", text)
    }

    fn github(&self) -> Command {
        let Self { host, example, .. } = self;
        let login = if self.accounts {
            format!(
                "      - uses: docker/login-action@v3\n        with:\n          registry: {host}\n          username: ${{{{ secrets.REGISTRY_USER }}}}\n          password: ${{{{ secrets.REGISTRY_TOKEN }}}}\n"
            )
        } else {
            String::new()
        };
        let text = format!(
            "name: build\non:\n  push:\n    branches: [main]\n    tags: ['v*']\njobs:\n  build:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - uses: docker/setup-buildx-action@v3\n{login}      - id: meta\n        uses: docker/metadata-action@v5\n        with:\n          images: {host}/{example}\n          tags: |\n            type=semver,pattern={{{{version}}}}\n            type=ref,event=branch\n            type=sha\n      - uses: docker/build-push-action@v6\n        with:\n          push: true\n          tags: ${{{{ steps.meta.outputs.tags }}}}\n          labels: ${{{{ steps.meta.outputs.labels }}}}"
        );
        Command::of(".github/workflows/build.yml", text)
    }

    fn gitlab(&self) -> Command {
        let Self { host, example, .. } = self;
        let login = if self.accounts {
            format!(
                "    - echo \"$REGISTRY_TOKEN\" | docker login {host} --username \"$REGISTRY_USER\" --password-stdin\n"
            )
        } else {
            String::new()
        };
        let insecure =
            if self.secure { "" } else { "\n      command: [\"--insecure-registry=HOST\"]" }.replace("HOST", host);
        let text = format!(
            "build:\n  image: docker:latest\n  services:\n    - name: docker:dind{insecure}\n  variables:\n    IMAGE: {host}/{example}:$CI_COMMIT_SHORT_SHA\n  script:\n{login}    - docker build -t \"$IMAGE\" .\n    - docker push \"$IMAGE\""
        );
        Command::of(".gitlab-ci.yml", text)
    }
}

pub(super) async fn show(visit: &Visit<'_>) -> Result {
    page(&Page { frame: visit.frame("Connect a client"), connect: Connect::of(visit).await? })
}
