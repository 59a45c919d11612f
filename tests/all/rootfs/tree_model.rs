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

    /// A target of a symbolic link: upwards, from the root, or down.
    fn target(&mut self) -> String {
        let path = self.path();
        match self.roll(4) {
            0 => format!("../{path}"),
            1 => format!("/{path}"),
            2 => format!("{path}/../../{}", self.path()),
            _ => path,
        }
    }
}

/// What stands at a path: a directory, a file of this many bytes, or a symbolic link to a target.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File(u64),
    Link(String),
}

/// Path to what stands there, and the layer that named it last.
#[derive(Clone, Default)]
struct Model(BTreeMap<String, (Kind, u32)>);

impl Model {
    fn below<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = &'a String> {
        let below = move |path: &&String| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
        self.0.keys().filter(move |path| dir.is_empty() || below(path))
    }

    fn remove(&mut self, path: &str) {
        self.0.retain(|other, _| other != path && !other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/')));
    }

    /// The directory that a path leads to when links are followed inside the root, without links. Missing directories
    /// are made for a layer, if there is one.
    fn led_to(&mut self, path: &str, layer: Option<u32>) -> Option<String> {
        let (mut at, mut links) = (Vec::<String>::new(), 0);
        let parts = |path: &str| path.split('/').rev().map(str::to_owned).collect::<Vec<_>>();
        let mut todo = parts(path);
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => {}
                ".." => drop(at.pop()),
                name => {
                    at.push(name.to_owned());
                    match (self.0.get(&at.join("/")).map(|(kind, _)| kind.clone()), layer) {
                        (Some(Kind::Directory), _) => {}
                        (None, Some(layer)) => drop(self.0.insert(at.join("/"), (Kind::Directory, layer))),
                        (Some(Kind::Link(target)), _) if links < 40 => {
                            links += 1;
                            at.pop();
                            if target.starts_with('/') {
                                at.clear();
                            }
                            todo.extend(parts(&target));
                        }
                        _ => return None,
                    }
                }
            }
        }
        Some(at.join("/"))
    }

    /// The path without links in its parents, which are made when they are missing; `None`, and nothing is made, when one
    /// is no directory.
    fn place(&mut self, path: &str, layer: u32) -> Option<String> {
        let mut made = self.clone();
        let (dir, base) = path.rsplit_once('/').unwrap_or(("", path));
        let dir = made.led_to(dir, Some(layer))?;
        *self = made;
        Some(if dir.is_empty() { base.to_owned() } else { format!("{dir}/{base}") })
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
        self.make_opaque(path, layer);
        let is_lower = self.0.get(path).is_some_and(|(_, named)| *named != layer);
        if is_lower && self.below(path).next().is_none() {
            self.0.remove(path);
        }
    }

    /// Hides what lower layers have below `dir`.
    fn make_opaque(&mut self, dir: &str, layer: u32) {
        let below: Vec<String> = self.below(dir).cloned().collect();
        for path in below.iter().rev() {
            let is_lower = self.0.get(path).is_some_and(|(_, named)| *named != layer);
            if is_lower && self.below(path).next().is_none() {
                self.0.remove(path);
            }
        }
    }

    fn listing(&self) -> Vec<(String, Kind)> {
        self.0.iter().map(|(path, (kind, _))| (path.clone(), kind.clone())).collect()
    }
}

fn listing(tree: &Tree) -> Vec<(String, Kind)> {
    let mut found: Vec<(String, Kind)> = tree
        .walk()
        .map(|entry| {
            let inode = tree.inode(tree.entry_inode(entry));
            let kind = match inode.metadata.kind {
                FileKind::Directory => Kind::Directory,
                FileKind::Symlink => {
                    Kind::Link(String::from_utf8(tree.link_target(tree.entry_inode(entry)).to_vec()).unwrap())
                }
                _ => Kind::File(inode.size),
            };
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
        entries.push(match dice.roll(8) {
            0 | 1 => {
                let (dir, base) = path.rsplit_once('/').unwrap_or((".", &path));
                if let Some(led_to) = model.led_to(dir, None) {
                    model.white_out(format!("{led_to}/{base}").trim_start_matches('/'), layer);
                }
                (format!("{dir}/.wh.{base}"), Metadata::file(), Kind::File(0))
            }
            2 => {
                if let Some(led_to) = model.led_to(&path, None) {
                    model.make_opaque(&led_to, layer);
                }
                (format!("{path}/.wh..wh..opq"), Metadata::file(), Kind::File(0))
            }
            roll => {
                let Some(place) = model.place(&path, layer) else { continue };
                let (path, metadata, kind) = match roll {
                    3 | 4 => (format!("./{path}/"), Metadata::directory(), Kind::Directory),
                    5 => (path, Metadata::symlink(), Kind::Link(dice.target())),
                    _ => (path, Metadata::file(), Kind::File(dice.roll(1000))),
                };
                model.insert(&place, kind.clone(), layer);
                (path, metadata, kind)
            }
        });
    }
    let body = |kind| match kind {
        Kind::Directory => Body::Empty,
        Kind::File(size) => Body::Content { offset: 0, size },
        Kind::Link(target) => Body::Symlink(target.into_bytes().leak()),
    };
    let toc: Toc = entries
        .iter()
        .map(|(path, metadata, kind)| Entry {
            path: path.as_bytes(),
            metadata: *metadata,
            body: body(kind.clone()),
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
            let Some(place) = model.place(&prefix, 0) else { continue };
            root.graft(prefix.as_bytes(), image).unwrap();
            model.insert(&place, Kind::Directory, 0);
            for (path, (kind, _)) in &paths.0 {
                model.insert(&format!("{place}/{path}"), kind.clone(), 0);
            }
            // What was grafted is found and replaced like everything else.
            let path = dice.path();
            if let Some(place) = model.place(&path, 0) {
                let content = Content { source: Arc::new(Zeros(7)), offset: 0, size: 7 };
                root.insert(path.as_bytes(), Node::File(Metadata::file(), content)).unwrap();
                model.insert(&place, Kind::File(7), 0);
            }
        }
        let tree = root.finish();
        assert_eq!(listing(&tree), model.listing(), "round {round}");
        for (path, kind) in model.listing() {
            let found = tree.find(path.as_bytes()).map(|id| tree.inode(id).metadata.kind == FileKind::Symlink);
            assert_eq!(found, Some(matches!(kind, Kind::Link(_))), "round {round}: {path}");
        }
    }
}
