//! `lkit cache pull|push|import|export`: whole images in and out of the cache.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use crate::base::{ErrorKind, Platform, is_url, shown_size};
use crate::cli::args::{self, ArchiveFormat};
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::specs;
use crate::oci::{ParseReferenceError, Pull, Reference};
use crate::output::Artifact;
use crate::serve::{Export, Exported, Interrupts, check_target, export, export_to_stdout};
use crate::system::{self, Archived, Asked, Imported, Origins, Packed};

/// Brings images here whole.
pub fn pull(args: args::CachePull, cache: PathBuf, progress: &Progress) -> Result<ExitCode, Failure> {
    let platforms = platforms(&args.platform)?;
    let sources = args::Sources {
        cache: Some(cache),
        mirror: args.mirror,
        ca: args.ca,
        locked: args.locked,
        arch: args.platform.first().filter(|text| *text != ALL).cloned(),
        ..args::Sources::default()
    };
    // As linuxkit does: whoever pulls wants what the tag means now.
    let origins = Origins { pull: Pull::Always, ..Settings::of_sources(sources)?.origins };
    let asked = asked(&args.what, &platforms, &origins, progress)?;
    let asked: Vec<Asked> =
        asked.into_iter().map(|asked| Asked { reference: asked.reference.tagged(), ..asked }).collect();
    let pulled = system::pull(&asked, &origins, progress);
    progress.clear();
    let pulled = pulled?;
    if args.json {
        let images = pulled.images.iter().map(|image| {
            shown(&image.reference, json!({"digest": image.root.to_string(), "blobs": image.blobs, "size": image.size}))
        });
        return print(&json!({"images": images.collect::<Vec<_>>(), "fetched": pulled.fetched}));
    }
    progress.finished(&format!("pulled {}; {} were fetched", counted(pulled.images.len()), shown_size(pulled.fetched)));
    Ok(ExitCode::SUCCESS)
}

/// Puts images into registries.
pub fn push(args: args::CachePush, cache: PathBuf, progress: &Progress) -> Result<ExitCode, Failure> {
    let platform = args.platform.as_deref().map(platform).transpose()?;
    let to = args.to.as_deref().map(|text| reference(text, "--to: ")).transpose()?;
    let sources = args::Sources {
        cache: Some(cache),
        mirror: args.mirror,
        ca: args.ca,
        locked: args.locked,
        arch: args.platform,
        ..args::Sources::default()
    };
    let origins = Settings::of_sources(sources)?.origins;
    let mut asked = asked(&args.what, platform.as_slice(), &origins, progress)?;
    // What a volume holds its image for says nothing of what is pushed.
    asked.iter_mut().for_each(|asked| asked.platforms = platform.iter().cloned().collect());
    let pushed = system::push(&asked, to.as_ref(), &origins, progress);
    progress.clear();
    let pushed = pushed?;
    if args.json {
        let images = pushed.iter().map(|image| {
            let more = json!({"target": image.target.to_string(), "digest": image.root.to_string(),
                              "sent": image.sent, "size": image.size});
            shown(&image.reference, more)
        });
        return print(&json!({"images": images.collect::<Vec<_>>()}));
    }
    let size = pushed.iter().map(|image| image.size).sum();
    progress.finished(&format!("pushed {}; {} were sent", counted(pushed.len()), shown_size(size)));
    Ok(ExitCode::SUCCESS)
}

/// Brings the images of an archive or layout into the cache.
pub fn import(args: &args::CacheImport, cache: &Path, progress: &Progress) -> Result<ExitCode, Failure> {
    let name = args.name.as_deref().map(|text| reference(text, "--name: ")).transpose()?;
    let imported = match args.file == Path::new("-") {
        true => system::import_stream(&mut io::stdin().lock(), name.as_ref(), cache, progress)?,
        false => system::import(&args.file, name.as_ref(), cache, progress)?,
    };
    if args.json {
        let image = |image: &Imported| {
            shown(&image.reference, json!({"digest": image.root.to_string(), "blobs": image.blobs, "size": image.size}))
        };
        return print(&json!({"images": imported.iter().map(image).collect::<Vec<_>>()}));
    }
    progress.finished(&format!("imported {}", counted(imported.len())));
    Ok(ExitCode::SUCCESS)
}

