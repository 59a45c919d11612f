//! `lkit mount`: the system as files below a directory.

use std::process::ExitCode;

use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::{Settings, artifact_mode};
use crate::cli::{args, specs};
use crate::serve::background::{self, Ready, Side, Started};
use crate::serve::{Files, Interrupts, MountOptions, mount, sweep};

/// Mounts in the foreground, or starts the server and waits until it serves.
pub fn run(args: args::Mount, loudness: Loudness) -> Result<ExitCode, Failure> {
    if args.foreground {
        return serve(args, loudness, None);
    }
    match background::split()? {
        Side::Server(ready) => serve(args, loudness, Some(ready)),
        Side::Launcher(Started::Ready) => Ok(ExitCode::SUCCESS),
        Side::Launcher(Started::Failed(code)) => Ok(ExitCode::from(code)),
    }
}

fn serve(args: args::Mount, loudness: Loudness, ready: Option<Ready>) -> Result<ExitCode, Failure> {
    let args::Mount { mut paths, sources, .. } = args;
    let artifact_mode = args.artifact_mode.as_deref().map(artifact_mode).transpose()?;
    let dir = paths.pop().ok_or_else(|| Failure::usage("a spec and a directory are needed"))?;
    let progress = Progress::new(loudness);
    let settings = Settings::new(sources)?;
    let files = Files::of(&specs::load(&paths, &settings, &progress)?.catalog);
    // Before, a signal just ends us: nothing is mounted, and what was half fetched has no name.
    let interrupts = Interrupts::catch()?;
    sweep();
    let options = MountOptions { allow_other: args.allow_other, artifact_mode, ..MountOptions::default() };
    let session = mount(files, &dir, options)?;
    if let Some(ready) = ready {
        ready.announce(args.log.as_deref())?;
    }
    session.wait(interrupts)?;
    Ok(ExitCode::SUCCESS)
}
