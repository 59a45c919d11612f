//! The init of a small initrd that mounts the root from the first virtio disk, with an overlay in memory on it, and starts
//! the root's own init. With `lkit.root=nbd://ADDRESS[:PORT]/NAME` on the kernel command line, the disk is an export of an
//! NBD server instead: the init gets an address by DHCP, or takes that of `ip=`, and hands the connection to the kernel.
//!
//! # Format
//! It reads `/plan`: the type of the file system, then the names of modules below `/modules` in the order in which they are
//! loaded, a line for each; those behind an empty line are for a disk behind the network alone. It needs the directories of
//! [`RootPlan::DIRECTORIES`].

use super::hex::built;
use super::{Error, Kernel, KernelKind, Machine};

/// What the init of a root's disk does.
pub struct RootPlan;

impl RootPlan {
    /// Its file in the initrd.
    pub const FILE: &str = "plan";
    /// Where modules are in the initrd.
    pub const MODULES: &str = "modules";
    /// Where it mounts devices, what the kernel tells, the disk, what is written, and both together.
    pub const DIRECTORIES: [&str; 5] = ["dev", "proc", "lower", "writes", "root"];
    /// Longest plan, in bytes: the program has a buffer of 16 KiB.
    pub const LONGEST: usize = 16383;
}

/// The program for the processor of a kernel.
///
/// # Errors
/// When the head of the kernel does not tell its processor.
pub fn root_init(kernel: &Kernel) -> Result<&'static [u8], Error> {
    match kernel.kind {
        KernelKind::Efi { machine: Machine::X64, .. } | KernelKind::BzImage => Ok(&ROOT_AMD64),
        KernelKind::Efi { machine: Machine::Arm64, .. } => Ok(&ROOT_ARM64),
        KernelKind::Gzip | KernelKind::Unknown => Err(Error::NotForEfi),
    }
}

built!(ROOT_AMD64, "built/root-amd64.hex");
built!(ROOT_ARM64, "built/root-arm64.hex");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_has_an_init_in_its_own_elf() {
        // ELF, version 1.2, figure 1-3: the machine is at 18; EM_X86_64 is 62, EM_AARCH64 183.
        let efi = |machine| KernelKind::Efi { machine, memory: 0 };
        let rows = [(KernelKind::BzImage, 62), (efi(Machine::X64), 62), (efi(Machine::Arm64), 183)];
        for (kind, machine) in rows {
            let program = root_init(&Kernel { kind, bios: false, image: false }).unwrap();
            assert_eq!((&program[..4], program[18], program[19]), (&b"\x7fELF"[..], machine, 0));
        }
        assert_eq!(root_init(&Kernel { kind: KernelKind::Unknown, bios: false, image: false }), Err(Error::NotForEfi));
    }
}
