//! `lkit build`: artifacts as files under LinuxKit's names.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::base::Digest;
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, export, wire};
use crate::extent::SharedSource;
use crate::output::{Artifact, Catalog, Format};
use crate::spec::{MetadataFormat, Spec};

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
        print!("{}", wire::resolved_text(&wire::parse(&specs)?, MetadataFormat::Yaml));
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
        println!("{}", json!({ "files": files }));
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
    let mut artifacts: Vec<Artifact> = Vec::new();
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
    let open = |artifact: Artifact| Ok(Output { source: catalog.open(&artifact)?, name: artifact.name });
    artifacts.into_iter().map(open).collect()
}

fn write(outputs: Vec<Output>, dir: &Path, output: Option<&Path>) -> Result<Vec<(PathBuf, u64)>, Failure> {
    let Some(path) = output else {
        let files: Vec<_> = outputs.into_iter().map(|output| (dir.join(output.name), output.source)).collect();
        export::to_files(&files)?;
        return Ok(files.into_iter().map(|(path, source)| (path, source.size())).collect());
    };
    let [output] = outputs.as_slice() else {
        let message = format!("`-o` takes a format of one file, this one has {}", outputs.len());
        return Err(Failure::usage(message).hint("name a directory with `--dir`"));
    };
    if path == Path::new("-") {
        export::to_stream(&output.source, &mut std::io::stdout().lock())?;
        return Ok(Vec::new());
    }
    export::to_files(&[(path.to_owned(), output.source.clone())])?;
    Ok(vec![(path.to_owned(), output.source.size())])
}

fn print_digests(outputs: &[Output], json: bool) -> Result<(), Failure> {
    let mut sums = serde_json::Map::new();
    for Output { name, source } in outputs {
        let mut hash = Hash(Sha256::new());
        export::to_stream(source, &mut hash)?;
        let digest = Digest::from_bytes(hash.0.finalize().into());
        if json {
            sums.insert(name.clone(), digest.to_string().into());
        } else {
            println!("{}  {name}", digest.hex());
        }
    }
    if json {
        println!("{}", serde_json::Value::Object(sums));
    }
    Ok(())
}

/// A writer that only hashes.
struct Hash(Sha256);

impl std::io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
