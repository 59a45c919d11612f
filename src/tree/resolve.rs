//! Finding a path in a tree under construction, as if the tree were the root of a process.
//!
//! Names from archives are cleaned first: `a/../b` is `b`, `../../x` and `/x` are `x`. Symbolic links in parents are
//! followed inside the root, as containerd and umoci do when they unpack.

use std::ops::Range;

use super::error::shown;
use super::{Error, Inode, InodeId, TreeBuilder};
use crate::base::{FileKind, Metadata};

/// As many as Linux follows (path_resolution(7)).
const MAX_LINKS: u32 = 40;
/// Most bytes of all link targets in one path: as many as the longest path has. So what is followed stays in proportion
/// to what is written.
const MAX_TARGETS: usize = 4095;

/// What the directories that only paths name may cost together in a tree: some, and some for each entry. There are hardly
/// any; a few bytes could name thousands, each below the one before.
pub(super) const UNNAMED: usize = 8 << 20;
pub(super) const UNNAMED_PER_ENTRY: usize = 1 << 10;

/// The directories that the last path led through: neighbours in an archive share most of them.
#[derive(Clone, Default)]
pub(super) struct LastPath {
    /// The path as it was written, up to the last slash.
    path: Vec<u8>,
    /// Where each of its parts led to.
    steps: Vec<Reached>,
}

/// Where a part of a path leads to.
#[derive(Clone, Copy)]
struct Reached {
    /// Bytes of the path up to there.
    end: usize,
    dir: InodeId,
    /// Symbolic links followed on the way.
    links: Followed,
}

impl Reached {
    const ROOT: Self = Self { end: 0, dir: InodeId::ROOT, links: Followed { count: 0, bytes: 0 } };
}

/// Symbolic links that were followed for one path.
#[derive(Clone, Copy, Default)]
struct Followed {
    count: u32,
    /// Bytes of their targets.
    bytes: usize,
}

impl Followed {
    /// Counts one more link; whether it may be followed.
    const fn count(&mut self, target: &[u8]) -> bool {
        self.count += 1;
        self.bytes += target.len();
        self.count <= MAX_LINKS && self.bytes <= MAX_TARGETS
    }
}

