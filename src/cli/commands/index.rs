//! `lkit index`: layer indexes that are shared through registries.

use std::process::ExitCode;

use serde_json::{Value, json};

use crate::base::shown_size;
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, specs};
use crate::oci::Reference;
use crate::system::{self, IndexFound, IndexPlace, IndexPushed, Soci, Subjects};

/// Pushes, pulls or lists the indexes of images.
pub fn run(args: args::Index, loudness: Loudness) -> Result<ExitCode, Failure> {
    let progress = Progress::new(loudness);
    match args.command {
        args::IndexCommand::Push { to, soci, tag, reads, images } => {
            let (subjects, settings, as_json) = meant(images)?;
            let settings = settings.with_reads(reads.as_deref())?;
            let soci = format_of(soci.as_deref(), tag)?;
            let to = to.as_deref().map(|to| repository("--to", to)).transpose()?;
            let pushed = system::push_indexes(&subjects, &settings.origins, (to.as_ref(), soci.as_ref()), &progress)?;
            print(&progress, as_json, &pushed, pushed_line, pushed_json)?;
        }
        args::IndexCommand::Pull { from, images } => {
            let (subjects, settings, as_json) = meant(images)?;
            let found = system::pull_indexes(&subjects, &settings.origins, &place(from)?, &progress)?;
            print(&progress, as_json, &found, found_line, found_json)?;
        }
        args::IndexCommand::Ls { from, images } => {
            let (subjects, settings, as_json) = meant(images)?;
            let found = system::list_indexes(&subjects, &settings.origins, &place(from)?, &progress)?;
            print(&progress, as_json, &found, found_line, found_json)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn meant(images: args::Images) -> Result<(Subjects, Settings, bool), Failure> {
    let subjects = match &images.image {
        Some(name) => Subjects::Image(Box::new(repository("--image", name)?)),
        None => Subjects::Specs(specs::inputs(&images.specs)),
    };
    Ok((subjects, Settings::new(images.sources)?, images.json))
}

fn format_of(soci: Option<&str>, tag: Option<String>) -> Result<Option<Soci>, Failure> {
    match (soci, tag) {
        (None, _) => Ok(None),
        (Some("v1"), None) => Ok(Some(Soci::Beside)),
        (Some("v1"), Some(_)) => Err(Failure::usage("--tag: with `--soci v1` the image stays as it is")),
        (Some(_), Some(tag)) => Ok(Some(Soci::Named(tag))),
        (Some(_), None) => Err(Failure::usage("--soci: v2 makes another image").hint("name its tag with `--tag TAG`")),
    }
}

fn place(from: Option<String>) -> Result<IndexPlace, Failure> {
    Ok(match from {
        None => IndexPlace::Beside,
        Some(from) => IndexPlace::In(Box::new(repository("--from", &from)?)),
    })
}

/// A repository that an option names.
///
/// # Errors
/// When the text is none.
pub fn repository(option: &str, text: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{option}: `{text}` is no image reference: {error}")))
}

/// Prints a line for each, or all as JSON.
fn print<T>(
    progress: &Progress,
    as_json: bool,
    all: &[T],
    line: fn(&T) -> String,
    value: fn(&T) -> Value,
) -> Result<(), Failure> {
    progress.clear();
    if as_json {
        return report::print(&format!("{:#}\n", all.iter().map(value).collect::<Value>()));
    }
    report::print(&all.iter().map(line).collect::<String>())
}

fn pushed_line(pushed: &IndexPushed) -> String {
    let IndexPushed { image, repository, digest, bytes } = pushed;
    let place = format!("{}/{}@{digest}", repository.registry(), repository.repository());
    format!("{image}: {} in `{place}`\n", shown_size(*bytes))
}

fn pushed_json(pushed: &IndexPushed) -> Value {
    let IndexPushed { image, repository, digest, bytes } = pushed;
    let repository = format!("{}/{}", repository.registry(), repository.repository());
    json!({"image": image.to_string(), "repository": repository, "digest": digest.to_string(), "bytes": bytes})
}

fn found_line(found: &IndexFound) -> String {
    let IndexFound { image, repository, digest, summaries, parts } = found;
    let place = format!("{}/{}@{digest}", repository.registry(), repository.repository());
    format!("{image}: {} and {} in `{place}`\n", shown_size(*summaries), shown_size(*parts))
}

fn found_json(found: &IndexFound) -> Value {
    let IndexFound { image, repository, digest, summaries, parts } = found;
    let repository = format!("{}/{}", repository.registry(), repository.repository());
    json!({
        "image": image.to_string(),
        "repository": repository,
        "digest": digest.to_string(),
        "summaries": summaries,
        "parts": parts,
    })
}
