//! Boot loaders: small programs that find a kernel, an initrd and a command line on a medium and start them.
//!
//! | program | starts | from |
//! |---|---|---|
//! | `bios.asm` | x86 kernels, by the BIOS | disks and CDs, at places written into the program |
//! | `start_image.c` + `from_files.c` | kernels that are EFI programs; x86-64, arm64 | files of an EFI system partition |
//! | `start_image.c` + `from_sections.c` | the same | sections of the program: a unified kernel image |
//! | `start_direct.c` + either | x86-64 kernels that are no EFI programs | either |
//!
//! `guest/root.c` is no loader: it is the init of a small initrd, which loads drivers and mounts the root from a disk.
//!
//! `tools/loaders` builds them; their bytes are kept as text in `built`, so that building lkit needs no assembler and no
//! C compiler. Only the BIOS loader has fields to fill; the EFI programs find everything by name.

mod bios;
mod efi;
mod error;
mod guest;
mod hex;
mod isolinux;
mod kernel;

pub use bios::{BiosFile, BiosMedium, bios_boot_sector, bios_stage2};
pub use efi::{COMMAND_LINE_FILE, EfiLoader, INITRD_FILE, KERNEL_FILE, efi_loader, uki_stub};
pub use error::Error;
pub use guest::{RootPlan, root_init};
pub use isolinux::{ISOLINUX_CONFIG, ISOLINUX_MODULE, isolinux_boot_code, isolinux_config, isolinux_image};
pub use kernel::{Kernel, KernelKind, Machine};
