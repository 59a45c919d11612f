//! Laying a layer over a tree: the OCI image specification's changesets, whiteouts and opaque directories.
//!
//! # Format
//! OCI image specification, "Image Layer Filesystem Changeset". A whiteout hides what lower layers have; entries of
//! its own layer stay, before or behind it.

use std::collections::HashSet;
use std::sync::Arc;

use super::error::shown;
use super::resolve::{SplitPath, UNNAMED_PER_ENTRY};
use super::{Error, Inode, TreeBuilder, inode};
use crate::base::{Metadata, in_memory, reserve_now};
use crate::extent::{MapBuilder, SharedSource, Sink as _};
use crate::layer::{Body, Entry, Run, Toc};

/// Entries that get their memory at once: a table of contents may say that it has more than it has.
const AT_ONCE: usize = 64 << 10;
/// Bytes of memory of a file with holes: of its own, and of each run with the hole before it.
const MAP: usize = 256;
const RUN: usize = 48;
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Markers of the aufs file system, which older images still carry; they name nothing.
const AUFS: &[u8] = b".wh..wh.";

impl TreeBuilder {
    /// Lays what is in a layer over the tree. `diff` is what its offsets count in. Inodes may get other numbers.
    ///
    /// # Errors
    /// When an entry cannot stand where it says, or a hard link names nothing.
    pub fn merge_layer(&mut self, toc: &Toc, diff: &SharedSource) -> Result<(), Error> {
        let source = self.start_layer(toc, diff)?;
        let merged = toc.each(|entry| {
            let path = SplitPath::new(entry.path);
            let base = path.base();
            match base.strip_prefix(WHITEOUT) {
                Some(_) if base == OPAQUE => self.make_opaque(parent_of(entry.path)),
                Some(_) if base.starts_with(AUFS) => {}
                Some(hidden) => self.white_out(parent_of(entry.path), hidden),
                None => self.merge_entry(path, entry, diff, source)?,
            }
            Ok(())
        });
        self.end_layer();
        merged
    }

    /// Lays what is in an archive that is no layer over the tree: no name in it hides another.
    ///
    /// # Errors
    /// As [`merge_layer`](Self::merge_layer).
    pub fn merge_archive(&mut self, toc: &Toc, diff: &SharedSource) -> Result<(), Error> {
        let source = self.start_layer(toc, diff)?;
        let merged = toc.each(|entry| self.merge_entry(SplitPath::new(entry.path), entry, diff, source));
        self.end_layer();
        merged
    }

    /// Makes ready for a layer; returns the number of its source. One that was there before brings no further room for
    /// directories without an entry.
    fn start_layer(&mut self, toc: &Toc, diff: &SharedSource) -> Result<u32, Error> {
        self.layer += 1;
        let count = in_memory(toc.len());
        // An image gets some entries more when it is laid out; memory that stays unused costs nothing.
        self.reserve(count + count / 8 + 64);
        let first = count.min(AT_ONCE);
        reserve_now(&mut self.inodes, first);
        self.names.reserve_now(first);
        let known = self.sources.len();
        let source = self.source_number(diff)?;
        if self.sources.len() > known {
            self.unnamed_left = self.unnamed_left.saturating_add(count.saturating_mul(UNNAMED_PER_ENTRY));
        }
        Ok(source)
    }

    fn end_layer(&mut self) {
        self.pruned = HashSet::new();
        self.compact_when_half_dead();
    }

    fn merge_entry(
        &mut self,
        path: SplitPath<'_>,
        entry: Entry<'_>,
        diff: &SharedSource,
        source: u32,
    ) -> Result<(), Error> {
        let mut inode = Inode::new(entry.metadata);
        match entry.body {
            Body::Empty | Body::Content { size: 0, .. } | Body::Sparse { size: 0, .. } => {}
            Body::Content { offset, size } => {
                inode.size = size;
                inode.body = inode::Body::Content { source, offset };
            }
            Body::Sparse { size, runs } => {
                let source = self.add_source(with_holes(diff, size, &runs))?;
                self.maps.insert(source, MAP + runs.len() * RUN);
                inode.size = size;
                inode.body = inode::Body::Content { source, offset: 0 };
            }
            Body::Symlink(target) => {
                inode.size = target.len() as u64;
                inode.body = self.add_target(target);
            }
            Body::HardLink(target) => return self.hard_link(entry.path, target),
        }
        inode.xattrs = self.set_number(entry.xattrs);
        self.place(path, inode).map(drop)
    }

