//! `lkit build`: artifacts as files under LinuxKit's names.

use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

use serde_json::json;

use crate::base::{ErrorKind, Hasher, printable_line};
use crate::cli::commands::shown::path_json;
use crate::cli::compression::{Compressed, Compressions};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::{self, Settings};
use crate::cli::{args, specs};
use crate::output::{Artifact, Catalog, Format, FormatFile, PackedRoot, Product};
use crate::serve::{
    Coding, Compression, Export, Exported, Interrupts, check_target, export, export_to, export_to_stdout,
};
use crate::spec::{Located, MetadataFormat, Parsed, Spec};
use crate::system::{self, Input, Options};

/// An artifact, laid out, with the name of its file and how that is compressed.
struct Output {
    artifact: Rc<Artifact>,
    name: String,
    coding: Option<Coded>,
}

/// How an artifact is compressed, or what is written of it.
enum Coded {
    /// As one stream that begins at this byte.
    Stream(Compression, u64),
    Root(PackedRoot),
    BlockMap,
}

impl Output {
    fn to(&self, path: PathBuf, mode: Option<u16>) -> Export<'_> {
        let coding = self.coding.as_ref().map(|coded| match coded {
            Coded::Stream(compression, from) => Coding::Stream(*compression, *from),
            Coded::Root(root) => Coding::Root(root),
            Coded::BlockMap => Coding::BlockMap,
        });
        Export { artifact: &self.artifact, path, coding, mode }
    }
}

/// Where files are written to.
struct Target<'a> {
    dir: &'a Path,
    /// The one file, in the place of a directory.
    output: Option<&'a Path>,
    mode: Option<u16>,
}

impl Target<'_> {
    /// Where an artifact goes.
    fn path(&self, name: &str) -> PathBuf {
        self.output.map_or_else(|| self.dir.join(name), Path::to_owned)
    }

    /// Looks whether files with these ends of their names can be written.
    ///
    /// # Errors
    /// When one cannot, or one file is to hold several.
    fn check(&self, name: &str, suffixes: &[String], inputs: &[Input]) -> Result<(), Failure> {
        let path = |suffix: &String| self.path(&format!("{name}{suffix}"));
        let identity = |path: &Path| path.metadata().ok().map(|found| (found.dev(), found.ino()));
        let specs: Vec<_> = inputs.iter().filter_map(Input::path).filter_map(identity).collect();
        if let Some(path) = suffixes.iter().map(path).find(|path| identity(path).is_some_and(|id| specs.contains(&id)))
        {
            return Err(
                Failure::usage(format!("`{}` is the spec itself", path.display())).hint("write to another file")
            );
        }
        match self.output {
            Some(path) if suffixes.len() != 1 => {
                let message = format!("`-o {}` takes a format of one file, not of {}", path.display(), suffixes.len());
                Err(Failure::usage(message).hint("name a directory with `--dir`"))
            }
            Some(path) if path == Path::new("-") => Ok(()),
            _ => Ok(suffixes.iter().map(path).try_for_each(|path| check_target(&path))?),
        }
    }
}

/// What is put behind the name of a disk, uncompressed, that a block map is of: where bmaptool looks for it.
const BLOCK_MAP: &str = ".bmap";

/// The ends of the names of all files that these formats have for a spec, each once.
fn suffixes(formats: &[&Format], spec: &Spec, (compressions, bmap): (&Compressions, bool)) -> Vec<String> {
    let kernel = spec.kernel.as_ref().filter(|kernel| !kernel.image.value.is_empty());
    let is_there = |product| match product {
        Product::Kernel => kernel.is_some(),
        Product::Cmdline => kernel.is_some_and(|kernel| !kernel.cmdline.is_empty()),
        _ => true,
    };
    let mut suffixes = Vec::new();
    for (format, file) in formats.iter().flat_map(|format| format.files.iter().map(move |file| (format, file))) {
        let suffix = format!("{}{}", file.suffix, compressions.suffix(format, file));
        let map = (bmap && file.is_raw_disk()).then(|| format!("{}{BLOCK_MAP}", file.suffix));
        for suffix in [suffix].into_iter().chain(map) {
            if (!file.optional || is_there(file.product)) && !suffixes.contains(&suffix) {
                suffixes.push(suffix);
            }
        }
    }
    suffixes
}

