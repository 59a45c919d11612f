//! Everything wired together: specs in, a catalog of artifacts out.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::images::Images;
use super::progress::Progress;
use super::report::{self, Failure};
use super::settings::{LocalSources, Settings};
use super::stored::{self, Keep, Stored};
use super::{input, references, template};
use crate::base::{Digest, ErrorKind, Platform, is_url, printable_line};
use crate::extent::SharedSource;
use crate::layer::Inner;
use crate::oci::{Image, expanded};
use crate::output::{Catalog, System};
use crate::rootfs::{self, Cause, HostFile, SourceImage, Supply};
use crate::spec::{self, FileContent, MetadataFormat, Parsed, Place, Texts};
use crate::tree::{Content, TreeBuilder};

/// A system, ready to be shown.
pub struct Loaded {
    /// The spec with its texts.
    pub parsed: Parsed,
    /// The images that were used, each as the spec writes its reference, in the order of the spec.
    pub images: Vec<(String, Image)>,
    /// The images that volumes hold as they are stored.
    pub stored: Vec<Stored>,
    /// The artifacts.
    pub catalog: Catalog,
}

/// Reads and checks specs; warnings go to standard error.
///
/// # Errors
/// When a spec cannot be read or is not valid.
pub fn parse(specs: &[PathBuf]) -> Result<Parsed, Failure> {
    let inputs = specs.iter().map(|path| input::read(path)).collect::<Result<Vec<_>, _>>()?;
    let parsed = spec::parse_with(&inputs, &mut template::find_package)?;
    for warning in &parsed.warnings {
        report::warn_at(&warning.message, &parsed.texts.excerpt(warning.place));
    }
    Ok(parsed)
}

/// Makes a system of specs: images found, layers ready, the root put together. Reads no content of an indexed layer.
///
/// # Errors
/// What is wrong with specs, images or layers.
pub fn load(specs: &[PathBuf], settings: &Settings, progress: &Progress) -> Result<Loaded, Failure> {
    let parsed = parse(specs)?;
    check_local_sources(&parsed, specs, settings.local_sources)?;
    let images = Images::new(settings, progress)?;
    let lock = if settings.locked { Some(references::read_lock(specs)?) } else { None };
    let resolved = references::resolve(&parsed, &images, settings, lock.as_ref())?;
    let names = references::stored(&parsed, settings, lock.as_ref())?;
    let stored = RefCell::new(Vec::new());
    let keep = |text: &str, platforms: &[Platform]| {
        let image = stored::image(&images, (&names[text], expanded(text)), platforms)?;
        stored.borrow_mut().push(Stored::new(text, &image));
        Ok(image)
    };
    let catalog = assemble(&parsed, &images, &resolved, &keep, settings);
    progress.clear();
    Ok(Loaded { catalog: catalog?, parsed, images: resolved, stored: stored.into_inner() })
}

/// Refuses specs from URLs that name files of this machine: who wrote them is not who runs lkit.
fn check_local_sources(parsed: &Parsed, specs: &[PathBuf], allowed: LocalSources) -> Result<(), Failure> {
    let is_remote = |place: Place| {
        let spec = specs.get(usize::from(place.file));
        spec.is_none_or(|spec| is_url(&spec.to_string_lossy()))
    };
    let mut sources = parsed.spec.files.iter().filter_map(|file| match &file.content {
        FileContent::Source { path, .. } => Some(path),
        _ => None,
    });
    match sources.find(|path| allowed == LocalSources::OfLocalSpecs && is_remote(path.place)) {
        None => Ok(()),
        Some(path) => {
            let message = format!("a spec from a URL may not read `{}` of this machine", path.value);
            let hint = "allow it with `--allow-local-sources` if you trust who wrote the spec";
            Err(Failure::new(ErrorKind::Spec, message).hint(hint).at(parsed.texts.excerpt(path.place)))
        }
    }
}

