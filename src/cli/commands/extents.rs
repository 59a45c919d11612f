//! `lkit inspect --extents`: where the bytes of an artifact come from, run by run.

use std::io::{self, Write as _};
use std::ops::{ControlFlow, Range};

use serde_json::{Value, json};

use super::shown::shown;
use crate::base::{nearest, printable};
use crate::cli::report::{self, Failure};
use crate::extent::{Origin, SharedSource, Span, origins};
use crate::output::Catalog;

/// Runs that are printed as text; of a large initrd there are hundreds of thousands.
const MOST_LINES: u64 = 1000;

/// Prints the runs of the artifact of this name: as text the first [`MOST_LINES`] of them, as JSON all.
///
/// # Errors
/// When there is no such artifact, or it cannot be laid out.
pub fn run(catalog: &Catalog, name: &str, is_json: bool) -> Result<(), Failure> {
    let artifacts = catalog.mounted();
    let names = || artifacts.iter().map(crate::output::Artifact::name);
    let artifact =
        artifacts.iter().find(|artifact| artifact.name() == name).ok_or_else(|| {
            let failure = Failure::usage(format!("--extents: there is no artifact `{name}`"));
            let near = nearest(name, names());
            failure.hint(near.map_or_else(
                || "`lkit inspect` lists the artifacts".to_owned(),
                |near| format!("did you mean `{near}`?"),
            ))
        })?;
    let source = artifact.open()?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    let printed = if is_json { print_json(name, source, &mut output) } else { print_text(name, source, &mut output) };
    report::printed(printed?.and_then(|()| output.flush()))
}

type Printed = Result<io::Result<()>, Failure>;

/// Prints something for each run, until printing fails.
fn each(source: &SharedSource, print: &mut dyn FnMut(Range<u64>, &Origin) -> io::Result<()>) -> Printed {
    let mut printed = Ok(());
    origins(Span::whole(&**source), &mut |range, origin| {
        printed = print(range, origin);
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    Ok(printed)
}

fn print_text(name: &str, source: &SharedSource, output: &mut dyn io::Write) -> Printed {
    if let Err(error) =
        writeln!(output, "{}  {} bytes\n{:>16} {:>16}  from", shown(&name), source.size(), "offset", "length")
    {
        return Ok(Err(error));
    }
    let mut count = 0;
    let printed = each(source, &mut |range, origin| {
        count += 1;
        match count <= MOST_LINES {
            true => writeln!(output, "{:>16} {:>16}  {}", range.start, range.end - range.start, described(origin)),
            false => Ok(()),
        }
    })?;
    let more = count.saturating_sub(MOST_LINES);
    Ok(printed.and_then(|()| if more > 0 { writeln!(output, "and {more} more; `--json` tells all") } else { Ok(()) }))
}

fn print_json(name: &str, source: &SharedSource, output: &mut dyn io::Write) -> Printed {
    let head = json!({"artifact": name, "size": source.size()}).to_string();
    if let Err(error) = write!(output, "{},\"extents\":[", head.trim_end_matches('}')) {
        return Ok(Err(error));
    }
    let mut separator = "\n";
    let printed = each(source, &mut |range, origin| {
        let row = json_of(&range, origin);
        write!(output, "{}{row}", std::mem::replace(&mut separator, ",\n"))
    })?;
    Ok(printed.and_then(|()| writeln!(output, "\n]}}")))
}

fn described(origin: &Origin) -> String {
    match origin {
        Origin::Generated => "generated".to_owned(),
        Origin::Zeros => "zeros".to_owned(),
        Origin::Checksum => "checksum".to_owned(),
        Origin::Layer { digest, offset, .. } => format!("layer {digest} at {offset}"),
        Origin::Unpacked { digest: Some(digest), at, offset, .. } => {
            format!("decompressed file at {at} of layer {digest}, at {offset}")
        }
        Origin::Unpacked { digest: None, offset, .. } => format!("decompressed file, at {offset}"),
        Origin::Blob { digest, offset } => format!("blob {digest} at {offset}"),
        Origin::File { path, offset, .. } => {
            format!("file {} at {offset}", printable(path.as_os_str().as_encoded_bytes()))
        }
    }
}

fn json_of(range: &Range<u64>, origin: &Origin) -> Value {
    let mut row = json!({"offset": range.start, "length": range.end - range.start});
    let more = match origin {
        Origin::Generated => json!({"from": "generated"}),
        Origin::Zeros => json!({"from": "zeros"}),
        Origin::Checksum => json!({"from": "checksum"}),
        Origin::Layer { digest, diff_id, offset } => {
            json!({"from": "layer", "digest": digest.to_string(), "diffId": diff_id.to_string(), "at": offset})
        }
        Origin::Unpacked { digest, at, offset, .. } => {
            json!({"from": "decompressed", "digest": digest.map(|digest| digest.to_string()), "file": at, "at": offset})
        }
        Origin::Blob { digest, offset } => json!({"from": "blob", "digest": digest.to_string(), "at": offset}),
        Origin::File { path, offset, .. } => json!({"from": "file", "path": path.to_string_lossy(), "at": offset}),
    };
    if let (Value::Object(row), Value::Object(more)) = (&mut row, more) {
        row.extend(more);
    }
    row
}
