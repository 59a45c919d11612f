//! `lkit inspect`: what a spec comes to.

use std::error::Error as _;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::base::{Digest, FileKind, in_line, printable};
use crate::cli::args;
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::specs;
use crate::extent::ReadError;
use crate::output::Artifact;
use crate::spec::{Spec, Volume, VolumeFormat};
use crate::system::{Stored, System, UsedImage};
use crate::tree::{EntryId, Tree};

/// Prints images, artifacts and the tree as text or JSON.
pub fn run(args: args::Inspect, loudness: Loudness) -> Result<ExitCode, Failure> {
    let settings = Settings::new(args.sources)?;
    let progress = Progress::new(loudness);
    let loaded = specs::load(&args.specs, &settings, &progress)?;
    let mut output = io::BufWriter::new(io::stdout().lock());
    let printed = match (args.json, args.tree) {
        (true, _) => writeln!(output, "{:#}", json_of(&loaded)),
        (false, true) => print_tree(&loaded.catalog.system().tree, &mut output),
        (false, false) => print_summary(&loaded, &mut output),
    };
    report::printed(printed.and_then(|()| output.flush()))?;
    Ok(ExitCode::SUCCESS)
}

/// Where the spec lays out the files of a reference.
fn uses(spec: &Spec, reference: &str) -> Vec<String> {
    let mut uses = Vec::new();
    let mut note = |is_it: bool, what: String| uses.extend(is_it.then_some(what));
    note(spec.kernel.as_ref().is_some_and(|kernel| kernel.image.value == reference), "kernel".to_owned());
    note(spec.init.iter().any(|image| image.value == reference), "init".to_owned());
    uses.extend(volumes(spec, reference, VolumeFormat::Filesystem));
    for (section, containers) in
        [("onboot", &spec.onboot), ("onshutdown", &spec.onshutdown), ("service", &spec.services)]
    {
        let containers = containers.iter().filter(|container| container.image.value == reference);
        uses.extend(containers.map(|container| format!("{section} {}", container.name.value)));
    }
    uses
}

/// The volumes that hold the image of a reference in this way.
fn volumes(spec: &Spec, reference: &str, format: VolumeFormat) -> Vec<String> {
    let has = |volume: &&Volume| volume.image.as_ref().is_some_and(|image| image.value == reference);
    let volumes = spec.volumes.iter().filter(|volume| volume.format == format).filter(has);
    volumes.map(|volume| format!("volume {}", volume.name.value)).collect()
}

/// Each artifact of a mount with its size in bytes, or with the reason why it cannot be made.
fn artifacts(loaded: &System) -> Vec<(String, Result<u64, String>)> {
    let sized = |artifact: &Artifact| {
        let size = artifact.open().map(|source| source.size());
        (artifact.name().to_owned(), size.map_err(|error| why(&error)))
    };
    loaded.catalog.mounted().iter().map(sized).collect()
}

/// Why an artifact cannot be made, without its name.
fn why(error: &ReadError) -> String {
    error.source().map_or_else(|| error.to_string(), in_line)
}

fn json_of(loaded: &System) -> Value {
    let layer = |layer: &crate::oci::Layer| {
        json!({"digest": layer.digest.to_string(), "size": layer.size, "diffId": layer.diff_id.to_string(),
               "mediaType": layer.media_type})
    };
    let image = |UsedImage { name, image }: &UsedImage| {
        json!({"reference": image.reference.to_string(), "digest": image.digest().to_string(),
               "platform": image.config.platform.to_string(), "usedBy": uses(&loaded.parsed.spec, &name.written.value),
               "layers": image.layers.iter().map(layer).collect::<Vec<_>>()})
    };
    let blob = |(digest, size): &(Digest, u64)| json!({"digest": digest.to_string(), "size": size});
    let stored = |image: &Stored| {
        json!({"reference": image.name.completed(), "digest": image.root.to_string(),
               "usedBy": volumes(&loaded.parsed.spec, &image.name.written.value, VolumeFormat::Oci),
               "blobs": image.blobs.iter().map(blob).collect::<Vec<_>>()})
    };
    let (made, not_made): (Vec<_>, Vec<_>) = artifacts(loaded).into_iter().partition(|(_, size)| size.is_ok());
    let made = made.into_iter().filter_map(|(name, size)| Some(json!({"name": name, "size": size.ok()?})));
    let not_made = not_made.into_iter().filter_map(|(name, size)| Some(json!({"name": name, "why": size.err()?})));
    json!({
        "name": loaded.catalog.name(),
        "images": loaded.images.iter().map(image).collect::<Vec<_>>(),
        "stored": loaded.stored.iter().map(stored).collect::<Vec<_>>(),
        "artifacts": made.collect::<Vec<_>>(),
        "notMade": not_made.collect::<Vec<_>>(),
        "files": loaded.catalog.system().tree.entry_count(),
    })
}

