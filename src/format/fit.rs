//! A FIT image: a device tree that tells U-Boot what the parts of a system are, and the parts behind it.
//!
//! ```text
//! device tree with sizes, places and hashes | kernel | initrd | device trees of boards
//! ```
//!
//! The hashes are over the parts, so reading the first of them reads all content once. They are kept from then on.
//!
//! # Format
//! U-Boot's `doc/usage/fit/source_file_format.rst`, with external data (`data-offset`). The kernel is of the type
//! `kernel_noload`: U-Boot moves it to the start of memory, so no address of a board stands here.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Error;
use super::computed::Computed;
use super::fdt::Fdt;
use crate::base::{KIB, Metadata, align_up};
use crate::extent::{MapBuilder, ReadError, SharedSource, Sink as _, Source, read_through};

/// Parts begin at pages, so that a reader of one decodes nothing of the next.
const PAGE: u64 = 4 * KIB;
/// U-Boot reads sizes and places as signed numbers (`fit_image_get_data_offset`).
const LARGEST: u64 = i32::MAX as u64;
const CRC32: u64 = 4;
const SHA256: u64 = 32;

/// The parts of a FIT image for arm64.
pub struct Fit<'a> {
    /// What it says of itself.
    pub description: &'a str,
    /// The kernel, an uncompressed `Image`.
    pub kernel: SharedSource,
    /// The initrd.
    pub initrd: SharedSource,
    /// Device trees by name; the first is the default. Without any U-Boot hands on its own.
    pub trees: &'a [(String, SharedSource)],
}

/// A part with the properties that differ.
struct Part<'a> {
    node: String,
    kind: &'static str,
    description: &'a str,
    content: &'a SharedSource,
    /// From the end of the device tree, in bytes.
    offset: u64,
}

impl Fit<'_> {
    /// Lays out the image.
    ///
    /// # Errors
    /// When the parts are over 2 GiB, or two device trees have one name.
    pub fn layout(&self) -> Result<SharedSource, Error> {
        let parts = self.parts()?;
        let mut tree = Fdt::default();
        tree.begin("");
        tree.text("description", self.description)?;
        tree.number("#address-cells", 1)?;
        tree.number("timestamp", u32::try_from(Metadata::GENERATED_MTIME).unwrap_or_default())?;
        tree.begin("images");
        parts.iter().try_for_each(|part| part.describe(&mut tree))?;
        tree.end();
        self.configurations(&mut tree)?;
        tree.end();
        let tree = tree.finish(PAGE)?;
        let mut image = MapBuilder::default();
        image.whole(&tree);
        for part in parts {
            image.pad_to(tree.size() + part.offset);
            image.whole(part.content);
        }
        image.align(PAGE);
        Ok(image.share())
    }

    /// The parts in their order, each with its place.
    fn parts(&self) -> Result<Vec<Part<'_>>, Error> {
        let kernel = ("kernel".to_owned(), "kernel_noload", "kernel", &self.kernel);
        let initrd = ("ramdisk".to_owned(), "ramdisk", "initrd", &self.initrd);
        let trees = self.trees.iter().zip(1..);
        let trees = trees.map(|((name, tree), number)| (format!("fdt-{number}"), "flat_dt", name.as_str(), tree));
        let (mut parts, mut offset) = (Vec::new(), 0_u64);
        for (node, kind, description, content) in [kernel, initrd].into_iter().chain(trees) {
            parts.push(Part { node, kind, description, content, offset });
            let end = offset.saturating_add(content.size());
            if end > LARGEST {
                return Err(Error::ImageTooLarge { format: "a FIT image", limit: LARGEST });
            }
            offset = align_up(end, PAGE);
        }
        Ok(parts)
    }

    /// One configuration for each device tree, or one without.
    fn configurations(&self, tree: &mut Fdt) -> Result<(), Error> {
        let names: Vec<String> = self.trees.iter().map(|(name, _)| format!("conf-{name}")).collect();
        if let Some((_, name)) = names.iter().enumerate().find(|(at, name)| names[..*at].contains(name)) {
            return Err(Error::NameTaken { path: name.clone(), format: "a FIT image" });
        }
        let alone = ["conf-1".to_owned()];
        let names = if names.is_empty() { &alone[..] } else { &names };
        tree.begin("configurations");
        tree.text("default", &names[0])?;
        for (name, number) in names.iter().zip(1..) {
            tree.begin(name);
            tree.text("description", self.description)?;
            tree.text("kernel", "kernel")?;
            tree.text("ramdisk", "ramdisk")?;
            if !self.trees.is_empty() {
                tree.text("fdt", &format!("fdt-{number}"))?;
            }
            tree.end();
        }
        tree.end();
        Ok(())
    }
}

