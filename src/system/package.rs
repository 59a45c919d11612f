//! Finds the reference of a LinuxKit package from its directory, for the `@pkg:DIR` of a spec.
//!
//! # Format
//! What `linuxkit pkg show-tag DIR` prints (LinuxKit's `docs/packages.md`): `ORG/IMAGE` of the package's `build.yml`,
//! and as tag the git tree hash of its directory at `HEAD`, with a mark when its files differ from that.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;
use sha1::Digest as _;

use super::Input;
use crate::oci::expanded;

/// The description of a package, next to its Dockerfile.
const BUILD_YML: &str = "build.yml";

/// The fields of `build.yml`; those that do not say what the image is called are only known by name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[allow(dead_code)]
struct Package {
    image: String,
    #[serde(default = "linuxkit")]
    org: String,
    #[serde(default)]
    extra_sources: Vec<String>,
    tag: Option<serde::de::IgnoredAny>,
    dockerfile: Option<serde::de::IgnoredAny>,
    arches: Option<serde::de::IgnoredAny>,
    gitrepo: Option<serde::de::IgnoredAny>,
    network: Option<serde::de::IgnoredAny>,
    disable_cache: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    #[serde(rename = "buildArgs")]
    build_args: Option<serde::de::IgnoredAny>,
    depends: Option<serde::de::IgnoredAny>,
}

fn linuxkit() -> String {
    "linuxkit".to_owned()
}

/// The full reference of the package in `directory`, which is relative to the one of `inputs` that is called `spec`.
///
/// # Errors
/// A message that says why there is none.
pub(super) fn find_package(inputs: &[Input], spec: &str, directory: &str) -> Result<String, String> {
    let spec = inputs.iter().find(|input| input.name() == spec).and_then(Input::path);
    let spec = spec.ok_or("packages are only looked up for specs in files")?;
    let path = spec.parent().unwrap_or(Path::new("")).join(directory);
    let path = fs::canonicalize(&path).map_err(|error| format!("cannot open `{}`: {error}", path.display()))?;
    let package = read_package(&path.join(BUILD_YML))?;
    let tag = match Git::at(&path)? {
        Some(git) => git.tag(&path, &package.extra_sources)?,
        None => "latest".to_owned(),
    };
    Ok(expanded(&format!("{}/{}:{tag}", package.org, package.image)))
}

fn read_package(path: &Path) -> Result<Package, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let package: Result<Package, _> = serde_saphyr::from_str(&text);
    let package = package.map_err(|error| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        format!("`{}` is not valid: {first}", path.display())
    })?;
    if package.image.is_empty() { Err(format!("`{}` has no `image`", path.display())) } else { Ok(package) }
}

/// The git work tree around a directory.
struct Git {
    directory: PathBuf,
}

impl Git {
    /// `None` when the directory is in no work tree.
    fn at(directory: &Path) -> Result<Option<Self>, String> {
        let git = Self { directory: directory.to_owned() };
        let inside = git.output(&["rev-parse", "--is-inside-work-tree"])?;
        Ok((inside.status.success() && inside.stdout.trim_ascii() == b"true").then_some(git))
    }

    /// The tag of a package: its tree hash, mixed with those of its other sources, and a mark when it is dirty.
    fn tag(&self, package: &Path, extra_sources: &[String]) -> Result<String, String> {
        let mut tag = self.tree_hash(package)?;
        let mut others = String::new();
        for source in extra_sources {
            let Some((path, _)) = source.split_once(':').filter(|(_, to)| !to.contains(':')) else {
                return Err(format!("`{source}` is no extra source; it is written `FROM:TO`"));
            };
            let path = package.join(path);
            let path = fs::canonicalize(&path).map_err(|error| format!("cannot open `{}`: {error}", path.display()))?;
            let git = Self::at(&path)?.ok_or_else(|| format!("`{}` is in no git work tree", path.display()))?;
            others += &git.tree_hash(&path)?;
        }
        if !others.is_empty() {
            tag = hex(&sha1::Sha1::digest(tag + &others));
        }
        if self.is_dirty(package)? {
            tag += &format!("-dirty-{}", &self.content_hash()?[..7]);
        }
        Ok(tag)
    }

    fn tree_hash(&self, path: &Path) -> Result<String, String> {
        let top = self.text(&["rev-parse", "--show-toplevel"])?;
        if fs::canonicalize(top.trim_end()).is_ok_and(|top| top == path) {
            return Ok(self.text(&["show", "--format=%T", "-s", "HEAD"])?.trim().to_owned());
        }
        let prefix = self.text(&["rev-parse", "--show-prefix"])?;
        let tree = format!("HEAD:{}", prefix.trim_end_matches(['\n', '/']));
        let hash = self.output(&["rev-parse", "--verify", "--quiet", &tree])?;
        if !hash.status.success() {
            return Err(format!("`{}` is not committed to git", path.display()));
        }
        Ok(String::from_utf8_lossy(&hash.stdout).trim().to_owned())
    }

