//! What LinuxKit changes in every image it lays out: traces of its build go, what a container runtime expects comes.

use std::sync::Arc;

use super::supply::SourceImage;
use crate::base::{Metadata, Xattrs};
use crate::tree::{self, Node, TreeBuilder};

/// Entries that are left out.
const EXCLUDED: [&[u8]; 4] = [b".dockerenv", b"Dockerfile", b"dev/console", b"etc/hostname"];
/// Directories that every image has in the end, 0755 and owned by root.
const DIRECTORIES: [&[u8]; 6] = [b"dev", b"dev/pts", b"dev/shm", b"etc", b"proc", b"sys"];
const HOSTS: &[u8] = b"127.0.0.1       localhost
::1     localhost ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff00::0 ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
";

/// What `etc/resolv.conf` becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResolvConf {
    /// A file that says that nothing is configured: in containers, which bind the host's over it.
    Unconfigured,
    /// A link to where the system writes it: in the root and in volumes.
    Linked,
}

/// The image with LinuxKit's changes; copied only when somebody else still has it.
///
/// # Errors
/// When the tree cannot take what is added.
pub(super) fn filtered(image: Arc<SourceImage>, resolv_conf: ResolvConf) -> Result<TreeBuilder, tree::Error> {
    let tree = Arc::try_unwrap(image).map_or_else(|shared| shared.tree.clone(), |own| own.tree);
    let mut tree = Arc::unwrap_or_clone(tree);
    EXCLUDED.iter().for_each(|path| exclude(&mut tree, path));
    for path in DIRECTORIES {
        match tree.lookup_directory(path) {
            // Perhaps through a link, which stays: the image may have its files there.
            Some(directory) => {
                *tree.metadata_mut(directory) = Metadata::directory();
                tree.set_xattrs(directory, Xattrs::default());
            }
            None => {
                tree.insert(path, Node::Plain(Metadata::directory()))?;
            }
        }
    }
    tree.insert(b"etc/hosts", Node::Generated(Metadata::file(), HOSTS))?;
    let resolv_conf = match resolv_conf {
        ResolvConf::Unconfigured => Node::Generated(Metadata::file(), b"\n# no resolv.conf configured\n"),
        ResolvConf::Linked => Node::Symlink(Metadata::symlink(), b"/run/resolvconf/resolv.conf"),
    };
    tree.insert(b"etc/resolv.conf", resolv_conf)?;
    match tree.lookup(b"etc/mtab") {
        Some(mtab) => tree.metadata_mut(mtab).mtime = Metadata::GENERATED_MTIME,
        None => {
            tree.insert(b"etc/mtab", Node::Symlink(Metadata::symlink(), b"/proc/mounts"))?;
        }
    }
    Ok(tree)
}

/// Leaves out one entry. What is below a directory stays, in a directory that nobody described.
fn exclude(tree: &mut TreeBuilder, path: &[u8]) {
    let Some(id) = tree.lookup(path) else { return };
    if tree.children(id).next().is_some() {
        *tree.metadata_mut(id) = Metadata::directory();
    } else {
        tree.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::{self, listing, text_at};

    fn image(files: &[&str]) -> Arc<SourceImage> {
        let mut tree = TreeBuilder::new();
        for path in files {
            tree.insert(path.as_bytes(), Node::Generated(Metadata { mtime: 7, ..Metadata::file() }, b"x")).unwrap();
        }
        Arc::new(sample::image("q.io/a", tree))
    }

    #[test]
    fn an_empty_image_gets_what_a_runtime_expects() {
        let tree = filtered(image(&[]), ResolvConf::Linked).unwrap();
        assert_eq!(
            listing(tree),
            "dev/ dev/pts/ dev/shm/ etc/ etc/hosts etc/mtab->/proc/mounts \
             etc/resolv.conf->/run/resolvconf/resolv.conf proc/ sys/"
        );
    }

    #[test]
    fn traces_of_the_build_go_and_network_files_are_replaced() {
        let names = [".dockerenv", "Dockerfile", "dev/console", "etc/hostname", "etc/resolv.conf", "etc/mtab", "a"];
        let tree = filtered(image(&names), ResolvConf::Unconfigured).unwrap();
        assert_eq!(text_at(&tree, "etc/resolv.conf"), "\n# no resolv.conf configured\n");
        assert_eq!(text_at(&tree, "etc/hosts").len(), 160);
        assert_eq!(tree.inode(tree.lookup(b"etc/mtab").unwrap()).metadata.mtime, Metadata::GENERATED_MTIME);
        assert_eq!(listing(tree), "a dev/ dev/pts/ dev/shm/ etc/ etc/hosts etc/mtab etc/resolv.conf proc/ sys/");
    }

    #[test]
    fn only_the_entry_itself_is_left_out() {
        let tree = filtered(image(&["Dockerfile/part", "a/Dockerfile", "dev/shm/x"]), ResolvConf::Linked).unwrap();
        let metadata = tree.inode(tree.lookup(b"Dockerfile").unwrap()).metadata;
        assert_eq!(metadata, Metadata::directory());
        assert!(tree.lookup(b"Dockerfile/part").is_some() && tree.lookup(b"a/Dockerfile").is_some());
        assert!(tree.lookup(b"dev/shm/x").is_some());
    }

    #[test]
    fn a_link_in_place_of_a_directory_stays_when_it_leads_to_one() {
        let mut tree = sample::tree(&["usr/etc/a=1", "etc->usr/etc", "dev->gone", "sys->/etc/a"]);
        tree.metadata_mut(tree.lookup(b"usr/etc").unwrap()).mode = 0o700;
        let tree = filtered(Arc::new(sample::image("q.io/a", tree)), ResolvConf::Linked).unwrap();
        assert_eq!(tree.inode(tree.lookup(b"usr/etc").unwrap()).metadata, Metadata::directory());
        assert_eq!(
            listing(tree),
            "dev/ dev/pts/ dev/shm/ etc->usr/etc proc/ sys/ usr/ usr/etc/ usr/etc/a usr/etc/hosts \
             usr/etc/mtab->/proc/mounts usr/etc/resolv.conf->/run/resolvconf/resolv.conf"
        );
    }

    #[test]
    fn a_link_in_place_of_a_network_file_is_replaced() {
        let mut tree = TreeBuilder::new();
        tree.insert(b"etc/hosts", Node::Symlink(Metadata::symlink(), b"/secret")).unwrap();
        let tree = filtered(Arc::new(sample::image("q.io/a", tree)), ResolvConf::Linked).unwrap();
        assert_eq!(text_at(&tree, "etc/hosts").len(), 160);
        assert!(tree.lookup(b"secret").is_none());
    }
}
