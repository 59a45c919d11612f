//! Writes a flattened device tree, of which some values may be computed later.
//!
//! # Format
//! Devicetree Specification 0.4, chapter 5, version 17. Numbers are big-endian.

use zerocopy::big_endian::U32;
use zerocopy::{Immutable, IntoBytes};

use super::Error;
use crate::base::align_up;
use crate::extent::{MapBuilder, SharedSource, Sink};

/// "fdt_header".
#[derive(Immutable, IntoBytes)]
#[repr(C)]
struct Header {
    magic: U32,
    totalsize: U32,
    off_dt_struct: U32,
    off_dt_strings: U32,
    off_mem_rsvmap: U32,
    version: U32,
    last_comp_version: U32,
    boot_cpuid_phys: U32,
    size_dt_strings: U32,
    size_dt_struct: U32,
}

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const END: u32 = 9;
/// The list of reserved memory, behind the header: nothing but its end, two zeros of 64 bits.
const RESERVED: u64 = size_of::<Header>() as u64;
const STRUCT: u64 = RESERVED + 16;

/// A device tree that is being written, its nodes in order.
#[derive(Default)]
pub(super) struct Fdt {
    nodes: MapBuilder,
    /// Names of properties, each with its place among the strings.
    names: Vec<(&'static str, u32)>,
    strings: Vec<u8>,
}

impl Fdt {
    /// Opens a node below the one that is open; the root has no name.
    pub fn begin(&mut self, name: &str) {
        self.nodes.bytes(&BEGIN_NODE.to_be_bytes());
        self.nodes.bytes(name.as_bytes());
        self.nodes.zeros(1);
        self.nodes.align(4);
    }

    /// Closes the node that was opened last.
    pub fn end(&mut self) {
        self.nodes.bytes(&END_NODE.to_be_bytes());
    }

    /// A property with a text.
    pub fn text(&mut self, name: &'static str, text: &str) -> Result<(), Error> {
        self.head(name, text.len() as u64 + 1)?;
        self.nodes.bytes(text.as_bytes());
        self.nodes.zeros(1);
        self.nodes.align(4);
        Ok(())
    }

    /// A property with a number.
    pub fn number(&mut self, name: &'static str, number: u32) -> Result<(), Error> {
        self.head(name, 4)?;
        self.nodes.bytes(&number.to_be_bytes());
        Ok(())
    }

    /// A property with a range of bytes that somebody else has.
    pub fn bytes(&mut self, name: &'static str, source: &SharedSource, (offset, len): (u64, u64)) -> Result<(), Error> {
        self.head(name, len)?;
        self.nodes.extent(source, offset, len);
        self.nodes.align(4);
        Ok(())
    }

    fn head(&mut self, name: &'static str, len: u64) -> Result<(), Error> {
        let name = self.name(name)?;
        for number in [PROP, number(len)?, name] {
            self.nodes.bytes(&number.to_be_bytes());
        }
        Ok(())
    }

    fn name(&mut self, name: &'static str) -> Result<u32, Error> {
        if let Some((_, at)) = self.names.iter().find(|(known, _)| *known == name) {
            return Ok(*at);
        }
        let at = number(self.strings.len() as u64)?;
        self.strings.extend([name.as_bytes(), &[0]].concat());
        self.names.push((name, at));
        Ok(at)
    }

    /// The tree, filled up to a multiple of `unit`, a power of two.
    ///
    /// # Errors
    /// When it is over 4 GiB.
    pub fn finish(mut self, unit: u64) -> Result<SharedSource, Error> {
        self.nodes.bytes(&END.to_be_bytes());
        let (nodes, strings) = (self.nodes.share(), self.strings.len() as u64);
        let end = STRUCT + nodes.size() + strings;
        let header = Header {
            magic: MAGIC.into(),
            totalsize: number(align_up(end, unit))?.into(),
            off_dt_struct: number(STRUCT)?.into(),
            off_dt_strings: number(STRUCT + nodes.size())?.into(),
            off_mem_rsvmap: number(RESERVED)?.into(),
            version: 17.into(),
            last_comp_version: 16.into(),
            boot_cpuid_phys: 0.into(),
            size_dt_strings: number(strings)?.into(),
            size_dt_struct: number(nodes.size())?.into(),
        };
        let mut tree = MapBuilder::default();
        tree.bytes(header.as_bytes());
        tree.pad_to(STRUCT);
        tree.whole(&nodes);
        tree.bytes(&self.strings);
        tree.align(unit);
        Ok(tree.share())
    }
}

fn number(number: u64) -> Result<u32, Error> {
    let limit = u32::MAX.into();
    u32::try_from(number).map_err(|_| Error::ImageTooLarge { format: "a device tree", limit })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::in_memory;
    use crate::extent::Bytes;

    #[test]
    fn a_small_tree_has_the_bytes_of_the_specification() {
        let mut tree = Fdt::default();
        tree.begin("");
        tree.text("a", "xyz").unwrap();
        tree.begin("node");
        tree.number("b", 7).unwrap();
        let value: SharedSource = Arc::new(Bytes(b"-value".as_slice().into()));
        tree.bytes("a", &value, (1, 5)).unwrap();
        tree.end();
        tree.end();
        let tree = tree.finish(64).unwrap();
        let mut bytes = vec![0; in_memory(tree.size())];
        tree.read_at(&mut bytes, 0).unwrap();
        let words: Vec<u32> = bytes[..40].chunks(4).map(|word| u32::from_be_bytes(word.try_into().unwrap())).collect();
        assert_eq!(words, [MAGIC, 192, 56, 140, 40, 17, 16, 0, 4, 84]);
        assert_eq!(bytes[40..56], [0; 16]);
        let nodes = b"\0\0\0\x01\0\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\0xyz\0\0\0\0\x01node\0\0\0\0\
                      \0\0\0\x03\0\0\0\x04\0\0\0\x02\0\0\0\x07\0\0\0\x03\0\0\0\x05\0\0\0\0value\0\0\0\
                      \0\0\0\x02\0\0\0\x02\0\0\0\x09";
        assert_eq!(bytes[56..140], nodes[..]);
        assert_eq!(bytes[140..144], *b"a\0b\0");
        assert!(bytes[144..].iter().all(|byte| *byte == 0));
    }
}