    /// Gives the file at `target` the further name `path`; both are clamped to the root.
    ///
    /// # Errors
    /// When there is nothing at `target`, or a directory.
    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Error> {
        let inode = self.find_quickly(target);
        let inode = inode.ok_or_else(|| Error::DanglingHardLink { path: shown(path), target: shown(target) })?;
        if self.inodes[inode.index()].is_directory() {
            return Err(Error::HardLinkToDirectory { path: shown(path), target: shown(target) });
        }
        let (parent, name) = self
            .resolve_parent(SplitPath::new(path), &Metadata::directory())?
            .ok_or_else(|| Error::ReplacesRoot(shown(path)))?;
        self.names.index_names(parent);
        if let Some(old) = self.names.find(parent, name)
            && self.names[old].inode == inode
        {
            return Ok(());
        }
        self.link(parent, name, inode)
    }

    /// Hides a name in the directory that `dir` leads to, as containerd does: links are followed inside the root, the
    /// last one, too. Where there is no such directory nothing is hidden.
    fn white_out(&mut self, dir: &[u8], hidden: &[u8]) {
        let Some(dir) = self.find_directory_quickly(dir) else { return };
        self.names.index_names(dir);
        if let Some(name) = self.names.find(dir, hidden) {
            self.prune(name);
        }
    }

    fn make_opaque(&mut self, dir: &[u8]) {
        let Some(dir) = self.find_directory_quickly(dir).filter(|dir| self.pruned.insert(*dir)) else { return };
        let below: Vec<u32> = self.names.in_directory(dir).collect();
        for name in below {
            self.prune(name);
        }
    }

    /// Takes away a name and what is below it, except what the current layer has brought (and the directories that
    /// hold it).
    fn prune(&mut self, name: u32) {
        // Parents come before children here, so going backwards every directory comes after what is in it.
        let mut order = vec![name];
        let mut at = 0;
        while at < order.len() {
            let inode = self.names[order[at]].inode;
            // What is left in a directory that was gone through before is the layer's own.
            if self.inodes[inode.index()].is_directory() && self.pruned.insert(inode) {
                order.extend(self.names.in_directory(inode));
            }
            at += 1;
        }
        for name in order.into_iter().rev() {
            let entry = self.names[name];
            if entry.layer != self.layer && self.names.in_directory(entry.inode).next().is_none() {
                self.unlink(name);
            }
        }
    }
}

/// The path without its last component.
fn parent_of(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    let slash = path[..end].iter().rposition(|b| *b == b'/');
    &path[..slash.unwrap_or(0)]
}

