//! `lkit mount`: the system as files below a directory.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, wire};
use crate::extent::ReadError;
use crate::output::{Catalog, LeftOut};
use crate::serve::background::{self, Ready, Started};
use crate::serve::{Artifact, Files, Interrupts, MountOptions, mount};

/// Mounts in the foreground, or starts the server and waits until it serves.
pub fn run(args: args::Mount, loudness: Loudness) -> Result<ExitCode, Failure> {
    if args.foreground || args.ready_fd.is_some() {
        return serve(args, loudness);
    }
    match background::start(server_arguments)? {
        Started::Ready => Ok(ExitCode::SUCCESS),
        Started::Failed(code) => Ok(ExitCode::from(code)),
    }
}

/// The arguments of this process, with the pipe right behind the command's name.
fn server_arguments(descriptor: i32) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = arguments.iter().position(|word| word == "mount").map_or(0, |at| at + 1);
    arguments.insert(command, format!("--ready-fd={descriptor}").into());
    arguments
}

fn serve(args: args::Mount, loudness: Loudness) -> Result<ExitCode, Failure> {
    let args::Mount { mut paths, sources, .. } = args;
    let dir = paths.pop().ok_or_else(|| Failure::usage("a spec and a directory are needed"))?;
    let progress = Progress::new(loudness);
    let settings = Settings::new(sources, &paths)?;
    let tell = |warning: &str| {
        report::warn(warning);
        if args.log.is_some() {
            tracing::warn!("{warning}");
        }
    };
    let files = files_of(wire::load(&paths, &settings, &progress)?.catalog, &tell);
    // Before, a signal just ends us: nothing is mounted, and what was half fetched has no name.
    let interrupts = Interrupts::catch()?;
    let session = mount(files, &dir, MountOptions { allow_other: args.allow_other })?;
    if let Some(descriptor) = args.ready_fd {
        Ready::open(descriptor)?.announce(args.log.as_deref())?;
    }
    session.wait(interrupts)?;
    Ok(ExitCode::SUCCESS)
}

/// A catalog's artifacts and its root, owned by whoever runs this; `tell` hears what cannot be shown, and why.
pub fn files_of(catalog: Catalog, tell: &dyn Fn(&str)) -> Files {
    let catalog = Arc::new(catalog);
    let tree = catalog.system().tree.clone();
    let (shown, left_out) = catalog.shown();
    warnings(&left_out).iter().for_each(|warning| tell(warning));
    let artifacts = shown.into_iter().map(|artifact| {
        let catalog = catalog.clone();
        Artifact::new(artifact.name.clone(), move || {
            let opened = catalog.open(&artifact);
            opened.map_err(|error| ReadError::wrap(format!("`{}` cannot be shown", artifact.name), error))
        })
    });
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Files::new(artifacts.collect(), Some(tree), owner)
}

/// What is not shown, a line for each reason.
fn warnings(left_out: &[LeftOut]) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<&str>)> = Vec::new();
    for LeftOut { artifact, obstacle } in left_out {
        let reason = obstacle.to_string();
        match reasons.iter_mut().find(|(other, _)| *other == reason) {
            Some((_, names)) => names.push(&artifact.name),
            None => reasons.push((reason, vec![&artifact.name])),
        }
    }
    reasons.into_iter().map(|(reason, names)| format!("not shown: {}: {reason}", names.join(" "))).collect()
}
