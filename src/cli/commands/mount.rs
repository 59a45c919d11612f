//! `lkit mount`: the system as files below a directory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::shell_line_on;
use crate::cli::early::{Beginning, Begun};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::{Settings, artifact_mode};
use crate::cli::watching::{ImageFiles, Watched};
use crate::cli::{args, artifacts, enclave, server, specs};
use crate::output::Catalog;
use crate::serve::background::Ready;
use crate::serve::{Files, Interrupts, MountOptions, Session, Status, check_mount, mount, prepare, sweep};
use crate::system::{Early, System};

/// Mounts in the foreground, or starts the server and waits until it serves.
pub fn run(args: args::Mount, loudness: Loudness) -> Result<ExitCode, Failure> {
    server::start(!args.foreground, |ready| serve(args, loudness, ready))
}

fn serve(mut args: args::Mount, loudness: Loudness, ready: Option<Ready>) -> Result<ExitCode, Failure> {
    let artifact_mode = args.artifact_mode.as_deref().map(artifact_mode).transpose()?;
    let (names, dir) = specs_and_dir(std::mem::take(&mut args.paths), args.image.is_some())?;
    let args::Mount { allow_other, no_exec, no_wait, .. } = args;
    let options = MountOptions { allow_other, no_exec, artifact_mode, can_change: args.watching.watch };
    let mut settings = Settings::new(std::mem::take(&mut args.system))?.with_root(args.root);
    args.eif.apply(&mut settings);
    let recording = args.reads.apply(&mut settings)?;
    // Before anything is fetched: what cannot be mounted need not be there.
    check_mount(options)?;
    prepare(&dir)?;
    let name = args.image.clone().unwrap_or_else(|| settings.name(&specs::inputs(&names)));
    let (log, ready) = (args.log.clone(), Mutex::new(ready));
    let mounting = Arc::new(Mounting { name, dir, options, no_wait, loudness, log, ready });
    let beginning = Beginning::new();
    let begin = mounting.clone();
    settings.options.on_early = Some(beginning.with(move |early| begin.begin(early)));
    let loaded = load(&args, &names, settings, &mounting.progress())?;
    let begun = beginning.take()?;
    let is_told = no_wait && begun.is_some();
    let Mounted { session, interrupts } = match (begun, loaded.whole) {
        (Some(Begun { completion, serving }), Some(whole)) => {
            serving.session.shown().complete(loaded.files, completion, whole);
            serving
        }
        _ => mounting.mount(loaded.files, options)?,
    };
    let shown = session.shown();
    match loaded.watched {
        Some(watched) => watched.follow(move |files| shown.replace(files))?,
        None => shown.settle(),
    }
    if !is_told {
        mounting.tell()?;
    }
    let ended = session.wait(interrupts);
    recording.finish()?;
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// How and where something is mounted.
struct Mounting {
    name: String,
    dir: PathBuf,
    options: MountOptions,
    no_wait: bool,
    loudness: Loudness,
    log: Option<PathBuf>,
    /// Set in the background until the mount is there: then lkit tells the process that started this one, and that process
    /// exits.
    ready: Mutex<Option<Ready>>,
}

/// A mount, with the signals that end it.
struct Mounted {
    session: Session,
    interrupts: Interrupts,
}

impl Mounting {
    /// The progress of a load, which nobody watches who does not wait for it.
    fn progress(&self) -> Progress {
        if self.no_wait { Progress::without_bars(self.loudness) } else { Progress::new(self.loudness) }
    }

    fn mount(&self, files: Files, options: MountOptions) -> Result<Mounted, Failure> {
        // Before, a signal just ends us: nothing is mounted, and what was half fetched has no name.
        let interrupts = Interrupts::catch()?;
        sweep();
        let session = mount(files, &self.dir, options)?;
        Ok(Mounted { session, interrupts })
    }

    /// Mounts what there is before all layers are indexed.
    fn begin(&self, early: &Early) -> Result<Mounted, Failure> {
        let files = Files::of(&early.catalog).with_counts(early.layers.clone());
        let mounted = self.mount(files, MountOptions { can_change: true, ..self.options })?;
        tracing::info!("kernel and command line can be read on `{}`; all else waits for layers", self.dir.display());
        if self.no_wait {
            self.tell()?;
        }
        Ok(mounted)
    }

    /// Tells that it is mounted, and leaves the terminal if it is served in the background.
    fn tell(&self) -> Result<(), Failure> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        let dir = self.dir.display();
        let umount = || format!("`{}`", shell_line_on(&["lkit", "umount"], &self.dir));
        let end = if ready.is_some() { umount() } else { "Ctrl-C".to_owned() };
        let progress = Progress::new(self.loudness);
        progress.finished(&format!("`{}` is mounted on `{dir}`; {end} ends it", self.name));
        if let Some(ready) = ready {
            ready.announce(self.log.as_deref())?;
        }
        server::tell_supervisor();
        Ok(())
    }
}

