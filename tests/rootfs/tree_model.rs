//! A naive tree to hold the real one against: paths in a sorted map, every rule spelled out.

use std::collections::BTreeMap;
use std::sync::Arc;

use lkit::base::{FileKind, Metadata, Xattrs};
use lkit::extent::{SharedSource, Zeros};
use lkit::layer::{Body, Entry, Toc};
use lkit::tree::{Content, Node, Tree, TreeBuilder};

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    /// One of `sides` numbers from 0.
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// A path of one to three of four names: few enough to meet again and again.
    fn path(&mut self) -> String {
        let depth = 1 + self.roll(3);
        let names: Vec<&str> =
            (0..depth).map(|_| ["a", "b", "c", "d"][usize::try_from(self.roll(4)).unwrap()]).collect();
        names.join("/")
    }
}

/// What stands at a path: a directory, or a file of so many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File(u64),
}

/// Path to what stands there, and the layer that named it last.
#[derive(Clone, Default)]
struct Model(BTreeMap<String, (Kind, u32)>);

impl Model {
    fn below<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = &'a String> {
        self.0.keys().filter(move |path| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/')))
    }

    fn remove(&mut self, path: &str) {
        self.0.retain(|other, _| other != path && !other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')));
    }

    /// Whether the parents of `path` are directories where they exist.
    fn takes(&self, path: &str) -> bool {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        parents.into_iter().all(|parent| self.0.get(parent).is_none_or(|(kind, _)| *kind == Kind::Directory))
    }

    fn insert(&mut self, path: &str, kind: Kind, layer: u32) {
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert((Kind::Directory, layer));
        }
        let keeps = kind == Kind::Directory && self.0.get(path).is_some_and(|(old, _)| *old == Kind::Directory);
        if !keeps {
            self.remove(path);
        }
        self.0.insert(path.to_owned(), (kind, layer));
    }

    /// Hides what lower layers have at or below `path`, not what this one has.
    fn white_out(&mut self, path: &str, layer: u32) {
        let below: Vec<String> = self.below(path).cloned().collect();
        for path in below.iter().rev().map(String::as_str).chain([path]) {
            let is_lower = self.0.get(path).is_some_and(|(_, named)| *named != layer);
            if is_lower && self.below(path).next().is_none() {
                self.0.remove(path);
            }
        }
    }

    fn listing(&self) -> Vec<(String, Kind)> {
        self.0.iter().map(|(path, (kind, _))| (path.clone(), *kind)).collect()
    }
}

fn listing(tree: &Tree) -> Vec<(String, Kind)> {
    let mut found: Vec<(String, Kind)> = tree
        .walk()
        .map(|entry| {
            let inode = tree.inode(tree.entry_inode(entry));
            let kind = if inode.is_directory() { Kind::Directory } else { Kind::File(inode.size) };
            (String::from_utf8(tree.path(entry)).unwrap(), kind)
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found
}

/// Lays a layer of a few random entries over both.
fn add_layer(dice: &mut Dice, tree: &mut TreeBuilder, model: &mut Model, layer: u32) {
    let mut entries = Vec::new();
    for _ in 0..1 + dice.roll(12) {
        let path = dice.path();
        entries.push(match dice.roll(5) {
            0 => {
                model.white_out(&path, layer);
                let (dir, base) = path.rsplit_once('/').unwrap_or((".", &path));
                (format!("{dir}/.wh.{base}"), Metadata::file(), Body::Empty)
            }
            _ if !model.takes(&path) => continue,
            1 | 2 => {
                model.insert(&path, Kind::Directory, layer);
                (format!("./{path}/"), Metadata::directory(), Body::Empty)
            }
            _ => {
                let size = dice.roll(1000);
                model.insert(&path, Kind::File(size), layer);
                (path, Metadata::file(), Body::Content { offset: 0, size })
            }
        });
    }
    let toc: Toc = entries
        .iter()
        .map(|(path, metadata, body)| Entry {
            path: path.as_bytes(),
            metadata: *metadata,
            body: body.clone(),
            xattrs: Xattrs::default(),
        })
        .collect();
    tree.merge_layer(&toc, &(Arc::new(Zeros(1 << 20)) as SharedSource)).unwrap();
}

#[test]
fn model_layers_and_grafts_agree_with_paths_in_a_map() {
    let mut dice = Dice(1);
    for round in 0..400 {
        let (mut root, mut model) = (TreeBuilder::new(), Model::default());
        for _ in 0..1 + dice.roll(3) {
            let (mut image, mut paths) = (TreeBuilder::new(), Model::default());
            (1..=1 + u32::try_from(dice.roll(3)).unwrap())
                .for_each(|layer| add_layer(&mut dice, &mut image, &mut paths, layer));
            assert_eq!(listing(&image.clone().finish()), paths.listing(), "round {round}");
            let prefix = dice.path();
            if !model.takes(&prefix) || matches!(model.0.get(&prefix), Some((Kind::File(_), _))) {
                continue;
            }
            root.graft(prefix.as_bytes(), image).unwrap();
            model.insert(&prefix, Kind::Directory, 0);
            for (path, (kind, _)) in &paths.0 {
                model.insert(&format!("{prefix}/{path}"), *kind, 0);
            }
            // What was grafted is found and replaced like everything else.
            let path = dice.path();
            if model.takes(&path) {
                let content = Content { source: Arc::new(Zeros(7)), offset: 0, size: 7 };
                root.insert(path.as_bytes(), Node::File(Metadata::file(), content)).unwrap();
                model.insert(&path, Kind::File(7), 0);
            }
        }
        let tree = root.finish();
        assert_eq!(listing(&tree), model.listing(), "round {round}");
        for (path, _) in model.listing() {
            assert!(tree.find(path.as_bytes()).is_some_and(|id| tree.inode(id).metadata.kind != FileKind::Symlink));
        }
    }
}
