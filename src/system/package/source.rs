//! Finds out what a LinuxKit package is called, from its directory: for `lkit pkg`, and for the `@pkg:DIR` of a spec.
//!
//! # Format
//! What `linuxkit pkg show-tag DIR` prints (LinuxKit's `docs/packages.md`): `ORG/IMAGE` of the package's `build.yml`,
//! and as tag the git tree hash of its directory at `HEAD`, with a mark when its files differ from that.

use std::fs;
use std::path::{Component, Path, PathBuf};

use sha1::Digest as _;

use super::PackageError;
use super::build_yml::BuildYml;
use super::git::Git;
use crate::base::in_line;
use crate::oci::expanded;
use crate::system::Input;

/// What options say of a package's name, in the place of what its directory says.
#[derive(Clone, Debug)]
pub struct Naming {
    /// File name of its description.
    pub build_yml: String,
    /// In the place of the hash of its directory.
    pub hash: Option<String>,
    /// The commit whose tree it is named by.
    pub commit: String,
    /// A directory around the package whose tree it is named by.
    pub hash_path: Option<PathBuf>,
    /// Its files are taken to differ from the commit.
    pub dirty: bool,
    /// In the place of its organization.
    pub org: Option<String>,
    /// In the place of the template of its tag.
    pub tag: Option<String>,
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            build_yml: "build.yml".to_owned(),
            hash: None,
            commit: HEAD.to_owned(),
            hash_path: None,
            dirty: false,
            org: None,
            tag: None,
        }
    }
}

pub(super) const HEAD: &str = "HEAD";

/// A package with its name.
pub struct Package {
    /// Its directory.
    pub directory: PathBuf,
    pub(super) description: BuildYml,
    /// Path of the description.
    pub(super) build_yml: PathBuf,
    pub(super) git: Option<Git>,
    /// Other directories and files of it, each with its path in what is built.
    pub(super) extra_sources: Vec<(PathBuf, PathBuf)>,
    /// Empty for a package outside of git.
    pub(super) hash: String,
    pub(super) commit: String,
    tag: String,
    /// Whether its files differ from the commit.
    pub is_dirty: bool,
}

impl Package {
    /// The package in a directory.
    ///
    /// # Errors
    /// When there is none, or git does not know it.
    pub fn open(directory: &Path, naming: &Naming) -> Result<Self, PackageError> {
        let directory = canonical(directory)?;
        let build_yml = directory.join(&naming.build_yml);
        let mut description = BuildYml::read(&build_yml)?;
        if let Some(org) = &naming.org {
            org.clone_into(&mut description.org);
        }
        let hashed = naming.hash_path.as_deref().map_or_else(|| Ok(directory.clone()), canonical)?;
        if !directory.starts_with(&hashed) {
            return Err(format!("`{}` is not in `{}`", directory.display(), hashed.display()).into());
        }
        let sources = description.extra_sources.iter().map(|source| extra_source(&directory, source));
        let extra_sources = sources.collect::<Result<Vec<_>, PackageError>>()?;
        let git = Git::at(&directory)?;
        let mut others = String::new();
        for (path, _) in &extra_sources {
            let git = Git::at(path.parent().filter(|_| !path.is_dir()).unwrap_or(path))?;
            let git = git.ok_or_else(|| format!("`{}` is in no git work tree", path.display()))?;
            others += &git.tree_hash(path, &naming.commit)?;
        }
        let is_dirty = match &git {
            // An older commit is what it is.
            Some(git) => naming.dirty || (naming.commit == HEAD && git.is_dirty(&hashed)?),
            None => false,
        };
        let hash = match (&naming.hash, &git) {
            (Some(hash), _) => hash.clone(),
            (None, Some(git)) => hash_of(git, (&hashed, &naming.commit), &others, is_dirty)?,
            (None, None) => String::new(),
        };
        let template = naming.tag.as_ref().unwrap_or(&description.tag);
        let tag = tag_of(template, &hash)?;
        let commit = naming.commit.clone();
        Ok(Self { directory, description, build_yml, git, extra_sources, hash, commit, tag, is_dirty })
    }

