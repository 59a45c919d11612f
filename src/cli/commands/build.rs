//! `lkit build`: artifacts as files under LinuxKit's names.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, wire};
use crate::extent::{ReadError, SharedSource};
use crate::output::{self, Catalog, Format};
use crate::serve::{Artifact, Error, Exported, Interrupts, export, export_to_stdout};
use crate::spec::{MetadataFormat, Spec};

/// Bytes hashed at a time: as large as a span, so that each is decoded once.
const CHUNK: usize = 1 << 20;

/// An artifact, laid out.
struct Output {
    name: String,
    source: SharedSource,
}

/// Builds what was asked for.
pub fn run(args: args::Build, loudness: Loudness) -> Result<ExitCode, Failure> {
    let args::Build { specs, formats, dir, output, dry_run, digest, json, sources, .. } = args;
    let named = formats.iter().map(|name| Format::named(name)).collect::<Result<Vec<_>, _>>()?;
    if dry_run {
        report::print(&wire::resolved_text(&wire::parse(&specs)?, MetadataFormat::Yaml))?;
        return Ok(ExitCode::SUCCESS);
    }
    let settings = Settings::new(sources, &specs)?;
    let progress = Progress::new(loudness);
    let loaded = wire::load(&specs, &settings, &progress)?;
    let formats = match (named.is_empty(), &output) {
        (false, _) => named,
        (true, Some(_)) => vec![Format::named("tar")?],
        (true, None) => formats_of(&loaded.parsed.spec)?,
    };
    let outputs = outputs(&loaded.catalog, &formats)?;
    if digest {
        print_digests(&outputs, json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = write(outputs, &dir, output.as_deref())?;
    if json {
        let files: Vec<_> = written.iter().map(|(path, size)| json!({"path": path, "size": size})).collect();
        report::print(&format!("{}\n", json!({ "files": files })))?;
    }
    Ok(ExitCode::SUCCESS)
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
fn outputs(catalog: &Catalog, formats: &[&Format]) -> Result<Vec<Output>, Failure> {
    let mut artifacts: Vec<output::Artifact> = Vec::new();
    for format in formats {
        for artifact in catalog.written(format)? {
            match artifacts.iter().find(|other| other.name == artifact.name) {
                None => artifacts.push(artifact),
                Some(other) if other.product == artifact.product => {}
                Some(_) => {
                    let message = format!("two of the formats write `{}`", artifact.name);
                    return Err(Failure::usage(message).hint("build them one after the other, or with `--dir`"));
                }
            }
        }
    }
    let open = |artifact: output::Artifact| Ok(Output { source: catalog.open(&artifact)?, name: artifact.name });
    artifacts.into_iter().map(open).collect()
}

fn write(outputs: Vec<Output>, dir: &Path, output: Option<&Path>) -> Result<Vec<(PathBuf, u64)>, Failure> {
    let interrupts = Interrupts::catch()?;
    let mut step =
        |_: Exported<'_>| if interrupts.happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let path_of = |name: &str| output.map_or_else(|| dir.join(name), Path::to_owned);
    let sizes: Vec<u64> = outputs.iter().map(|output| output.source.size()).collect();
    let artifacts: Vec<Artifact> =
        outputs.into_iter().map(|output| Artifact::ready(output.name, output.source)).collect();
    if let (Some(path), false) = (output, artifacts.len() == 1) {
        let message = format!("`-o {}` takes a format of one file, not of {}", path.display(), artifacts.len());
        return Err(Failure::usage(message).hint("name a directory with `--dir`"));
    }
    if let (Some("-"), [artifact]) = (output.and_then(Path::to_str), artifacts.as_slice()) {
        return export_to_stdout(artifact, &mut step).map(|()| Vec::new()).map_err(Failure::from);
    }
    let files: Vec<_> = artifacts.iter().map(|artifact| (artifact, path_of(artifact.name()))).collect();
    export(&files, &mut step)?;
    Ok(files.into_iter().map(|(_, path)| path).zip(sizes).collect())
}

fn print_digests(outputs: &[Output], json: bool) -> Result<(), Failure> {
    let mut sums = serde_json::Map::new();
    for Output { name, source } in outputs {
        let digest = hashed(source).map_err(|source| Error::Read { name: name.clone(), source })?;
        if json {
            sums.insert(name.clone(), digest.to_string().into());
        } else {
            report::print(&format!("{}  {name}\n", digest.hex()))?;
        }
    }
    if json {
        report::print(&format!("{}\n", serde_json::Value::Object(sums)))?;
    }
    Ok(())
}

fn hashed(source: &SharedSource) -> Result<Digest, ReadError> {
    let (mut hash, mut buf, mut offset) = (Sha256::new(), vec![0; CHUNK], 0);
    while offset < source.size() {
        let len = usize::try_from(source.size() - offset).map_or(CHUNK, |left| left.min(CHUNK));
        source.read_at(&mut buf[..len], offset)?;
        hash.update(&buf[..len]);
        offset += len as u64;
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}
