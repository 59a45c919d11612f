//! Files of the host whose changes are noticed, however they are made.
//!
//! Events only say when to look; whether a file is another one is seen from its stamp. So what is watched is every
//! directory in which something can be done that changes what a path leads to: that of the file, since many editors put a
//! new file in the place of the old one, and those of the links on the way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, TrySendError, bounded};
use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::Problem;
use crate::base::Digest;
use crate::rootfs::file_stamp;

/// No more events for this long end a burst of them, such as of an editor that saves.
const QUIET: Duration = Duration::from_millis(5);
/// The longest burst that is waited for.
const LONGEST_BURST: Duration = Duration::from_millis(20);
/// Links on the way to one file, at most (`MAXSYMLINKS` of Linux).
const MAX_LINKS: usize = 40;

/// What files are: for each a stamp that changes with its content, or why there is none.
pub(super) type Stamps = BTreeMap<PathBuf, Result<Digest, io::ErrorKind>>;

/// The stamps of some files now.
pub(super) fn stamps<'a>(files: impl IntoIterator<Item = &'a PathBuf>) -> Stamps {
    let stamp = |path: &PathBuf| fs::metadata(path).map(|metadata| file_stamp(&metadata)).map_err(|error| error.kind());
    files.into_iter().map(|path| (path.clone(), stamp(path))).collect()
}

/// Waits for what may have changed files.
pub(super) struct Touched {
    watcher: RecommendedWatcher,
    events: Receiver<()>,
    /// Directories with the device and inode that they had: a new one of the same name is watched anew.
    directories: BTreeMap<PathBuf, (u64, u64)>,
}

impl Touched {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system has no room for another watcher.
    pub fn new() -> Result<Self, Problem> {
        // One event that waits says as much as many.
        let (send, events) = bounded(1);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // An error, such as that events were lost, is a reason to look, too.
            if event.map_or(true, |event| event.need_rescan() || may_change(event.kind)) {
                match send.try_send(()) {
                    Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => {}
                }
            }
        });
        let watcher = watcher.map_err(|source| Problem::Watch { path: "/".into(), source })?;
        Ok(Self { watcher, events, directories: BTreeMap::new() })
    }

    /// Watches what can change these files, and nothing else any more.
    ///
    /// # Errors
    /// When a directory cannot be watched.
    pub fn watch<'a>(&mut self, files: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Problem> {
        let wanted: BTreeSet<PathBuf> = files.into_iter().flat_map(|path| directories(path)).collect();
        let wanted: BTreeMap<PathBuf, (u64, u64)> = wanted.into_iter().filter_map(identified).collect();
        let old: Vec<PathBuf> = self
            .directories
            .iter()
            .filter(|(path, id)| wanted.get(*path) != Some(id))
            .map(|(path, _)| path.clone())
            .collect();
        for path in old {
            self.directories.remove(&path);
            if let Err(error) = self.watcher.unwatch(&path) {
                tracing::debug!("`{}` is not watched any more: {error}", path.display());
            }
        }
        for (path, id) in wanted {
            if !self.directories.contains_key(&path) {
                let watched = self.watcher.watch(&path, RecursiveMode::NonRecursive);
                watched.map_err(|source| Problem::Watch { path: path.clone(), source })?;
                self.directories.insert(path, id);
            }
        }
        Ok(())
    }

    /// Waits for the end of the next burst of events, or until a time. Whether there were any.
    pub fn wait(&self, until: Option<Instant>) -> bool {
        let first = match until {
            Some(until) => self.events.recv_deadline(until),
            None => self.events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let end = Instant::now() + LONGEST_BURST;
        while first.is_ok() && self.events.recv_deadline(end.min(Instant::now() + QUIET)).is_ok() {}
        first.is_ok()
    }
}

/// Whether an event may be about another content of a file. On Linux a file that is written is looked at when its writer
/// closes it, not while half of it is there.
const fn may_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Modify(ModifyKind::Data(_)) => !cfg!(target_os = "linux"),
        EventKind::Any | EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