/// Writes images as an archive.
pub fn export_images(args: &args::CacheExport, cache: PathBuf, progress: &Progress) -> Result<ExitCode, Failure> {
    let to_stdout = args.output == Path::new("-");
    if args.output.is_dir() {
        let message = format!("`{}` is a directory", args.output.display());
        return Err(Failure::usage(message).hint("name the file to write with `-o`"));
    }
    if !to_stdout {
        check_target(&args.output)?;
    }
    let packed = packed(args)?;
    let sources = args::Sources {
        cache: Some(cache),
        arch: args.platform.clone().filter(|text| text != ALL),
        ..args::Sources::default()
    };
    let origins = Settings::of_sources(sources)?.origins;
    let format = match args.format {
        ArchiveFormat::Oci => Archived::Oci,
        ArchiveFormat::Docker => Archived::Docker,
        ArchiveFormat::Filesystem => Archived::Filesystem,
    };
    let name = args.output.file_name().unwrap_or_default().to_string_lossy();
    let archive = system::archive(&packed, format, &origins, progress);
    progress.clear();
    let artifact = Artifact::ready(name, archive?);
    let interrupts = Interrupts::catch()?;
    let mut step = |exported: Exported<'_>| {
        progress.exported(exported);
        if interrupts.happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let written = if to_stdout {
        export_to_stdout(&Export::plain(&artifact, &args.output), &mut step).map(|()| Vec::new())
    } else {
        export(&[Export::plain(&artifact, &args.output)], &mut step)
    };
    progress.clear();
    if let Some(size) = written?.first() {
        progress.finished(&format!("wrote `{}` ({size} bytes)", args.output.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The images of an export, with their names in the archive.
fn packed(args: &args::CacheExport) -> Result<Vec<Packed>, Failure> {
    let texts: Vec<String> = args.platform.iter().cloned().collect();
    let platforms = platforms(&texts)?;
    if platforms.is_empty() && args.format != ArchiveFormat::Oci {
        let hint = "choose one, such as `--platform linux/amd64`, or `--format oci`";
        return Err(Failure::usage("only an OCI layout holds an image for all platforms").hint(hint));
    }
    let name = args.name.as_deref().map(|text| reference(text, "--name: ")).transpose()?;
    if name.is_some() && args.references.len() > 1 {
        return Err(Failure::usage("`--name` is for one image").hint("leave it out: each image keeps its own"));
    }
    let packed = args.references.iter().map(|text| {
        let reference = reference(text, "")?;
        let name = name.clone().unwrap_or_else(|| reference.tagged());
        Ok(Packed { asked: Asked { reference, platforms: platforms.clone() }, name })
    });
    packed.collect()
}

/// What stands for every platform.
const ALL: &str = "all";

/// The platforms of `--platform`: this machine's by default, none for all.
fn platforms(texts: &[String]) -> Result<Vec<Platform>, Failure> {
    match texts {
        [] => Ok(vec![Platform::host()]),
        [text] if text == ALL => Ok(Vec::new()),
        texts => texts.iter().map(|text| platform(text)).collect(),
    }
}

fn platform(text: &str) -> Result<Platform, Failure> {
    if text == ALL {
        return Err(Failure::usage("--platform: `all` can only stand alone, and where several platforms can be meant"));
    }
    text.parse().map_err(|error| Failure::usage(format!("--platform: {error}")))
}

/// The images of references, and those of the specs among them.
fn asked(
    what: &[String],
    platforms: &[Platform],
    origins: &Origins,
    progress: &Progress,
) -> Result<Vec<Asked>, Failure> {
    let (named, references): (Vec<&String>, Vec<&String>) = what.iter().partition(|text| is_spec(text));
    let named: Vec<PathBuf> = named.into_iter().map(PathBuf::from).collect();
    if named.is_empty() && origins.locked {
        return Err(Failure::usage("`--locked` is for specs, which have a lock beside them")
            .hint("write a digest in the reference itself, as `NAME@sha256:…`"));
    }
    let mut asked = Vec::new();
    if !named.is_empty() {
        asked = Asked::of_specs(&specs::inputs(&named), platforms, origins, progress)?;
    }
    for text in references {
        asked.push(Asked { reference: reference(text, "")?, platforms: platforms.to_vec() });
    }
    Ok(asked)
}

/// Whether a text names a spec, and not an image.
fn is_spec(text: &str) -> bool {
    let ends = [".yml", ".yaml"];
    text == "-" || is_url(text) || ends.iter().any(|end| text.ends_with(end)) || Path::new(text).is_file()
}

fn reference(text: &str, option: &str) -> Result<Reference, Failure> {
    text.parse().map_err(|error: ParseReferenceError| {
        Failure::caused(ErrorKind::Usage, format!("{option}`{text}` is no image reference"), &error)
    })
}

/// `1 image`, `2 images`.
fn counted(count: usize) -> String {
    if count == 1 { "1 image".to_owned() } else { format!("{count} images") }
}

/// An image as JSON: its name, then the rest.
fn shown(reference: &Reference, rest: Value) -> Value {
    let mut image = json!({"name": reference.to_string()});
    if let (Some(image), Value::Object(rest)) = (image.as_object_mut(), rest) {
        image.extend(rest);
    }
    image
}

fn print(json: &Value) -> Result<ExitCode, Failure> {
    report::print(&format!("{json:#}\n"))?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_known_by_its_end_or_its_scheme() {
        let rows = [("a.yml", true), ("x/a.yaml", true), ("-", true), ("https://x/a", true), ("nginx:1.27", false)];
        for (text, expected) in rows {
            assert_eq!(is_spec(text), expected, "{text}");
        }
    }

    #[test]
    fn all_platforms_are_none_in_particular() {
        let parsed = |texts: &[&str]| platforms(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        assert_eq!(parsed(&[]).unwrap(), [Platform::host()]);
        assert_eq!(parsed(&["all"]).unwrap(), []);
        assert_eq!(parsed(&["amd64", "linux/arm64"]).unwrap(), ["amd64", "arm64"].map(Platform::linux));
        assert!(parsed(&["all", "amd64"]).is_err() && parsed(&["a/b/c/d"]).is_err());
    }
}
