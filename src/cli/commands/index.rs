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
use crate::system::{self, IndexFound, IndexPlace, IndexPushed, IndexTarget, Soci, Subjects};

/// Pushes, pulls or lists the indexes of images.
pub fn run(args: args::Index, loudness: Loudness) -> Result<ExitCode, Failure> {
    let progress = Progress::new(loudness);
    match args.command {
        args::IndexCommand::Push { to, soci, tag, reads, images } => {
            let (subjects, settings, as_json) = meant(images)?;
            let settings = settings.with_reads(reads.as_deref())?;
            let soci = format_of(soci.as_deref(), tag)?;
            let to = to.as_deref().map(|to| target(to, soci.as_ref())).transpose()?;
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
    Ok((subjects, Settings::of_sources(images.sources)?, images.json))
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

fn target(to: &str, soci: Option<&Soci>) -> Result<IndexTarget, Failure> {
    match (to.strip_prefix("oci:"), soci) {
        (None, _) => Ok(IndexTarget::Repository(Box::new(repository("--to", to)?))),
        (Some(path), None) => Ok(IndexTarget::Layout(path.into())),
        (Some(_), Some(_)) => Err(Failure::usage("--soci: its indexes are found in registries alone")
            .hint("leave out `--soci`, or name a repository with `--to`")),
    }
}

fn place(from: Option<String>) -> Result<IndexPlace, Failure> {
    Ok(match from {
        None => IndexPlace::Beside,
        Some(from) if from.starts_with("oci:") => {
            let hint =
                "indexes in a layout are found beside its images: name it with `--layout DIR`, and leave out `--from`";
            return Err(Failure::usage("--from: indexes are looked for in a repository").hint(hint));
        }
        Some(from) => IndexPlace::In(Box::new(repository("--from", &from)?)),
    })
}

/// A repository that an option names.
///
/// # Errors
/// When the text is not a repository.
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
    let IndexPushed { image, target, digest, bytes } = pushed;
    format!("{image}: {} in `{target}@{digest}`\n", shown_size(*bytes))
}

fn pushed_json(pushed: &IndexPushed) -> Value {
    let IndexPushed { image, target, digest, bytes } = pushed;
    let (key, place) = place_json(target);
    json!({"image": image.to_string(), key: place, "digest": digest.to_string(), "bytes": bytes})
}

fn found_line(found: &IndexFound) -> String {
    let IndexFound { image, target, digest, summaries, parts, reads } = found;
    let [summaries, parts] = [summaries, parts].map(|bytes| shown_size(*bytes));
    match reads {
        None => format!("{image}: {summaries} and {parts} in `{target}@{digest}`\n"),
        Some(_) => format!("{image}: {summaries}, {parts} and a read list in `{target}@{digest}`\n"),
    }
}

fn found_json(found: &IndexFound) -> Value {
    let IndexFound { image, target, digest, summaries, parts, reads } = found;
    let (key, place) = place_json(target);
    json!({
        "image": image.to_string(),
        key: place,
        "digest": digest.to_string(),
        "summaries": summaries,
        "parts": parts,
        "reads": reads,
    })
}

/// What has an index, as a member of an object.
fn place_json(target: &IndexTarget) -> (&'static str, String) {
    match target {
        IndexTarget::Repository(_) => ("repository", target.to_string()),
        IndexTarget::Layout(path) => ("layout", path.display().to_string()),
    }
}