    /// Its name without a tag.
    pub fn image(&self) -> String {
        format!("{}/{}", self.description.org, self.description.image)
    }

    /// Its name, such as `linuxkit/init:4f2…`.
    pub fn tagged(&self) -> String {
        self.release(&self.tag)
    }

    /// Its name in full, such as `docker.io/linuxkit/init:4f2…`.
    pub fn canonical(&self) -> String {
        expanded(&self.tagged())
    }

    /// Its name with another tag.
    pub fn release(&self, tag: &str) -> String {
        format!("{}:{tag}", self.image())
    }

    /// The architectures it is built for.
    pub fn arches(&self) -> &[String] {
        &self.description.arches
    }

    /// The git tag at its commit, under which it is released.
    ///
    /// # Errors
    /// When git fails, or there are several tags.
    pub fn commit_tag(&self) -> Result<Option<String>, PackageError> {
        let Some(git) = &self.git else { return Ok(None) };
        let tags = git.text(&["tag", "-l", "--points-at", HEAD]).map_err(PackageError::Invalid)?;
        let tags: Vec<&str> = tags.split_whitespace().collect();
        match tags[..] {
            [] => Ok(None),
            [tag] => Ok(Some(tag.to_owned())),
            _ => Err(PackageError::Invalid(format!(
                "the commit has several tags, name one with `--release`: {}",
                tags.join(", ")
            ))),
        }
    }
}

/// The full reference of the package in `directory`, which is relative to the one of `inputs` that is called `spec`.
///
/// # Errors
/// A message that says why there is none.
pub(in crate::system) fn find_package(inputs: &[Input], spec: &str, directory: &str) -> Result<String, String> {
    let spec = inputs.iter().find(|input| input.name() == spec).and_then(Input::path);
    let spec = spec.ok_or("packages are only looked up for specs in files")?;
    let path = spec.parent().unwrap_or(Path::new("")).join(directory);
    let package = Package::open(&path, &Naming::default()).map_err(|error| in_line(&error))?;
    Ok(package.canonical())
}

fn canonical(path: &Path) -> Result<PathBuf, PackageError> {
    fs::canonicalize(path).map_err(|source| PackageError::Read { path: path.to_owned(), source })
}

/// A directory or file that is written `FROM:TO`.
fn extra_source(package: &Path, source: &str) -> Result<(PathBuf, PathBuf), PackageError> {
    let Some((from, to)) = source.split_once(':').filter(|(_, to)| !to.contains(':')) else {
        return Err(format!("`{source}` is no extra source; it is written `FROM:TO`").into());
    };
    let to: PathBuf = Path::new(to).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    Ok((canonical(&package.join(from))?, to))
}

/// The hash of a package: that of its tree, mixed with those of its other sources, and a mark when it is dirty.
fn hash_of(git: &Git, (path, commit): (&Path, &str), others: &str, is_dirty: bool) -> Result<String, String> {
    let mut hash = git.tree_hash(path, commit)?;
    if !others.is_empty() {
        hash = base16ct::lower::encode_string(&sha1::Sha1::digest(hash + others));
    }
    if is_dirty {
        hash += &format!("-dirty-{}", &git.content_hash()?[..7]);
    }
    Ok(hash)
}