impl TreeBuilder {
    /// The directory and name that `path` stands for; directories of it that are missing are `made` so. `None` for the
    /// root.
    pub(super) fn resolve_parent<'p>(
        &mut self,
        path: SplitPath<'p>,
        made: &Metadata,
    ) -> Result<Option<(InodeId, &'p [u8])>, Error> {
        let SplitPath { whole: path, parts } = path;
        let Some((above, name)) = parts else { return self.resolve_clean(path, made) };
        if above == self.last_path.path {
            let last = self.last_path.steps.last().unwrap_or(&Reached::ROOT);
            return Ok(Some((last.dir, name)));
        }
        let shared = self.last_path.path.iter().zip(above).take_while(|(a, b)| a == b).count();
        while self.last_path.steps.pop_if(|step| step.end > shared).is_some() {}
        let mut at = *self.last_path.steps.last().unwrap_or(&Reached::ROOT);
        self.last_path.path.truncate(at.end);
        let parts = || above[at.end..].split_inclusive(|b| *b == b'/');
        if parts().any(|part| part == b"../") {
            return self.resolve_clean(path, made);
        }
        for part in parts() {
            self.enter(&mut at, &part[..part.len() - 1], path, made)?;
            at.end += part.len();
            self.last_path.path.extend_from_slice(part);
            self.last_path.steps.push(at);
        }
        Ok(Some((at.dir, name)))
    }

    /// The same for a path that has to be cleaned.
    fn resolve_clean<'p>(&mut self, path: &'p [u8], made: &Metadata) -> Result<Option<(InodeId, &'p [u8])>, Error> {
        let mut clean = clean(path);
        let Some(name) = clean.pop() else { return Ok(None) };
        let mut at = Reached::ROOT;
        clean.into_iter().try_for_each(|component| self.enter(&mut at, component, path, made))?;
        Ok(Some((at.dir, name)))
    }

    /// Goes on to a directory by one component of `path`; one that is missing is `made` so.
    fn enter(&mut self, at: &mut Reached, component: &[u8], path: &[u8], made: &Metadata) -> Result<(), Error> {
        if self.names.needs_index(at.dir, component) {
            self.names.index_names(at.dir);
        }
        let target = match self.step(at.dir, component) {
            Component::Into(next) => {
                at.dir = next;
                return Ok(());
            }
            Component::Link(link) => self.link_target(link).to_vec(),
            Component::Missing => {
                let left = self.unnamed_left.checked_sub(cost_of_parent(path));
                self.unnamed_left = left.ok_or_else(|| Error::TooManyParents(shown(path)))?;
                at.dir = self.insert_at(at.dir, component, Inode::new(*made))?;
                return Ok(());
            }
            Component::Blocked => {
                return Err(Error::ParentNotDirectory { path: shown(path), parent: shown(component) });
            }
        };
        if !at.links.count(&target) {
            return Err(Error::LinkLoop(shown(path)));
        }
        at.dir = if target.first() == Some(&b'/') { InodeId::ROOT } else { at.dir };
        // What a link leads to is no part of the path.
        let made = Metadata::directory();
        target.split(|b| *b == b'/').try_for_each(|component| self.enter(at, component, path, &made))
    }

    /// The inode at `path`, nothing made; `None` also when a parent is missing or no directory.
    pub(super) fn find(&self, path: &[u8]) -> Option<InodeId> {
        let mut clean = clean(path);
        let Some(name) = clean.pop() else { return Some(InodeId::ROOT) };
        let dir = self.walk(&mut Route::new(clean), |_, _| false).expect("every directory is looked through")?;
        self.names.find(dir, name).map(|number| self.names[number].inode)
    }

    /// The same, through the table: a directory that is looked for in comes into it.
    pub(super) fn find_quickly(&mut self, path: &[u8]) -> Option<InodeId> {
        if clean(path).is_empty() {
            return Some(InodeId::ROOT);
        }
        self.find_name_quickly(path).map(|number| self.names[number].inode)
    }

    /// Number of the name at `path`; the root has none.
    pub(super) fn find_name_quickly(&mut self, path: &[u8]) -> Option<u32> {
        let mut clean = clean(path);
        let name = clean.pop()?;
        let dir = self.walk_quickly(clean)?;
        if self.names.needs_index(dir, name) {
            self.names.index_names(dir);
        }
        self.names.find(dir, name)
    }

    /// The directory that `path` leads to, nothing made; links are followed, the last one, too. `None` where something
    /// is missing or no directory.
    pub(super) fn find_directory(&self, path: &[u8]) -> Option<InodeId> {
        self.walk(&mut Route::new(clean(path)), |_, _| false).expect("every directory is looked through")
    }

    /// The same, through the table.
    pub(super) fn find_directory_quickly(&mut self, path: &[u8]) -> Option<InodeId> {
        self.walk_quickly(clean(path))
    }

    fn walk_quickly(&mut self, components: Vec<&[u8]>) -> Option<InodeId> {
        let mut route = Route::new(components);
        loop {
            match self.walk(&mut route, |dir, name| self.names.needs_index(dir, name)) {
                Ok(found) => return found,
                Err(dir) => self.names.index_names(dir),
            }
        }
    }

    /// Goes through the components of a route, following links; stops before a directory that `needs_index` does not want
    /// to be looked through, and goes on from there when it is called again.
    fn walk(
        &self,
        route: &mut Route<'_>,
        needs_index: impl Fn(InodeId, &[u8]) -> bool,
    ) -> Result<Option<InodeId>, InodeId> {
        while let Some(part) = route.todo.pop() {
            let component = match &part {
                Part::OfPath(component) => component,
                Part::OfTarget(range) => &self.names.text[range.clone()],
            };
            if needs_index(route.dir, component) {
                route.todo.push(part);
                return Err(route.dir);
            }
            match self.step(route.dir, component) {
                Component::Into(next) => route.dir = next,
                Component::Link(link) if route.links.count(self.link_target(link)) => route.follow(self, link),
                Component::Link(_) | Component::Missing | Component::Blocked => return Ok(None),
            }
        }
        Ok(Some(route.dir))
    }

    fn step(&self, dir: InodeId, component: &[u8]) -> Component {
        match component {
            b"" | b"." => return Component::Into(dir),
            b".." => return Component::Into(self.parents[dir.index()]),
            _ => {}
        }
        let Some(name) = self.names.find(dir, component) else { return Component::Missing };
        let inode = self.names[name].inode;
        match self.inodes[inode.index()].metadata.kind {
            FileKind::Directory => Component::Into(inode),
            FileKind::Symlink => Component::Link(inode),
            _ => Component::Blocked,
        }
    }
}

/// What is still to go of a path.
struct Route<'p> {
    dir: InodeId,
    /// The next part last.
    todo: Vec<Part<'p>>,
    links: Followed,
}

/// A component of a path, or of a link's target in the text of the tree.
enum Part<'p> {
    OfPath(&'p [u8]),
    OfTarget(Range<usize>),
}

impl<'p> Route<'p> {
    /// From the root.
    fn new(components: Vec<&'p [u8]>) -> Self {
        let todo = components.into_iter().rev().map(Part::OfPath).collect();
        Self { dir: InodeId::ROOT, todo, links: Followed::default() }
    }

    fn follow(&mut self, tree: &TreeBuilder, link: InodeId) {
        let target = tree.target_range(link);
        if tree.names.text[target.clone()].first() == Some(&b'/') {
            self.dir = InodeId::ROOT;
        }
        let mut end = target.end;
        for component in tree.names.text[target].rsplit(|b| *b == b'/') {
            self.todo.push(Part::OfTarget(end - component.len()..end));
            end = (end - component.len()).saturating_sub(1);
        }
    }
}

/// What one component of a path leads to.
enum Component {
    Into(InodeId),
    Link(InodeId),
    Missing,
    Blocked,
}

