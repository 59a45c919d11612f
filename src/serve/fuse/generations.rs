//! The files that a mount shows, and those it showed before of which the kernel still knows some.
//!
//! ```text
//! replace ──▶ generation 3   shown: the root of the mount and all that is looked up there
//!             generation 2   held: programs have its files open, or work in its directories
//!             generation 1   gone: the kernel has forgotten its last inode
//! ```
//!
//! # Invariants
//! - An inode number belongs to one generation, so no page and no attribute of one is taken for that of another. Only
//!   the root of the mount has the same number in all; it is the root of the generation that is shown.
//! - A generation stays as long as it is shown, a request is answered from it, or the kernel knows an inode of it:
//!   each entry that is given to the kernel is counted, and so is what it says that it has forgotten.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::ops::Deref;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use crate::serve::Files;
use crate::serve::files::{GENERATIONS, ROOT, generation_of};

/// Most names of one generation that lkit tells the kernel to forget when another is shown. Only files that were open have
/// some; what is left comes with the next generation.
const MOST_LEFT: usize = 4096;

/// All generations that can be asked for.
pub(super) struct Generations {
    /// The last one is shown.
    kept: RwLock<Vec<Arc<Kept>>>,
    /// Whether another one may be shown later.
    can_change: AtomicBool,
}

struct Kept {
    files: Files,
    /// Requests that are being answered and entries that the kernel knows, and one more for the generation that is shown.
    uses: AtomicU64,
    /// The inodes of those entries, where another generation may be shown later.
    known: Mutex<HashMap<u64, Known>>,
}

/// An inode that the kernel knows.
struct Known {
    /// How many entries of it.
    entries: u64,
    /// The directory of the last one.
    directory: u64,
}

impl Generations {
    /// These files, for as long as the mount lives unless they `can_change`.
    pub(super) fn new(files: Files, can_change: bool) -> Self {
        Self { kept: RwLock::new(vec![Kept::shown(files)]), can_change: AtomicBool::new(can_change) }
    }

    /// Whether another generation may be shown later.
    pub(super) fn can_change(&self) -> bool {
        self.can_change.load(Ordering::SeqCst)
    }

    /// Takes note that no other generation will be shown.
    pub(super) fn settle(&self) {
        self.can_change.store(false, Ordering::SeqCst);
    }

