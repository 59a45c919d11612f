//! Builds a package: looks whether it is there, runs a builder for each platform, keeps what comes of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use super::arguments::{build_args, labels};
use super::bases::bases;
use super::builder::{BuildPlan, Builder, Scan, is_inside};
use super::depends::Depends;
use super::keep::{Built, keep};
use super::process::run;
use super::source::{HEAD, Package};
use super::{Bases, DockerBuilder, Login, PackageError, login};
use crate::base::{ErrorKind, Fault as _, Monitor, Platform};
use crate::oci::{Pull, Reference};
use crate::system::images::Images;
use crate::system::{Asked, Origins};

/// How a package is built.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// What builds it.
    pub builder: Builder,
    /// Its Dockerfile, in the place of what it says.
    pub dockerfile: Option<String>,
    /// Files of build arguments.
    pub build_arg_files: Vec<PathBuf>,
    /// Whether the build may use the network, in the place of what it says.
    pub network: Option<bool>,
    /// Whether steps of earlier builds are used, in the place of what it says.
    pub cache: Option<bool>,
    /// Whether the image gets an SBOM.
    pub scan: Scan,
    /// How progress is shown, in the builder's words.
    pub progress: Option<String>,
    /// Agents and keys of SSH, in the builder's words.
    pub ssh: Vec<String>,
    /// Which images of the cache it is built on.
    pub bases: Bases,
    /// The builder of docker, where docker builds.
    pub docker: DockerBuilder,
    /// What registries are told, in the place of what docker knows.
    pub logins: Vec<Login>,
    /// The commands are printed and not run.
    pub dry_run: bool,
}

/// What a build came to.
#[derive(Debug)]
pub enum BuildOutcome {
    /// The image is in the cache.
    Kept,
    /// The commands that would have been run.
    Planned(Vec<Vec<OsString>>),
    /// The builder failed for a platform; nothing of the package is kept.
    Failed {
        /// The platform.
        platform: Platform,
        /// How the builder ended.
        status: ExitStatus,
    },
}

/// Where an image for one platform is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Whole in the cache.
    Here,
    /// In its registry, or here in part.
    There,
    /// Nowhere.
    Nowhere,
}