/// The tag that a template such as `v1-{{.Hash}}` comes to.
fn tag_of(template: &str, hash: &str) -> Result<String, String> {
    let template = if template.is_empty() { "{{.Hash}}" } else { template };
    let mut parts = template.split("{{");
    let mut tag = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").ok_or_else(|| format!("the tag `{template}` lacks a `}}}}`"))?;
        if name.trim() != ".Hash" {
            return Err(format!("the tag `{template}` has `{{{{{name}}}}}`, and only `{{{{.Hash}}}}` is known"));
        }
        tag += hash;
        tag += rest;
    }
    Ok(if tag.is_empty() { "latest".to_owned() } else { tag })
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
    fn options_change_what_a_package_is_called() {
        let scratch = Scratch::new("naming");
        scratch.write("pkg/x/build.yml", "image: init\ntag: 'v1-{{.Hash}}'\n");
        let naming = Naming::default;
        let tagged = |naming: Naming| {
            let package = Package::open(&scratch.0.join("pkg/x"), &naming);
            package.map(|package| package.tagged()).map_err(|error| error.to_string())
        };
        assert_eq!(tagged(naming()), Ok("linuxkit/init:v1-".to_owned()));
        scratch.git(&["init", "-q"]);
        scratch.git(&["add", "."]);
        scratch.git(&["commit", "-qm", "one"]);
        let [first, top] = ["HEAD:pkg/x", "HEAD^{tree}"].map(|tree| scratch.git(&["rev-parse", tree]));
        scratch.write("pkg/x/build.yml", "image: init\ntag: ''\n");
        scratch.git(&["commit", "-qam", "two"]);
        let second = scratch.git(&["rev-parse", "HEAD:pkg/x"]);
        let content = &crate::base::Digest::of(b"image: init\ntag: ''\n").hex()[..7];
        let some = |text: &str| Some(text.to_owned());
        let rows = [
            (naming(), second.clone()),
            (Naming { commit: "HEAD~1".to_owned(), ..naming() }, first),
            (Naming { commit: "HEAD~1".to_owned(), hash_path: Some(scratch.0.clone()), ..naming() }, top),
            (Naming { hash: some("abc"), dirty: true, ..naming() }, "abc".to_owned()),
            (Naming { dirty: true, ..naming() }, format!("{second}-dirty-{content}")),
            (Naming { hash: some("dev"), tag: some("{{ .Hash }}-{{.Hash}}"), ..naming() }, "dev-dev".to_owned()),
        ];
        for (naming, tag) in rows {
            assert_eq!(tagged(naming), Ok(format!("linuxkit/init:{tag}")));
        }
        assert_eq!(tagged(Naming { org: some("me"), hash: some("h"), ..naming() }), Ok("me/init:h".to_owned()));
        let wrong = "the tag `{{.Arch}}` has `{{.Arch}}`, and only `{{.Hash}}` is known";
        assert_eq!(tagged(Naming { tag: some("{{.Arch}}"), ..naming() }), Err(wrong.to_owned()));
        let outside = Naming { hash_path: Some("/usr".into()), ..naming() };
        assert!(tagged(outside).unwrap_err().ends_with("is not in `/usr`"));
    }

    #[test]
    fn other_sources_are_part_of_the_tag() {
        let scratch = Scratch::new("sources");
        scratch.write("pkg/x/build.yml", "image: a\norg: localhost:5000\nextra-sources: ['../..:/src']\n");
        scratch.git(&["init", "-q"]);
        scratch.git(&["add", "."]);
        scratch.git(&["commit", "-qm", "one"]);
        let trees = scratch.git(&["rev-parse", "HEAD:pkg/x"]) + &scratch.git(&["rev-parse", "HEAD^{tree}"]);
        assert_eq!(
            scratch.find("pkg/x"),
            Ok(format!("localhost:5000/a:{}", base16ct::lower::encode_string(&sha1::Sha1::digest(trees))))
        );
    }

    #[test]
    fn what_is_no_package_is_told() {
        let scratch = Scratch::new("none");
        let told = |directory| scratch.find(directory).unwrap_err().replace(&scratch.0.display().to_string(), "");
        assert_eq!(told("nope"), "cannot read `/nope`: No such file or directory (os error 2)");
        assert_eq!(told("pkg/x"), "cannot read `/pkg/x/build.yml`: No such file or directory (os error 2)");
        scratch.write("pkg/x/build.yml", "org: o\nbogus: 1\n");
        assert!(told("pkg/x").starts_with("`/pkg/x/build.yml` is not valid: "), "{}", told("pkg/x"));
        let refused = Err("packages are only looked up for specs in files".to_owned());
        assert_eq!(find_package(&[Input::Stdin], "<stdin>", "x"), refused);
    }
}
