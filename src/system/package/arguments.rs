//! What a builder gets to know of a package: build arguments and labels, as linuxkit gives them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::PackageError;
use super::source::{HEAD, Naming, Package};
use super::text::text;
use crate::base::in_line;

/// What begins a value that names packages.
const SPECIAL: &str = "@lkt:";

/// Build arguments and labels by name.
pub(super) type Pairs = BTreeMap<String, String>;

/// The build arguments of a package; those of `files`, one `NAME=VALUE` a line, go before its own.
///
/// # Errors
/// When a line is not `NAME=VALUE`, or names a directory that is not a package.
pub(super) fn build_args(package: &Package, files: &[PathBuf]) -> Result<Pairs, PackageError> {
    collect(package, files).map_err(PackageError::Invalid)
}

fn collect(package: &Package, files: &[PathBuf]) -> Result<Pairs, String> {
    let mut pairs = Pairs::new();
    for line in package.description.build_args.iter().flatten() {
        add(&mut pairs, line, &package.build_yml)?;
    }
    for file in files {
        let text = text(file).map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            add(&mut pairs, line, file)?;
        }
    }
    let git = package.git.as_ref();
    let known = [
        ("SOURCE", Some(package.description.gitrepo.clone())),
        ("REVISION", revision(package)?),
        ("GOPKGVERSION", git.map(go_version).transpose()?),
        ("PKG_HASH", Some(package.hash.clone())),
        ("PKG_IMAGE", Some(package.image())),
    ];
    for (name, value) in known {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            pairs.entry(name.to_owned()).or_insert(value);
        }
    }
    Ok(pairs)
}

/// The labels of a package's image.
///
/// # Errors
/// When git fails.
pub(super) fn labels(package: &Package) -> Result<Pairs, PackageError> {
    let source = package.git.as_ref().map(|_| package.description.gitrepo.clone()).filter(|repo| !repo.is_empty());
    let config = package.description.config.as_ref().map(ToString::to_string);
    let labels = [
        ("org.opencontainers.image.source", source),
        ("org.opencontainers.image.revision", revision(package).map_err(PackageError::Invalid)?),
        ("org.mobyproject.config", config),
        ("org.mobyproject.linuxkit.version", Some(format!("lkit-{}", env!("CARGO_PKG_VERSION")))),
    ];
    Ok(labels.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

/// The commit, unless the files differ from it.
fn revision(package: &Package) -> Result<Option<String>, String> {
    let git = package.git.as_ref().filter(|_| !package.is_dirty);
    git.map(|git| Ok(git.text(&["rev-parse", HEAD])?.trim().to_owned())).transpose()
}

/// The version of the commit as Go modules write one without a tag.
fn go_version(git: &super::git::Git) -> Result<String, String> {
    let show = ["show", "--quiet", "--abbrev=12", "--date=format-local:%Y%m%d%H%M%S", "--format=%cd-%h"];
    Ok(format!("v0.0.0-{}", git.text(&show)?.trim()))
}

/// Adds a line; a value may name a package (`@lkt:pkg:DIR`), or several (`@lkt:pkgs:DIR/*`, and `%` in the name stands for
/// the image of each).
fn add(pairs: &mut Pairs, line: &str, file: &Path) -> Result<(), String> {
    let (name, value) = line.split_once('=').ok_or_else(|| format!("`{line}` is no build argument `NAME=VALUE`"))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let tagged = |directory: &Path| {
        Package::open(directory, &Naming::default()).map_err(|error| format!("`{line}`: {}", in_line(&error)))
    };
    let Some(special) = value.strip_prefix(SPECIAL) else {
        pairs.insert(name.trim().to_owned(), value.trim().to_owned());
        return Ok(());
    };
    match special.split_once(':') {
        Some(("pkg", directory)) => {
            pairs.insert(name.to_owned(), tagged(&folder.join(directory))?.tagged());
        }
        Some(("pkgs", _)) if !name.contains('%') => return Err(format!("`{line}`: there is no `%` in its name")),
        Some(("pkgs", pattern)) => {
            for directory in matching(&folder.join(pattern))? {
                let package = tagged(&directory)?;
                let image = package.image().replace(['/', '-'], "_").to_uppercase();
                pairs.insert(name.replace('%', &image), package.tagged());
            }
        }
        _ => return Err(format!("`{line}`: only `{SPECIAL}pkg:DIR` and `{SPECIAL}pkgs:DIR/*` are known")),
    }
    Ok(())
}

/// The directories that a pattern means, whose last part may have one `*`; hidden ones are passed over.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let none = || format!("no directory is `{}`", pattern.display());
    let name = pattern.file_name().and_then(|name| name.to_str()).ok_or_else(none)?;
    let Some((begin, end)) = name.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
    let folder = pattern.parent().unwrap_or(Path::new(""));
    let entries = fs::read_dir(folder).map_err(|error| format!("cannot open `{}`: {error}", folder.display()))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| format!("cannot read `{}`: {error}", folder.display()))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let is_meant = name.len() >= begin.len() + end.len() && name.starts_with(begin) && name.ends_with(end);
        if is_meant && !name.starts_with('.') && path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() { Err(none()) } else { Ok(found) }
}
