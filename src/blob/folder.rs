//! The folder of the cache: made when it is missing, mended when it is damaged, left alone when it is something else.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::documents::{INDEX, MARK};
use super::layout::check_mark;
use super::refs::{cached_index, write_index};
use super::regular::{Unusable, name_of, unless_read_only};
use super::sweep::{sweep, sweep_parts};
use super::write::{TEMPORARY, Temporary};
use super::{Error, Guard, Layout};

/// Where blobs are, relative to the cache.
const BLOBS: &str = "blobs/sha256";
/// Where index files are.
pub(super) const INDEXES: &str = "lkit/index";
/// Where locks are.
pub(super) const LOCKS: &str = "lkit/lock";
/// Where parts of blobs are.
pub(super) const PARTS: &str = "lkit/part";
/// Where blobs are that are here in part.
pub(super) const SPARSE: &str = "lkit/sparse";
/// Held while `index.json` or `oci-layout` are changed.
pub(super) const INDEX_LOCK: &str = "lkit/lock/index.json";

/// What a folder that is becoming a cache may have, and the root of a new file system.
const HARMLESS: [&str; 4] = ["lkit", "blobs", INDEX, "lost+found"];

/// Makes or mends the cache at `dir`, as far as it can be written to. Only a folder that is made here gets a mode.
///
/// # Errors
/// When the folder cannot be made or read, or holds something else.
pub(super) fn prepare(dir: &Path) -> Result<(), Error> {
    refuse_others(dir)?;
    let mut private = DirBuilder::new();
    private.recursive(true).mode(0o700).create(dir).map_err(Error::io("create", dir))?;
    // What is only ours comes first: it tells the folder for a cache, however early we are killed.
    for part in [TEMPORARY, LOCKS, INDEXES, PARTS, SPARSE, BLOBS] {
        unless_read_only(make_folder(dir, Path::new(part)))?;
    }
    let (temporary, parts, blobs) = (dir.join(TEMPORARY), dir.join(PARTS), dir.join(BLOBS));
    for swept in [sweep(&temporary), sweep_parts(&parts, &blobs)] {
        match swept {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => unless_read_only(other.map(drop))?,
        }
    }
    unless_read_only(mend_index(dir))?;
    unless_read_only(mend_mark(dir))
}

/// Makes a folder of the cache and those above it.
fn make_folder(dir: &Path, part: &Path) -> Result<(), Error> {
    let path = dir.join(part);
    fs::create_dir_all(&path).map_err(|error| {
        let above = part.ancestors().map(|above| dir.join(above));
        let found = above.filter_map(|path| Some((fs::symlink_metadata(&path).ok()?, path)));
        match found.into_iter().find(|(_, path)| !path.is_dir()) {
            Some((found, path)) if found.is_file() => Error::InTheWay { path, what: "a file" },
            Some((found, path)) => Error::InTheWay { path, what: name_of(found.file_type()) },
            None => Error::write("create", &path)(error),
        }
    })
}

/// Fails when the folder holds files of others: it is neither a cache, however damaged, nor a layout.
fn refuse_others(dir: &Path) -> Result<(), Error> {
    // One that is to be made, or is no folder; what is wrong with it is said by who makes it.
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let name = entry.map_err(Error::io("read", dir))?.file_name().to_string_lossy().into_owned();
        // Looked at after the name was found: another process may be making the cache.
        if !HARMLESS.contains(&name.as_str()) && !dir.join(LOCKS).is_dir() && check_mark(dir).is_err() {
            return Err(Error::NotACache { path: dir.to_owned(), found: name });
        }
    }
    Ok(())
}

/// Makes `index.json`, or makes it again from what can still be read of it.
fn mend_index(dir: &Path) -> Result<(), Error> {
    let cache = Layout::at(dir);
    let is_sound = || match cache.entries() {
        Ok(_) => Ok(true),
        Err(Error::NotALayout { .. }) => Ok(false),
        Err(error) => Err(error),
    };
    if is_sound()? {
        return Ok(());
    }
    // Another process may mend it, and even change it, between the look and the rename.
    let _guard = Guard::acquire(&dir.join(INDEX_LOCK))?;
    if is_sound()? { Ok(()) } else { write_index(&cache, &cache.dir().join(TEMPORARY), &cached_index(&cache)?) }
}

/// Makes `oci-layout`, or makes it again.
fn mend_mark(dir: &Path) -> Result<(), Error> {
    let is_sound = || match check_mark(dir) {
        Ok(()) => Ok(true),
        Err(Unusable::Flaw(_)) => Ok(false),
        Err(Unusable::Failed(error)) => Err(error),
    };
    if is_sound()? {
        return Ok(());
    }
    let _guard = Guard::acquire(&dir.join(INDEX_LOCK))?;
    if is_sound()? {
        return Ok(());
    }
    let mut file = Temporary::create(&dir.join(TEMPORARY))?;
    file.write_all(br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    file.rename(&dir.join(MARK))
}