/// Builds what was asked for. What cannot work is refused before anything is fetched.
pub fn run(args: args::Build, loudness: Loudness) -> Result<ExitCode, Failure> {
    let args::Build { specs, formats, dir, output, compress, dry_run, digest, json, system, artifact_mode, .. } = args;
    let named = formats.iter().map(|name| Format::named(name)).collect::<Result<Vec<_>, _>>()?;
    let compressions = Compressions::parse(&compress)?.with_those_of_linuxkit(args.as_linuxkit);
    let mode = artifact_mode.as_deref().map(settings::artifact_mode).transpose()?;
    let mut settings = Settings::new(system)?.with_reads(args.reads.as_deref())?.with_docker(args.docker)?;
    args.eif.apply(&mut settings);
    let inputs = args.images.apply(&specs, &mut settings)?;
    if dry_run {
        let parsed = system::parse(&inputs, &Progress::new(loudness))?;
        report::print(&system::resolved_text(&parsed, MetadataFormat::Yaml))?;
        return Ok(ExitCode::SUCCESS);
    }
    args.signature.apply(&mut settings)?;
    let progress = Progress::new(loudness);
    let parsed = system::parse(&inputs, &progress)?;
    let formats = match (named.is_empty(), &output) {
        (false, _) => named,
        _ if settings.options.kernel_image => vec![Format::named("eif")?],
        (true, Some(_)) => vec![Format::named("tar")?],
        (true, None) => formats_of(&parsed)?,
    };
    compressions.check(&formats)?;
    check_files(&compressions, &formats, digest, output.as_deref())?;
    check_enclave(&settings, &formats)?;
    check_block_maps(args.bmap, &formats)?;
    if loudness >= Loudness::Normal {
        warn_of_idle(args.input_tar.is_some(), &settings.options, &formats);
    }
    let target = Target { dir: &dir, output: output.as_deref(), mode };
    if !digest {
        target.check(
            &settings.name(&inputs),
            &suffixes(&formats, &parsed.spec, (&compressions, args.bmap)),
            &inputs,
        )?;
    }
    let loaded = specs::load_parsed(parsed, &inputs, &settings, &progress)?;
    warn_of_bios(&loaded.catalog, &formats);
    warn_of_firmware(&loaded.catalog, &formats);
    let outputs = outputs(&loaded.catalog, &formats, (&compressions, args.bmap))?;
    if digest {
        print_digests(&outputs, json, &progress)?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = write(&outputs, &target, &progress)?;
    if json {
        let file = |(path, size): &(PathBuf, u64)| {
            let mut row = path_json(path.as_os_str().as_bytes());
            row.insert("size".to_owned(), (*size).into());
            row
        };
        let files: Vec<_> = written.iter().map(file).collect();
        report::print(&format!("{}\n", json!({ "files": files })))?;
    } else if !written.is_empty() {
        progress.finished(&written_line(&written));
    }
    Ok(ExitCode::SUCCESS)
}

/// Names the options that change nothing: one of linuxkit, and those of files that are not written.
fn warn_of_idle(has_input_tar: bool, options: &Options, formats: &[&Format]) {
    let writes =
        |is_kind: fn(Product) -> bool| formats.iter().flat_map(|format| format.files).any(|file| is_kind(file.product));
    let is_medium = |product: Product| product.is_disk() || product == Product::BootIso;
    let is_for_pi = |product| matches!(product, Product::Rpi3Tar | Product::Rpi3Disk);
    let Options { disk_size, data_size, loaders, device_trees, firmware, .. } = options;
    let disks = writes(Product::is_disk);
    let idle = [
        ("--input-tar", has_input_tar, "lkit needs no earlier build"),
        ("--size", disk_size.is_some() && !disks, "no disk is written"),
        ("--data-size", data_size.is_some() && !disks, "no disk is written"),
        ("--loader", loaders.systemd_boot.is_some() && !writes(is_medium), "neither a disk nor an ISO is written"),
        ("--loader", loaders.isolinux.is_some() && !writes(|product| product == Product::BootIso), "no ISO is written"),
        ("--dtb", !device_trees.is_empty() && !writes(Product::is_for_boards), "nothing for boards is written"),
        ("--firmware", !firmware.is_empty() && !writes(is_for_pi), "nothing for a Raspberry Pi is written"),
    ];
    for (name, _, reason) in idle.into_iter().filter(|(_, is_idle, _)| *is_idle) {
        report::warn(&format!("`{name}` has no effect: {reason}"));
    }
}

/// What was written, in one line.
fn written_line(written: &[(PathBuf, u64)]) -> String {
    let files: Vec<_> = written.iter().map(|(path, size)| format!("`{}` ({size} bytes)", path.display())).collect();
    format!("wrote {}", files.join(", "))
}

/// Refuses to stream a compressed root: its first bytes are known last.
fn check_files(
    compressions: &Compressions,
    formats: &[&Format],
    digest: bool,
    output: Option<&Path>,
) -> Result<(), Failure> {
    let Some(format) = formats.iter().find(|format| compressions.needs_file(format)) else { return Ok(()) };
    let is_pipe = |path: &Path| path.metadata().is_ok_and(|found| found.file_type().is_fifo());
    let name = match output {
        _ if digest => "--digest",
        Some(path) if path == Path::new("-") || is_pipe(path) => "-o",
        _ => return Ok(()),
    };
    let message =
        format!("`{name}` cannot stream `{}` with `--compress`: its first bytes are written last", format.name);
    Err(Failure::usage(message).hint("write it to a file with `--dir` or `-o FILE`"))
}

/// Refuses options of images for enclaves where none is written.
fn check_enclave(settings: &Settings, formats: &[&Format]) -> Result<(), Failure> {
    let options = &settings.options;
    let asked = options.application.is_some() || options.kernel_image || options.signer.is_some();
    if asked && formats.iter().all(|format| format.files.iter().all(|file| file.product != Product::Eif)) {
        let message = "`--image`, `--kernel-image`, `--eif-application`, `--eif-key` and `--eif-certificate` are for the format `eif`";
        return Err(Failure::usage(message).hint("add `-f eif`, or leave them out"));
    }
    Ok(())
}

/// Refuses block maps where no raw disk is written.
fn check_block_maps(bmap: bool, formats: &[&Format]) -> Result<(), Failure> {
    let is_raw_disk = |format: &&Format| format.files.iter().any(FormatFile::is_raw_disk);
    if bmap && !formats.iter().any(is_raw_disk) {
        return Err(Failure::usage("`--bmap` is for raw disks, and none is written").hint("add `-f raw-efi`"));
    }
    Ok(())
}

/// Tells when a format that is named after BIOS starts by UEFI alone.
fn warn_of_bios(catalog: &Catalog, formats: &[&Format]) {
    for format in formats.iter().filter(|format| format.name.ends_with("-bios")) {
        // A kernel that is missing or cannot be read is an error of its own later.
        if let Ok(false) = catalog.starts_by_bios() {
            report::warn(&format!("`{}` starts by UEFI only, since no BIOS can start this kernel", format.name));
        }
    }
}

/// Tells when what is for a Raspberry Pi has nothing that one starts by itself.
fn warn_of_firmware(catalog: &Catalog, formats: &[&Format]) {
    let is_for_pi = |format: &&&Format| {
        format.files.iter().any(|file| matches!(file.product, Product::Rpi3Tar | Product::Rpi3Disk))
    };
    let has_none = catalog.system().board.as_ref().is_some_and(|board| board.firmware.is_empty());
    if let Some(format) = formats.iter().find(is_for_pi).filter(|_| has_none) {
        let name = format.name;
        report::warn(&format!(
            "`{name}` has neither firmware nor U-Boot, without which no Raspberry Pi starts; name what has them with `--firmware`"
        ));
    }
}

/// The formats of the older `outputs` key, else LinuxKit's default.
///
/// # Errors
/// When a name is no format that lkit makes; with its place.
fn formats_of(parsed: &Parsed) -> Result<Vec<&'static Format>, Failure> {
    let format = |output: &Located<String>| {
        let wrong = |error| Failure::from(error).of_kind(ErrorKind::Spec).at(parsed.texts.excerpt(output.place));
        Format::named(&output.value).map_err(wrong)
    };
    let mut formats = parsed.spec.outputs.iter().map(format).collect::<Result<Vec<_>, _>>()?;
    if formats.is_empty() {
        formats.push(Format::named("kernel+initrd")?);
    }
    Ok(formats)
}

