//! Everything wired together: specs in, a catalog of artifacts out.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::images::Images;
use super::lock_file::{self, LockFile};
use super::progress::Progress;
use super::report::{self, Failure};
use super::settings::Settings;
use super::{input, stored, template};
use crate::base::{Digest, ErrorKind, Platform};
use crate::extent::SharedSource;
use crate::layer::Inner;
use crate::oci::{Image, Reference};
use crate::output::{Catalog, System};
use crate::rootfs::{self, Cause, HostFile, SourceImage, Supply};
use crate::spec::{self, Located, MetadataFormat, Parsed, Texts};
use crate::tree::{Content, TreeBuilder};

/// A system, ready to be shown.
pub struct Loaded {
    /// The spec with its texts.
    pub parsed: Parsed,
    /// The images that were used, each as the spec writes its reference, in the order of the spec.
    pub images: Vec<(String, Image)>,
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
        report::warn(&format!("{}\n{}", warning.message, parsed.texts.excerpt(warning.place).trim_end()));
    }
    Ok(parsed)
}

/// Makes a system of specs: images found, layers ready, the root put together. Reads no content of an indexed layer.
///
/// # Errors
/// What is wrong with specs, images or layers.
pub fn load(specs: &[PathBuf], settings: &Settings, progress: &Progress) -> Result<Loaded, Failure> {
    let parsed = parse(specs)?;
    let images = Images::new(settings, progress)?;
    let lock = if settings.locked { Some(read_lock(specs)?) } else { None };
    let resolved = resolve(&parsed, &images, settings, lock.as_ref())?;
    let catalog = assemble(&parsed, &images, &resolved, settings);
    progress.clear();
    Ok(Loaded { catalog: catalog?, parsed, images: resolved })
}

/// The images of a spec, each reference once, as the spec writes it.
///
/// # Errors
/// When one cannot be found; with its place.
pub fn resolve(
    parsed: &Parsed,
    images: &Images<'_>,
    settings: &Settings,
    lock: Option<&LockFile>,
) -> Result<Vec<(String, Image)>, Failure> {
    let written = rootfs::references(&parsed.spec);
    let at = |problem: Failure, reference: &Located<String>| problem.at(parsed.texts.excerpt(reference.place));
    let mut references = Vec::new();
    for text in &written {
        let reference: Reference = text.value.parse().map_err(|error| {
            at(Failure::caused(ErrorKind::Spec, format!("`{}` is no image reference", text.value), &error), text)
        })?;
        let reference = match lock {
            Some(lock) => locked(lock, reference, &settings.platform).map_err(|problem| at(problem, text))?,
            None => (reference, None),
        };
        references.push(reference);
    }
    let asked: Vec<Reference> = references.iter().map(|(reference, _)| reference.clone()).collect();
    let mut resolved = Vec::new();
    for ((text, (_, digest)), image) in written.iter().zip(references).zip(images.resolve(&asked)) {
        let image = image.map_err(|error| at(error.under(format!("cannot resolve image `{}`", text.value)), text))?;
        if let Some(digest) = digest.filter(|digest| digest != image.digest()) {
            let message = format!("`{}` is now `{}`, but the lock says `{digest}`", text.value, image.digest());
            let problem = Failure::new(ErrorKind::ImageNotFound, message).hint("take the new one with `lkit lock`");
            return Err(at(problem, text));
        }
        resolved.push((text.value.clone(), image));
    }
    Ok(resolved)
}

fn read_lock(specs: &[PathBuf]) -> Result<LockFile, Failure> {
    let path = lock_file::path_of(specs)?;
    let missing = || Failure::usage(format!("there is no lock `{}`", path.display())).hint("make it with `lkit lock`");
    LockFile::read(&path)?.ok_or_else(missing)
}

/// What to ask for, and the digest it must have.
fn locked(lock: &LockFile, reference: Reference, platform: &Platform) -> Result<(Reference, Option<Digest>), Failure> {
    let unknown = || {
        let message = format!("the lock does not record `{reference}` for {platform}");
        Failure::new(ErrorKind::ImageNotFound, message).hint("record it with `lkit lock`")
    };
    let digest = lock.digest(platform, &reference.to_string()).ok_or_else(unknown)?;
    Ok((reference, Some(digest)))
}

fn assemble(
    parsed: &Parsed,
    images: &Images<'_>,
    resolved: &[(String, Image)],
    settings: &Settings,
) -> Result<Catalog, Failure> {
    let trees = images.trees(&resolved.iter().map(|(_, image)| image).collect::<Vec<_>>())?;
    let sources: HashMap<&str, Arc<SourceImage>> = resolved
        .iter()
        .zip(trees)
        .map(|((text, image), tree)| {
            let reference = image.reference.to_string();
            (text.as_str(), Arc::new(SourceImage { reference, config: image.config.clone(), tree }))
        })
        .collect();
    let supply = Supply {
        image: &|reference| Ok(sources[reference].clone()),
        stored: &|reference, platforms| stored::image(images, reference, platforms),
        archive: &|content| archive(images, content),
        inflate: &|content| inflate(images, content),
        host_file: &|path| HostFile::open(&rootfs::host_path(path, home().as_deref())?),
        metadata: &|format| resolved_text(parsed, format),
    };
    let options = rootfs::Options { decompress_kernel: settings.decompress_kernel };
    let assembly = rootfs::assemble(&parsed.spec, &supply, options).map_err(|error| placed(error, &parsed.texts))?;
    assembly.warnings.iter().for_each(|warning| report::warn(warning));
    let systemd_boot =
        settings.systemd_boot.as_ref().map(|loader| loader.open(images, &settings.platform)).transpose()?;
    let system = System {
        systemd_boot,
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

fn placed(error: rootfs::Error, texts: &Texts) -> Failure {
    let excerpts: Vec<String> = match &error {
        rootfs::Error::Values { problems } => problems
            .iter()
            .enumerate()
            .map(|(number, problem)| {
                let message = if number > 0 { format!("error: {}\n", problem.message) } else { String::new() };
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
    tree.merge_layer(layer.toc().entries(), layer.diff()).map_err(Cause::new)?;
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
    let expand =
        |text: &str| text.parse().map_or_else(|_| text.to_owned(), |reference: Reference| reference.to_string());
    parsed.spec.to_text(format, &expand)
}

/// What identifiers derive from: the spec as resolved, and the digests of its images.
fn seed(parsed: &Parsed, resolved: &[(String, Image)]) -> Digest {
    let mut text = resolved_text(parsed, MetadataFormat::Json);
    for (_, image) in resolved {
        text.push_str(&image.digest().to_string());
    }
    Digest::of(text.as_bytes())
}
