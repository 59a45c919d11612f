//! `lkit pkg`: what LinuxKit packages are called, and building and pushing them.

use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use crate::base::{ErrorKind, Platform};
use crate::cli::args::{self, PkgBuild, PkgCommand, PkgForeign, PkgNaming, PkgPlace};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::oci::Reference;
use crate::serve::Interrupts;
use crate::system::package::{BuildOptions, BuildOutcome, Builder, Naming, Package, Presence, Scan};
use crate::system::{self, Asked, Origins, package};

/// Names, builds or pushes packages.
pub fn run(args: args::Pkg, loudness: Loudness) -> Result<ExitCode, Failure> {
    let args::Pkg { command, naming } = args;
    match command {
        PkgCommand::ShowTag { dirs, canonical } => {
            for package in packages(&dirs, &naming)? {
                let name = if canonical { package.canonical() } else { package.tagged() };
                report::print(&format!("{name}\n"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        PkgCommand::Build(build) => build_all(&build, &naming, loudness),
        PkgCommand::Push(build) => build_all(&PkgBuild { push: true, ..build }, &naming, loudness),
        PkgCommand::Manifest { dirs, release, place } => {
            let (origins, progress) = (origins(place)?, Progress::new(loudness));
            for package in packages(&dirs, &naming)? {
                push_index(&package, release.as_deref(), (&origins, &progress, loudness))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn packages(dirs: &[PathBuf], args: &PkgNaming) -> Result<Vec<Package>, Failure> {
    let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
    let no_user = || Failure::usage("--dev: USER is not set").hint("name the organization with `--org`");
    let org = match (&args.org, args.dev) {
        (Some(org), _) => Some(org.clone()).filter(|org| !org.is_empty()),
        (None, true) => Some(user().ok_or_else(no_user)?),
        (None, false) => None,
    };
    let naming = Naming {
        build_yml: args.build_yml.clone(),
        hash: args.hash.clone().or_else(|| args.dev.then(|| "dev".to_owned())),
        commit: args.hash_commit.clone(),
        hash_path: args.hash_path.clone(),
        dirty: args.force_dirty,
        org,
        tag: args.tag.clone(),
    };
    dirs.iter().map(|dir| Ok(Package::open(dir, &naming)?)).collect()
}

fn origins(place: PkgPlace) -> Result<Origins, Failure> {
    let PkgPlace { cache, mirror, ca } = place;
    Ok(Settings::new(args::Sources { cache, mirror, ca, ..args::Sources::default() })?.origins)
}

fn build_all(args: &PkgBuild, naming: &PkgNaming, loudness: Loudness) -> Result<ExitCode, Failure> {
    refuse_foreign(&args.foreign)?;
    if args.release.is_some() && !args.push {
        return Err(Failure::usage("`--release` is for what is pushed").hint("add `--push`"));
    }
    let packages = packages(&args.dirs, naming)?;
    let PkgPlace { cache, mirror, ca } = &args.place;
    let place = PkgPlace { cache: cache.clone(), mirror: mirror.clone(), ca: ca.clone() };
    let builder = args.builder.as_deref().map(|name| name.parse::<Builder>()).transpose();
    let builder = builder.map_err(|error| Failure::usage(format!("--builder: {error}")))?;
    let work = Work { args, naming, builder, origins: origins(place)?, progress: Progress::new(loudness), loudness };
    // A builder that is interrupted ends by itself, and lkit removes what it left.
    let interrupts = Interrupts::catch()?;
    for package in &packages {
        let code = work.package(package)?;
        if interrupts.happened() {
            return Err(Failure::new(ErrorKind::Interrupted, "interrupted"));
        }
        if let Some(code) = code {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Tells what is asked for in linuxkit's words and not done.
fn refuse_foreign(args: &PkgForeign) -> Result<(), Failure> {
    let other = "it runs the builder that is there; choose one with `--builder`";
    let rows = [
        (args.docker, "--docker", "hand the image on with `lkit cache export --format docker -o - NAME | docker load`"),
        (args.manifest == "false", "--manifest=false", "the image index of all platforms is always pushed"),
        (args.builders.is_some(), "--builders", other),
        (args.builder_name.is_some(), "--builder-name", other),
        (args.builder_image.is_some(), "--builder-image", other),
        (args.builder_config.is_some(), "--builder-config", other),
        (args.builder_restart, "--builder-restart", other),
        (args.precache_images, "--precache-images", "builders fetch images themselves"),
        (args.ignore_cached, "--ignore-cached", "builders fetch images themselves"),
        (!args.registry_creds.is_empty(), "--registry-creds", "log in with `docker login`"),
    ];
    match rows.iter().find(|(given, ..)| *given) {
        Some((_, option, hint)) => Err(Failure::usage(format!("lkit does not have `{option}`")).hint(*hint)),
        None => Ok(()),
    }
}

/// What is done for each package.
struct Work<'a> {
    args: &'a PkgBuild,
    naming: &'a PkgNaming,
    /// What is to build, where it is named.
    builder: Option<Builder>,
    origins: Origins,
    progress: Progress,
    loudness: Loudness,
}

impl Work<'_> {
    /// Builds and pushes one package; the exit code of a builder that failed.
    fn package(&self, package: &Package) -> Result<Option<ExitCode>, Failure> {
        let reference = reference(&package.canonical())?;
        let platforms = self.platforms(package)?;
        if platforms.is_empty() {
            say(self.loudness, &format!("skipping `{reference}`, which is for no platform that is asked for"));
            return Ok(None);
        }
        if self.args.push && !self.args.dry_run {
            package::check_push(package)?;
        }
        let missing = self.missing(&reference, &platforms)?;
        if !missing.is_empty()
            && let Some(code) = self.build(package, &reference, &missing)?
        {
            return Ok(Some(code));
        }
        if self.args.push && !self.args.dry_run {
            self.push(package, &reference, &platforms)?;
        }
        Ok(None)
    }

    fn platforms(&self, package: &Package) -> Result<Vec<Platform>, Failure> {
        let parse = |option: &'static str| {
            move |text: &String| text.parse::<Platform>().map_err(|error| Failure::usage(format!("{option}: {error}")))
        };
        let asked: Vec<Platform> = self.args.platforms.iter().map(parse("--platforms")).collect::<Result<_, _>>()?;
        let skipped: Vec<Platform> =
            self.args.skip_platforms.iter().map(parse("--skip-platforms")).collect::<Result<_, _>>()?;
        if !asked.is_empty() {
            return Ok(asked);
        }
        let own = package.arches().iter().map(|arch| Platform::linux(arch));
        Ok(own.filter(|platform| !skipped.contains(platform)).collect())
    }

    /// The platforms for which a package has to be built.
    fn missing(&self, reference: &Reference, platforms: &[Platform]) -> Result<Vec<Platform>, Failure> {
        if self.args.force || self.args.dry_run {
            return Ok(platforms.to_vec());
        }
        if self.args.nobuild {
            return Ok(Vec::new());
        }
        let mut missing = Vec::new();
        for platform in platforms {
            let presence = package::presence(reference, platform, &self.origins, &self.progress)?;
            self.progress.clear();
            match presence {
                Presence::Here => say(self.loudness, &format!("`{reference}` is in the cache for {platform}")),
                Presence::There if self.args.pull => self.pull(reference, platform)?,
                Presence::There => say(self.loudness, &format!("`{reference}` is in its registry for {platform}")),
                Presence::Nowhere => missing.push(platform.clone()),
            }
        }
        Ok(missing)
    }

    fn pull(&self, reference: &Reference, platform: &Platform) -> Result<(), Failure> {
        let asked = Asked { reference: reference.clone(), platforms: vec![platform.clone()] };
        system::pull(&[asked], &self.origins, &self.progress)?;
        self.progress.clear();
        say(self.loudness, &format!("pulled `{reference}` for {platform}"));
        Ok(())
    }

    fn build(
        &self,
        package: &Package,
        reference: &Reference,
        platforms: &[Platform],
    ) -> Result<Option<ExitCode>, Failure> {
        let builder = match self.builder {
            Some(builder) => builder,
            None => {
                let paths = std::env::var_os("PATH").unwrap_or_default();
                Builder::find(&paths, std::env::var_os("BUILDKIT_HOST").as_deref())?
            }
        };
        let shown: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        say(self.loudness, &format!("building `{reference}` for {} with `{}`", shown.join(", "), builder.program()));
        let options = self.options(builder);
        let outcome = package::build(package, reference, platforms, (&options, &self.origins.cache), &self.progress)?;
        match outcome {
            BuildOutcome::Kept => {
                say(self.loudness, &format!("`{reference}` is in the cache"));
                Ok(None)
            }
            BuildOutcome::Planned(commands) => {
                for words in commands {
                    let words: Vec<String> = words.iter().map(|word| quoted(&word.to_string_lossy())).collect();
                    report::print(&format!("{}\n", words.join(" ")))?;
                }
                Ok(None)
            }
            BuildOutcome::Failed { platform, status } => {
                let message = format!("`{}` failed to build `{reference}` for {platform}: {status}", builder.program());
                Failure::new(ErrorKind::Io, message).print();
                Ok(Some(code_of(status)))
            }
        }
    }

    fn options(&self, builder: Builder) -> BuildOptions {
        let PkgBuild { dockerfile, build_arg_file, progress, ssh, dry_run, sbom_scanner, .. } = self.args;
        let naming = self.naming;
        let either = |yes: bool, no: bool| if yes || no { Some(yes) } else { None };
        BuildOptions {
            builder,
            dockerfile: dockerfile.clone(),
            build_arg_files: build_arg_file.clone(),
            network: either(naming.network, naming.nonetwork),
            cache: either(naming.enable_cache, naming.disable_cache),
            scan: match sbom_scanner.as_deref() {
                None | Some("") => Scan::Default,
                Some("false") => Scan::No,
                Some(image) => Scan::By(image.to_owned()),
            },
            progress: progress.clone(),
            ssh: ssh.clone(),
            dry_run: *dry_run,
        }
    }

    /// Pushes what is in the cache, then the index of all platforms that the registry has.
    fn push(&self, package: &Package, reference: &Reference, platforms: &[Platform]) -> Result<(), Failure> {
        let mut here = Vec::new();
        for platform in platforms {
            let presence = package::presence(reference, platform, &self.origins, &self.progress)?;
            match presence {
                Presence::Here => here.push(platform.clone()),
                Presence::There => {}
                Presence::Nowhere => {
                    let message = format!("`{reference}` is not in the cache for {platform}");
                    let hint = "build it with `lkit pkg build`, or leave the platform away";
                    return Err(Failure::new(ErrorKind::ImageNotFound, message).hint(hint));
                }
            }
        }
        package::push_platforms(reference, &here, &self.origins, &self.progress)?;
        let release = self.args.release.clone();
        let release = if release.is_some() { release } else { package.commit_tag()? };
        push_index(package, release.as_deref(), (&self.origins, &self.progress, self.loudness))
    }
}

/// Pushes the index of all platforms that the registry has, also as a release.
fn push_index(
    package: &Package,
    release: Option<&str>,
    (origins, progress, loudness): (&Origins, &Progress, Loudness),
) -> Result<(), Failure> {
    let name = reference(&package.canonical())?;
    let index = package::push_index(&name, package.arches(), origins, progress)?;
    progress.clear();
    let platforms: Vec<String> = index.platforms.iter().map(ToString::to_string).collect();
    say(loudness, &format!("pushed `{name}` for {}", platforms.join(", ")));
    if let Some(tag) = release {
        package::check_push(package)?;
        let release = reference(&crate::oci::expanded(&package.release(tag)))?;
        match package::release(&release, &index, origins, progress)? {
            true => say(loudness, &format!("released as `{release}`")),
            false => say(loudness, &format!("`{release}` is in its registry already, and stays")),
        }
    }
    Ok(())
}

fn say(loudness: Loudness, text: &str) {
    if loudness >= Loudness::Normal {
        report::say(&format!("{text}\n"));
    }
}

fn reference(text: &str) -> Result<Reference, Failure> {
    let wrong = |error| Failure::new(ErrorKind::Spec, format!("`{text}` names no image: {error}"));
    text.parse().map_err(wrong)
}

/// The exit code of a builder; one that a signal ended has 128 and more, as in a shell.
fn code_of(status: ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(number).unwrap_or(1))
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
