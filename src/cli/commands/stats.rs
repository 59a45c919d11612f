//! `lkit stats`: what a mount has done so far.

use std::io::{self, Read as _};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

use crate::base::{ErrorKind, MIB, printable_line, shown_size};
use crate::blob::open_regular;
use crate::cli::args;
use crate::cli::report::{self, Failure};

/// The file of a mount that has the counts.
const FILE: &str = ".lkit/stats.json";
/// Longest file of counts in bytes: a layer takes some 200, and no spec has a hundred thousand.
const LONGEST: u64 = 32 * MIB;
/// Digits of a digest that tell layers apart in a table.
const SHORT: usize = 19;

/// Prints the counts of a mount.
pub fn run(args: &args::Stats) -> Result<ExitCode, Failure> {
    let text = read(&args.dir.join(FILE)).map_err(|error| failure(&args.dir, &error))?;
    if args.json {
        report::print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let counts: Value = serde_json::from_str(&text).map_err(|error| {
        Failure::caused(ErrorKind::Corrupt, format!("`{}` is no count of lkit", args.dir.join(FILE).display()), &error)
    })?;
    report::print(&table(&counts))?;
    Ok(ExitCode::SUCCESS)
}

/// The text of the counts; what else may be in their place is not waited for, and not read to its end.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = open_regular(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if read as u64 > LONGEST { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

fn failure(dir: &Path, error: &io::Error) -> Failure {
    let failure = Failure::caused(ErrorKind::Io, format!("cannot read the counts of `{}`", dir.display()), error);
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => {
            failure.hint("name a directory that `lkit mount` shows a system in")
        }
        _ => failure,
    }
}

fn table(counts: &Value) -> String {
    let number = |pointer: &str| counts.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let size = |pointer: &str| shown_size(number(pointer));
    let mut text = format!(
        "served   {} in {} reads\ndecoded  {}; {} pieces were in memory, {} were not\n\
         fetched  {} in {} requests; waited {} times, {} ms in all\nwritten  {}\n",
        size("/served/bytes"),
        number("/served/reads"),
        size("/decoded"),
        number("/hits"),
        number("/misses"),
        size("/fetched/bytes"),
        number("/fetched/requests"),
        number("/waits/count"),
        number("/waits/milliseconds"),
        size("/written"),
    );
    text.insert_str(0, &watched(&counts["watch"]));
    for layer in counts["layers"].as_array().into_iter().flatten() {
        let number = |pointer: &str| layer.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
        let digest = layer["digest"].as_str().unwrap_or_default();
        let line = format!(
            "layer {}: {} of {} decoded, {} fetched in {} requests\n",
            digest.get(..SHORT).unwrap_or(digest),
            shown_size(number("/decoded")),
            shown_size(number("/size")),
            shown_size(number("/fetched/bytes")),
            number("/fetched/requests"),
        );
        text.push_str(&line);
    }
    text
}

/// Which generation of a system is served that may change, and what is wrong with the next one.
fn watched(status: &Value) -> String {
    let Some(generation) = status["generation"].as_u64() else { return String::new() };
    let error = &status["error"];
    let Some(message) = error["message"].as_str() else { return format!("generation {generation}\n") };
    let place = error["place"].as_str().map(|place| format!("{place}: ")).unwrap_or_default();
    let message = format!("{place}{message}");
    format!("generation {generation}; the next one is not served: {}\n", printable_line(&message))
}
