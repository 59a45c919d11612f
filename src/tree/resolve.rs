//! Finding a path in a tree under construction, as if the tree were the root of a process.
//!
//! Names from archives are cleaned first: `a/../b` is `b`, `../../x` and `/x` are `x`. Symbolic links in parents are
//! followed inside the root, as containerd and umoci do when they unpack.

use super::error::shown;
use super::{Error, InodeId, Node, TreeBuilder};
use crate::base::{FileKind, Metadata};

/// As many as Linux follows (path_resolution(7)).
const MAX_LINKS: u32 = 40;

impl TreeBuilder {
    /// The directory and name that `path` stands for; missing directories are made. `None` for the root.
    pub(super) fn resolve_parent(&mut self, path: &[u8]) -> Result<Option<(InodeId, Vec<u8>)>, Error> {
        let mut clean = clean(path);
        let Some(name) = clean.pop() else { return Ok(None) };
        let mut dir = InodeId::ROOT;
        let mut todo: Vec<Vec<u8>> = clean.into_iter().rev().map(<[u8]>::to_vec).collect();
        let mut links = 0;
        while let Some(component) = todo.pop() {
            let next = match self.step(dir, &component) {
                Step::Into(next) => next,
                Step::Link(target) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Error::LinkLoop(shown(path)));
                    }
                    dir = if target.first() == Some(&b'/') { InodeId::ROOT } else { dir };
                    todo.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
                    continue;
                }
                Step::Missing => self.insert_at(dir, &component, Node::Plain(Metadata::directory()))?,
                Step::Blocked => {
                    return Err(Error::ParentNotDirectory { path: shown(path), parent: shown(&component) });
                }
            };
            dir = next;
        }
        Ok(Some((dir, name.to_vec())))
    }

    /// The inode at `path`, nothing made; `None` also when a parent is missing or no directory.
    pub(super) fn find(&self, path: &[u8]) -> Option<InodeId> {
        if clean(path).is_empty() {
            return Some(InodeId::ROOT);
        }
        self.find_name(path).map(|name| self.names[name as usize].inode)
    }

    /// Number of the name at `path`; the root has none.
    pub(super) fn find_name(&self, path: &[u8]) -> Option<u32> {
        let mut clean = clean(path);
        let name = clean.pop()?;
        let mut dir = InodeId::ROOT;
        let mut todo: Vec<&[u8]> = clean.into_iter().rev().collect();
        let mut links = 0;
        while let Some(component) = todo.pop() {
            match self.step(dir, component) {
                Step::Into(next) => dir = next,
                Step::Link(target) if links < MAX_LINKS => {
                    links += 1;
                    dir = if target.first() == Some(&b'/') { InodeId::ROOT } else { dir };
                    todo.extend(target.split(|b| *b == b'/').rev());
                }
                Step::Link(_) | Step::Missing | Step::Blocked => return None,
            }
        }
        self.name_in(dir, name)
    }

    fn step(&self, dir: InodeId, component: &[u8]) -> Step<'_> {
        match component {
            b"" | b"." => return Step::Into(dir),
            b".." => return Step::Into(self.parents[dir.index()]),
            _ => {}
        }
        let Some(name) = self.name_in(dir, component) else { return Step::Missing };
        let inode = self.names[name as usize].inode;
        match self.inodes[inode.index()].metadata.kind {
            FileKind::Directory => Step::Into(inode),
            FileKind::Symlink => Step::Link(self.link_target(inode)),
            _ => Step::Blocked,
        }
    }
}

/// What one component of a path leads to.
enum Step<'a> {
    Into(InodeId),
    Link(&'a [u8]),
    Missing,
    Blocked,
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
