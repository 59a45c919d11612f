//! Programs that build images of Dockerfiles, and the command lines that they take.
//!
//! # Format
//! `buildctl build` of BuildKit with its frontend `dockerfile.v0`, `docker buildx build`, `buildah build`; each writes an
//! OCI layout as a tar.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::PackageError;
use super::arguments::Pairs;
use super::bases::Base;

/// A program that builds images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builder {
    /// BuildKit's own, which needs a running `buildkitd`.
    Buildctl,
    /// Docker's, by BuildKit.
    Docker,
    /// Of its own, without a daemon.
    Buildah,
}

/// Whether an image gets an SBOM while it is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scan {
    /// By the builder's own scanner, where it has one.
    #[default]
    Default,
    /// By this image.
    By(String),
    /// None.
    No,
}

/// One build.
pub(super) struct BuildPlan<'a> {
    /// Such as `linux/amd64`.
    pub platform: &'a str,
    /// The directory that is built.
    pub context: &'a Path,
    /// Path of the Dockerfile in it.
    pub dockerfile: &'a str,
    /// What the image is called.
    pub name: &'a str,
    /// The archive to write.
    pub archive: &'a Path,
    pub labels: &'a Pairs,
    pub build_args: &'a Pairs,
    /// Images of the cache that it is built on, and the cache.
    pub bases: (&'a [Base], &'a Path),
    /// The builder of docker, where it is not its own one.
    pub builder: Option<String>,
    /// Whether the build may use the network.
    pub network: bool,
    /// Whether steps of earlier builds are used.
    pub cache: bool,
    pub scan: &'a Scan,
    /// How progress is shown, in the builder's words.
    pub progress: Option<&'a str>,
    /// Agents and keys of SSH, in the builder's words.
    pub ssh: &'a [String],
}

/// What BuildKit calls the cache while it builds.
const CACHE: &str = "linuxkit-cache";
const ALL: [Builder; 3] = [Builder::Buildctl, Builder::Docker, Builder::Buildah];
/// Where BuildKit listens by default.
const BUILDKIT_SOCKETS: [&str; 2] = ["/run/buildkit/buildkitd.sock", "/var/run/buildkit/buildkitd.sock"];

impl FromStr for Builder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|builder| builder.program() == text);
        found.ok_or_else(|| format!("`{text}` is no builder; choose `buildctl`, `docker` or `buildah`"))
    }
}

impl Builder {
    /// The name of its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Buildctl => "buildctl",
            Self::Docker => "docker",
            Self::Buildah => "buildah",
        }
    }

    /// The one that is there: `buildctl` where its daemon listens, else `docker`, else `buildah`; `paths` are the folders of
    /// programs, `buildkit` where BuildKit is said to listen.
    ///
    /// # Errors
    /// When there is none.
    pub fn find(paths: &OsStr, buildkit: Option<&OsStr>) -> Result<Self, PackageError> {
        let is_there = |builder: &Self| std::env::split_paths(paths).any(|dir| dir.join(builder.program()).is_file());
        let listens = buildkit.is_some() || BUILDKIT_SOCKETS.iter().any(|path| Path::new(path).exists());
        let is_of_use = |builder: &Self| is_there(builder) && (*builder != Self::Buildctl || listens);
        let found = ALL.into_iter().find(is_of_use).or_else(|| ALL.into_iter().find(is_there));
        found.ok_or(PackageError::NoBuilder)
    }

    /// The arguments of one build.
    ///
    /// # Errors
    /// When the builder cannot do what is asked for.
    pub(super) fn arguments(self, plan: &BuildPlan<'_>) -> Result<Vec<OsString>, PackageError> {
        match self {
            Self::Buildctl => Ok(buildctl(plan)),
            Self::Docker => Ok(docker(plan)),
            Self::Buildah => buildah(plan),
        }
    }
}

/// Arguments that go on.
#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn word(&mut self, word: impl Into<OsString>) {
        self.0.push(word.into());
    }

    /// An option with its value.
    fn option(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.word(name);
        self.word(value.as_ref());
    }

    /// The same for each pair.
    fn pairs(&mut self, name: &str, pairs: &Pairs) {
        pairs.iter().for_each(|(key, value)| self.option(name, format!("{key}={value}")));
    }

    fn flag(&mut self, is_on: bool, name: &str) {
        if is_on {
            self.word(name);
        }
    }
}

/// `name` and a path, such as `context=/tmp/x`.
fn with_path(name: &str, path: &Path) -> OsString {
    let mut text = OsString::from(format!("{name}="));
    text.push(path);
    text
}