impl Part<'_> {
    fn describe(&self, tree: &mut Fdt) -> Result<(), Error> {
        let number = |number: u64| u32::try_from(number).expect("parts are within 2 GiB");
        tree.begin(&self.node);
        tree.text("description", self.description)?;
        for (name, text) in [("type", self.kind), ("arch", "arm64"), ("os", "linux"), ("compression", "none")] {
            tree.text(name, text)?;
        }
        if self.kind == "kernel_noload" {
            tree.number("load", 0)?;
            tree.number("entry", 0)?;
        }
        tree.number("data-size", number(self.content.size()))?;
        tree.number("data-offset", number(self.offset))?;
        let content = self.content.clone();
        let sums: SharedSource = Arc::new(Computed::new(CRC32 + SHA256, move || sums(&*content)));
        for (node, name, range) in [("hash-1", "crc32", (0, CRC32)), ("hash-2", "sha256", (CRC32, SHA256))] {
            tree.begin(node);
            tree.text("algo", name)?;
            tree.bytes("value", &sums, range)?;
            tree.end();
        }
        tree.end();
        Ok(())
    }
}

/// CRC-32 and SHA-256 of a content, one behind the other.
fn sums(content: &dyn Source) -> Result<Vec<u8>, ReadError> {
    let (mut crc, mut sha) = (crc32fast::Hasher::new(), Sha256::new());
    read_through(content, &mut |bytes| {
        crc.update(bytes);
        sha.update(bytes);
    })?;
    Ok([&crc.finalize().to_be_bytes()[..], &sha.finalize()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::in_memory;
    use crate::extent::{Bytes, Zeros};

    fn bytes(text: &str) -> SharedSource {
        Arc::new(Bytes(text.as_bytes().into()))
    }

    fn fit(trees: &[(String, SharedSource)], initrd: SharedSource) -> Result<SharedSource, Error> {
        Fit { description: "x", kernel: bytes("KERNEL"), initrd, trees }.layout()
    }

    #[test]
    fn the_parts_stand_behind_the_head_which_has_their_hashes() {
        let image = fit(&[("a.dtb".to_owned(), bytes("TREE"))], bytes("INITRD")).unwrap();
        let mut all = vec![0; in_memory(image.size())];
        image.read_at(&mut all, 0).unwrap();
        assert_eq!((all.len(), &all[..8]), (4 * 4096, &b"\xd0\x0d\xfe\xed\0\0\x10\0"[..]));
        assert_eq!(
            (&all[4096..4102], &all[8192..8198], &all[12_288..12_292]),
            (&b"KERNEL"[..], &b"INITRD"[..], &b"TREE"[..])
        );
        for content in ["KERNEL", "INITRD", "TREE"] {
            let (crc, sha) = (crc32fast::hash(content.as_bytes()).to_be_bytes(), Sha256::digest(content.as_bytes()));
            assert!(
                all.windows(4).any(|part| part == crc) && all.windows(32).any(|part| part == &sha[..]),
                "{content}"
            );
        }
    }

    #[test]
    fn what_a_fit_image_cannot_hold_is_refused() {
        let error = |trees: &[&str], size| {
            let trees: Vec<_> = trees.iter().map(|name| ((*name).to_owned(), bytes("T"))).collect();
            fit(&trees, Arc::new(Zeros(size))).err().map(|error| error.to_string())
        };
        assert_eq!(error(&["a", "b"], LARGEST / 2), None);
        let large = "the content is more than a FIT image can hold (2147483647 bytes)";
        assert_eq!(error(&[], LARGEST).as_deref(), Some(large));
        assert_eq!(error(&["a"], u64::MAX).as_deref(), Some(large));
        assert_eq!(error(&["a", "b", "a"], 1).as_deref(), Some("`conf-a` has a name that a FIT image already has"));
    }
}
