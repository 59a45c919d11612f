//! Volume descriptors: what the volume is, and where its trees begin.
//!
//! # Format
//! ECMA-119 sections 8.3 (terminator), 8.4 (primary), 8.5 (supplementary); El Torito 1.0 section 2 (boot record).

use zerocopy::{FromZeros, Immutable, IntoBytes, big_endian, little_endian, transmute};

use super::BLOCK;
use super::name::View;
use super::record::{Both16, Both32, DIRECTORY, DOT, Location, Record};
use crate::base::Civil;
use crate::format::field::padded;

/// A volume descriptor.
pub(super) type Descriptor = [u8; BLOCK as usize];

/// "Primary Volume Descriptor", section 8.4, and "Supplementary Volume Descriptor", section 8.5.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct VolumeDescriptor {
    head: Head,
    volume_flags: u8,
    system_identifier: [u8; 32],
    volume_identifier: [u8; 32],
    unused: [u8; 8],
    volume_space_size: Both32,
    escape_sequences: [u8; 32],
    volume_set_size: Both16,
    volume_sequence_number: Both16,
    logical_block_size: Both16,
    path_table_size: Both32,
    type_l_path_table: little_endian::U32,
    optional_type_l_path_table: little_endian::U32,
    type_m_path_table: big_endian::U32,
    optional_type_m_path_table: big_endian::U32,
    root_directory_record: [u8; 34],
    volume_set_identifier: [u8; 128],
    publisher_identifier: [u8; 128],
    data_preparer_identifier: [u8; 128],
    application_identifier: [u8; 128],
    copyright_file_identifier: [u8; 37],
    abstract_file_identifier: [u8; 37],
    bibliographic_file_identifier: [u8; 37],
    volume_creation: [u8; 17],
    volume_modification: [u8; 17],
    volume_expiration: [u8; 17],
    volume_effective: [u8; 17],
    file_structure_version: u8,
    reserved: u8,
    application_use: [u8; 512],
    rest: [u8; 653],
}

/// What all descriptors begin with, section 8.1.
#[derive(Immutable, IntoBytes, FromZeros)]
#[repr(C)]
struct Head {
    kind: u8,
    standard_identifier: [u8; 5],
    version: u8,
}

/// "Boot Record Volume Descriptor", El Torito section 2.0.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct BootRecord {
    head: Head,
    boot_system_identifier: [u8; 32],
    unused: [u8; 32],
    boot_catalog: little_endian::U32,
    rest: [u8; 1973],
}

const _: () = assert!(size_of::<VolumeDescriptor>() == size_of::<Descriptor>());
const _: () = assert!(size_of::<BootRecord>() == size_of::<Descriptor>());

/// Marks Joliet names of level 3.
const JOLIET_ESCAPE: &[u8] = b"%/E";

/// What the descriptor of a view says.
pub(super) struct Volume {
    pub view: View,
    pub id: &'static str,
    pub mtime: i64,
    /// Blocks of the whole volume.
    pub blocks: u32,
    /// Bytes of a path table, and where those of types L and M begin.
    pub path_table_size: u32,
    pub path_tables: [u32; 2],
    pub root: Location,
}

impl Volume {
    /// The descriptor.
    pub fn encode(&self) -> Descriptor {
        let root = Record { name: DOT, place: self.root, flags: DIRECTORY, mtime: self.mtime };
        let changed = long_date(Some(self.mtime));
        transmute!(VolumeDescriptor {
            head: head(if self.view == View::Primary { 1 } else { 2 }),
            system_identifier: self.text("LINUX"),
            volume_identifier: self.text(self.id),
            volume_space_size: self.blocks.into(),
            escape_sequences: padded(if self.view == View::Joliet { JOLIET_ESCAPE } else { &[] }, 0),
            volume_set_size: 1.into(),
            volume_sequence_number: 1.into(),
            logical_block_size: u16::try_from(BLOCK).expect("a block is 2048 bytes").into(),
            path_table_size: self.path_table_size.into(),
            type_l_path_table: self.path_tables[0].into(),
            type_m_path_table: self.path_tables[1].into(),
            root_directory_record: padded(&root.encode(&[]), 0),
            volume_set_identifier: self.text(""),
            publisher_identifier: self.text(""),
            data_preparer_identifier: self.text("LKIT"),
            application_identifier: self.text("LKIT"),
            copyright_file_identifier: self.text(""),
            abstract_file_identifier: self.text(""),
            bibliographic_file_identifier: self.text(""),
            volume_creation: changed,
            volume_modification: changed,
            volume_expiration: long_date(None),
            volume_effective: long_date(None),
            file_structure_version: 1,
            ..FromZeros::new_zeroed()
        })
    }

    /// Text padded with spaces, in the view's characters.
    fn text<const N: usize>(&self, text: &str) -> [u8; N] {
        match self.view {
            View::Primary => padded(text.as_bytes(), b' '),
            View::Joliet => {
                let units = text.encode_utf16().chain(std::iter::repeat(u16::from(b' '))).take(N / 2);
                padded(&units.flat_map(u16::to_be_bytes).collect::<Vec<_>>(), 0)
            }
        }
    }
}

/// The descriptor that names the boot catalog.
pub(super) fn boot_record(catalog: u32) -> Descriptor {
    transmute!(BootRecord {
        head: head(0),
        boot_system_identifier: padded(b"EL TORITO SPECIFICATION", 0),
        boot_catalog: catalog.into(),
        ..FromZeros::new_zeroed()
    })
}

/// The descriptor that ends the list.
pub(super) fn terminator() -> Descriptor {
    padded(head(0xff).as_bytes(), 0)
}

const fn head(kind: u8) -> Head {
    Head { kind, standard_identifier: *b"CD001", version: 1 }
}

/// A date in digits, ECMA-119 section 8.4.26.1; zeros stand for none.
fn long_date(time: Option<i64>) -> [u8; 17] {
    let digits = time.map_or_else(
        || "0".repeat(16),
        |time| {
            let Civil { year, month, day, hour, minute, second } = Civil::within(time, 1..=9999);
            format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00")
        },
    );
    padded(digits.as_bytes(), 0)
}