/// A path that other programs understand as well, wherever they run.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn buildctl(plan: &BuildPlan<'_>) -> Vec<OsString> {
    let mut line = Line::default();
    line.word("build");
    line.option("--frontend", "dockerfile.v0");
    line.option("--local", with_path("context", plan.context));
    line.option("--local", with_path("dockerfile", plan.context));
    line.option("--opt", format!("filename={}", plan.dockerfile));
    line.option("--opt", format!("platform={}", plan.platform));
    line.option("--opt", format!("force-network-mode={}", if plan.network { "sandbox" } else { "none" }));
    let prefixed = |prefix: &str, pairs: &Pairs| -> Pairs {
        pairs.iter().map(|(key, value)| (format!("{prefix}:{key}"), value.clone())).collect()
    };
    line.pairs("--opt", &prefixed("build-arg", plan.build_args));
    line.pairs("--opt", &prefixed("label", plan.labels));
    match plan.scan {
        Scan::Default => line.option("--opt", "attest:sbom="),
        Scan::By(image) => line.option("--opt", format!("attest:sbom=generator={image}")),
        Scan::No => {}
    }
    line.flag(!plan.cache, "--no-cache");
    plan.progress.iter().for_each(|progress| line.option("--progress", progress));
    plan.ssh.iter().for_each(|ssh| line.option("--ssh", ssh));
    let (bases, cache) = plan.bases;
    if !bases.is_empty() {
        line.option("--oci-layout", with_path(CACHE, &absolute(cache)));
    }
    for base in bases {
        line.option("--opt", format!("context:{}=oci-layout://{CACHE}@{}", base.familiar(), base.root));
    }
    line.option("--output", with_path(&format!("type=oci,name={},dest", plan.name), plan.archive));
    line.0
}

fn docker(plan: &BuildPlan<'_>) -> Vec<OsString> {
    let mut line = Line::default();
    ["buildx", "build"].into_iter().for_each(|word| line.word(word));
    plan.builder.iter().for_each(|name| line.option("--builder", name));
    common(&mut line, plan);
    let (bases, cache) = plan.bases;
    for base in bases {
        let mut context = OsString::from(format!("{}=oci-layout://", base.familiar()));
        context.push(absolute(cache));
        context.push(format!("@{}", base.root));
        line.option("--build-context", context);
    }
    match plan.scan {
        Scan::Default => line.option("--attest", "type=sbom"),
        Scan::By(image) => line.option("--attest", format!("type=sbom,generator={image}")),
        Scan::No => {}
    }
    plan.progress.iter().for_each(|progress| line.option("--progress", progress));
    line.option("--output", with_path(&format!("type=oci,name={},dest", plan.name), plan.archive));
    line.word(plan.context);
    line.0
}

fn buildah(plan: &BuildPlan<'_>) -> Result<Vec<OsString>, PackageError> {
    if let Scan::By(image) = plan.scan {
        let message =
            format!("`buildah` cannot scan with `{image}`; build with BuildKit, or with `--sbom-scanner false`");
        return Err(PackageError::Invalid(message));
    }
    let mut line = Line::default();
    line.word("build");
    common(&mut line, plan);
    // Of the values of BuildKit it has one.
    line.flag(plan.progress == Some("quiet"), "--quiet");
    for base in plan.bases.0 {
        let mut image = OsString::from(format!("{}=container-image://oci-archive:", base.name));
        image.push(&base.archive);
        line.option("--build-context", image);
    }
    let mut archive = OsString::from("oci-archive:");
    archive.push(plan.archive);
    archive.push(format!(":{}", plan.name));
    line.option("--tag", archive);
    line.word(plan.context);
    Ok(line.0)
}

/// What docker and buildah call the same.
fn common(line: &mut Line, plan: &BuildPlan<'_>) {
    line.option("--platform", plan.platform);
    line.option("--file", plan.context.join(plan.dockerfile));
    line.option("--network", if plan.network { "default" } else { "none" });
    line.pairs("--build-arg", plan.build_args);
    line.pairs("--label", plan.labels);
    line.flag(!plan.cache, "--no-cache");
    plan.ssh.iter().for_each(|ssh| line.option("--ssh", ssh));
}

/// Whether a Dockerfile's name leads out of what is built.
pub(super) fn is_inside(dockerfile: &str) -> bool {
    let path = PathBuf::from(dockerfile);
    !dockerfile.is_empty() && path.components().all(|part| matches!(part, std::path::Component::Normal(_)))
}
