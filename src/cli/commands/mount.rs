//! `lkit mount`: the system as files below a directory.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::{Settings, artifact_mode};
use crate::cli::watching::{ImageFiles, Watched};
use crate::cli::{args, artifacts, enclave, server, specs};
use crate::serve::background::Ready;
use crate::serve::{Files, Interrupts, MountOptions, Status, check_mount, mount, prepare, sweep};
use crate::system::System;

/// Mounts in the foreground, or starts the server and waits until it serves.
pub fn run(args: args::Mount, loudness: Loudness) -> Result<ExitCode, Failure> {
    server::start(!args.foreground, |ready| serve(args, loudness, ready))
}

fn serve(args: args::Mount, loudness: Loudness, ready: Option<Ready>) -> Result<ExitCode, Failure> {
    let args::Mount { paths, image, sources, allow_other, no_exec, .. } = args;
    let artifact_mode = args.artifact_mode.as_deref().map(artifact_mode).transpose()?;
    let (names, dir) = specs_and_dir(paths, image.is_some())?;
    let options = MountOptions { allow_other, no_exec, artifact_mode, can_change: args.watching.watch };
    let progress = Progress::new(loudness);
    let mut settings = Settings::new(sources)?.with_root(args.root);
    args.eif.apply(&mut settings);
    let recording = args.reads.apply(&mut settings)?;
    // Before anything is fetched: what cannot be mounted need not be there.
    check_mount(options)?;
    prepare(&dir)?;
    let has_log = args.log.is_some();
    let (files, watched) = match (&image, &args.kernel_image, artifacts::reference(&names)?) {
        (Some(image), None, _) => {
            let image = enclave::reference("--image", image)?;
            let (found, watched) = args.watching.load_image(&image, &settings, &progress, has_log)?;
            (files_of_image(found), watched.map(|watched| watched.map(files_of_image)))
        }
        (None, _, Some(_)) if args.watching.watch || args.root.is_some() => {
            return Err(Failure::usage("`--watch` and `--root` are for specs, and not for artifacts of a registry")
                .hint("leave them out"));
        }
        (None, _, Some(reference)) => (artifacts::files(&reference, &settings, &progress)?.0, None),
        (image, kernel_image, _) => {
            let images = args::EifImages { image: image.clone(), kernel_image: kernel_image.clone() };
            let inputs = images.apply(&names, &mut settings)?;
            let (system, watched) = args.watching.load(inputs, &settings, &progress, has_log)?;
            let status = watched.as_ref().map(Watched::status);
            (
                files_of(&system, status.clone()),
                watched.map(|watched| watched.map(move |system| files_of(&system, status.clone()))),
            )
        }
    };
    // Before, a signal just ends us: nothing is mounted, and what was half fetched has no name.
    let interrupts = Interrupts::catch()?;
    sweep();
    let session = mount(files, &dir, options)?;
    if let Some(watched) = watched {
        let shown = session.shown();
        watched.follow(move |files| shown.replace(files))?;
    }
    let end = if ready.is_some() { format!("`lkit umount {}`", dir.display()) } else { "Ctrl-C".to_owned() };
    let name = image.clone().unwrap_or_else(|| settings.name(&specs::inputs(&names)));
    progress.finished(&format!("`{name}` is mounted on `{}`; {end} ends it", dir.display()));
    if let Some(ready) = ready {
        ready.announce(args.log.as_deref())?;
    }
    server::tell_supervisor();
    let ended = session.wait(interrupts);
    recording.finish()?;
    ended?;
    Ok(ExitCode::SUCCESS)
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
