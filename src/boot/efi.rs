//! The EFI loaders, and which of them a kernel needs.

use super::hex::built;
use super::{Error, Kernel, KernelKind, Machine};

/// Name of the kernel on an EFI system partition.
pub const KERNEL_FILE: &str = "kernel";
/// Name of the initrd beside it; there may be none.
pub const INITRD_FILE: &str = "initrd.img";
/// Name of the command line beside them.
pub const COMMAND_LINE_FILE: &str = "cmdline";

/// An EFI program, and the path where firmware looks for it on a removable medium.
#[derive(Clone, Copy, Debug)]
pub struct EfiLoader {
    /// Path on the EFI system partition (UEFI specification 2.10, section 3.5.1.1).
    pub path: &'static str,
    /// The program.
    pub program: &'static [u8],
}

/// The loader that starts `kernel` from the files named above.
///
/// # Errors
/// When no loader knows its kind; what is in a gzip file must be inspected instead of the file.
pub fn efi_loader(kernel: &Kernel) -> Result<EfiLoader, Error> {
    let (path, program): (_, &[u8]) = match kernel.kind {
        KernelKind::Efi { machine: Machine::X64, .. } => ("EFI/BOOT/BOOTX64.EFI", &FILE_STUB_X64),
        KernelKind::Efi { machine: Machine::Arm64, .. } => ("EFI/BOOT/BOOTAA64.EFI", &FILE_STUB_ARM64),
        KernelKind::BzImage => ("EFI/BOOT/BOOTX64.EFI", &FILE_DIRECT_X64),
        KernelKind::Gzip | KernelKind::Unknown => return Err(Error::NotForEfi),
    };
    Ok(EfiLoader { path, program })
}

/// The stub that starts `kernel` from sections `.cmdline`, `.initrd` and `.linux` added to it.
///
/// # Errors
/// As [`efi_loader`].
pub fn uki_stub(kernel: &Kernel) -> Result<&'static [u8], Error> {
    match kernel.kind {
        KernelKind::Efi { machine: Machine::X64, .. } => Ok(&UKI_STUB_X64),
        KernelKind::Efi { machine: Machine::Arm64, .. } => Ok(&UKI_STUB_ARM64),
        KernelKind::BzImage => Ok(&UKI_DIRECT_X64),
        KernelKind::Gzip | KernelKind::Unknown => Err(Error::NotForEfi),
    }
}

built!(FILE_STUB_X64, "built/file-stub-x64.hex");
built!(FILE_STUB_ARM64, "built/file-stub-arm64.hex");
built!(FILE_DIRECT_X64, "built/file-direct-x64.hex");
built!(UKI_STUB_X64, "built/uki-stub-x64.hex");
built!(UKI_STUB_ARM64, "built/uki-stub-arm64.hex");
built!(UKI_DIRECT_X64, "built/uki-direct-x64.hex");

#[cfg(test)]
mod tests {
    use super::super::kernel::tests::{bz_image, with_stub};
    use super::*;

    fn machine_of(program: &[u8]) -> Machine {
        match Kernel::inspect(program).kind {
            KernelKind::Efi { machine, .. } => machine,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_kernel_gets_a_loader_of_its_own_processor() {
        let kernel = |head: &[u8]| Kernel::inspect(head);
        let rows = [
            (kernel(&with_stub(bz_image(0x20f, 1), 0x8664)), "EFI/BOOT/BOOTX64.EFI", Machine::X64),
            (kernel(&bz_image(0x20f, 1)), "EFI/BOOT/BOOTX64.EFI", Machine::X64),
            (kernel(&with_stub(vec![0; 4096], 0xaa64)), "EFI/BOOT/BOOTAA64.EFI", Machine::Arm64),
        ];
        for (kernel, path, machine) in rows {
            let loader = efi_loader(&kernel).unwrap();
            assert_eq!((loader.path, machine_of(loader.program)), (path, machine));
            assert_eq!(machine_of(uki_stub(&kernel).unwrap()), machine);
        }
    }

    #[test]
    fn a_packed_or_unknown_kernel_has_no_loader() {
        for head in [b"\x1f\x8b\x08".as_slice(), b"\x7fELF"] {
            assert_eq!(efi_loader(&Kernel::inspect(head)).unwrap_err(), Error::NotForEfi);
            assert_eq!(uki_stub(&Kernel::inspect(head)).unwrap_err(), Error::NotForEfi);
        }
    }
}
