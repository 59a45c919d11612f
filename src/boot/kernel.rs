//! What the first bytes of a kernel file tell: how it can be started.
//!
//! # Format
//! Linux `Documentation/arch/x86/boot.rst` and `Documentation/arch/arm64/booting.rst`; Microsoft "PE Format"; RFC 1952.

use zerocopy::FromBytes;
use zerocopy::little_endian::{U16, U32};

/// A kernel, known by the head of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// How it is started, BIOS apart.
    pub kind: KernelKind,
    /// Whether a BIOS loader can start it: a bzImage of boot protocol 2.10 (Linux 2.6.31) or later.
    pub bios: bool,
    /// Whether U-Boot can start it: an uncompressed `Image` for arm64.
    pub image: bool,
}

/// The sorts of kernel files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelKind {
    /// An EFI program: an x86 bzImage with CONFIG_EFI_STUB, an arm64 Image, or one that unpacks itself (zboot).
    Efi {
        /// The processor it is for.
        machine: Machine,
        /// Bytes it takes in memory before it runs.
        memory: u64,
    },
    /// An x86-64 bzImage without EFI stub.
    BzImage,
    /// A gzip file, as arm64 kernels up to 6.11 are: what is inside can be started.
    Gzip,
    /// Anything else.
    Unknown,
}

/// Processors that lkit has EFI loaders for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// x86-64, `amd64`.
    X64,
    /// AArch64, `arm64`.
    Arm64,
}

/// "HdrS" at 0x202, and the first protocol that tells how much memory the kernel unpacks to.
const SETUP_MAGIC: u32 = u32::from_le_bytes(*b"HdrS");
const BIOS_PROTOCOL: u16 = 0x20a;
/// The first protocol with a 64-bit entry, and the flag that there is one.
const DIRECT_PROTOCOL: u16 = 0x20c;
const XLF_KERNEL_64: u16 = 1;

/// "ARM\x64", the magic number of an `Image`, and its place.
const IMAGE_MAGIC: (usize, &[u8]) = (56, b"ARM\x64");

impl Kernel {
    /// Bytes to look at; a shorter file is looked at whole.
    pub const HEAD: usize = 4096;

    /// Reads `head`, the first [`Kernel::HEAD`] bytes of a kernel file.
    pub fn inspect(head: &[u8]) -> Self {
        let protocol = (u32_at(head, 0x202) == Some(SETUP_MAGIC)).then(|| u16_at(head, 0x206)).flatten();
        let entry_64 = u16_at(head, 0x236).is_some_and(|flags| flags & XLF_KERNEL_64 != 0);
        let kind = if let Some((machine, memory)) = efi_program(head) {
            KernelKind::Efi { machine, memory }
        } else if protocol.is_some_and(|version| version >= DIRECT_PROTOCOL) && entry_64 {
            KernelKind::BzImage
        } else if head.starts_with(&[0x1f, 0x8b]) {
            KernelKind::Gzip
        } else {
            KernelKind::Unknown
        };
        let bios = protocol.is_some_and(|version| version >= BIOS_PROTOCOL);
        Self { kind, bios, image: head.get(IMAGE_MAGIC.0..).is_some_and(|rest| rest.starts_with(IMAGE_MAGIC.1)) }
    }
}

/// Machine and "SizeOfImage" of a PE32+ program for a known processor.
fn efi_program(head: &[u8]) -> Option<(Machine, u64)> {
    let pe = usize::try_from(u32_at(head, 0x3c)?).ok().filter(|_| head.starts_with(b"MZ"))?;
    if u32_at(head, pe)? != u32::from_le_bytes(*b"PE\0\0") || u16_at(head, pe + 24)? != 0x20b {
        return None;
    }
    let machine = match u16_at(head, pe + 4)? {
        0x8664 => Machine::X64,
        0xaa64 => Machine::Arm64,
        _ => return None,
    };
    Some((machine, u32_at(head, pe + 24 + 56)?.into()))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    field_at(bytes, at).map(U16::get)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    field_at(bytes, at).map(U32::get)
}

fn field_at<T: FromBytes>(bytes: &[u8], at: usize) -> Option<T> {
    T::read_from_prefix(bytes.get(at..)?).ok().map(|(field, _)| field)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
        bytes[at..at + field.len()].copy_from_slice(field);
    }

    /// The head of a bzImage of a protocol, with or without 64-bit entry.
    pub fn bz_image(protocol: u16, flags: u16) -> Vec<u8> {
        let mut head = vec![0; Kernel::HEAD];
        put(&mut head, 0x202, b"HdrS");
        put(&mut head, 0x206, &protocol.to_le_bytes());
        put(&mut head, 0x236, &flags.to_le_bytes());
        head
    }

    /// The same file as an EFI program.
    pub fn with_stub(mut head: Vec<u8>, machine: u16) -> Vec<u8> {
        put(&mut head, 0, b"MZ");
        put(&mut head, 0x3c, &0x40_u32.to_le_bytes());
        put(&mut head, 0x40, b"PE\0\0");
        put(&mut head, 0x44, &machine.to_le_bytes());
        put(&mut head, 0x58, &0x20b_u16.to_le_bytes());
        put(&mut head, 0x58 + 56, &0x0123_4000_u32.to_le_bytes());
        head
    }

    fn arm64_image() -> Vec<u8> {
        let mut head = with_stub(vec![0; 4096], 0xaa64);
        put(&mut head, 56, b"ARM\x64");
        head
    }

    #[test]
    fn each_sort_of_kernel_is_known_by_its_head() {
        let efi = |machine| KernelKind::Efi { machine, memory: 0x0123_4000 };
        let rows = [
            (with_stub(bz_image(0x20f, 1), 0x8664), efi(Machine::X64), true),
            (bz_image(0x20f, 1), KernelKind::BzImage, true),
            (bz_image(0x20f, 0), KernelKind::Unknown, true),
            (bz_image(0x209, 1), KernelKind::Unknown, false),
            (with_stub(vec![0; 4096], 0xaa64), efi(Machine::Arm64), false),
            (arm64_image(), efi(Machine::Arm64), false),
            (with_stub(vec![0; 4096], 0x5064), KernelKind::Unknown, false),
            (vec![0x1f, 0x8b, 8, 0], KernelKind::Gzip, false),
            (Vec::new(), KernelKind::Unknown, false),
        ];
        for (head, kind, bios) in rows {
            assert_eq!(Kernel::inspect(&head), Kernel { kind, bios, image: head == arm64_image() });
        }
    }

    #[test]
    fn a_cut_or_hostile_head_is_unknown() {
        let whole = with_stub(bz_image(0x20f, 1), 0x8664);
        for cut in 0..0x58 + 60 {
            assert_eq!(Kernel::inspect(&whole[..cut]).kind, KernelKind::Unknown);
        }
        let mut far = whole;
        put(&mut far, 0x3c, &u32::MAX.to_le_bytes());
        assert_eq!(Kernel::inspect(&far).kind, KernelKind::BzImage);
    }
}