/// What is mounted when all is loaded.
struct Loaded {
    files: Files,
    watched: Option<Watched<Files>>,
    /// The catalog of a system.
    whole: Option<Catalog>,
}

fn load(args: &args::Mount, names: &[PathBuf], mut settings: Settings, progress: &Progress) -> Result<Loaded, Failure> {
    let has_log = args.log.is_some();
    match (&args.image, &args.kernel_image, artifacts::reference(names)?) {
        (Some(image), None, _) => {
            let image = enclave::reference("--image", image)?;
            let (found, watched) = args.watching.load_image(&image, &settings, progress, has_log)?;
            let watched = watched.map(|watched| watched.map(files_of_image));
            Ok(Loaded { files: files_of_image(found), watched, whole: None })
        }
        (None, _, Some(_)) if args.watching.watch || args.root.is_some() => {
            Err(Failure::usage("`--watch` and `--root` are for specs, and not for artifacts of a registry")
                .hint("leave them out"))
        }
        (None, _, Some(reference)) => {
            Ok(Loaded { files: artifacts::files(&reference, &settings, progress)?.0, watched: None, whole: None })
        }
        (image, kernel_image, _) => {
            let images = args::EifImages { image: image.clone(), kernel_image: kernel_image.clone() };
            let inputs = images.apply(names, &mut settings)?;
            let (system, watched) = args.watching.load(inputs, &settings, progress, has_log)?;
            let status = watched.as_ref().map(Watched::status);
            let files = files_of(&system, status.clone());
            let watched = watched.map(|watched| watched.map(move |system| files_of(&system, status.clone())));
            Ok(Loaded { files, watched, whole: Some(system.catalog) })
        }
    }
}

/// The specs, none where an image stands in their place, and the directory behind them.
fn specs_and_dir(mut paths: Vec<PathBuf>, has_image: bool) -> Result<(Vec<PathBuf>, PathBuf), Failure> {
    match (paths.pop(), paths.is_empty(), has_image) {
        (Some(dir), is_last, has_image) if is_last == has_image => Ok((paths, dir)),
        (_, _, true) => Err(Failure::usage("an image is mounted alone, without a spec")
            .hint("write `lkit mount --image REFERENCE DIR`")),
        _ => Err(Failure::usage("a spec and a directory to mount on are needed").hint("write `lkit mount SPEC DIR`")),
    }
}

/// All that is shown of a system.
fn files_of(system: &System, status: Option<Status>) -> Files {
    let files = Files::of(&system.catalog).with_counts(system.layers.clone());
    match status {
        Some(status) => files.with_status(status),
        None => files,
    }
}

/// The files of one image as they are in a container, apart from what a runtime mounts over them.
fn files_of_image((image, tree): ImageFiles) -> Files {
    Files::of_image(Arc::new(tree), image.digest())
}