    /// The generation that an inode belongs to, unless it is gone. It stays until the answer is dropped.
    pub(super) fn of(&self, inode: u64) -> Option<Held<'_>> {
        let all = self.kept.read().unwrap_or_else(PoisonError::into_inner);
        let found = match inode {
            ROOT => all.last(),
            _ => all.iter().rev().find(|kept| kept.files.number() == generation_of(inode)),
        };
        let kept = found?.clone();
        kept.uses.fetch_add(1, Ordering::SeqCst);
        Some(Held { all: self, kept })
    }

    /// The generation that is shown.
    pub(super) fn shown(&self) -> Held<'_> {
        self.of(ROOT).expect("one generation is always shown")
    }

    /// The generation of a position in a listing of the root, which goes on in the generation that it began in.
    pub(super) fn of_listing(&self, inode: u64, position: u64) -> Option<Held<'_>> {
        match (inode, position) {
            (ROOT, 1..) => self.of(position).or_else(|| self.of(ROOT)),
            _ => self.of(inode),
        }
    }

    /// Shows other files from now on. Returns the names that the root had until then.
    pub(super) fn replace(&self, files: Files) -> Vec<OsString> {
        let before = {
            let mut all = self.write();
            let taken: Vec<u64> = all.iter().map(|kept| kept.files.number()).collect();
            let last = taken.last().expect("one generation is always shown");
            let number =
                (1..=GENERATIONS).map(|step| (last + step) % GENERATIONS).find(|number| !taken.contains(number));
            let files = files.numbered(number.expect("there is no room for as many generations as there are numbers"));
            let before = all.last().expect("one generation is always shown").clone();
            all.push(Kept::shown(files.instead_of(&before.files)));
            before
        };
        let names = before.files.list(ROOT, 0).into_iter().flatten().map(|entry| OsString::from_vec(entry.name.into()));
        let names = names.collect();
        self.release(&before, 1);
        names
    }

    /// Takes note that the kernel has forgotten this many entries of an inode.
    pub(super) fn forget(&self, inode: u64, entries: u64) {
        if let Some(held) = self.of(inode).filter(|_| inode != ROOT) {
            held.kept.forget(inode, entries);
            self.release(&held.kept, entries);
        }
    }

    /// Names below the roots of generations that are not shown any more, by which the kernel still knows some of their inodes:
    /// the directory of each, and the name in it.
    pub(super) fn left(&self) -> Vec<(u64, OsString)> {
        let all = self.kept.read().unwrap_or_else(PoisonError::into_inner).clone();
        let replaced = all.len().saturating_sub(1);
        all[..replaced].iter().flat_map(|kept| kept.left()).collect()
    }

    fn release(&self, kept: &Kept, uses: u64) {
        let left = |before: u64| Some(before.saturating_sub(uses));
        let before = kept.uses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).unwrap_or_default();
        if before > uses {
            return;
        }
        let is_unused = |kept: &Arc<Kept>| kept.uses.load(Ordering::SeqCst) == 0;
        // Dropped after the lock is let go: a large tree takes a while.
        let _gone: Vec<_> = self.write().extract_if(.., |kept| is_unused(kept)).collect();
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Kept>>> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn shown(files: Files) -> Arc<Self> {
        Arc::new(Self { files, uses: AtomicU64::new(1), known: Mutex::default() })
    }

    fn known(&self) -> MutexGuard<'_, HashMap<u64, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, inode: u64, entries: u64) {
        if let Entry::Occupied(mut known) = self.known().entry(inode) {
            known.get_mut().entries = known.get().entries.saturating_sub(entries);
            if known.get().entries == 0 {
                known.remove();
            }
        }
    }

    /// See [`Generations::left`].
    fn left(&self) -> Vec<(u64, OsString)> {
        let known: HashMap<u64, u64> =
            self.known().iter().take(MOST_LEFT).map(|(inode, known)| (*inode, known.directory)).collect();
        // Names in the root of the mount are those of the generation that is shown.
        let directories: HashSet<u64> = known.values().copied().filter(|directory| *directory != ROOT).collect();
        let names = directories.into_iter().flat_map(|directory| {
            let listed = self.files.list(directory, 0).into_iter().flatten();
            let left = listed.filter(|entry| known.get(&entry.attributes.inode) == Some(&directory));
            left.map(move |entry| (directory, OsString::from_vec(entry.name.into()))).collect::<Vec<_>>()
        });
        names.collect()
    }
}

/// The files of a generation that stays meanwhile.
pub(super) struct Held<'a> {
    all: &'a Generations,
    kept: Arc<Kept>,
}

impl Held<'_> {
    /// Takes note that the kernel is given an entry of this inode in a directory; before it is, since it may forget it at
    /// once.
    pub(super) fn give(&self, inode: u64, directory: u64) {
        if inode == ROOT {
            return;
        }
        self.kept.uses.fetch_add(1, Ordering::SeqCst);
        if self.all.can_change() {
            let mut known = self.kept.known();
            let known = known.entry(inode).or_insert(Known { entries: 0, directory });
            (known.entries, known.directory) = (known.entries + 1, directory);
        }
    }

    /// Whether the names of a directory may stand for other files later.
    pub(super) fn can_change(&self, directory: u64) -> bool {
        directory == ROOT && self.all.can_change()
    }
}