fn assemble(
    parsed: &Parsed,
    images: &Images<'_>,
    resolved: &[(String, Image)],
    stored: &Keep<'_>,
    settings: &Settings,
) -> Result<Catalog, Failure> {
    let trees = images.trees(&resolved.iter().map(|(_, image)| image).collect::<Vec<_>>());
    let trees = trees.map_err(|(image, problem)| problem.at(excerpt_of(parsed, &resolved[image].0)))?;
    let mut sources: HashMap<&str, (usize, Arc<SourceImage>)> = resolved
        .iter()
        .zip(trees)
        .map(|((text, image), tree)| {
            let reference = expanded(text);
            (text.as_str(), (0, Arc::new(SourceImage { reference, config: image.config.clone(), tree })))
        })
        .collect();
    for reference in rootfs::uses(&parsed.spec) {
        if let Some((uses, _)) = sources.get_mut(reference.value.as_str()) {
            *uses += 1;
        }
    }
    let sources = RefCell::new(sources);
    // Who is the last to ask gets the image for himself.
    let image = |reference: &str| {
        let mut sources = sources.borrow_mut();
        let (name, (uses, image)) = sources.remove_entry(reference).expect("asked for as often as the spec uses it");
        if uses > 1 {
            sources.insert(name, (uses - 1, image.clone()));
        }
        Ok(image)
    };
    let supply = Supply {
        image: &image,
        stored,
        archive: &|content| archive(images, content),
        inflate: &|content| inflate(images, content),
        host_file: &|path| HostFile::open(&rootfs::host_path(path, home().as_deref())?),
        metadata: &|format| resolved_text(parsed, format),
    };
    let options = rootfs::Options { decompress_kernel: settings.decompress_kernel };
    let assembly = rootfs::assemble(&parsed.spec, &supply, options).map_err(|error| placed(error, &parsed.texts))?;
    assembly.warnings.iter().for_each(|warning| report::warn(warning));
    let system = System {
        systemd_boot: settings.loaders.systemd_boot(images, &settings.platform)?,
        isolinux: settings.loaders.isolinux(images)?,
        gunzip: assembly.kernel.clone().map(|kernel| gunzip(images, kernel)),
        kernel: assembly.kernel,
        cmdline: assembly.cmdline,
        microcode: assembly.ucode,
        tree: Arc::new(assembly.tree),
        disk_size: settings.disk_size.unwrap_or(0),
        seed: seed(parsed, resolved),
    };
    Ok(Catalog::new(settings.name.clone(), system))
}

/// The line that names a reference first.
fn excerpt_of(parsed: &Parsed, reference: &str) -> String {
    let written = rootfs::references(&parsed.spec).into_iter().find(|written| written.value == reference);
    written.map(|written| parsed.texts.excerpt(written.place)).unwrap_or_default()
}

fn placed(error: rootfs::Error, texts: &Texts) -> Failure {
    let excerpts: Vec<String> = match &error {
        rootfs::Error::Values { problems } => problems
            .iter()
            .enumerate()
            .map(|(number, problem)| {
                let message =
                    if number > 0 { format!("error: {}\n", printable_line(&problem.message)) } else { String::new() };
                message + &texts.excerpt(problem.place)
            })
            .collect(),
        _ => error.place().map(|place| texts.excerpt(place)).into_iter().collect(),
    };
    Failure::from(error).at(excerpts.join("\n"))
}

fn archive(images: &Images<'_>, content: &Content) -> Result<TreeBuilder, Cause> {
    let layer = images.layers.open_nested(&inner(content)).map_err(Cause::new)?;
    let mut tree = TreeBuilder::new();
    tree.merge_archive(layer.toc(), layer.diff()).map_err(Cause::new)?;
    Ok(tree)
}

fn inflate(images: &Images<'_>, content: &Content) -> Result<SharedSource, Cause> {
    images.layers.open_gzip(&inner(content)).map_err(Cause::new)
}

fn inner(content: &Content) -> Inner {
    Inner { source: content.source.clone(), offset: content.offset, size: content.size }
}

fn gunzip(images: &Images<'_>, kernel: SharedSource) -> crate::output::Gunzip {
    let layers = images.layers.clone();
    Box::new(move || {
        let size = kernel.size();
        let opened = layers.open_gzip(&Inner { source: kernel.clone(), offset: 0, size });
        opened.map_err(|error| crate::extent::ReadError::wrap("cannot decompress the kernel", error))
    })
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home != Path::new(""))
}

/// The spec with its references expanded.
pub fn resolved_text(parsed: &Parsed, format: MetadataFormat) -> String {
    parsed.spec.to_text(format, &expanded)
}

/// What identifiers derive from: the spec as resolved, and the digests of its images.
fn seed(parsed: &Parsed, resolved: &[(String, Image)]) -> Digest {
    let mut text = resolved_text(parsed, MetadataFormat::Json);
    for (_, image) in resolved {
        text.push_str(&image.digest().to_string());
    }
    Digest::of(text.as_bytes())
}