/// The files of all formats, each laid out; two formats must not write one file.
fn outputs(
    catalog: &Catalog,
    formats: &[&Format],
    (compressions, bmap): (&Compressions, bool),
) -> Result<Vec<Output>, Failure> {
    let mut outputs: Vec<Output> = Vec::new();
    for format in formats {
        for artifact in catalog.written(format)?.into_iter().map(Rc::new) {
            let file = format.files.iter().find(|file| artifact.product() == Some(file.product));
            let name = format!("{}{}", artifact.name(), file.map_or("", |file| compressions.suffix(format, file)));
            match outputs.iter().find(|other| other.name == name) {
                None => {
                    if bmap && file.is_some_and(FormatFile::is_raw_disk) {
                        let name = format!("{}{BLOCK_MAP}", artifact.name());
                        outputs.push(Output { artifact: artifact.clone(), name, coding: Some(Coded::BlockMap) });
                    }
                    let coding = coded(catalog, &artifact, file.and_then(|file| compressions.of(format, file.product)));
                    outputs.push(Output { artifact, name, coding });
                }
                Some(other) if other.artifact.product() == artifact.product() => {}
                Some(_) => {
                    let message = format!("two of the formats write `{name}`");
                    return Err(Failure::usage(message).hint("build them one after the other, or with `--dir`"));
                }
            }
        }
    }
    outputs.iter().try_for_each(|output| output.artifact.open().map(drop))?;
    Ok(outputs)
}