fn print_summary(loaded: &System, output: &mut dyn io::Write) -> io::Result<()> {
    writeln!(output, "images")?;
    for UsedImage { name, image } in &loaded.images {
        let size: u64 = image.layers.iter().map(|layer| layer.size).sum();
        let uses = uses(&loaded.parsed.spec, &name.written.value).join(", ");
        writeln!(output, "  {}  {}", shown(&image.reference), shown(&uses))?;
        let (platform, count) = (shown(&image.config.platform), image.layers.len());
        writeln!(output, "    {}  {platform}, {count} layers, {size} bytes", image.digest())?;
        for layer in &image.layers {
            writeln!(output, "      {}  {} bytes", layer.digest, layer.size)?;
        }
    }
    for image in &loaded.stored {
        let size: u64 = image.blobs.iter().map(|(_, size)| size).sum();
        let uses = volumes(&loaded.parsed.spec, &image.name.written.value, VolumeFormat::Oci).join(", ");
        writeln!(output, "  {}  {}", shown(&image.name.completed()), shown(&uses))?;
        writeln!(output, "    {}  as it is stored, {} blobs, {size} bytes", image.root, image.blobs.len())?;
    }
    writeln!(output, "root  {} files", loaded.catalog.system().tree.entry_count())?;
    writeln!(output, "artifacts")?;
    let artifacts = artifacts(loaded);
    for (name, size) in artifacts.iter().filter_map(|(name, size)| Some((name, size.as_ref().ok()?))) {
        writeln!(output, "  {size:>14}  {}", shown(name))?;
    }
    let not_made = artifacts.iter().filter_map(|(name, size)| Some((name, size.as_ref().err()?)));
    for (number, (name, why)) in not_made.enumerate() {
        if number == 0 {
            writeln!(output, "not made")?;
        }
        writeln!(output, "  {}  {}", shown(name), shown(why))?;
    }
    Ok(())
}

/// A name as a terminal may show it.
fn shown(name: &dyn Display) -> String {
    printable(name.to_string().as_bytes()).to_string()
}

/// One line an entry, as `ls -l` and `tar -tv` order the columns.
fn print_tree(tree: &Tree, output: &mut dyn io::Write) -> io::Result<()> {
    tree.walk().try_for_each(|entry| writeln!(output, "{}", tree_line(tree, entry)))
}

fn tree_line(tree: &Tree, entry: EntryId) -> String {
    let id = tree.entry_inode(entry);
    let inode = tree.inode(id);
    let metadata = &inode.metadata;
    let size = match metadata.kind {
        FileKind::CharDevice | FileKind::BlockDevice => format!("{},{}", metadata.rdev.0, metadata.rdev.1),
        _ => inode.size.to_string(),
    };
    let owner = format!("{}/{}", metadata.uid, metadata.gid);
    let mode = mode(metadata.kind, metadata.mode);
    let line = format!("{mode} {owner} {size:>10} {}", printable(&tree.path(entry)));
    match metadata.kind {
        FileKind::Symlink => format!("{line} -> {}", printable(tree.link_target(id))),
        _ => line,
    }
}

/// Type and permissions as `ls` shows them.
fn mode(kind: FileKind, mode: u16) -> String {
    let letter = match kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Symlink => 'l',
        FileKind::CharDevice => 'c',
        FileKind::BlockDevice => 'b',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
    };
    let mut text = String::from(letter);
    for (shift, special, (on, off)) in [(6, 0o4000, ('s', 'S')), (3, 0o2000, ('s', 'S')), (0, 0o1000, ('t', 'T'))] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => on,
            (true, false) => off,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_shown_as_ls_shows_them() {
        assert_eq!(mode(FileKind::File, 0o4755), "-rwsr-xr-x");
        assert_eq!(mode(FileKind::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode(FileKind::Symlink, 0o2640), "lrw-r-S---");
    }
}