/// A file of runs and holes as a source; inodes with such content are rare.
fn with_holes(diff: &SharedSource, size: u64, runs: &[Run]) -> SharedSource {
    let mut map = MapBuilder::default();
    for run in runs {
        map.pad_to(run.at);
        map.extent(diff, run.offset, run.len);
    }
    map.pad_to(size);
    Arc::new(map.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{FileKind, Xattrs};
    use crate::extent::Zeros;

    /// Entries from text: `d path`, `f path`, `h path target`, `l path target`.
    fn layer(lines: &str) -> Toc {
        lines
            .lines()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let target = words.get(2).map_or(&b""[..], |t| t.as_bytes());
                let (kind, body) = match words[0] {
                    "d" => (FileKind::Directory, Body::Empty),
                    "h" => (FileKind::File, Body::HardLink(target)),
                    "l" => (FileKind::Symlink, Body::Symlink(target)),
                    _ => (FileKind::File, Body::Content { offset: 0, size: 1 }),
                };
                let metadata = Metadata { kind, ..Metadata::file() };
                Entry { path: words[1].as_bytes(), metadata, body, xattrs: Xattrs::default() }
            })
            .collect()
    }

    fn merged(layers: &[&str]) -> String {
        let diff: SharedSource = Arc::new(Zeros(1));
        let mut tree = TreeBuilder::new();
        for lines in layers {
            tree.merge_layer(&layer(lines), &diff).unwrap();
        }
        paths(tree)
    }

    fn paths(tree: TreeBuilder) -> String {
        let tree = tree.finish();
        let paths: Vec<String> = tree.walk().map(|entry| String::from_utf8(tree.path(entry)).unwrap()).collect();
        paths.join(" ")
    }

    #[test]
    fn a_whiteout_hides_the_lower_file() {
        assert_eq!(merged(&["f a/x\nf a/y", "f a/.wh.x"]), "a a/y");
    }

    #[test]
    fn a_whiteout_spares_what_its_own_layer_brings() {
        assert_eq!(merged(&["f a/x/old", "f a/x/new\nf a/.wh.x"]), "a a/x a/x/new");
        assert_eq!(merged(&["f a/x/old", "f a/.wh.x\nf a/x/new"]), "a a/x a/x/new");
    }

    #[test]
    fn an_opaque_directory_hides_all_that_is_lower() {
        assert_eq!(merged(&["f a/x\nf a/s/y", "d a\nf a/s/z\nf a/.wh..wh..opq\nf a/w"]), "a a/s a/s/z a/w");
    }

    #[test]
    fn an_archive_that_is_no_layer_hides_nothing() {
        let diff: SharedSource = Arc::new(Zeros(1));
        let mut tree = TreeBuilder::new();
        tree.merge_archive(&layer("f a/x\nf a/.wh.x\nf a/.wh..wh..opq\nf a/x"), &diff).unwrap();
        assert_eq!(paths(tree), "a a/.wh..wh..opq a/.wh.x a/x");
    }

    #[test]
    fn a_whiteout_through_a_link_hides_the_file() {
        let lower = "f usr/lib/foo\nf usr/lib/bar\nl lib usr/lib\nl abs /usr/lib\nl chain lib\nl usr/up ../lib\n\
                     l usr/lib/out ../../../../usr/lib\nl loop loop\nl gone nowhere";
        for marker in
            ["lib/.wh.foo", "./lib//.wh.foo", "abs/.wh.foo", "chain/.wh.foo", "usr/up/.wh.foo", "lib/out/.wh.foo"]
        {
            let paths = merged(&[lower, &format!("f {marker}")]);
            assert_eq!(paths, "abs chain gone lib loop usr usr/lib usr/lib/bar usr/lib/out usr/up", "{marker}");
        }
        for marker in ["loop/.wh.foo", "gone/.wh.foo", "usr/lib/foo/.wh.foo", ".wh.foo", "lib/.wh..."] {
            let paths = merged(&[lower, &format!("f {marker}")]);
            assert_eq!(
                paths, "abs chain gone lib loop usr usr/lib usr/lib/bar usr/lib/foo usr/lib/out usr/up",
                "{marker}"
            );
        }
        assert_eq!(
            merged(&[lower, "f .wh.lib"]),
            "abs chain gone loop usr usr/lib usr/lib/bar usr/lib/foo usr/lib/out usr/up"
        );
    }

    #[test]
    fn a_directory_is_made_opaque_through_a_link() {
        let lower = "f usr/lib/foo\nf usr/lib/d/x\nl lib usr/lib\nl chain /lib";
        for marker in ["lib/.wh..wh..opq", "chain/.wh..wh..opq"] {
            let upper = format!("f lib/new\nf {marker}\nf lib/d/y");
            assert_eq!(merged(&[lower, &upper]), "chain lib usr usr/lib usr/lib/d usr/lib/d/y usr/lib/new", "{marker}");
        }
        assert_eq!(merged(&["f a/x\nl root .", "f root/.wh..wh..opq"]), "");
    }

    #[test]
    fn a_directory_that_was_made_opaque_can_still_be_hidden() {
        assert_eq!(merged(&["f a/b/x", "f a/b/.wh..wh..opq\nf a/.wh.b"]), "a");
        assert_eq!(merged(&["f a/b/x\nf a/b/c/y", "f a/.wh.b\nf a/b/c/z\nf a/.wh.b\nf .wh.a"]), "a a/b a/b/c a/b/c/z");
    }

    #[test]
    fn paths_that_name_far_more_directories_than_there_are_entries_are_refused() {
        let deep = |n: usize| format!("{n}/{}", "a/".repeat(2000));
        let paths: Vec<String> = (0..3).map(deep).collect();
        let entry = |path: &'static [u8]| Entry {
            path,
            metadata: Metadata::file(),
            body: Body::Empty,
            xattrs: Xattrs::default(),
        };
        let toc = |count: usize| paths[..count].iter().map(|p| entry(p.clone().into_bytes().leak())).collect::<Toc>();
        let diff: SharedSource = Arc::new(Zeros(1));
        assert!(TreeBuilder::new().merge_layer(&toc(2), &diff).is_ok());
        let error = TreeBuilder::new().merge_layer(&toc(3), &diff).unwrap_err().to_string();
        let above = format!("{}…", &paths[2][..200]);
        assert_eq!(error, format!("too many directories have no entry of their own, those above `{above}` among them"));
    }

    #[test]
    fn directories_without_an_entry_are_counted_over_all_layers_and_images() {
        let deep = |n: usize| format!("f {n}/{}f", "a/".repeat(2000));
        let diffs: [SharedSource; 3] = [Arc::new(Zeros(1)), Arc::new(Zeros(2)), Arc::new(Zeros(3))];
        let mut tree = TreeBuilder::new();
        let merged = [0, 1, 2].map(|n| tree.merge_layer(&layer(&deep(n)), &diffs[n]).is_ok());
        assert_eq!(merged, [true, true, false]);
        let (mut root, mut image) = (TreeBuilder::new(), TreeBuilder::new());
        image.merge_layer(&layer(&deep(0)), &diffs[0]).unwrap();
        assert_eq!(["x", "y", "z"].map(|at| root.graft(at.as_bytes(), image.clone()).is_ok()), [true, true, false]);
        let mut root = TreeBuilder::new();
        let made = [0, 1, 2].map(|n| root.make_parents(&deep(n).as_bytes()[2..], &Metadata::directory()).is_ok());
        assert_eq!(made, [true, true, false]);
    }

    #[test]
    fn each_layer_has_room_for_directories_without_an_entry_once() {
        let [full, path]: [String; 2] =
            [(0..5000).map(|n| format!("f {n}\n")).collect(), format!("f 0/{}f", "a/".repeat(2000))];
        let diffs: [SharedSource; 2] = [Arc::new(Zeros(1)), Arc::new(Zeros(2))];
        let left = |times: usize| {
            let mut tree = TreeBuilder::new();
            (0..times).for_each(|_| tree.merge_layer(&layer(&full), &diffs[0]).unwrap());
            tree.merge_layer(&layer(&format!("f .wh.0\n{}", &path)), &diffs[1]).unwrap();
            tree.unnamed_left
        };
        assert_eq!(left(1), left(9));
    }

    #[test]
    fn markers_of_aufs_name_nothing() {
        assert_eq!(merged(&["f a\nd .wh..wh.plnk"]), "a");
    }

    #[test]
    fn the_last_duplicate_wins_and_a_file_replaces_a_directory() {
        assert_eq!(merged(&["f a/b/c", "f a"]), "a");
        assert_eq!(merged(&["d a/b\nf a\nd b\nf b/c\nf b"]), "a b");
    }

    #[test]
    fn a_hard_link_outlives_the_name_it_was_made_from() {
        let diff: SharedSource = Arc::new(Zeros(1));
        let mut tree = TreeBuilder::new();
        tree.merge_layer(&layer("f a\nh b a"), &diff).unwrap();
        assert_eq!(tree.inode(tree.lookup(b"b").unwrap()).nlink, 2);
        tree.merge_layer(&layer("f .wh.a\nf c"), &diff).unwrap();
        assert_eq!(tree.inode(tree.lookup(b"b").unwrap()).nlink, 1);
        let error = tree.merge_layer(&layer("h d nothing"), &diff).unwrap_err();
        assert_eq!(error.to_string(), "hard link `d` names `nothing`, which does not exist");
    }
}
