//! Layers of files, directories, symbolic and hard links and whiteouts, against paths in a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use lkit::base::{FileKind, Metadata};
use lkit::extent::{SharedSource, Zeros};
use lkit::layer::{Body, Entry, Toc};
use lkit::tree::{Tree, TreeBuilder};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::properties::cases;

/// An entry of a layer.
#[derive(Clone, Debug)]
enum Step {
    Directory(String),
    File(String, u64),
    Symlink(String, String),
    /// A further name for what is at the second path.
    HardLink(String, String),
    Whiteout(String),
    Opaque(String),
}

/// What stands at a path. Files that are one have one number.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File { number: usize, size: u64 },
    Symlink { number: usize, target: String },
}

/// Path to what stands there, and the layer that named it last.
#[derive(Default)]
struct Model {
    paths: BTreeMap<String, (Kind, usize)>,
    numbers: usize,
}

impl Model {
    fn is_below(path: &str, dir: &str) -> bool {
        path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether the parents of a path are directories where they exist; through links, other tests lead.
    fn takes(&self, path: &str) -> bool {
        let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        parents.all(|parent| self.paths.get(parent).is_none_or(|(kind, _)| *kind == Kind::Directory))
    }

    fn put(&mut self, path: &str, kind: Kind, layer: usize) {
        for (at, _) in path.match_indices('/') {
            self.paths.entry(path[..at].to_owned()).or_insert((Kind::Directory, layer));
        }
        if kind != Kind::Directory {
            self.paths.retain(|other, _| !Self::is_below(other, path));
        }
        self.paths.insert(path.to_owned(), (kind, layer));
    }

    /// Hides what lower layers have below `dir`, and at `path` if it is given.
    fn hide(&mut self, dir: &str, path: Option<&str>, layer: usize) {
        let hidden = self.paths.keys().filter(|other| Self::is_below(other, dir) || Some(other.as_str()) == path);
        for path in hidden.cloned().collect::<Vec<_>>().into_iter().rev() {
            let is_lower = self.paths[&path].1 != layer;
            if is_lower && !self.paths.keys().any(|other| Self::is_below(other, &path)) {
                self.paths.remove(&path);
            }
        }
    }

    /// Does what an entry says; whether the tree can do it as well.
    fn step(&mut self, step: &Step, layer: usize) -> bool {
        let (Step::Directory(path)
        | Step::File(path, _)
        | Step::Symlink(path, _)
        | Step::HardLink(path, _)
        | Step::Whiteout(path)
        | Step::Opaque(path)) = step;
        if !self.takes(path) {
            return false;
        }
        self.numbers += 1;
        let number = self.numbers;
        match step {
            Step::Directory(path) => self.put(path, Kind::Directory, layer),
            Step::File(path, size) => self.put(path, Kind::File { number, size: *size }, layer),
            Step::Symlink(path, target) => {
                self.put(path, Kind::Symlink { number, target: target.clone() }, layer);
            }
            Step::HardLink(path, target) => match self.paths.get(target) {
                Some((kind @ Kind::File { .. }, _)) if path != target && self.takes(target) => {
                    let kind = kind.clone();
                    if self.paths.get(path).is_some_and(|(old, _)| *old == kind) {
                        return false;
                    }
                    self.put(path, kind, layer);
                }
                _ => return false,
            },
            Step::Whiteout(path) => self.hide(path, Some(path), layer),
            Step::Opaque(dir) => match self.paths.get(dir) {
                Some((Kind::Directory, _)) => self.hide(dir, None, layer),
                _ => return false,
            },
        }
        true
    }
}

impl Step {
    /// Path, metadata and body as a tar has them.
    fn entry(&self) -> (String, Metadata, Body<'_>) {
        let hidden = |path: &str, mark: &str| {
            let (dir, base) = path.rsplit_once('/').unwrap_or((".", path));
            format!("{dir}/{mark}{base}")
        };
        match self {
            Self::Directory(path) => (format!("./{path}/"), Metadata::directory(), Body::Empty),
            Self::File(path, size) => (path.clone(), Metadata::file(), Body::Content { offset: 0, size: *size }),
            Self::Symlink(path, target) => {
                let metadata = Metadata { kind: FileKind::Symlink, ..Metadata::file() };
                (path.clone(), metadata, Body::Symlink(target.as_bytes()))
            }
            Self::HardLink(path, target) => (path.clone(), Metadata::file(), Body::HardLink(target.as_bytes())),
            Self::Whiteout(path) => (hidden(path, ".wh."), Metadata::file(), Body::Empty),
            Self::Opaque(dir) => (format!("{dir}/.wh..wh..opq"), Metadata::file(), Body::Empty),
        }
    }
}

fn path() -> impl Strategy<Value = String> {
    vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|names| names.join("/"))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        path().prop_map(Step::Directory),
        (path(), 0..1000_u64).prop_map(|(path, size)| Step::File(path, size)),
        (path(), path()).prop_map(|(path, target)| Step::Symlink(path, target)),
        (path(), path()).prop_map(|(path, target)| Step::HardLink(path, target)),
        path().prop_map(Step::Whiteout),
        path().prop_map(Step::Opaque),
    ]
}

/// What is at each path; files that are one have the number of the first of their paths.
fn listing(tree: &Tree) -> Vec<(String, Kind)> {
    let mut found = BTreeMap::new();
    for entry in tree.walk() {
        found.insert(String::from_utf8(tree.path(entry)).unwrap(), tree.entry_inode(entry));
    }
    let paths: Vec<_> = found.values().copied().collect();
    let kind = |id| {
        let inode = tree.inode(id);
        let number = paths.iter().position(|other| *other == id).unwrap();
        match inode.metadata.kind {
            FileKind::Directory => Kind::Directory,
            FileKind::Symlink => {
                Kind::Symlink { number, target: String::from_utf8(tree.link_target(id).to_vec()).unwrap() }
            }
            _ => Kind::File { number, size: inode.size },
        }
    };
    found.iter().map(|(path, id)| (path.clone(), kind(*id))).collect()
}

fn expected(model: &Model) -> Vec<(String, Kind)> {
    let kinds: Vec<&Kind> = model.paths.values().map(|(kind, _)| kind).collect();
    let first = |kind: &Kind| kinds.iter().position(|other| *other == kind).unwrap();
    let renumbered = |kind: &Kind| match kind {
        Kind::Directory => Kind::Directory,
        Kind::File { size, .. } => Kind::File { number: first(kind), size: *size },
        Kind::Symlink { target, .. } => Kind::Symlink { number: first(kind), target: target.clone() },
    };
    model.paths.iter().map(|(path, (kind, _))| (path.clone(), renumbered(kind))).collect()
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn prop_layers_with_links_agree_with_paths_in_a_map(layers in vec(vec(step(), 1..15), 1..4)) {
        let (mut tree, mut model) = (TreeBuilder::new(), Model::default());
        let zeros: SharedSource = Arc::new(Zeros(1 << 20));
        for (number, layer) in layers.iter().enumerate() {
            let taken: Vec<_> = layer.iter().filter(|step| model.step(step, number)).map(Step::entry).collect();
            let toc: Toc = taken
                .iter()
                .map(|(path, metadata, body)| Entry {
                    path: path.as_bytes(),
                    metadata: *metadata,
                    body: body.clone(),
                    xattrs: Default::default(),
                })
                .collect();
            tree.merge_layer(&toc, &zeros).unwrap();
        }
        prop_assert_eq!(listing(&tree.finish()), expected(&model));
    }
}