impl Deref for Held<'_> {
    type Target = Files;

    fn deref(&self) -> &Files {
        &self.kept.files
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.release(&self.kept, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::Zeros;
    use crate::serve::{Artifact, FileError};

    fn files(name: &str) -> Files {
        Files::new(vec![Artifact::ready(name, Arc::new(Zeros(1)))], None, (0, 0))
    }

    fn kept(generations: &Generations) -> usize {
        generations.kept.read().unwrap().len()
    }

    #[test]
    fn a_generation_goes_when_the_kernel_has_forgotten_its_last_entry() {
        let generations = Generations::new(files("a"), true);
        let inode = generations.shown().lookup(ROOT, b"a").unwrap().inode;
        (0..3).for_each(|_| generations.shown().give(inode, ROOT));
        assert_eq!(generations.replace(files("b")), [".", "..", "a"]);
        assert_eq!(generations.of(inode).unwrap().attributes(inode).unwrap().size, 1);
        generations.forget(inode, 2);
        assert_eq!(kept(&generations), 2);
        generations.forget(inode, 1);
        assert_eq!(kept(&generations), 1);
        assert!(generations.of(inode).is_none());
    }

    #[test]
    fn names_by_which_the_kernel_knows_what_is_not_shown_are_told() {
        let mut tree = crate::tree::TreeBuilder::new();
        let node = crate::tree::Node::Plain(crate::base::Metadata::directory());
        tree.insert(b"d/e", node).unwrap();
        let tree = Arc::new(tree.finish());
        let generations = Generations::new(Files::new(Vec::new(), Some(tree), (0, 0)), true);
        let look = |directory: u64, name: &[u8]| {
            let shown = generations.shown();
            let found = shown.lookup(directory, name).unwrap().inode;
            shown.give(found, directory);
            found
        };
        let root = look(ROOT, b"rootfs");
        let d = look(root, b"d");
        look(d, b"e");
        assert!(generations.left().is_empty());
        generations.replace(files("a"));
        let mut left = generations.left();
        left.sort();
        let mut expected = [(root, OsString::from("d")), (d, OsString::from("e"))];
        expected.sort();
        assert_eq!(left, expected);
        generations.forget(d, 1);
        assert_eq!(generations.left().len(), 1);
    }

    #[test]
    fn a_generation_stays_while_a_request_is_answered_from_it() {
        let generations = Generations::new(files("a"), true);
        let held = generations.shown();
        generations.replace(files("b"));
        assert!(held.lookup(ROOT, b"a").is_ok() && kept(&generations) == 2);
        drop(held);
        assert_eq!(kept(&generations), 1);
    }

    #[test]
    fn no_inode_number_stands_for_files_of_two_generations() {
        let generations = Generations::new(files("a"), true);
        let old = generations.shown().lookup(ROOT, b"a").unwrap().inode;
        generations.shown().give(old, ROOT);
        generations.replace(files("a"));
        let new = generations.shown().lookup(ROOT, b"a").unwrap().inode;
        assert_ne!(old, new);
        assert!(matches!(generations.shown().attributes(old), Err(FileError::NotFound)));
        assert_eq!(generations.shown().attributes(ROOT).unwrap().inode, ROOT);
    }

    #[test]
    fn numbers_of_generations_come_again_but_not_while_one_is_kept() {
        let generations = Generations::new(files("a"), true);
        let first = generations.shown().lookup(ROOT, b"a").unwrap().inode;
        generations.shown().give(first, ROOT);
        generations.replace(files("b").numbered(GENERATIONS - 1));
        *generations.write().last_mut().unwrap() = Kept::shown(files("b").numbered(GENERATIONS - 1));
        generations.replace(files("c"));
        let third = generations.shown().lookup(ROOT, b"c").unwrap().inode;
        assert_eq!((generation_of(first), generation_of(third)), (0, 1));
    }

    #[test]
    fn a_listing_of_the_root_goes_on_in_the_generation_that_it_began_in() {
        let generations = Generations::new(files("a"), true);
        generations.replace(files("b"));
        let begun = generations.shown();
        let position = begun.list(ROOT, 0).unwrap().nth(1).unwrap().next;
        generations.replace(files("c"));
        let rest = generations.of_listing(ROOT, position).unwrap();
        assert_eq!(rest.list(ROOT, position).unwrap().next().unwrap().name, b"b");
        drop((rest, begun));
        assert_eq!(generations.of_listing(ROOT, position).unwrap().list(ROOT, 0).unwrap().nth(2).unwrap().name, b"c");
    }
}
