//! The kernel modules of a root: which of them a driver needs, found by the tables that depmod wrote.
//!
//! # Format
//! `modules.dep(5)`: a line for each module, its path, a colon, and the paths of all modules that it needs, each before
//! those that it needs itself. `modules.builtin`: a line for each driver that the kernel has built in, as the path that its
//! module would have. Names take `-` and `_` for the same, and what follows `.ko` says how the file is compressed.

use std::collections::{HashMap, HashSet};

use super::Cause;
use crate::base::{ErrorKind, Fault, MIB, in_memory, printable};
use crate::extent::ReadError;
use crate::tree::{Content, InodeId, Tree};

/// Where modules are; the second where `/lib` is a link.
const FOLDERS: [&[u8]; 2] = [b"lib/modules", b"usr/lib/modules"];
/// Largest table that is read, in bytes: ten times as large as those of kernels with all drivers.
const LARGEST: u64 = 16 * MIB;
/// Most modules that a driver may need; those of a root's disk need five.
const MOST: usize = 200;

/// What is known of a kernel's drivers.
pub struct Modules<'a> {
    tree: &'a Tree,
    folder: InodeId,
    /// The lines of `modules.dep` by the name of their module.
    needs: HashMap<String, String>,
    /// Names of drivers that are built in; `None` where no table says so.
    builtin: Option<HashSet<String>>,
}

/// How a kernel has a driver.
pub enum Driver {
    /// Built in, as far as is known.
    BuiltIn,
    /// As modules, in the order in which they are loaded: file name and content.
    Modules(Vec<(String, Content)>),
    /// Not at all.
    Missing,
}

/// Why the modules of a root cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModulesError {
    /// There are those of several kernels.
    #[error("the root has modules of {0} kernels, and nothing says which of them it is started with")]
    SeveralKernels(usize),
    /// A table is too large.
    #[error("`{name}` has over {} MiB", LARGEST / MIB)]
    LargeTable {
        /// Its name.
        name: &'static str,
    },
    /// A module that is needed is not there.
    #[error("`modules.dep` names `{0}`, which is no file of the root")]
    NoFile(String),
    /// A driver needs more modules than any does.
    #[error("driver `{0}` needs over {MOST} modules")]
    TooMany(String),
    /// A table cannot be read.
    #[error("cannot read `{name}`")]
    Read {
        /// Its name.
        name: &'static str,
        /// Why.
        source: Cause,
    },
}

impl Fault for ModulesError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Read { source, .. } => source.kind(),
            Self::SeveralKernels(_) | Self::LargeTable { .. } | Self::NoFile(_) | Self::TooMany(_) => {
                ErrorKind::Unsupported
            }
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::SeveralKernels(_) => Some("leave those of one kernel below `/lib/modules`".to_owned()),
            Self::Read { source, .. } => source.hint(),
            Self::LargeTable { .. } | Self::NoFile(_) | Self::TooMany(_) => None,
        }
    }
}

impl<'a> Modules<'a> {
    /// The modules of a root; `None` where it has none. Reads two tables.
    ///
    /// # Errors
    /// When there are those of several kernels, or a table cannot be read.
    pub fn of(tree: &'a Tree) -> Result<Option<Self>, ModulesError> {
        let Some(all) = FOLDERS.iter().find_map(|path| tree.find(path)) else { return Ok(None) };
        let kernels: Vec<InodeId> = tree.children(all).map(|(_, folder)| folder).collect();
        let folder = match kernels[..] {
            [] => return Ok(None),
            [folder] => folder,
            _ => return Err(ModulesError::SeveralKernels(kernels.len())),
        };
        let Some(dep) = table(tree, folder, "modules.dep")? else { return Ok(None) };
        let needs = dep.lines().filter_map(|line| Some((name_of(line.split_once(':')?.0), line.to_owned()))).collect();
        let builtin = table(tree, folder, "modules.builtin")?;
        let builtin = builtin.map(|text| text.lines().map(name_of).collect());
        Ok(Some(Self { tree, folder, needs, builtin }))
    }

    /// How the kernel has the driver of this name, with `_` rather than `-`.
    ///
    /// # Errors
    /// When a module is no file of the root.
    pub fn driver(&self, name: &str) -> Result<Driver, ModulesError> {
        let Some((own, needed)) = self.needs.get(name).and_then(|line| line.split_once(':')) else {
            let is_missing = self.builtin.as_ref().is_some_and(|builtin| !builtin.contains(name));
            return Ok(if is_missing { Driver::Missing } else { Driver::BuiltIn });
        };
        if needed.split_whitespace().nth(MOST).is_some() {
            return Err(ModulesError::TooMany(name.to_owned()));
        }
        let paths = needed.split_whitespace().rev().chain([own]);
        paths.map(|path| self.file(path)).collect::<Result<_, _>>().map(Driver::Modules)
    }

