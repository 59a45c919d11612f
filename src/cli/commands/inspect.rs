//! `lkit inspect`: what a spec comes to.

use std::io::{self, Write as _};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::extents;
use super::shown::{path_json, shown};
use crate::base::{Digest, FileKind, printable, printable_line, shown_size};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, specs};
use crate::output::Artifact;
use crate::spec::{Spec, Volume, VolumeFormat};
use crate::system::{self, Artifacts, ImageShare, LayerUse, Makeup, Share, Stored, System, UsedImage};
use crate::tree::{EntryId, Tree};

/// Prints images, artifacts and the tree as text or JSON, or the extents of an artifact.
pub fn run(args: args::Inspect, loudness: Loudness) -> Result<ExitCode, Failure> {
    let settings = Settings::new(args.system)?.with_root(args.root);
    let progress = Progress::new(loudness);
    let loaded = specs::load(&args.specs, &settings, &progress)?;
    if let Some(name) = &args.extents {
        extents::run(&loaded.catalog, name, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut output = io::BufWriter::new(io::stdout().lock());
    let tree = &loaded.catalog.system().tree;
    let printed = if args.tree && !args.json {
        print_tree(tree, &mut output)
    } else {
        let Artifacts { made: artifacts, not_made } = system::artifacts(&loaded);
        let makeup = system::makeup(&loaded, &settings.origins)?;
        let largest = args.largest.map(|count| system::largest(tree, count));
        let told = Told { system: &loaded, makeup, artifacts, not_made, largest };
        if args.json { writeln!(output, "{:#}", told.json()) } else { told.print(&mut output) }
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

/// What `lkit inspect` prints of a system.
struct Told<'a> {
    system: &'a System,
    makeup: Makeup,
    artifacts: Vec<(Artifact, u64)>,
    /// Artifacts that cannot be made, with the reason.
    not_made: Vec<(Artifact, String)>,
    largest: Option<Vec<EntryId>>,
}

impl Told<'_> {
    fn layer(&self, digest: &Digest) -> Option<&LayerUse> {
        self.makeup.layers.iter().find(|layer| layer.digest == *digest)
    }

    /// A sum over all layers, each once.
    fn sum(&self, of: impl Fn(&LayerUse) -> u64) -> u64 {
        self.makeup.layers.iter().map(of).fold(0, u64::saturating_add)
    }

    fn spec(&self) -> &Spec {
        &self.system.parsed.spec
    }

    fn json(&self) -> Value {
        let images = self.system.images.iter().zip(&self.makeup.images);
        let blob = |(digest, size): &(Digest, u64)| json!({"digest": digest.to_string(), "size": size});
        let stored = |image: &Stored| {
            json!({"reference": image.name.completed(), "digest": image.root.to_string(),
                   "usedBy": volumes(self.spec(), &image.name.written.value, VolumeFormat::Oci),
                   "blobs": image.blobs.iter().map(blob).collect::<Vec<_>>()})
        };
        let artifact = |(artifact, size): &(Artifact, u64)| json!({"name": artifact.name(), "size": size});
        let not_made = |(artifact, reason): &(Artifact, String)| json!({"name": artifact.name(), "reason": reason});
        let mut told = json!({
            "name": self.system.catalog.name(),
            "images": images.map(|(image, share)| self.image_json(image, share)).collect::<Vec<_>>(),
            "stored": self.system.stored.iter().map(stored).collect::<Vec<_>>(),
            "artifacts": self.artifacts.iter().map(artifact).collect::<Vec<_>>(),
            "notMade": self.not_made.iter().map(not_made).collect::<Vec<_>>(),
            "files": self.tree().entry_count(),
            "root": share_json(self.makeup.root),
            "repeated": share_json(self.makeup.repeated),
            "layers": {"count": self.makeup.layers.len(), "size": self.sum(|layer| layer.size),
                       "diffSize": self.sum(|layer| layer.diff_size), "cached": self.sum(LayerUse::cached),
                       "indexSize": self.sum(|layer| layer.index_size.unwrap_or(0))},
        });
        if let Some(trees) = self.device_trees() {
            told["deviceTrees"] = trees.into();
        }
        if let Some(largest) = &self.largest {
            told["largest"] = largest.iter().map(|entry| self.file_json(*entry)).collect();
        }
        told
    }

    fn image_json(&self, UsedImage { name, image, diff_sizes }: &UsedImage, share: &ImageShare) -> Value {
        let layer = |(layer, diff_size): (&crate::oci::Layer, &u64)| {
            let known = self.layer(&layer.digest);
            json!({"digest": layer.digest.to_string(), "size": layer.size, "diffId": layer.diff_id.to_string(),
                   "mediaType": layer.media_type, "diffSize": diff_size, "images": known.map(|known| known.images),
                   "cached": known.map(|known| known.is_cached), "indexSize": known.and_then(|known| known.index_size)})
        };
        json!({"reference": image.reference.to_string(), "digest": image.digest().to_string(),
               "platform": image.config.platform.to_string(), "usedBy": uses(self.spec(), &name.written.value),
               "layers": image.layers.iter().zip(diff_sizes).map(layer).collect::<Vec<_>>(),
               "root": share_json(share.all), "rootShared": share_json(share.shared)})
    }

    fn file_json(&self, entry: EntryId) -> Value {
        let mut row = path_json(&self.tree().path(entry));
        row.insert("size".to_owned(), self.size_of(entry).into());
        row.into()
    }

    fn tree(&self) -> &Tree {
        &self.system.catalog.system().tree
    }

    /// Names of the device trees in artifacts for boards, where there are such artifacts.
    fn device_trees(&self) -> Option<Vec<&str>> {
        let board = self.system.catalog.system().board.as_ref()?;
        Some(board.trees.iter().map(|(name, _)| name.as_str()).collect())
    }

    fn size_of(&self, entry: EntryId) -> u64 {
        self.tree().inode(self.tree().entry_inode(entry)).size
    }

    fn print(&self, output: &mut dyn io::Write) -> io::Result<()> {
        writeln!(output, "images")?;
        for (image, share) in self.system.images.iter().zip(&self.makeup.images) {
            self.print_image(image, share, output)?;
        }
        for image in &self.system.stored {
            let size: u64 = image.blobs.iter().map(|(_, size)| size).sum();
            let uses = volumes(self.spec(), &image.name.written.value, VolumeFormat::Oci).join(", ");
            writeln!(output, "  {}  {}", shown(&image.name.completed()), shown(&uses))?;
            let (root, count, size) = (image.root, count(image.blobs.len(), "blob"), shown_size(size));
            writeln!(output, "    {root}  as it is stored, {count}, {size}")?;
        }
        self.print_totals(output)?;
        for entry in self.largest.iter().flatten() {
            let (size, path) = (shown_size(self.size_of(*entry)), self.tree().path(*entry));
            writeln!(output, "  {size:>14}  {}", printable(&path))?;
        }
        if let Some(trees) = self.device_trees() {
            let names = if trees.is_empty() { "none".to_owned() } else { trees.join(", ") };
            writeln!(output, "device trees  {}", shown(&names))?;
        }
        writeln!(output, "artifacts")?;
        for (artifact, size) in &self.artifacts {
            writeln!(output, "  {:>14}  {}", shown_size(*size), shown(&artifact.name()))?;
        }
        for (artifact, reason) in &self.not_made {
            writeln!(output, "  not made: {}: {}", shown(&artifact.name()), printable_line(reason))?;
        }
        Ok(())
    }

    fn print_image(
        &self,
        UsedImage { name, image, .. }: &UsedImage,
        share: &ImageShare,
        output: &mut dyn io::Write,
    ) -> io::Result<()> {
        let uses = uses(self.spec(), &name.written.value).join(", ");
        writeln!(output, "  {}  {}", shown(&image.reference), shown(&uses))?;
        let size: u64 = image.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        let (platform, layers) = (shown(&image.config.platform), count(image.layers.len(), "layer"));
        writeln!(output, "    {}  {platform}, {layers}, {}", image.digest(), shown_size(size))?;
        for layer in image.layers.iter().filter_map(|layer| self.layer(&layer.digest)) {
            writeln!(output, "      {}  {}", layer.digest, layer_line(layer))?;
        }
        let shared = match share.shared.files {
            0 => String::new(),
            _ => format!(", {} of it in layers of other images, too", shown_size(share.shared.bytes)),
        };
        let part = percent(share.all.bytes, self.makeup.root.bytes);
        writeln!(output, "    brings {}, {part} of the root{shared}", share_line(share.all))
    }

    fn print_totals(&self, output: &mut dyn io::Write) -> io::Result<()> {
        let (images, layers) = (count(self.system.images.len(), "image"), count(self.makeup.layers.len(), "layer"));
        let size = self.sum(|layer| layer.size);
        let (all, diff) = (shown_size(size), shown_size(self.sum(|layer| layer.diff_size)));
        writeln!(output, "in all  {images}, {layers}, {all}, uncompressed {diff}")?;
        let (cached, index) = (self.sum(LayerUse::cached), self.sum(|layer| layer.index_size.unwrap_or(0)));
        writeln!(output, "cached  {} of {all} of layers, {} of indexes", shown_size(cached), shown_size(index))?;
        let names = count(self.tree().entry_count(), "name");
        writeln!(output, "root  {names}, {}", share_line(self.makeup.root))?;
        if self.makeup.repeated.files > 0 {
            let repeated = share_line(self.makeup.repeated);
            writeln!(output, "  {repeated} of it show what another file shows, and are stored once")?;
        }
        if self.largest.is_some() { writeln!(output, "largest files") } else { Ok(()) }
    }
}

/// A number of things.
fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

fn share_line(share: Share) -> String {
    let files = usize::try_from(share.files).unwrap_or(usize::MAX);
    format!("{}, {}", count(files, "file"), shown_size(share.bytes))
}

fn share_json(share: Share) -> Value {
    json!({"files": share.files, "bytes": share.bytes})
}

fn percent(part: u64, whole: u64) -> String {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    if percent == 0 && part > 0 { "under 1 %".to_owned() } else { format!("{percent} %") }
}

fn layer_line(layer: &LayerUse) -> String {
    let mut line = format!("{}, uncompressed {}", shown_size(layer.size), shown_size(layer.diff_size));
    line += if layer.is_cached { ", cached" } else { ", in a layout" };
    if let Some(size) = layer.index_size {
        line += &format!(", index {}", shown_size(size));
    }
    if layer.images > 1 {
        line += &format!(", in {} images", layer.images);
    }
    line
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
