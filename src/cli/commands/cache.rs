//! `lkit cache`: what is in the cache, and what can go; what comes and is shared is in `cached`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::cached;
use crate::base::{printable, shown_size};
use crate::blob::{Contents, Kept, Tally};
use crate::cli::args;
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::cache_dir;
use crate::system;

/// Digits of a digest that tell blobs apart in a table.
const SHORT: usize = 12;
const HEAD: [&str; 5] = ["NAME", "PLATFORM", "DIGEST", "SIZE", "USED"];

/// Lists, fills, shares or cleans the cache.
pub fn run(args: args::Cache, loudness: Loudness) -> Result<ExitCode, Failure> {
    let dir = cache_dir(args.cache)?;
    let open = |layouts: &[PathBuf]| system::store(&dir, layouts);
    let is_missing = !dir.exists();
    if is_missing && matches!(args.command, args::CacheCommand::Ls { .. } | args::CacheCommand::Clean { .. }) {
        report::warn(&format!("there is no cache `{}`", dir.display()));
    }
    match args.command {
        args::CacheCommand::Ls { json } if is_missing => list(&[], &Contents::default(), json)?,
        args::CacheCommand::Clean { .. } if is_missing => say_removed(&Contents::default()),
        args::CacheCommand::Ls { json } => {
            let store = open(&[])?;
            list(&store.kept()?, &store.contents()?, json)?;
        }
        args::CacheCommand::Pull(args) => return cached::pull(args, dir, &Progress::new(loudness)),
        args::CacheCommand::Push(args) => return cached::push(args, dir, &Progress::new(loudness)),
        args::CacheCommand::Import(args) => return cached::import(&args, &dir, &Progress::new(loudness)),
        args::CacheCommand::Export(args) => return cached::export_images(&args, dir, &Progress::new(loudness)),
        args::CacheCommand::Rm { references } => say_removed(&system::forget(&references, &open(&[])?)?),
        args::CacheCommand::Clean { all: true, .. } => say_removed(&open(&[])?.empty()?),
        args::CacheCommand::Clean { layout, .. } => say_removed(&open(&layout)?.clean()?),
    }
    Ok(ExitCode::SUCCESS)
}

fn say_removed(removed: &Contents) {
    report::say(&format!("removed {}; freed {}\n", counted(removed), shown_size(removed.bytes())));
}

fn list(kept: &[Kept], contents: &Contents, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return report::print(&format!("{:#}\n", to_json(kept, contents)));
    }
    let now = SystemTime::now();
    let rows: Vec<[String; 5]> = kept.iter().map(|kept| row(kept, now)).collect();
    let total = shown_size(contents.bytes());
    report::print(&format!("{}\n{} in all: {}\n", table(&rows), total, counted(contents)))
}

fn row(kept: &Kept, now: SystemTime) -> [String; 5] {
    let used = kept.used.map_or_else(|| "-".to_owned(), |used| ago(now.duration_since(used).unwrap_or_default()));
    let platforms = if kept.platforms.is_empty() { "-".to_owned() } else { kept.platforms.join(",") };
    let digest = kept.descriptor.digest.hex()[..SHORT].to_owned();
    [
        printable(kept.name.as_bytes()).to_string(),
        printable(platforms.as_bytes()).to_string(),
        digest,
        shown_size(kept.bytes),
        used,
    ]
}

/// Rows below their head, in columns.
fn table(rows: &[[String; 5]]) -> String {
    let head = HEAD.map(str::to_owned);
    let all = || [&head].into_iter().chain(rows);
    let widths: [usize; 5] =
        std::array::from_fn(|column| all().map(|row| row[column].chars().count()).max().unwrap_or_default());
    let line = |row: &[String; 5]| {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    all().map(line).collect()
}

/// How long ago something was, in the largest unit there is one of.
fn ago(age: Duration) -> String {
    let seconds = age.as_secs();
    let units = [("day", 24 * 3600), ("hour", 3600), ("minute", 60)];
    match units.into_iter().find(|(_, unit)| seconds >= *unit) {
        Some((name, unit)) if seconds / unit == 1 => format!("1 {name} ago"),
        Some((name, unit)) => format!("{} {name}s ago", seconds / unit),
        None => "just now".to_owned(),
    }
}

fn counted(contents: &Contents) -> String {
    let one = |tally: &Tally, one: &str, more: &str| {
        let what = if tally.files == 1 { one } else { more };
        format!("{} {what} ({})", tally.files, shown_size(tally.bytes))
    };
    let Contents { blobs, indexes, parts } = contents;
    format!("{}, {}, {}", one(blobs, "blob", "blobs"), one(indexes, "index", "indexes"), one(parts, "part", "parts"))
}

fn to_json(kept: &[Kept], contents: &Contents) -> Value {
    let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|age| age.as_secs());
    let image = |kept: &Kept| {
        json!({
            "name": kept.name,
            "platforms": kept.platforms,
            "digest": kept.descriptor.digest.to_string(),
            "size": kept.bytes,
            "used": kept.used.and_then(seconds),
        })
    };
    let tally = |tally: &Tally| json!({"files": tally.files, "bytes": tally.bytes});
    json!({
        "images": kept.iter().map(image).collect::<Vec<_>>(),
        "blobs": tally(&contents.blobs),
        "indexes": tally(&contents.indexes),
        "parts": tally(&contents.parts),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_their_largest_unit() {
        let rows =
            [(0, "just now"), (59, "just now"), (60, "1 minute ago"), (7300, "2 hours ago"), (172_800, "2 days ago")];
        for (seconds, text) in rows {
            assert_eq!(ago(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["docker.io/a:1", "linux/amd64", "abc", "1 MiB", "just now"].map(str::to_owned)];
        let expected = "NAME           PLATFORM     DIGEST  SIZE   USED\n\
                        docker.io/a:1  linux/amd64  abc     1 MiB  just now\n";
        assert_eq!(table(&rows), expected);
    }
}