    /// Whether files differ from `HEAD`, or are there that git does not know.
    fn is_dirty(&self, path: &Path) -> Result<bool, String> {
        let path = path.display().to_string();
        let differs = !self.output(&["diff", "--no-ext-diff", "--quiet", "HEAD", "--", &path])?.status.success();
        let unknown = ["ls-files", "--exclude-standard", "--others", "--", &path];
        Ok(differs || !self.text(&unknown)?.trim().is_empty())
    }

    /// Digest of all files git knows and of those it would add, in that order.
    fn content_hash(&self) -> Result<String, String> {
        let known = self.text(&["ls-files"])?;
        let new = self.text(&["ls-files", "--exclude-standard", "--others"])?;
        let mut hash = crate::base::Hasher::default();
        for name in known.lines().chain(new.lines()) {
            let path = self.directory.join(name);
            if fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file()) {
                let copied = fs::File::open(&path).and_then(|mut file| io::copy(&mut file, &mut hash));
                copied.map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
            }
        }
        Ok(hash.finish().hex())
    }

    fn text(&self, args: &[&str]) -> Result<String, String> {
        let output = self.output(args)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`git {}` failed: {}", args.join(" "), said.trim()))
    }

    fn output(&self, args: &[&str]) -> Result<Output, String> {
        let output = Command::new("git").arg("-C").arg(&self.directory).args(args).output();
        output.map_err(|error| format!("cannot run `git`: {error}"))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A work tree with a package in `pkg/x`, below the system's temporary directory.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir().join(format!("lkit-template-{name}-{}", std::process::id()));
            fs::create_dir_all(root.join("pkg/x")).unwrap();
            Self(fs::canonicalize(root).unwrap())
        }

        fn write(&self, path: &str, text: &str) {
            fs::write(self.0.join(path), text).unwrap();
        }

        fn git(&self, args: &[&str]) -> String {
            let name = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"];
            let args: Vec<&str> = name.into_iter().chain(args.iter().copied()).collect();
            Git { directory: self.0.clone() }.text(&args).unwrap().trim().to_owned()
        }

        fn find(&self, directory: &str) -> Result<String, String> {
            let spec = self.0.join("spec.yml");
            find_package(&[Input::Stdin, Input::named(&spec)], &spec.display().to_string(), directory)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    #[test]
    fn a_package_is_named_by_its_tree() {
        let scratch = Scratch::new("tree");
        scratch.write("pkg/x/build.yml", "image: init\nnetwork: true\n");
        assert_eq!(scratch.find("pkg/x"), Ok("docker.io/linuxkit/init:latest".to_owned()));
        scratch.git(&["init", "-q"]);
        assert_eq!(
            scratch.find("pkg/x").map_err(|e| e.replace(&scratch.0.display().to_string(), "")),
            Err("`/pkg/x` is not committed to git".to_owned())
        );
        scratch.git(&["add", "."]);
        scratch.git(&["commit", "-qm", "one"]);
        let tree = scratch.git(&["rev-parse", "HEAD:pkg/x"]);
        assert_eq!(scratch.find("./pkg/x/"), Ok(format!("docker.io/linuxkit/init:{tree}")));
        scratch.write("pkg/x/new", "n");
        let content = crate::base::Digest::of(b"image: init\nnetwork: true\nn").hex();
        assert_eq!(scratch.find("pkg/x"), Ok(format!("docker.io/linuxkit/init:{tree}-dirty-{}", &content[..7])));
    }

    #[test]
    fn other_sources_are_part_of_the_tag() {
        let scratch = Scratch::new("sources");
        scratch.write("pkg/x/build.yml", "image: a\norg: localhost:5000\nextra-sources: ['../..:/src']\n");
        scratch.git(&["init", "-q"]);
        scratch.git(&["add", "."]);
        scratch.git(&["commit", "-qm", "one"]);
        let trees = scratch.git(&["rev-parse", "HEAD:pkg/x"]) + &scratch.git(&["rev-parse", "HEAD^{tree}"]);
        assert_eq!(scratch.find("pkg/x"), Ok(format!("localhost:5000/a:{}", hex(&sha1::Sha1::digest(trees)))));
    }

    #[test]
    fn what_is_no_package_is_told() {
        let scratch = Scratch::new("none");
        let told = |directory| scratch.find(directory).unwrap_err().replace(&scratch.0.display().to_string(), "");
        assert_eq!(told("nope"), "cannot open `/nope`: No such file or directory (os error 2)");
        assert_eq!(told("pkg/x"), "cannot read `/pkg/x/build.yml`: No such file or directory (os error 2)");
        scratch.write("pkg/x/build.yml", "org: o\nbogus: 1\n");
        assert!(told("pkg/x").starts_with("`/pkg/x/build.yml` is not valid: "), "{}", told("pkg/x"));
        let refused = Err("packages are only looked up for specs in files".to_owned());
        assert_eq!(find_package(&[Input::Stdin], "<stdin>", "x"), refused);
    }
}
