//! Laying an image over the root as a kernel would unpack it there, but that a link and a directory at one path both stay
//! where the link leads to a directory: `lib -> usr/lib` and modules in `lib` become modules in `usr/lib`.

use crate::base::{FileKind, Metadata};
use crate::tree::{self, InodeId, Node, TreeBuilder};

/// Most directories of the root that give way to links of one image; far more than any root has.
const MOST_MOVED: usize = 64;
/// Most links of the root that outlive directories of one image; the others give way, as they do when a kernel unpacks it.
const MOST_LINKS: usize = 1024;
/// Most bytes of paths that are kept while two trees are compared.
const MOST_PATHS: usize = 32 << 20;
/// The directory that is no part of the root in the end: a link in its place could lead anywhere.
const BOOT: &[u8] = b"boot";

/// Lays `image` over the root. A directory with entries stays where the image has something else, as it does when a
/// kernel unpacks an archive; its path is returned, so that it can be told.
///
/// # Errors
/// When the root cannot take it.
pub(super) fn lay_over(root: &mut TreeBuilder, mut image: TreeBuilder) -> Result<Vec<Vec<u8>>, tree::Error> {
    let mut moved = 0;
    let Clashes { kept, links, .. } = loop {
        let clashes = Clashes::of(root, &mut image)?;
        let before = moved;
        for (link, to) in clashes.directories.iter().take(MOST_MOVED - moved) {
            moved += usize::from(root.move_entries(link, to)?);
        }
        // What was moved may clash with the image where it is now.
        if moved == before {
            break clashes;
        }
    };
    for path in &kept {
        image.remove(path);
    }
    root.graft(b"", image)?;
    for Link { path, to, metadata, target } in links {
        if root.move_entries(&path, &to)? {
            root.insert(&path, Node::Symlink(metadata, &target))?;
        }
    }
    Ok(kept)
}

/// Paths at which the root has a directory and the image something else, or the other way round.
#[derive(Default)]
struct Clashes {
    /// Directories of the root that stay, sorted.
    kept: Vec<Vec<u8>>,
    /// Those among them that can give way to a link of the image, and the directory where it leads.
    directories: Vec<(Vec<u8>, Vec<u8>)>,
    /// Links of the root where the image has a directory.
    links: Vec<Link>,
}

/// A link of the root that leads to a directory.
struct Link {
    path: Vec<u8>,
    /// The path of that directory.
    to: Vec<u8>,
    metadata: Metadata,
    target: Vec<u8>,
}

impl Clashes {
    fn of(root: &mut TreeBuilder, image: &mut TreeBuilder) -> Result<Self, tree::Error> {
        let (mut clashes, mut bytes) = (Self::default(), 0);
        let mut todo: Vec<(Vec<u8>, InodeId)> = vec![(Vec::new(), InodeId::ROOT)];
        while let Some((path, dir)) = todo.pop() {
            let children: Vec<_> = image.children(dir).map(|(name, child)| (name.to_vec(), child)).collect();
            for (name, child) in children {
                let path = if path.is_empty() { name } else { [&path[..], b"/", &name].concat() };
                let Some(below) = root.lookup_often(&path) else { continue };
                match (root.inode(below).metadata.kind, image.inode(child).metadata.kind) {
                    (FileKind::Directory, FileKind::Directory) => {
                        bytes += path.len();
                        todo.push((path, child));
                    }
                    (FileKind::Directory, kind) if root.children(below).next().is_some() => {
                        if kind == FileKind::Symlink
                            && path != BOOT
                            && clashes.directories.len() < MOST_MOVED
                            && let Some(to) = led_to(root, image, &path, child)
                        {
                            clashes.directories.push((path.clone(), to));
                        }
                        bytes += path.len();
                        clashes.kept.push(path);
                    }
                    (FileKind::Symlink, FileKind::Directory) if clashes.links.len() < MOST_LINKS => {
                        clashes.links.extend(Link::of(root, path, below));
                    }
                    _ => {}
                }
                if bytes > MOST_PATHS {
                    return Err(tree::Error::TooLarge);
                }
            }
        }
        clashes.kept.sort();
        Ok(clashes)
    }
}

impl Link {
    fn of(root: &mut TreeBuilder, path: Vec<u8>, link: InodeId) -> Option<Self> {
        let to = root.lookup_directory_often(&path).filter(|_| path != BOOT)?;
        let target = root.link_target(link).to_vec();
        Some(Self { to: root.directory_path(to), metadata: root.inode(link).metadata, target, path })
    }
}

