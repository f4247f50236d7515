//! What to type: command lines and files that fit the address people really use.

use askama::Template;
use askama::filters::HtmlSafe;

/// A command or a file, with a button that copies it.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(path = "part/command.html")]
pub(super) struct Command {
    /// What it is for.
    pub label: String,
    text: String,
}

impl HtmlSafe for Command {}

impl Command {
    /// Lines to type.
    pub fn of(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self { label: label.into(), text: text.into() }
    }

    /// The same, told apart from another of its kind.
    pub fn called(self, what: &str) -> Self {
        Self { label: format!("{}, {what}", self.label), ..self }
    }
}

/// What something is fetched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing {
    /// An image that engines run.
    Image,
    /// Files of a model.
    Model,
    /// A Helm chart.
    Chart,
    /// Anything else.
    Artifact,
}

/// How a client reaches this registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The host as it stands before a name.
    pub host: String,
    /// Whether it is by TLS.
    pub secure: bool,
}

impl Reach {
    /// Ways to fetch `reference`, `name:tag` or `name@digest`, the usual one first.
    pub fn pulls(&self, thing: Thing, reference: &str) -> Vec<Command> {
        let whole = format!("{}/{reference}", self.host);
        let plain = |flag: &str| if self.secure { String::new() } else { format!("{flag} ") };
        match thing {
            Thing::Image => vec![
                Command::of("docker", format!("docker pull {whole}")),
                Command::of("podman", format!("podman pull {}{whole}", plain("--tls-verify=false"))),
                Command::of("ctr", format!("ctr images pull {}{whole}", plain("--plain-http"))),
                Command::of("crane", format!("crane pull {}{whole} image.tar", plain("--insecure"))),
                Command::of("Dockerfile", format!("FROM {whole}")),
                Command::of("Kubernetes", pod(reference, &whole)),
            ],
            Thing::Model => vec![
                Command::of("larder", format!("larder pull {whole} model/")),
                Command::of("oras", format!("oras pull {}{whole} --output model/", plain("--plain-http"))),
            ],
            Thing::Chart => {
                let chart = reference.split(['@', ':']).next().unwrap_or(reference);
                let version = reference.split_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains(':'));
                let version = version.map(|tag| format!(" --version {}", tag.replace('_', "+"))).unwrap_or_default();
                let flag = if self.secure { "" } else { " --plain-http" };
                vec![Command::of("helm", format!("helm pull oci://{}/{chart}{version}{flag}", self.host))]
            }
            Thing::Artifact => vec![
                Command::of("oras", format!("oras pull {}{whole}", plain("--plain-http"))),
                Command::of("crane", format!("crane manifest {}{whole}", plain("--insecure"))),
            ],
        }
    }
}

/// A pod that runs it, named for the repository.
fn pod(reference: &str, whole: &str) -> String {
    let path = reference.split(['@', ':']).next().unwrap_or(reference);
    let name = path.rsplit('/').next().unwrap_or(path).replace(['.', '_'], "-");
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n    - name: {name}\n      image: {whole}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(reach: &Reach, thing: Thing, reference: &str) -> Vec<String> {
        reach.pulls(thing, reference).into_iter().map(|command| command.text).collect()
    }

    #[test]
    fn clients_that_expect_tls_are_told_when_there_is_none() {
        let reach = Reach { host: "reg.example:5000".to_owned(), secure: false };
        let told = lines(&reach, Thing::Image, "team/my_model:1.0");
        assert_eq!(told[0], "docker pull reg.example:5000/team/my_model:1.0");
        assert_eq!(told[1], "podman pull --tls-verify=false reg.example:5000/team/my_model:1.0");
        assert_eq!(told[2], "ctr images pull --plain-http reg.example:5000/team/my_model:1.0");
        assert!(told[5].contains("name: my-model\n") && told[5].ends_with("image: reg.example:5000/team/my_model:1.0"));
        let reach = Reach { secure: true, ..reach };
        assert_eq!(lines(&reach, Thing::Image, "a:1")[1], "podman pull reg.example:5000/a:1");
        let chart = lines(&reach, Thing::Chart, "charts/serve:1.0.0_build1");
        assert_eq!(chart, ["helm pull oci://reg.example:5000/charts/serve --version 1.0.0+build1"]);
    }
}