fn identified(path: PathBuf) -> Option<(PathBuf, (u64, u64))> {
    let metadata = fs::metadata(&path).ok()?;
    Some((path, (metadata.dev(), metadata.ino())))
}

/// The directories in which something can be done that changes what `path`, which is absolute, leads to. Where a part of
/// it is missing, the last directory that is there.
fn directories(path: &Path) -> Vec<PathBuf> {
    let parts = |path: &Path| path.components().map(|part| part.as_os_str().to_owned()).collect::<VecDeque<OsString>>();
    let (mut found, mut at, mut todo, mut links) = (Vec::new(), PathBuf::from("/"), parts(path), 0);
    while let Some(part) = todo.pop_front() {
        // `..` of what a link led to is that of the directory, as the kernel has it.
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => at = at.parent().unwrap_or(Path::new("/")).to_owned(),
            Some(Component::CurDir) | None => {}
            Some(Component::RootDir | Component::Prefix(_)) => at = PathBuf::from("/"),
            Some(Component::Normal(_)) => {
                let here = at.join(&part);
                match fs::symlink_metadata(&here) {
                    Ok(metadata) if metadata.is_dir() => at = here,
                    Ok(metadata) if metadata.is_symlink() && links < MAX_LINKS => {
                        found.push(at.clone());
                        links += 1;
                        let target = fs::read_link(&here).map(|target| parts(&target)).unwrap_or_default();
                        todo = target.into_iter().chain(todo).collect();
                    }
                    _ => break,
                }
            }
        }
    }
    found.push(at);
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn dir() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        (dir, path)
    }

    #[test]
    fn the_directories_of_a_file_and_of_each_link_on_the_way_count() {
        let (_dir, top) = dir();
        for name in ["conf", "1", "2"] {
            fs::create_dir(top.join(name)).unwrap();
        }
        fs::write(top.join("2/a.yml"), "").unwrap();
        symlink("../2", top.join("1/data")).unwrap();
        symlink(top.join("1/data/a.yml"), top.join("conf/a.yml")).unwrap();
        let expected: Vec<PathBuf> = ["conf", "1", "2"].iter().map(|name| top.join(name)).collect();
        assert_eq!(directories(&top.join("conf/a.yml")), expected);
    }

    #[test]
    fn of_a_path_that_leads_nowhere_the_last_directory_counts() {
        let (_dir, top) = dir();
        assert_eq!(directories(&top.join("none/a.yml")), std::slice::from_ref(&top));
        symlink("b", top.join("a")).unwrap();
        symlink("a", top.join("b")).unwrap();
        assert_eq!(directories(&top.join("a")).into_iter().collect::<BTreeSet<_>>(), [top].into());
    }

    #[test]
    fn a_file_is_looked_at_when_its_writer_closes_it() {
        let (_dir, top) = dir();
        let file = top.join("a.yml");
        fs::write(&file, "old").unwrap();
        let mut touched = Touched::new().unwrap();
        touched.watch([&file]).unwrap();
        let before = stamps([&file]);
        assert_eq!(fs::read(&file).unwrap(), b"old");
        fs::write(&file, "newer").unwrap();
        assert!(touched.wait(None));
        assert_ne!(stamps([&file]), before);
        // To read it is no change.
        assert!(!touched.wait(Some(Instant::now())));
    }

    #[test]
    fn a_directory_that_is_made_again_is_watched_again() {
        let (_dir, top) = dir();
        let file = top.join("conf/a.yml");
        fs::create_dir(top.join("conf")).unwrap();
        let mut touched = Touched::new().unwrap();
        touched.watch([&file]).unwrap();
        fs::remove_dir(top.join("conf")).unwrap();
        assert!(touched.wait(None));
        touched.watch([&file]).unwrap();
        fs::create_dir(top.join("conf")).unwrap();
        assert!(touched.wait(None));
        touched.watch([&file]).unwrap();
        fs::write(&file, "new").unwrap();
        assert!(touched.wait(None));
        assert!(stamps([&file])[&file].is_ok());
    }
}
