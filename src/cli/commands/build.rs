//! `lkit build`: artifacts as files under LinuxKit's names.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use crate::base::{Hasher, printable_line};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::{self, Settings};
use crate::cli::{args, specs};
use crate::output::{Artifact, Catalog, Format, Product};
use crate::serve::{Compression, Export, Exported, Interrupts, export, export_to, export_to_stdout};
use crate::spec::{MetadataFormat, Spec};
use crate::system;

/// An artifact, laid out, and how it is compressed.
struct Output {
    artifact: Artifact,
    compression: Option<(Compression, u64)>,
}

impl Output {
    fn to(&self, path: PathBuf, mode: Option<u16>) -> Export<'_> {
        Export { artifact: &self.artifact, path, compression: self.compression, mode }
    }
}

/// Where files are written to.
struct Target<'a> {
    dir: &'a Path,
    /// The one file, in the place of a directory.
    output: Option<&'a Path>,
    mode: Option<u16>,
}

/// Builds what was asked for.
pub fn run(args: args::Build, loudness: Loudness) -> Result<ExitCode, Failure> {
    let args::Build { specs, formats, dir, output, compress, dry_run, digest, json, sources, artifact_mode, .. } = args;
    let named = formats.iter().map(|name| Format::named(name)).collect::<Result<Vec<_>, _>>()?;
    let compression = compress.as_deref().map(compression).transpose()?;
    let mode = artifact_mode.as_deref().map(settings::artifact_mode).transpose()?;
    if dry_run {
        let parsed = system::parse(&specs::inputs(&specs), &Progress::new(loudness))?;
        report::print(&system::resolved_text(&parsed, MetadataFormat::Yaml))?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::new(sources)?;
    let progress = Progress::new(loudness);
    let loaded = specs::load(&specs, &settings, &progress)?;
    let formats = match (named.is_empty(), &output) {
        (false, _) => named,
        (true, Some(_)) => vec![Format::named("tar")?],
        (true, None) => formats_of(&loaded.parsed.spec)?,
    };
    check_compression(compression, &formats)?;
    warn_of_bios(&loaded.catalog, &formats);
    let outputs = outputs(&loaded.catalog, &formats, compression)?;
    if digest {
        print_digests(&outputs, json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = write(&outputs, &Target { dir: &dir, output: output.as_deref(), mode })?;
    if json {
        let files: Vec<_> = written.iter().map(|(path, size)| json!({"path": path, "size": size})).collect();
        report::print(&format!("{}\n", json!({ "files": files })))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn compression(text: &str) -> Result<Compression, Failure> {
    let unknown = || Failure::usage(format!("--compress: `{text}` is no compression"));
    let hint = "use `gzip` or `zstd`, with a level such as `gzip:9` (1 to 9) or `zstd:19` (1 to 19)";
    Compression::parse(text).ok_or_else(|| unknown().hint(hint))
}

/// Refuses to compress what must be read at any offset: only an initrd that is a file of its own can be compressed.
fn check_compression(compression: Option<Compression>, formats: &[&Format]) -> Result<(), Failure> {
    let other = |format: &&&Format| format.files.iter().all(|file| file.product != Product::Initrd);
    match (compression, formats.iter().find(other)) {
        (Some(_), Some(format)) => {
            let message = format!("`--compress` is for the initrd of `kernel+initrd`, not for `{}`", format.name);
            Err(Failure::usage(message).hint(format!("build `{}` without `--compress`", format.name)))
        }
        _ => Ok(()),
    }
}

/// Tells when a format that is named after BIOS starts by UEFI alone.
fn warn_of_bios(catalog: &Catalog, formats: &[&Format]) {
    for format in formats.iter().filter(|format| format.name.ends_with("-bios")) {
        // What cannot be laid out at all is told by its own error.
        if let Ok(false) = catalog.starts_by_bios() {
            report::warn(&format!("`{}` starts by UEFI only, since no BIOS can start this kernel", format.name));
        }
    }
}

/// The formats of the older `outputs` key, else LinuxKit's default.
fn formats_of(spec: &Spec) -> Result<Vec<&'static Format>, Failure> {
    let mut formats = Vec::new();
    for output in &spec.outputs {
        match Format::named(&output.value) {
            Ok(format) => formats.push(format),
            Err(error) => report::warn(&format!("{error}; skipped")),
        }
    }
    if formats.is_empty() {
        formats.push(Format::named("kernel+initrd")?);
    }
    Ok(formats)
}

/// The files of all formats, each laid out; two formats must not write one file.
fn outputs(catalog: &Catalog, formats: &[&Format], compression: Option<Compression>) -> Result<Vec<Output>, Failure> {
    let mut artifacts: Vec<Artifact> = Vec::new();
    for format in formats {
        for artifact in catalog.written(format)? {
            match artifacts.iter().find(|other| other.name() == artifact.name()) {
                None => artifacts.push(artifact),
                Some(other) if other.product() == artifact.product() => {}
                Some(_) => {
                    let message = format!("two of the formats write `{}`", artifact.name());
                    return Err(Failure::usage(message).hint("build them one after the other, or with `--dir`"));
                }
            }
        }
    }
    let open = |artifact: Artifact| {
        let compression = compression.zip(catalog.compressible_from(&artifact));
        artifact.open()?;
        Ok(Output { artifact, compression })
    };
    artifacts.into_iter().map(open).collect()
}

fn write(outputs: &[Output], target: &Target<'_>) -> Result<Vec<(PathBuf, u64)>, Failure> {
    let Target { dir, output, mode } = *target;
    let interrupts = Interrupts::catch()?;
    let mut step =
        |_: Exported<'_>| if interrupts.happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let path_of = |name: &str| output.map_or_else(|| dir.join(name), Path::to_owned);
    if let (Some(path), false) = (output, outputs.len() == 1) {
        let message = format!("`-o {}` takes a format of one file, not of {}", path.display(), outputs.len());
        return Err(Failure::usage(message).hint("name a directory with `--dir`"));
    }
    if let (Some("-"), [output]) = (output.and_then(Path::to_str), outputs) {
        return export_to_stdout(&output.artifact, &mut step).map(|()| Vec::new()).map_err(Failure::from);
    }
    let exports: Vec<_> = outputs.iter().map(|output| output.to(path_of(output.artifact.name()), mode)).collect();
    let sizes = export(&exports, &mut step)?;
    Ok(exports.into_iter().map(|export| export.path).zip(sizes).collect())
}

fn print_digests(outputs: &[Output], json: bool) -> Result<(), Failure> {
    let mut sums = serde_json::Map::new();
    for output in outputs {
        let (mut hash, name) = (Hasher::default(), output.artifact.name());
        export_to(&output.to(name.into(), None), &mut hash, &mut |_| ControlFlow::Continue(()))?;
        let digest = hash.finish();
        if json {
            sums.insert(name.to_owned(), digest.to_string().into());
        } else {
            report::print(&format!("{}  {}\n", digest.hex(), printable_line(name)))?;
        }
    }
    if json {
        report::print(&format!("{}\n", serde_json::Value::Object(sums)))?;
    }
    Ok(())
}
