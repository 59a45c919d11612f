//! The small initrd of a system whose root is on a disk: our init, and the drivers that the kernel has as modules.
//!
//! # Invariants
//! No content is copied: modules are ranges of the layers that have them. What is read are the tables of modules and the
//! first bytes of the kernel.

use std::sync::Arc;

use super::media::head;
use super::{Obstacle, System};
use crate::base::Metadata;
use crate::boot::{RootPlan, root_init};
use crate::extent::SharedSource;
use crate::format;
use crate::rootfs::{Driver, Modules};
use crate::tree::{Content, Node, TreeBuilder};

/// A file system that a root can have on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootFs {
    /// squashfs.
    Squashfs,
    /// EROFS.
    Erofs,
}

impl RootFs {
    /// The kernel's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Squashfs => "squashfs",
            Self::Erofs => "erofs",
        }
    }

    /// What the name of a disk with it ends in.
    pub const fn disk_suffix(self) -> &'static str {
        match self {
            Self::Squashfs => "-squashfs.img",
            Self::Erofs => "-erofs.img",
        }
    }

    /// What the name of the initrd that mounts it ends in.
    pub const fn initrd_suffix(self) -> &'static str {
        match self {
            Self::Squashfs => "-squashfs-initrd.img",
            Self::Erofs => "-erofs-initrd.img",
        }
    }

    /// What is loaded before its driver where it is a module: EROFS asks for its checksum by a name that no table has.
    const fn helpers(self) -> &'static [&'static str] {
        match self {
            Self::Squashfs => &[],
            Self::Erofs => &["crc32c_generic"],
        }
    }
}

/// The initrd that mounts the root of this file system from the first virtio disk.
///
/// # Errors
/// When the kernel has no driver for that, or what tells it cannot be read.
pub fn root_initrd(system: &System, root: RootFs) -> Result<SharedSource, Obstacle> {
    let init = root_init(&head(system)?)?;
    let modules = modules(system, root)?;
    let names: Vec<String> = modules.iter().enumerate().map(|(at, (name, _))| format!("{at:02}-{name}")).collect();
    let plan = [root.name()].into_iter().chain(names.iter().map(String::as_str)).fold(String::new(), line);
    if plan.len() > RootPlan::LONGEST {
        return Err(Obstacle::ManyModules(modules.len()));
    }
    let mut tree = TreeBuilder::new();
    for directory in RootPlan::DIRECTORIES {
        tree.insert(directory.as_bytes(), Node::Plain(Metadata::directory()))?;
    }
    tree.insert(b"init", Node::Generated(Metadata { mode: 0o755, ..Metadata::file() }, init))?;
    tree.insert(RootPlan::FILE.as_bytes(), Node::Generated(Metadata::file(), plan.as_bytes()))?;
    for (name, (_, content)) in names.iter().zip(modules) {
        let path = format!("{}/{name}", RootPlan::MODULES);
        tree.insert(path.as_bytes(), Node::File(Metadata::file(), content))?;
    }
    Ok(format::cpio(Arc::new(tree.finish()))?)
}

fn line(text: String, name: &str) -> String {
    text + name + "\n"
}

/// The modules that are loaded, in their order; none where all drivers are built in, as far as is known.
fn modules(system: &System, root: RootFs) -> Result<Vec<(String, Content)>, Obstacle> {
    let Some(modules) = Modules::of(&system.tree)? else { return Ok(Vec::new()) };
    let mut wanted: Vec<(String, Content)> = Vec::new();
    let mut add = |files: Vec<(String, Content)>| {
        for (name, content) in files {
            let is_new = wanted.iter().all(|(_, known)| !is_same(known, &content));
            wanted.extend(is_new.then_some((name, content)));
        }
    };
    for helper in root.helpers() {
        if let Driver::Modules(files) = modules.driver(helper)? {
            add(files);
        }
    }
    for driver in ["virtio_pci", "virtio_blk", root.name(), "overlay"] {
        match modules.driver(driver)? {
            Driver::BuiltIn => {}
            Driver::Modules(files) => add(files),
            Driver::Missing => return Err(Obstacle::NoDriver { driver, root: root.name() }),
        }
    }
    Ok(wanted)
}

fn is_same(one: &Content, other: &Content) -> bool {
    Arc::ptr_eq(&one.source, &other.source) && (one.offset, one.size) == (other.offset, other.size)
}
