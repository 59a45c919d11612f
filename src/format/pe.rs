//! The headers of an EFI program that name its sections.
//!
//! # Format
//! Microsoft "PE Format": "COFF File Header", "Optional Header" (PE32+), "Section Table".

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The signature and what follows it, up to the last field that adding a section changes.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Headers {
    pub signature: [u8; 4],
    pub coff: CoffHeader,
    pub optional: OptionalHeader,
}

/// "COFF File Header".
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct CoffHeader {
    pub machine: U16,
    pub number_of_sections: U16,
    pub time_date_stamp: U32,
    pub pointer_to_symbol_table: U32,
    pub number_of_symbols: U32,
    pub size_of_optional_header: U16,
    pub characteristics: U16,
}

/// "Optional Header", its first part.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct OptionalHeader {
    pub magic: U16,
    pub linker_version: [u8; 2],
    pub size_of_code: U32,
    pub size_of_initialized_data: U32,
    pub size_of_uninitialized_data: U32,
    pub address_of_entry_point: U32,
    pub base_of_code: U32,
    pub image_base: U64,
    pub section_alignment: U32,
    pub file_alignment: U32,
    pub versions: [U16; 6],
    pub win32_version_value: U32,
    pub size_of_image: U32,
    pub size_of_headers: U32,
    pub check_sum: U32,
}

/// "Section Table (Section Headers)", an entry.
#[derive(FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct SectionHeader {
    pub name: [u8; 8],
    pub virtual_size: U32,
    pub virtual_address: U32,
    pub size_of_raw_data: U32,
    pub pointer_to_raw_data: U32,
    pub pointer_to_relocations: U32,
    pub pointer_to_linenumbers: U32,
    pub number_of_relocations: U16,
    pub number_of_linenumbers: U16,
    pub characteristics: U32,
}

const _: () = assert!(size_of::<CoffHeader>() == 20 && size_of::<OptionalHeader>() == 68);
const _: () = assert!(size_of::<SectionHeader>() == 40);

/// Offset of the field that says where the signature is.
pub(super) const SIGNATURE_OFFSET: usize = 0x3c;
pub(super) const SIGNATURE: [u8; 4] = *b"PE\0\0";
/// "PE32+" in [`OptionalHeader::magic`].
pub(super) const PE32_PLUS: u16 = 0x20b;
