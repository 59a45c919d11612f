//! `lkit push registry`: the files of a format as one artifact in a registry.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::{parcel, print};
use crate::cli::args::{PushRegistry, Pushing};
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::Settings;
use crate::cli::{artifacts, specs};
use crate::extent::SharedSource;
use crate::output::{Artifact, Format};
use crate::serve::Interrupts;
use crate::system;

/// Pushes the files of specs, or a file.
pub fn push(args: PushRegistry, progress: &Progress) -> Result<ExitCode, Failure> {
    let PushRegistry { mut what, format, pushing: Pushing { dry_run, json, system } } = args;
    let target = what.pop().filter(|_| !what.is_empty());
    let target = target.ok_or_else(|| {
        Failure::usage("what to push and a reference to push it to are needed")
            .hint("write `lkit push registry SPEC REGISTRY/REPOSITORY:TAG`")
    })?;
    let target = artifacts::parsed(&target.to_string_lossy())?;
    let settings = Settings::new(system)?;
    let (files, lock) = files(&what, &format, &settings, progress)?;
    let mut rows = Vec::new();
    for file in &files {
        rows.push((file.name(), file.open()?.size()));
    }
    if dry_run {
        let lines = rows.iter().map(|(name, size)| format!("blob of {size} bytes for `{name}`\n"));
        let lock = if lock.is_some() { "\nmanifest of its lock, which refers to it" } else { "" };
        return print(None, &format!("{}manifest `{target}` of them{lock}", lines.collect::<String>()));
    }
    let _interrupts = Interrupts::catch()?;
    let pushed = system::push_artifacts(&files, &target, lock, &settings.origins, progress);
    progress.clear();
    let pushed = pushed?;
    let json = json.then(|| {
        let files: Vec<Value> = rows.iter().map(|(name, size)| json!({"name": name, "size": size})).collect();
        json!({"reference": target.to_string(), "digest": pushed.digest.to_string(), "files": files,
               "size": pushed.size, "sent": pushed.sent, "lock": pushed.lock.map(|lock| lock.to_string())})
    });
    print(json, &format!("{}{target}@{}", artifacts::SCHEME, pushed.digest))
}

/// The files to push, each laid out, and the lock of what they are made of.
fn files(
    what: &[PathBuf],
    format: &str,
    settings: &Settings,
    progress: &Progress,
) -> Result<(Vec<Artifact>, Option<SharedSource>), Failure> {
    let format = Format::named(format)?;
    if let [file] = what
        && !parcel::is_spec(file)
    {
        let (name, source) = parcel::opened(file)?;
        return Ok((vec![Artifact::ready(name, source)], None));
    }
    let lock = system::lock_beside(&specs::inputs(what))?;
    Ok((specs::load(what, settings, progress)?.catalog.written(format)?, lock))
}
