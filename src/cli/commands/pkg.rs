//! `lkit pkg`: what LinuxKit packages are called, and building and pushing them.

mod builder;

use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

use crate::base::{ErrorKind, Platform};
use crate::cli::args::{self, BuilderTask, PkgBuild, PkgCommand, PkgNaming, PkgPlace};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::oci::Reference;
use crate::serve::Interrupts;
use crate::system::package::{
    Bases, BuildOptions, BuildOutcome, Builder, Care, DockerBuilder, Login, Naming, Package, Presence, Scan,
};
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
        PkgCommand::RemoteTag { from, to, place } => {
            let [from, to] = [from, to].map(|text| reference(&text));
            let (from, to, progress) = (from?, to?, Progress::new(loudness));
            let is_new = package::remote_tag(&from, &to, &origins(place)?, &progress)?;
            progress.clear();
            say(loudness, &format!("`{to}` is {}`{from}`", if is_new { "now " } else { "already " }));
            Ok(ExitCode::SUCCESS)
        }
        PkgCommand::Builder { task, platforms, builder } => {
            let (builder, docker) = builder::chosen(&builder)?;
            let own = vec![Platform::host().to_string()];
            let platforms = if platforms.is_empty() { own } else { platforms };
            let care = match task {
                BuilderTask::Du => Care::Usage { verbose: loudness > Loudness::Normal },
                BuilderTask::Prune => Care::Prune,
            };
            let ended = package::look_after(builder, &docker, &platforms, care)?;
            Ok(ended.map_or(ExitCode::SUCCESS, code_of))
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
    Ok(Settings::of_sources(args::Sources { cache, mirror, ca, ..args::Sources::default() })?.origins)
}

fn build_all(args: &PkgBuild, naming: &PkgNaming, loudness: Loudness) -> Result<ExitCode, Failure> {
    if args.release.is_some() && !args.manifest {
        let message = "a release is an image index, and `--manifest=false` pushes none";
        return Err(Failure::usage(message).hint("leave one of the two out"));
    }
    if args.release.is_some() && !args.push {
        return Err(Failure::usage("`--release` is for what is pushed").hint("add `--push`"));
    }
    let packages = packages(&args.dirs, naming)?;
    let PkgPlace { cache, mirror, ca } = &args.place;
    let place = PkgPlace { cache: cache.clone(), mirror: mirror.clone(), ca: ca.clone() };
    builder::check(&args.builder)?;
    let work = Work { args, naming, origins: origins(place)?, progress: Progress::new(loudness), loudness };
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

/// What is done for each package.
struct Work<'a> {
    args: &'a PkgBuild,
    naming: &'a PkgNaming,
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
        if self.args.docker {
            package::load_into_docker(&reference, &platforms, &self.origins, &self.progress)?;
            self.progress.clear();
            say(self.loudness, &format!("docker has `{reference}`"));
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
                Presence::There if self.args.pull || self.args.docker => self.pull(reference, platform)?,
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
        let (builder, docker) = builder::chosen(&self.args.builder)?;
        let shown: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        say(self.loudness, &format!("building `{reference}` for {} with `{}`", shown.join(", "), builder.program()));
        let options = self.options(builder, docker)?;
        let outcome = package::build(package, reference, platforms, (&options, &self.origins), &self.progress)?;
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

    fn options(&self, builder: Builder, docker: DockerBuilder) -> Result<BuildOptions, Failure> {
        let PkgBuild { dockerfile, build_arg_file, progress, ssh, dry_run, sbom_scanner, .. } = self.args;
        // The text may have a password in it.
        let login =
            |text: &String| text.parse::<Login>().map_err(|why| Failure::usage(format!("--registry-creds: {why}")));
        let naming = self.naming;
        let either = |yes: bool, no: bool| if yes || no { Some(yes) } else { None };
        Ok(BuildOptions {
            builder,
            docker,
            bases: match (self.args.precache_images, self.args.ignore_cached) {
                (true, _) => Bases::Pulled,
                (_, true) => Bases::Ignored,
                _ => Bases::Cached,
            },
            logins: self.args.registry_creds.iter().map(login).collect::<Result<_, _>>()?,
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
        })
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
        if !self.args.manifest {
            say(self.loudness, &format!("pushed `{reference}` for each platform, without an image index"));
            return Ok(());
        }
        let release = self.args.release.clone();
        let release = if release.is_some() { release } else { package.commit_tag()? };
        push_index(package, release.as_deref(), (&self.origins, &self.progress, self.loudness))?;
        if let Some(tag) = release.filter(|_| self.args.docker) {
            let release = self::reference(&crate::oci::expanded(&package.release(&tag)))?;
            package::tag_in_docker(reference, &release, platforms)?;
        }
        Ok(())
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
