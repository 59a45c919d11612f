//! What git knows of a package's directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::base::command;

/// The git work tree around a directory.
pub(super) struct Git {
    pub directory: PathBuf,
}

impl Git {
    /// `None` when the directory is in no work tree.
    pub fn at(directory: &Path) -> Result<Option<Self>, String> {
        let git = Self { directory: directory.to_owned() };
        let inside = git.output(&["rev-parse", "--is-inside-work-tree"])?;
        Ok((inside.status.success() && inside.stdout.trim_ascii() == b"true").then_some(git))
    }

    /// The hash of the tree that a directory has in a commit.
    pub fn tree_hash(&self, path: &Path, commit: &str) -> Result<String, String> {
        let top = self.text(&["rev-parse", "--show-toplevel"])?;
        if fs::canonicalize(top.trim_end()).is_ok_and(|top| top == path) {
            return Ok(self.text(&["rev-parse", "--verify", &format!("{commit}^{{tree}}")])?.trim().to_owned());
        }
        let below = fs::canonicalize(top.trim_end()).ok().and_then(|top| Some(path.strip_prefix(top).ok()?.to_owned()));
        let below = below.ok_or_else(|| format!("`{}` is in another git work tree", path.display()))?;
        let tree = format!("{commit}:{}", below.display());
        let hash = self.output(&["rev-parse", "--verify", "--quiet", &tree])?;
        if !hash.status.success() {
            return Err(format!("`{}` is not committed to git", path.display()));
        }
        Ok(String::from_utf8_lossy(&hash.stdout).trim().to_owned())
    }

    /// Whether files differ from `HEAD`, or are there that git does not know.
    pub fn is_dirty(&self, path: &Path) -> Result<bool, String> {
        let path = path.display().to_string();
        let differs = !self.output(&["diff", "--no-ext-diff", "--quiet", "HEAD", "--", &path])?.status.success();
        let unknown = ["ls-files", "--exclude-standard", "--others", "--", &path];
        Ok(differs || !self.text(&unknown)?.trim().is_empty())
    }

    /// Digest of all files git knows and of those it would add, in that order.
    pub fn content_hash(&self) -> Result<String, String> {
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

    /// What git prints.
    ///
    /// # Errors
    /// A message, when it cannot be run or fails.
    pub fn text(&self, args: &[&str]) -> Result<String, String> {
        let output = self.output(args)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`git {}` failed: {}", args.join(" "), said.trim()))
    }

    fn output(&self, args: &[&str]) -> Result<Output, String> {
        let output = command("git").arg("-C").arg(&self.directory).args(args).output();
        output.map_err(|error| format!("cannot run `git`: {error}"))
    }
}