/// What a directory costs that only `path` names: itself, and its own path, which formats write out. On average that is half
/// of `path`.
const fn cost_of_parent(path: &[u8]) -> usize {
    64 + path.len() / 2
}

/// A path, and the two parts of it where its last component is a plain name: what stands before it, and that name.
#[derive(Clone, Copy)]
pub(super) struct SplitPath<'p> {
    pub whole: &'p [u8],
    pub parts: Option<(&'p [u8], &'p [u8])>,
}

impl<'p> SplitPath<'p> {
    pub fn new(path: &'p [u8]) -> Self {
        Self { whole: path, parts: split(path) }
    }

    /// The last component.
    pub fn base(&self) -> &'p [u8] {
        self.parts.map_or_else(|| clean(self.whole).last().copied().unwrap_or_default(), |(_, name)| name)
    }
}

/// The parts of a [`SplitPath`].
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|b| *b != b'/')? + 1;
    let start = path[..end].iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    let name = &path[start..end];
    (name != b"." && name != b"..").then_some((&path[..start], name))
}

/// The components of a name, clamped to the root.
pub(super) fn clean(path: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Node;

    #[test]
    fn names_are_clamped_to_the_root() {
        let rows: [(&str, &[&str]); 6] = [
            ("a/b", &["a", "b"]),
            ("./a//b/", &["a", "b"]),
            ("/a/../../b", &["b"]),
            ("../../x", &["x"]),
            ("..", &[]),
            ("", &[]),
        ];
        for (path, parts) in rows {
            assert_eq!(clean(path.as_bytes()), parts.iter().map(|p| p.as_bytes()).collect::<Vec<_>>(), "{path}");
        }
    }

    #[test]
    fn a_path_is_split_where_its_last_component_is_a_name() {
        let rows: [(&str, Option<(&str, &str)>); 6] = [
            ("a/b", Some(("a/", "b"))),
            ("a//b//", Some(("a//", "b"))),
            ("b", Some(("", "b"))),
            ("a/..", None),
            ("./", None),
            ("", None),
        ];
        for (path, parts) in rows {
            assert_eq!(split(path.as_bytes()), parts.map(|(dir, name)| (dir.as_bytes(), name.as_bytes())), "{path}");
        }
    }

    #[test]
    fn a_parent_that_was_replaced_is_not_remembered() {
        let mut tree = TreeBuilder::new();
        let file = || Node::Generated(Metadata::file(), b"x");
        tree.insert(b"a/f", file()).unwrap();
        tree.insert(b"a", Node::Symlink(Metadata::symlink(), b"b")).unwrap();
        tree.insert(b"a/f", file()).unwrap();
        tree.insert(b"a", Node::Symlink(Metadata::symlink(), b"c")).unwrap();
        tree.insert(b"a/f", file()).unwrap();
        assert!(tree.lookup(b"b/f").is_some() && tree.lookup(b"c/f").is_some());
        tree.remove(b"c");
        tree.insert(b"a/g", file()).unwrap();
        assert!(tree.lookup(b"c/g").is_some() && tree.lookup(b"c/f").is_none());
    }

    #[test]
    fn the_targets_of_all_links_in_a_path_are_no_longer_than_a_path_can_be() {
        let mut tree = TreeBuilder::new();
        tree.insert(b"d/f", Node::Generated(Metadata::file(), b"x")).unwrap();
        for (link, dots, next) in [("a", 1000, "d"), ("b", 1000, "a"), ("c", 46, "b"), ("e", 47, "b")] {
            let target = "./".repeat(dots) + next;
            tree.insert(link.as_bytes(), Node::Symlink(Metadata::symlink(), target.as_bytes())).unwrap();
        }
        assert!(tree.lookup(b"c/f").is_some() && tree.lookup(b"e/f").is_none());
        assert!(tree.insert(b"c/g", Node::Generated(Metadata::file(), b"x")).is_ok());
        let error = tree.insert(b"e/g", Node::Generated(Metadata::file(), b"x")).unwrap_err();
        assert_eq!(error.to_string(), "too many symbolic links in the parents of `e/g`");
    }

    #[test]
    fn links_in_parents_are_followed_inside_the_root() {
        let mut tree = TreeBuilder::new();
        tree.insert(b"deep/er", Node::Plain(Metadata::directory())).unwrap();
        tree.insert(b"deep/up", Node::Symlink(Metadata::symlink(), b"../../../tmp")).unwrap();
        tree.insert(b"deep/up/f", Node::Generated(Metadata::file(), b"x")).unwrap();
        assert!(tree.lookup(b"tmp/f").is_some());
        tree.insert(b"loop", Node::Symlink(Metadata::symlink(), b"loop")).unwrap();
        let error = tree.insert(b"loop/f", Node::Generated(Metadata::file(), b"x")).unwrap_err();
        assert_eq!(error.to_string(), "too many symbolic links in the parents of `loop/f`");
        let error = tree.insert(b"tmp/f/g", Node::Generated(Metadata::file(), b"x")).unwrap_err();
        assert_eq!(error.to_string(), "`tmp/f/g` lies below `f`, which is not a directory");
    }
}
