//! Images that a package wants to have as archives in its directory before it is built: `depends` in its `build.yml`.
//!
//! # Format
//! LinuxKit's `docs/packages.md`, "depends".

use std::fs;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::PackageError;
use super::text::text;
use crate::base::{Monitor, Platform};
use crate::oci::Reference;
use crate::system::{Archived, Asked, Origins, Packed, archive, pour};

/// What `build.yml` says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct DockerImages {
    target_dir: String,
    target: String,
    from_file: String,
    list: Vec<String>,
}

/// Images, and where they go.
pub(super) struct Depends {
    images: Vec<Reference>,
    target: Target,
}

/// Where images go, below the directory that is built.
enum Target {
    /// All into one archive.
    File(PathBuf),
    /// Each into an archive of its own in a directory, which is emptied first.
    Directory(PathBuf),
}

impl DockerImages {
    /// What is asked for; nothing when there are no images.
    ///
    /// # Errors
    /// A message that says what cannot be.
    pub fn depends(&self, package: &Path) -> Result<Option<Depends>, String> {
        let Self { target_dir, target, from_file, list } = self;
        let both = |one: &str, other: &str| format!("`depends` has both `{one}` and `{other}`");
        if !from_file.is_empty() && !list.is_empty() {
            return Err(both("from-file", "list"));
        }
        let target = match (&**target, &**target_dir) {
            ("", "") => None,
            (file, "") => Some(Target::File(inside("target", file)?)),
            ("", directory) => Some(Target::Directory(inside("target-dir", directory)?)),
            _ => return Err(both("target", "target-dir")),
        };
        let listed =
            if from_file.is_empty() { list.clone() } else { listed(&package.join(inside("from-file", from_file)?))? };
        let images = listed.iter().map(|text| pinned(text)).collect::<Result<Vec<_>, _>>()?;
        if images.is_empty() {
            return Ok(None);
        }
        let target = target.ok_or("`depends` has neither `target` nor `target-dir`")?;
        Ok(Some(Depends { images, target }))
    }
}

/// A path that leads below the directory of the package.
fn inside(field: &str, text: &str) -> Result<PathBuf, String> {
    let path: PathBuf = Path::new(text).components().filter(|part| *part != Component::CurDir).collect();
    let is_inside = path.components().all(|part| matches!(part, Component::Normal(_))) && path.components().count() > 0;
    if is_inside {
        Ok(path)
    } else {
        Err(format!("`{field}` of `depends` is `{text}`, which is not inside of the directory of the package"))
    }
}

/// The lines of a list without empty ones and comments.
fn listed(path: &Path) -> Result<Vec<String>, String> {
    let text = text(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    Ok(text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}

/// An image that is named by its digest, so that the package is always the same.
fn pinned(text: &str) -> Result<Reference, String> {
    let reference: Reference =
        text.trim().parse().map_err(|error| format!("`{text}` of `depends` names no image: {error}"))?;
    match reference.digest() {
        Some(_) => Ok(reference),
        None => Err(format!("`{text}` of `depends` has no digest; write it as `NAME@sha256:…`")),
    }
}

impl Depends {
    /// Brings the images here for a platform and writes them into `context`, the copy of the directory that is built.
    ///
    /// # Errors
    /// When an image cannot be had, or there is no room.
    pub fn write(
        &self,
        context: &Path,
        platform: &Platform,
        origins: &Origins,
        monitor: &dyn Monitor,
    ) -> Result<(), PackageError> {
        let origins = Origins { platform: platform.clone(), ..origins.clone() };
        let asked = |reference: &Reference| Asked { reference: reference.clone(), platforms: vec![platform.clone()] };
        crate::system::pull(&self.images.iter().map(asked).collect::<Vec<_>>(), &origins, monitor)?;
        let packed: Vec<Packed> =
            self.images.iter().map(|name| Packed { asked: asked(name), name: name.clone() }).collect();
        let save = |packed: &[Packed], path: &Path| {
            let source = archive(packed, Archived::Docker, &origins, monitor)?;
            fs::create_dir_all(path.parent().unwrap_or(path)).map_err(PackageError::Temporary)?;
            let mut file = fs::File::create(path).map_err(PackageError::Temporary)?;
            pour(&*source, &mut file).map_err(PackageError::Temporary)
        };
        match &self.target {
            Target::File(path) => save(&packed, &below(context, path)?),
            Target::Directory(path) => {
                let directory = below(context, path)?;
                if directory.exists() {
                    fs::remove_dir_all(&directory).map_err(PackageError::Temporary)?;
                }
                packed.iter().try_for_each(|one| save(std::slice::from_ref(one), &directory.join(file_name(&one.name))))
            }
        }
    }
}

/// The path below a copy of the directory, where nothing may lead out of it.
fn below(context: &Path, path: &Path) -> Result<PathBuf, PackageError> {
    let mut here = context.to_owned();
    for part in path.components() {
        here.push(part);
        if here.is_symlink() {
            let message = format!("`{}` of `depends` leads over a link; name the directory itself", path.display());
            return Err(PackageError::Invalid(message));
        }
    }
    Ok(here)
}

/// What the archive of one image is called: the end of its name, and its digest.
fn file_name(image: &Reference) -> String {
    let name = image.repository().rsplit('/').next().unwrap_or_default();
    let digest = image.digest().map(|digest| format!("@{digest}")).unwrap_or_default();
    format!("{name}{digest}.tar")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_or_removed_over_a_link() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("out")).unwrap();
        fs::create_dir(dir.path().join("in")).unwrap();
        for path in ["out", "out/x", "out/in/x"] {
            let said = below(dir.path(), Path::new(path)).unwrap_err().to_string();
            assert_eq!(said, format!("`{path}` of `depends` leads over a link; name the directory itself"));
        }
        assert_eq!(below(dir.path(), Path::new("in/x")).unwrap(), dir.path().join("in/x"));
    }

    #[test]
    fn what_depends_may_not_say_is_told() {
        let digest = format!("a@sha256:{}", "0".repeat(64));
        let images = |target: &str, dir: &str, file: &str, list: &[&str]| {
            let list = list.iter().map(|text| (*text).to_owned()).collect();
            let [target, target_dir, from_file] = [target, dir, file].map(str::to_owned);
            DockerImages { target_dir, target, from_file, list }
                .depends(Path::new("/none"))
                .map(|found| found.is_some())
        };
        let outside = "which is not inside of the directory of the package";
        let rows = [
            (images("t.tar", "", "", &[&digest]), Ok(true)),
            (images("", "./d", "", &[&digest]), Ok(true)),
            (images("", "", "", &[]), Ok(false)),
            (images("", "", "", &[&digest]), Err("`depends` has neither `target` nor `target-dir`".to_owned())),
            (images("a", "b", "", &[]), Err("`depends` has both `target` and `target-dir`".to_owned())),
            (images("a", "", "f", &["x"]), Err("`depends` has both `from-file` and `list`".to_owned())),
            (images("../t", "", "", &[]), Err(format!("`target` of `depends` is `../t`, {outside}"))),
            (images("", ".", "", &[]), Err(format!("`target-dir` of `depends` is `.`, {outside}"))),
            (images("/t", "", "", &[]), Err(format!("`target` of `depends` is `/t`, {outside}"))),
            (
                images("t", "", "", &["a:1"]),
                Err("`a:1` of `depends` has no digest; write it as `NAME@sha256:…`".to_owned()),
            ),
        ];
        for (found, expected) in rows {
            assert_eq!(found, expected);
        }
        assert!(images("t", "", "l", &[]).unwrap_err().starts_with("cannot read `/none/l`: "));
    }
}