/// Where the image of a package for a platform is.
///
/// # Errors
/// When the registry does not answer.
pub fn presence(
    reference: &Reference,
    platform: &Platform,
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<Presence, PackageError> {
    let asked = Asked { reference: reference.clone(), platforms: vec![platform.clone()] };
    let held = Origins { pull: Pull::Never, ..origins.clone() };
    if crate::system::held::whole(&Images::new(&held, monitor)?, &asked).is_ok() {
        return Ok(Presence::Here);
    }
    let found = Images::new(origins, monitor)?.resolver.resolve(reference, platform, monitor);
    match found {
        Ok(_) => Ok(Presence::There),
        // A registry denies what it does not have to who has not logged in.
        Err(error) if matches!(error.kind(), ErrorKind::ImageNotFound | ErrorKind::Denied) => Ok(Presence::Nowhere),
        Err(source) => Err(PackageError::NotAsked { reference: Box::new(reference.clone()), source: Box::new(source) }),
    }
}

/// Refuses to push what is no commit's.
///
/// # Errors
/// When its files differ from the commit.
pub fn check_push(package: &Package) -> Result<(), PackageError> {
    if package.is_dirty { Err(PackageError::Dirty(package.tagged())) } else { Ok(()) }
}

/// Builds a package for platforms and keeps the images in the cache under its name. What the builder says goes to standard
/// error.
///
/// # Errors
/// When the package says what cannot be, the builder cannot be run, or what it made cannot be kept.
pub fn build(
    package: &Package,
    reference: &Reference,
    platforms: &[Platform],
    (options, origins): (&BuildOptions, &Origins),
    monitor: &dyn Monitor,
) -> Result<BuildOutcome, PackageError> {
    let dockerfile = options.dockerfile.as_deref().unwrap_or(&package.description.dockerfile);
    let depends = check(package, dockerfile)?;
    let temporary = tempfile::tempdir().map_err(PackageError::Temporary)?;
    let context = context(package, depends.is_some(), temporary.path())?;
    let (build_args, labels) = (build_args(package, &options.build_arg_files)?, labels(package)?);
    let logins = login::write(&options.logins, options.builder, &temporary.path().join("docker"))?;
    let wanted = if options.dry_run && options.bases == Bases::Pulled { Bases::Cached } else { options.bases };
    let (mut built, mut planned) = (Vec::new(), Vec::new());
    for platform in platforms {
        let shown = platform.to_string();
        let archive = temporary.path().join(format!("{}.tar", shown.replace('/', "-")));
        let file = package.directory.join(dockerfile);
        let bases = bases((&file, &build_args), platform, wanted, (origins, temporary.path()), monitor)?;
        let builder = Some(&options.docker).filter(|_| options.builder == Builder::Docker);
        let plan = BuildPlan {
            platform: &shown,
            context: &context,
            dockerfile,
            name: &format!("{reference}-{}", platform.architecture),
            archive: &archive,
            labels: &labels,
            build_args: &build_args,
            bases: (&bases, &origins.cache),
            builder: builder.and_then(|docker| docker.name(&shown)),
            network: options.network.unwrap_or(package.description.network),
            cache: options.cache.unwrap_or(!package.description.disable_cache),
            scan: &options.scan,
            progress: options.progress.as_deref(),
            ssh: &options.ssh,
        };
        let arguments = options.builder.arguments(&plan)?;
        let program = options.builder.program();
        if options.dry_run {
            planned.push([vec![program.into()], arguments].concat());
            continue;
        }
        depends.iter().try_for_each(|depends| depends.write(&context, platform, origins, monitor))?;
        builder.map_or(Ok(()), |docker| docker.ensure(&shown))?;
        if options.builder == Builder::Buildah {
            bases.iter().try_for_each(|base| base.write(origins, monitor))?;
        }
        let status = run(program, &arguments, &logins)?;
        if !status.success() {
            return Ok(BuildOutcome::Failed { platform: platform.clone(), status });
        }
        built.push(Built { platform: platform.clone(), archive });
    }
    if options.dry_run {
        return Ok(BuildOutcome::Planned(planned));
    }
    keep(reference, &built, &origins.cache, monitor)?;
    Ok(BuildOutcome::Kept)
}

/// Refuses what cannot be built before anything is; the images that the package wants to have.
fn check(package: &Package, dockerfile: &str) -> Result<Option<Depends>, PackageError> {
    if package.commit != HEAD {
        return Err(PackageError::NotHead(package.commit.clone()));
    }
    let invalid = |message: String| Err(PackageError::Invalid(message));
    if !is_inside(dockerfile) {
        return invalid(format!("the Dockerfile `{dockerfile}` is not in the directory of the package"));
    }
    if !package.directory.join(dockerfile).is_file() {
        return invalid(format!("there is no Dockerfile `{}`", package.directory.join(dockerfile).display()));
    }
    let images = package.description.depends.as_ref().and_then(|depends| depends.docker_images.as_ref());
    let depends = images.map(|images| images.depends(&package.directory)).transpose();
    depends.map(Option::flatten).or_else(invalid)
}

/// The directory that is built: the package's own, or a copy of it where something else goes into it.
fn context(package: &Package, is_filled: bool, temporary: &Path) -> Result<PathBuf, PackageError> {
    if package.extra_sources.is_empty() && !is_filled {
        return Ok(package.directory.clone());
    }
    let context = temporary.join("context");
    copy(&package.directory, &context)?;
    for (from, to) in &package.extra_sources {
        copy(from, &context.join(to))?;
    }
    Ok(context)
}

/// Copies a directory into another one, or a file.
fn copy(from: &Path, to: &Path) -> Result<(), PackageError> {
    let folder = if from.is_dir() { to } else { to.parent().unwrap_or(to) };
    std::fs::create_dir_all(folder).map_err(PackageError::Temporary)?;
    let from = if from.is_dir() { from.join(".") } else { from.to_owned() };
    let status = run("cp", &["-a".into(), "--".into(), from.into(), to.into()], &[])?;
    let failed = || std::io::Error::other("`cp` failed");
    if status.success() { Ok(()) } else { Err(PackageError::Temporary(failed())) }
}