    fn file(&self, path: &str) -> Result<(String, Content), ModulesError> {
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let inode = parts.clone().try_fold(self.folder, |folder, name| self.tree.lookup(folder, name.as_bytes()));
        let content = inode.and_then(|inode| self.tree.content(inode));
        let missing = || ModulesError::NoFile(printable(path.as_bytes()).to_string());
        Ok((parts.next_back().unwrap_or_default().to_owned(), content.ok_or_else(missing)?))
    }
}

/// The name of a module at a path.
fn name_of(path: &str) -> String {
    let file = path.trim().rsplit('/').next().unwrap_or_default();
    file.split(".ko").next().unwrap_or_default().replace('-', "_")
}

/// The text of a table; `None` where there is none.
fn table(tree: &Tree, folder: InodeId, name: &'static str) -> Result<Option<String>, ModulesError> {
    let Some(inode) = tree.lookup(folder, name.as_bytes()) else { return Ok(None) };
    let Some(content) = tree.content(inode) else { return Ok(Some(String::new())) };
    if content.size > LARGEST {
        return Err(ModulesError::LargeTable { name });
    }
    let mut text = vec![0; in_memory(content.size)];
    let read = content.source.read_at(&mut text, content.offset);
    read.map_err(|error: ReadError| ModulesError::Read { name, source: Cause::new(error) })?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::sample::tree;

    const DEP: &str = "kernel/fs/squashfs.ko:\nkernel/fs/erofs.ko.xz: kernel/lib/libcrc32c.ko\n\
                       kernel/drivers/virtio-pci.ko: kernel/drivers/virtio.ko kernel/drivers/virtio_ring.ko\nbroken\n\
                       kernel/gone.ko: kernel/lib/libcrc32c.ko";

    fn root(entries: &[&str]) -> Tree {
        let dep = format!("lib/modules/6.1/modules.dep={DEP}\nkernel/many.ko:{}", " x.ko".repeat(MOST + 1));
        let modules = ["fs/squashfs.ko", "fs/erofs.ko.xz", "lib/libcrc32c.ko"].into_iter();
        let modules = modules.chain(["drivers/virtio-pci.ko", "drivers/virtio.ko", "drivers/virtio_ring.ko"]);
        let modules: Vec<String> = modules.map(|path| format!("lib/modules/6.1/kernel/{path}={path}")).collect();
        let all: Vec<&str> = modules.iter().map(String::as_str).chain([dep.as_str()]).chain(entries.to_vec()).collect();
        tree(&all).finish()
    }

    fn told(modules: &Modules<'_>, name: &str) -> String {
        match modules.driver(name).unwrap() {
            Driver::BuiltIn => "built in".to_owned(),
            Driver::Missing => "missing".to_owned(),
            Driver::Modules(files) => files.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "),
        }
    }

    #[test]
    fn a_module_comes_behind_those_that_it_needs() {
        let root = root(&["lib/modules/6.1/modules.builtin=kernel/fs/overlayfs/overlay.ko\n"]);
        let modules = Modules::of(&root).unwrap().unwrap();
        let names = ["virtio_pci", "squashfs", "erofs", "overlay", "virtio_blk"].map(|name| told(&modules, name));
        let expected = ["virtio_ring.ko virtio.ko virtio-pci.ko", "squashfs.ko", "libcrc32c.ko erofs.ko.xz"];
        assert_eq!(names[..3], expected);
        assert_eq!(names[3..], ["built in", "missing"]);
        assert!(matches!(modules.driver("many"), Err(ModulesError::TooMany(_))));
        let error = modules.driver("gone").err().unwrap().to_string();
        assert_eq!(error, "`modules.dep` names `kernel/gone.ko`, which is no file of the root");
    }

    #[test]
    fn what_no_table_tells_may_be_built_in() {
        assert!(Modules::of(&tree(&["bin/x=1"]).finish()).unwrap().is_none());
        assert!(Modules::of(&tree(&["usr/lib/modules/6.1/kernel/x.ko=1"]).finish()).unwrap().is_none());
        let root = root(&[]);
        assert_eq!(told(&Modules::of(&root).unwrap().unwrap(), "virtio_blk"), "built in");
    }

    #[test]
    fn modules_of_two_kernels_are_refused() {
        let root = root(&["lib/modules/6.2/modules.dep="]);
        let error = Modules::of(&root).err().unwrap();
        assert!(matches!(error, ModulesError::SeveralKernels(2)) && error.hint().is_some());
    }
}
