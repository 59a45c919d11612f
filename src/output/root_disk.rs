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

/// What a kernel needs to have its root behind the network, and network cards: those of virtual machines, and of Intel's
/// that others emulate. What it lacks of them is left out.
const FAR_DRIVERS: [&str; 5] = ["nbd", "virtio_net", "e1000", "e1000e", "vmxnet3"];

/// The initrd that mounts the root of this file system from the first virtio disk, or from a disk behind the network that the
/// kernel command line names.
///
/// # Errors
/// When the kernel has no driver for that, or what tells it cannot be read.
pub fn root_initrd(system: &System, root: RootFs) -> Result<SharedSource, Obstacle> {
    let init = root_init(&head(system)?)?;
    let (modules, near) = modules(system, root)?;
    let names: Vec<String> = modules.iter().enumerate().map(|(at, (name, _))| format!("{at:02}-{name}")).collect();
    let (near, far) = names.split_at(near);
    let gap = if far.is_empty() { &[] } else { &[""][..] };
    let named = |names| <[String]>::iter(names).map(String::as_str);
    let lines = [root.name()].into_iter().chain(named(near)).chain(gap.iter().copied()).chain(named(far));
    let plan = lines.fold(String::new(), line);
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

/// The modules that are loaded, in their order, and how many of them are not for a disk behind the network alone; none where
/// all drivers are built in, as far as is known.
fn modules(system: &System, root: RootFs) -> Result<(Vec<(String, Content)>, usize), Obstacle> {
    let Some(modules) = Modules::of(&system.tree)? else { return Ok((Vec::new(), 0)) };
    let mut wanted: Vec<(String, Content)> = Vec::new();
    let add = |wanted: &mut Vec<(String, Content)>, files: Vec<(String, Content)>| {
        for (name, content) in files {
            let is_new = wanted.iter().all(|(_, known)| !is_same(known, &content));
            wanted.extend(is_new.then_some((name, content)));
        }
    };
    for helper in root.helpers() {
        if let Driver::Modules(files) = modules.driver(helper)? {
            add(&mut wanted, files);
        }
    }
    for driver in ["virtio_pci", "virtio_blk", root.name(), "overlay"] {
        match modules.driver(driver)? {
            Driver::BuiltIn => {}
            Driver::Modules(files) => add(&mut wanted, files),
            Driver::Missing => return Err(Obstacle::NoDriver { driver, root: root.name() }),
        }
    }
    let near = wanted.len();
    for driver in FAR_DRIVERS {
        match modules.driver(driver) {
            Ok(Driver::Modules(files)) => add(&mut wanted, files),
            Ok(Driver::BuiltIn) => {}
            // Without a client no card is needed. A driver whose files are not all there is one that the kernel lacks.
            Ok(Driver::Missing) | Err(_) if driver == FAR_DRIVERS[0] => break,
            Ok(Driver::Missing) | Err(_) => {}
        }
    }
    Ok((wanted, near))
}

fn is_same(one: &Content, other: &Content) -> bool {
    Arc::ptr_eq(&one.source, &other.source) && (one.offset, one.size) == (other.offset, other.size)
}
