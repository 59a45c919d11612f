//! What is asked of the program `docker`: a builder of its own kind, and to take images that are built.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;

use super::keep::for_platform;
use super::process::{run, status};
use super::{Builder, PackageError};
use crate::base::{Monitor, Platform, command};
use crate::oci::Reference;
use crate::system::{Archived, Asked, Origins, Packed, archive, pour};

const PROGRAM: &str = "docker";
/// What linuxkit calls its builder.
const BUILDER: &str = "linuxkit-builder";

/// A builder of docker that is made where it is missing, since docker's own has no OCI layouts and no SBOM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DockerBuilder {
    /// Its name.
    pub name: Option<String>,
    /// The image of BuildKit that it runs.
    pub image: Option<String>,
    /// BuildKit's configuration.
    pub config: Option<PathBuf>,
    /// Whether it is made anew.
    pub restart: bool,
    /// Contexts of docker that build for platforms.
    pub contexts: BTreeMap<String, String>,
}

impl DockerBuilder {
    /// The name of the builder for a platform; none where docker's own is meant.
    pub(super) fn name(&self, platform: &str) -> Option<String> {
        let context = self.contexts.get(platform);
        let is_asked = self.name.is_some() || self.image.is_some() || self.config.is_some() || self.restart;
        let name = self.name.as_deref().unwrap_or(BUILDER);
        match context {
            Some(context) => Some(format!("{name}-{context}")),
            None => is_asked.then(|| name.to_owned()),
        }
    }

    /// Makes the builder for a platform, unless it is there as it is asked for. One of another image is replaced with what
    /// it kept, one of another configuration without that.
    ///
    /// # Errors
    /// When docker fails.
    pub(super) fn ensure(&self, platform: &str) -> Result<(), PackageError> {
        let Some(name) = self.name(platform) else { return Ok(()) };
        let context = self.contexts.get(platform);
        if let Some(context) = context
            && asked(&["context", "inspect", context])?.is_none()
        {
            return Err(PackageError::Invalid(format!("docker has no context `{context}`")));
        }
        let found = asked(&["buildx", "inspect", &name])?;
        let is_other =
            |said: &String| self.image.as_ref().is_some_and(|image| !said.contains(&format!("image=\"{image}\"")));
        let is_other = found.as_ref().is_some_and(is_other);
        if found.is_some() && !is_other && !self.restart && self.config.is_none() {
            return Ok(());
        }
        if found.is_some() {
            let mut words = vec!["buildx", "rm", name.as_str()];
            if !is_other {
                words.insert(2, "--keep-state");
            }
            must(&os(&words))?;
        }
        let mut words = os(&["buildx", "create", "--name", &name, "--driver", "docker-container"]);
        if let Some(image) = &self.image {
            words.extend(os(&["--driver-opt", &format!("image={image}")]));
        }
        if let Some(config) = &self.config {
            words.extend([OsString::from("--buildkitd-config"), config.into()]);
        }
        words.extend(context.map(OsString::from));
        must(&words)
    }
}

/// Words as arguments.
fn os(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// What docker prints; nothing when it fails, as for what is not there.
fn asked(words: &[&str]) -> Result<Option<String>, PackageError> {
    let output = command(PROGRAM).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|source| PackageError::Run { program: PROGRAM.to_owned(), source })?;
    Ok(output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Runs docker, which is to succeed.
fn must(words: &[OsString]) -> Result<(), PackageError> {
    let status = run(PROGRAM, words, &[])?;
    let shown = || words.iter().take(2).map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    if status.success() { Ok(()) } else { Err(PackageError::Failed { what: format!("docker {}", shown()), status }) }
}

/// Hands the images of a package to docker's daemon, each under the name for its platform, that for this machine under the
/// package's own as well.
///
/// # Errors
/// When one is not whole in the cache, or docker does not take it.
pub fn load_into_docker(
    reference: &Reference,
    platforms: &[Platform],
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<(), PackageError> {
    for platform in platforms {
        let origins = Origins { platform: platform.clone(), ..origins.clone() };
        let asked = Asked { reference: reference.clone(), platforms: vec![platform.clone()] };
        let packed = Packed { asked, name: for_platform(reference, platform)? };
        let source = archive(&[packed], Archived::Docker, &origins, monitor)?;
        let mut command = command(PROGRAM);
        command.args(["image", "load"]).stdin(Stdio::piped()).stdout(std::io::stderr());
        let unable = |source| PackageError::Run { program: PROGRAM.to_owned(), source };
        let mut child = command.spawn().map_err(unable)?;
        let poured = child.stdin.take().map_or(Ok(()), |mut stdin| pour(&*source, &mut stdin));
        let status = child.wait().map_err(unable)?;
        if !status.success() {
            return Err(PackageError::Failed { what: "docker image load".to_owned(), status });
        }
        poured.map_err(unable)?;
    }
    tag_in_docker(reference, reference, platforms)
}

/// Names what docker has of a package as `to`, for each platform, and for this machine without one.
///
/// # Errors
/// When docker does not have it.
pub fn tag_in_docker(from: &Reference, to: &Reference, platforms: &[Platform]) -> Result<(), PackageError> {
    for platform in platforms {
        let name = for_platform(from, platform)?.to_string();
        if from != to {
            must(&os(&["image", "tag", &name, &for_platform(to, platform)?.to_string()]))?;
        }
        if *platform == Platform::host() {
            must(&os(&["image", "tag", &name, &to.to_string()]))?;
        }
    }
    Ok(())
}

/// What is done with what a builder keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// It is told how much there is, of each thing where `verbose` is set.
    Usage {
        /// Whether each thing is told.
        verbose: bool,
    },
    /// It is removed.
    Prune,
}

/// Lets a builder tell what it keeps, or remove it; how it ended, where it failed.
///
/// # Errors
/// When it cannot do that, or cannot be run.
pub fn look_after(
    builder: Builder,
    docker: &DockerBuilder,
    platforms: &[String],
    care: Care,
) -> Result<Option<std::process::ExitStatus>, PackageError> {
    let words: &[&str] = match (builder, care) {
        (Builder::Docker, Care::Usage { verbose: false }) => &["buildx", "du"],
        (Builder::Docker, Care::Usage { verbose: true }) => &["buildx", "du", "--verbose"],
        (Builder::Docker, Care::Prune) => &["buildx", "prune", "--force"],
        (Builder::Buildctl, Care::Usage { verbose: false }) => &["du"],
        (Builder::Buildctl, Care::Usage { verbose: true }) => &["du", "--verbose"],
        (Builder::Buildctl, Care::Prune) => &["prune"],
        (Builder::Buildah, Care::Prune) => &["prune", "--force"],
        (Builder::Buildah, Care::Usage { .. }) => {
            let message = "`buildah` does not tell what its builds keep; `buildah images --all` lists it".to_owned();
            return Err(PackageError::Invalid(message));
        }
    };
    let mut names: Vec<Option<String>> = platforms.iter().map(|platform| docker.name(platform)).collect();
    names.dedup();
    names.truncate(if builder == Builder::Docker { names.len() } else { 1 });
    for name in names {
        let mut command = command(builder.program());
        command.args(words).stdin(Stdio::null());
        if let Some(name) = name.filter(|_| builder == Builder::Docker) {
            command.args(["--builder", &name]);
        }
        let ended = status(builder.program(), &mut command)?;
        if !ended.success() {
            return Ok(Some(ended));
        }
    }
    Ok(None)
}