/// How an artifact is compressed, where it can be.
fn coded(catalog: &Catalog, artifact: &Artifact, compressed: Option<Compressed>) -> Option<Coded> {
    match compressed? {
        Compressed::Stream(compression) => {
            catalog.compressible_from(artifact).map(|from| Coded::Stream(compression, from))
        }
        Compressed::Root(codec) => catalog.packed(artifact, codec).map(Coded::Root),
    }
}

fn write(outputs: &[Output], target: &Target<'_>, progress: &Progress) -> Result<Vec<(PathBuf, u64)>, Failure> {
    let Target { output, mode, .. } = *target;
    let interrupts = Interrupts::catch()?;
    let mut step = |exported: Exported<'_>| {
        progress.exported(exported);
        if interrupts.happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    if let (Some("-"), [output]) = (output.and_then(Path::to_str), outputs) {
        let streamed = export_to_stdout(&output.to("-".into(), None), &mut step);
        progress.clear();
        return streamed.map(|()| Vec::new()).map_err(Failure::from);
    }
    let exports: Vec<_> = outputs.iter().map(|output| output.to(target.path(&output.name), mode)).collect();
    let sizes = export(&exports, &mut step);
    progress.clear();
    let sizes = sizes?;
    Ok(exports.into_iter().map(|export| export.path).zip(sizes).collect())
}

fn print_digests(outputs: &[Output], json: bool, progress: &Progress) -> Result<(), Failure> {
    let mut sums = serde_json::Map::new();
    for output in outputs {
        let (mut hash, name) = (Hasher::default(), output.name.as_str());
        let hashed = export_to(&output.to(name.into(), None), &mut hash, &mut |exported| {
            progress.exported(exported);
            ControlFlow::Continue(())
        });
        progress.clear();
        hashed?;
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
