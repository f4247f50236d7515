//! Every client that logs in, as the lines that people type. They read `$HOST`, `$IMAGE` (`$PLACE/ml-model:1.0.0`), `$WHO` and `$SECRET`;
//! logins are kept in `$AUTH`, which is `config.json` in `$DOCKER_CONFIG`.

use crate::harness::Outcome;
use crate::harness::containerd::Containerd;
use crate::harness::engine::Engine;
use crate::harness::fixtures::Known;
use crate::harness::site::{Origin, Site};
use crate::harness::trial::Trial;

/// What a client needs to stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// Nothing.
    Bare,
    /// A docker engine.
    Engine,
    /// A containerd.
    Containerd,
    /// Larder's own binary.
    Larder,
}

/// Whether a client asks the registry when somebody logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// It has no such command.
    Absent,
    /// It writes down what it is told.
    Unchecked(&'static str),
    /// It asks.
    Checked(&'static str),
}

/// A client.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Whose it is, as [`crate::clients::preflight`] names it.
    pub name: &'static str,
    /// What it stands on.
    pub ground: Ground,
    /// Done once.
    pub before: &'static str,
    /// Logs in.
    pub login: Login,
    /// Pushes `$IMAGE`.
    pub push: &'static str,
    /// Pulls `$IMAGE`.
    pub pull: &'static str,
}

/// docker, both stores.
pub const DOCKER: Client = Client {
    name: "docker",
    ground: Ground::Engine,
    before: "docker load -i $ARCHIVE",
    login: Login::Checked("printf %s \"$SECRET\" | docker login --username \"$WHO\" --password-stdin $HOST"),
    push: "docker tag ml-model:1.0 $IMAGE && docker push $IMAGE",
    pull: "docker rmi -f $IMAGE >/dev/null 2>&1; docker pull $IMAGE",
};

/// buildx, which has docker's logins.
pub const BUILDX: Client = Client {
    name: "buildx",
    ground: Ground::Engine,
    before: "mkdir context && cp $ARCHIVE context/model && printf 'FROM scratch\\nCOPY model /\\n' >context/Dockerfile",
    login: Login::Absent,
    push: "docker buildx build --progress quiet --provenance false -t $IMAGE --push context",
    pull: "printf \"FROM $IMAGE\\nLABEL pulled=yes\\n\" | docker buildx build --progress quiet --pull --no-cache -",
};

/// podman.
pub const PODMAN: Client = Client {
    name: "podman",
    ground: Ground::Bare,
    before: "podman tag $(podman load -q -i $ARCHIVE | sed 's/.*: //') ml-model:trial",
    login: Login::Checked("printf %s \"$SECRET\" | podman login --username \"$WHO\" --password-stdin $HOST"),
    push: "podman push -q ml-model:trial $IMAGE",
    pull: "podman pull -q $IMAGE",
};

/// skopeo.
pub const SKOPEO: Client = Client {
    name: "skopeo",
    ground: Ground::Bare,
    before: "",
    login: Login::Checked("printf %s \"$SECRET\" | skopeo login --username \"$WHO\" --password-stdin $HOST"),
    push: "skopeo copy -q docker-archive:$ARCHIVE docker://$IMAGE",
    pull: "skopeo copy -q docker://$IMAGE dir:$(mktemp -d)",
};

/// crane, and with it whatever stands on go-containerregistry.
pub const CRANE: Client = Client {
    name: "crane",
    ground: Ground::Bare,
    before: "",
    login: Login::Unchecked("crane auth login $HOST -u \"$WHO\" -p \"$SECRET\""),
    push: "crane push $ARCHIVE $IMAGE",
    pull: "crane pull $IMAGE pulled.tar",
};

/// helm, whose charts name the last component of a repository themselves.
pub const HELM: Client = Client {
    name: "helm",
    ground: Ground::Bare,
    before: "helm create ml-model && helm package ml-model --version 1.0.0",
    login: Login::Checked(
        "printf %s \"$SECRET\" | helm registry login --plain-http --username \"$WHO\" --password-stdin $HOST",
    ),
    push: "helm push --plain-http ml-model-1.0.0.tgz oci://$PLACE",
    pull: "helm pull --plain-http oci://$PLACE/ml-model --version 1.0.0 -d $(mktemp -d)",
};

/// oras.
pub const ORAS: Client = Client {
    name: "oras",
    ground: Ground::Bare,
    before: "echo weights >model.txt",
    login: Login::Checked("printf %s \"$SECRET\" | oras login --plain-http --username \"$WHO\" --password-stdin $HOST"),
    push: "oras push --plain-http $IMAGE model.txt",
    pull: "oras pull --plain-http -o $(mktemp -d) $IMAGE",
};

/// containerd, told by `hosts.toml` where the registry is.
pub const CTR: Client = Client {
    name: "containerd",
    ground: Ground::Containerd,
    before: "ctr images import $ARCHIVE",
    login: Login::Absent,
    push: "ctr images tag --force docker.io/library/ml-model:1.0 $IMAGE >/dev/null \
           && ctr images push --hosts-dir hosts ${WHO:+--user \"$WHO:$SECRET\"} $IMAGE",
    pull: "ctr images rm $IMAGE >/dev/null 2>&1; ctr images pull --hosts-dir hosts ${WHO:+--user \"$WHO:$SECRET\"} $IMAGE",
};

/// Larder's own command line.
pub const LARDER: Client = Client {
    name: "larder",
    ground: Ground::Larder,
    before: "echo weights >model.txt",
    login: Login::Checked("printf %s \"$SECRET\" | larder login $HOST --username \"$WHO\" --password-stdin"),
    push: "larder push --quiet model.txt $IMAGE",
    pull: "larder pull --quiet $IMAGE $(mktemp -d)",
};

/// A client that is ready; what it stands on ends with it.
#[derive(Debug)]
pub struct Standing {
    /// Where its lines run.
    pub site: Site,
    _engine: Option<Engine>,
    _containerd: Option<Containerd>,
}

impl Client {
    /// Starts what it stands on, and does what is done once.
    pub fn stand(&self, trial: &Trial<'_>, origin: Origin, known: &Known) -> Outcome<Standing> {
        let engine = (self.ground == Ground::Engine).then(|| trial.engine(origin)).transpose()?;
        let containerd = match self.ground {
            Ground::Containerd => {
                write_hosts(trial)?;
                Some(trial.containerd(origin)?)
            }
            _ => None,
        };
        let site = match (&engine, &containerd) {
            (Some(engine), _) => engine.site().clone(),
            (_, Some(containerd)) => containerd.site(),
            _ if self.ground == Ground::Larder => trial.larder()?,
            _ => trial.site(origin)?,
        };
        let site = site.with("ARCHIVE", known.archive.display()).with("HOST", trial.host());
        let site = site.with("TMPDIR", trial.folder().display());
        if !self.before.is_empty() {
            site.sh(self.before)?;
        }
        Ok(Standing { site, _engine: engine, _containerd: containerd })
    }
}

/// As an administrator writes it for a registry on this machine.
fn write_hosts(trial: &Trial<'_>) -> Outcome {
    let (folder, host) = (trial.folder().join("hosts").join(trial.host()), trial.host());
    std::fs::create_dir_all(&folder)?;
    let text = format!(
        "server = \"http://{host}\"\n\n[host.\"http://{host}\"]\n  capabilities = [\"pull\", \"resolve\", \"push\"]\n"
    );
    Ok(std::fs::write(folder.join("hosts.toml"), text)?)
}
