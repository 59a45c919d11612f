//! `boot/`, which is no part of the root: what of it becomes an artifact is taken out, the rest is dropped.

use super::Error;
use crate::base::FileKind;
use crate::extent::SharedSource;
use crate::tree::{Content, InodeId, TreeBuilder};

pub(super) const KERNEL: &str = "boot/kernel";
pub(super) const CMDLINE: &str = "boot/cmdline";
pub(super) const UCODE: &str = "boot/ucode.cpio";

/// Longest command line in bytes; the largest that any Linux takes is 4096 (s390 may be built for more).
const LONGEST_CMDLINE: u64 = 1 << 16;
/// As many as Linux follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The parts a system is started with.
pub(super) struct Boot {
    pub kernel: Option<SharedSource>,
    pub cmdline: Option<Vec<u8>>,
    pub ucode: Option<SharedSource>,
}

/// Takes `boot/` out of the root; the directory itself stays, empty.
///
/// # Errors
/// When what should be an artifact is no file, or the command line cannot be read.
pub(super) fn take(root: &mut TreeBuilder) -> Result<Boot, Error> {
    let kernel = file(root, KERNEL)?.map(|content| source(&content, KERNEL)).transpose()?;
    let ucode = file(root, UCODE)?.map(|content| source(&content, UCODE)).transpose()?;
    let cmdline = file(root, CMDLINE)?.map(|content| cmdline(&content)).transpose()?;
    let boot = root.lookup(b"boot").filter(|boot| root.inode(*boot).is_directory());
    let names: Vec<Vec<u8>> =
        boot.map(|boot| root.children(boot).map(|(n, _)| n.to_vec()).collect()).unwrap_or_default();
    for name in names {
        root.remove(&[b"boot/", &name[..]].concat());
    }
    Ok(Boot { kernel, cmdline: cmdline.filter(|text| !text.is_empty()), ucode })
}

/// The inode that a path leads to, links followed inside the tree, the last one, too.
pub(super) fn followed(tree: &TreeBuilder, path: &[u8]) -> Option<InodeId> {
    let mut path = path.to_vec();
    for _ in 0..MOST_LINKS {
        let inode = tree.lookup(&path)?;
        if tree.inode(inode).metadata.kind != FileKind::Symlink {
            return Some(inode);
        }
        let target = tree.link_target(inode);
        let parent = path.iter().rposition(|b| *b == b'/').map_or(&b""[..], |slash| &path[..slash]);
        path = if target.starts_with(b"/") { target.to_vec() } else { [parent, b"/", target].concat() };
    }
    None
}

fn file(root: &TreeBuilder, path: &'static str) -> Result<Option<Content>, Error> {
    if root.lookup(path.as_bytes()).is_none() {
        return Ok(None);
    }
    let content = followed(root, path.as_bytes()).and_then(|inode| root.content(inode));
    content.map(Some).ok_or(Error::NotAFile(path))
}

fn source(content: &Content, path: &'static str) -> Result<SharedSource, Error> {
    content.source().map_err(|source| Error::Read { path, source })
}

/// The text of a command line.
///
/// # Errors
/// When it is too long, or cannot be read.
pub(super) fn cmdline(content: &Content) -> Result<Vec<u8>, Error> {
    let len = usize::try_from(content.size).ok().filter(|_| content.size <= LONGEST_CMDLINE);
    let mut text = vec![0; len.ok_or(Error::LongCmdline(content.size))?];
    let read = content.source.read_at(&mut text, content.offset);
    read.map_err(|source| Error::Read { path: CMDLINE, source })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::{listing, tree};

    #[test]
    fn boot_files_are_taken_out_and_the_rest_is_dropped() {
        let mut root = tree(&["boot/kernel->vmlinuz", "boot/vmlinuz=123", "boot/cmdline=a b", "boot/x/y=1", "bin=1"]);
        let boot = take(&mut root).unwrap();
        assert_eq!((boot.kernel.unwrap().size(), boot.cmdline.as_deref()), (3, Some(&b"a b"[..])));
        assert!(boot.ucode.is_none());
        assert_eq!(listing(root), "bin boot/");
    }

    #[test]
    fn an_empty_command_line_is_none() {
        assert_eq!(take(&mut tree(&["boot/cmdline="])).unwrap().cmdline, None);
        let none = take(&mut tree(&["bin=1"])).unwrap();
        assert!(none.kernel.is_none() && none.cmdline.is_none());
    }

    #[test]
    fn what_should_be_an_artifact_has_to_be_a_file() {
        for root in [&["boot/kernel/x=1"][..], &["boot/kernel->gone"], &["boot/kernel->kernel"]] {
            assert!(matches!(take(&mut tree(root)), Err(Error::NotAFile(KERNEL))));
        }
    }

    #[test]
    fn links_are_followed_inside_the_tree() {
        let tree = tree(&["a/b=1", "l->a/b", "abs->/a/b", "a/up->../../l", "d->a", "via->d/b"]);
        for path in ["a/b", "l", "abs", "a/up", "d/b", "via"] {
            assert_eq!(followed(&tree, path.as_bytes()), tree.lookup(b"a/b"), "{path}");
        }
        assert_eq!(followed(&tree, b"nothing"), None);
    }
}
