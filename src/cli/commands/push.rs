//! `lkit push`: artifacts into clouds.

mod aws;
mod azure;
mod elsewhere;
mod gcp;
mod openstack;
mod parcel;
mod registry;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::parcel::Parcel;
use crate::cli::args::{Push, PushCommand};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::push::{Step, Surroundings};
use crate::serve::{Exported, Interrupts};

/// Pushes what was asked for.
pub fn run(args: Push, loudness: Loudness) -> Result<ExitCode, Failure> {
    let progress = Arc::new(Progress::new(loudness));
    match args.command {
        PushCommand::S3(args) => aws::put(args, &progress),
        PushCommand::Aws(args) => aws::image(*args, &progress),
        PushCommand::Gcp(args) => gcp::image(*args, &progress),
        PushCommand::Azure(args) => azure::push(*args, &progress),
        PushCommand::Openstack(args) => openstack::push(*args, &progress),
        PushCommand::Registry(args) => registry::push(args, &progress),
        PushCommand::Elsewhere(words) => Err(elsewhere::refusal(&words)),
    }
}

/// Catches signals from now on, which end the push, and collects what the environment says for the library.
fn surroundings(parcel: &Parcel, progress: &Arc<Progress>) -> Result<(Interrupts, Arc<Surroundings>), Failure> {
    let interrupts = Interrupts::catch()?;
    let progress = progress.clone();
    let surroundings = Surroundings {
        variable: Box::new(|name| std::env::var(name).ok()),
        home: parcel.settings.origins.home.clone(),
        trust: parcel.settings.origins.trust.clone(),
        ending: Interrupts::ending(),
        told: Box::new(move |step| match step {
            Step::Sent { name, done, size } => progress.exported(Exported { name, done, size }),
            Step::Waiting { on, percent } => progress.waiting(on, percent),
            Step::Noted(line) => progress.ready(line),
        }),
    };
    Ok((interrupts, Arc::new(surroundings)))
}

fn limit(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Prints what was pushed: JSON, or a line.
fn print(json: Option<Value>, line: &str) -> Result<ExitCode, Failure> {
    report::print(&json.map_or_else(|| format!("{line}\n"), |json| format!("{json}\n")))?;
    Ok(ExitCode::SUCCESS)
}