/// The path of the directory where a link of the image leads, in the image or else in the root.
fn led_to(root: &mut TreeBuilder, image: &mut TreeBuilder, path: &[u8], link: InodeId) -> Option<Vec<u8>> {
    if let Some(to) = image.lookup_directory_often(path) {
        return Some(image.directory_path(to));
    }
    let target = image.link_target(link);
    let above = path.iter().rposition(|b| *b == b'/').map_or(&b""[..], |slash| &path[..slash]);
    let above = if target.starts_with(b"/") { b"" } else { above };
    let to = root.lookup_directory_often(&[above, b"/", target].concat())?;
    Some(root.directory_path(to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::{listing, tree};

    #[test]
    fn a_later_image_wins() {
        let mut root = tree(&["a=1", "b/c=1", "d->gone"]);
        assert_eq!(lay_over(&mut root, tree(&["a=22", "d/e=1"])).unwrap(), [b""; 0]);
        assert_eq!(root.inode(root.lookup(b"a").unwrap()).size, 2);
        assert_eq!(listing(root), "a b/ b/c d/ d/e");
    }

    #[test]
    fn a_directory_with_entries_outlives_a_link_to_nothing_in_its_place() {
        let mut root = tree(&["lib/modules/m=1"]);
        root.insert(b"empty", Node::Plain(Metadata::directory())).unwrap();
        let kept = lay_over(&mut root, tree(&["lib->usr/lib", "empty->x", "usr/l=1"])).unwrap();
        assert_eq!(kept, [b"lib"]);
        assert_eq!(listing(root), "empty->x lib/ lib/modules/ lib/modules/m usr/ usr/l");
    }

    #[test]
    fn a_directory_gives_way_to_a_link_that_leads_to_a_directory() {
        let mut image =
            tree(&["lib->usr/lib", "usr/lib/l=1", "usr/lib/modules/m=22", "usr/sbin->../sbin", "sbin->/usr/bin"]);
        image.insert(b"usr/bin", Node::Plain(Metadata { mode: 0o711, ..Metadata::directory() })).unwrap();
        let mut root = tree(&["lib/modules/m=1", "lib/modules/n=1", "sbin/x=1", "usr/sbin/y=1"]);
        assert_eq!(lay_over(&mut root, image).unwrap(), [b""; 0]);
        assert_eq!(root.inode(root.lookup(b"lib/modules/m").unwrap()).size, 2);
        assert_eq!(root.inode(root.lookup(b"usr/bin").unwrap()).metadata.mode, 0o711);
        assert_eq!(
            listing(root),
            "lib->usr/lib sbin->/usr/bin usr/ usr/bin/ usr/bin/x usr/bin/y usr/lib/ usr/lib/l usr/lib/modules/ \
             usr/lib/modules/m usr/lib/modules/n usr/sbin->../sbin"
        );
    }

    #[test]
    fn a_link_that_leads_to_a_directory_outlives_a_directory_in_its_place() {
        let mut root = tree(&["lib->usr/lib", "usr/lib/l=1", "usr/lib/d/x=1"]);
        assert_eq!(lay_over(&mut root, tree(&["lib/l=22", "lib/d/y=1"])).unwrap(), [b""; 0]);
        assert_eq!(root.inode(root.lookup(b"usr/lib/l").unwrap()).size, 2);
        assert_eq!(listing(root), "lib->usr/lib usr/ usr/lib/ usr/lib/d/ usr/lib/d/x usr/lib/d/y usr/lib/l");
    }

    #[test]
    fn thousands_of_links_to_nothing_leave_every_directory() {
        let mut root = TreeBuilder::new();
        let mut image = TreeBuilder::new();
        for number in 0..20_000 {
            let file = Node::Generated(Metadata::file(), b"1");
            root.insert(format!("s/l{number}/f").as_bytes(), file).unwrap();
            image.insert(format!("s/l{number}").as_bytes(), Node::Symlink(Metadata::symlink(), b"nope")).unwrap();
        }
        assert_eq!(lay_over(&mut root, image).unwrap().len(), 20_000);
        assert!(root.lookup(b"s/l19999/f").is_some());
    }

    #[test]
    fn links_that_cross_leave_every_file() {
        let mut root = tree(&["usr/lib->../lib", "lib/a=1"]);
        assert_eq!(lay_over(&mut root, tree(&["lib->usr/lib", "usr/lib/b=1"])).unwrap(), [b""; 0]);
        assert_eq!(listing(root), "lib->usr/lib usr/ usr/lib/ usr/lib/a usr/lib/b");
    }

    #[test]
    fn a_directory_does_not_move_into_one_above_it_or_out_of_boot() {
        for link in ["a->.", "a->/", "a->a", "boot->x"] {
            let mut root = tree(&["a/b=1", "boot/kernel=1"]);
            let (path, _) = link.split_once("->").unwrap();
            assert_eq!(lay_over(&mut root, tree(&[link, "x/y=1"])).unwrap(), [path.as_bytes()], "{link}");
            assert_eq!(listing(root), "a/ a/b boot/ boot/kernel x/ x/y", "{link}");
        }
    }
}
