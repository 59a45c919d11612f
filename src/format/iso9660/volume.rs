//! Volume descriptors: what the volume is, and where its trees begin.
//!
//! # Format
//! ECMA-119 sections 8.3 (terminator), 8.4 (primary), 8.5 (supplementary); El Torito 1.0 section 2 (boot record).

use super::BLOCK;
use super::name::View;
use super::record::{DIRECTORY, DOT, Place, Record, both16, both32};
use crate::format::calendar::Civil;
use crate::format::field::put;

/// A volume descriptor.
pub(super) type Descriptor = [u8; BLOCK as usize];

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
    pub root: Place,
}

impl Volume {
    /// The descriptor.
    pub fn encode(&self) -> Descriptor {
        let mut d = head(if self.view == View::Primary { 1 } else { 2 });
        self.put_text(&mut d, 8, 32, "LINUX");
        self.put_text(&mut d, 40, 32, self.id);
        put(&mut d, 80, &both32(self.blocks));
        if self.view == View::Joliet {
            put(&mut d, 88, JOLIET_ESCAPE);
        }
        put(&mut d, 120, &both16(1));
        put(&mut d, 124, &both16(1));
        put(&mut d, 128, &both16(u16::try_from(BLOCK).expect("a block is 2048 bytes")));
        put(&mut d, 132, &both32(self.path_table_size));
        put(&mut d, 140, &self.path_tables[0].to_le_bytes());
        put(&mut d, 148, &self.path_tables[1].to_be_bytes());
        let root = Record { name: DOT, place: self.root, flags: DIRECTORY, mtime: self.mtime };
        put(&mut d, 156, &root.encode(&[]));
        for (at, len, text) in [(190, 128, ""), (318, 128, ""), (446, 128, "LKIT"), (574, 128, "LKIT")] {
            self.put_text(&mut d, at, len, text);
        }
        for at in [702, 739, 776] {
            self.put_text(&mut d, at, 37, "");
        }
        for (at, time) in [(813, Some(self.mtime)), (830, Some(self.mtime)), (847, None), (864, None)] {
            put(&mut d, at, &long_date(time));
        }
        put(&mut d, 881, &[1]);
        d
    }

    /// Text padded with spaces, in the view's characters.
    fn put_text(&self, descriptor: &mut Descriptor, at: usize, len: usize, text: &str) {
        match self.view {
            View::Primary => {
                let padded = text.bytes().chain(std::iter::repeat(b' ')).take(len);
                put(descriptor, at, &padded.collect::<Vec<_>>());
            }
            View::Joliet => {
                let units = text.encode_utf16().chain(std::iter::repeat(u16::from(b' '))).take(len / 2);
                put(descriptor, at, &units.flat_map(u16::to_be_bytes).collect::<Vec<_>>());
            }
        }
    }
}

/// The descriptor that names the boot catalog.
pub(super) fn boot_record(catalog: u32) -> Descriptor {
    let mut d = head(0);
    put(&mut d, 7, b"EL TORITO SPECIFICATION");
    put(&mut d, 71, &catalog.to_le_bytes());
    d
}

/// The descriptor that ends the list.
pub(super) fn terminator() -> Descriptor {
    head(0xff)
}

fn head(kind: u8) -> Descriptor {
    let mut d = [0; BLOCK as usize];
    put(&mut d, 0, &[kind]);
    put(&mut d, 1, b"CD001\x01");
    d
}

/// A date in digits, ECMA-119 section 8.4.26.1; zeros stand for none.
fn long_date(time: Option<i64>) -> Vec<u8> {
    let Some(time) = time else { return [[b'0'; 16].as_slice(), &[0]].concat() };
    let Civil { year, month, day, hour, minute, second } = Civil::within(time, 1..=9999);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00\0").into_bytes()
}
