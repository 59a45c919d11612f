//! The kernel image: kernel, command line and microcode go to `boot/`, the entries of its tar into the root.

use super::boot::{self, CMDLINE, KERNEL, UCODE};
use super::device_trees::device_trees;
use super::options::Part;
use super::overlay::lay_over;
use super::supply::SourceImage;
use super::work::{Work, tree_error};
use super::{Cause, Error};
use crate::base::Metadata;
use crate::extent::{ReadError, SharedSource};
use crate::layer::Packing;
use crate::spec::{Kernel, Located};
use crate::tree::{Content, InodeId, Node};

impl Work<'_> {
    /// Adds what the kernel section asks for; nothing without one.
    pub(super) fn add_kernel(&mut self) -> Result<(), Error> {
        let Some(kernel) = self.spec.kernel.as_ref().filter(|kernel| !kernel.image.value.is_empty()) else {
            return Ok(());
        };
        if self.options.part == Part::Bootstrap {
            return self.add_bootstrap(kernel);
        }
        let image = self.images.take(&kernel.image);
        if self.options.device_trees {
            self.device_trees = device_trees(&image.tree, InodeId::ROOT);
        }
        self.note_laid(&kernel.image, "", &image.tree)?;
        let binary = file_in(&image, kernel, kernel.binary.as_ref(), "binary")?.expect("a kernel has a default name");
        let ucode = file_in(&image, kernel, kernel.ucode.as_ref(), "ucode")?;
        let tar = file_in(&image, kernel, kernel.tar.as_ref(), "tar")?;
        let binary = if self.options.decompress_kernel { self.decompressed(kernel, binary)? } else { binary };
        self.put_boot_file(kernel, KERNEL, Node::File(Metadata::file(), binary))?;
        self.put_boot_file(kernel, CMDLINE, Node::Generated(Metadata::file(), kernel.cmdline.as_bytes()))?;
        if let Some(ucode) = ucode {
            self.put_boot_file(kernel, UCODE, Node::File(Metadata::file(), ucode))?;
        }
        let Some(tar) = tar else { return Ok(()) };
        let entries = self.supply.archive(&tar);
        let entries = entries.map_err(inside(kernel, named(kernel.tar.as_ref(), "tar").unwrap_or_default()))?;
        let what = format!("the modules of image `{}`", kernel.image.value);
        lay_over(&mut self.root, entries).map_err(tree_error(what, kernel.image.place))?;
        Ok(())
    }

    fn put_boot_file(&mut self, kernel: &Kernel, path: &str, node: Node<'_>) -> Result<(), Error> {
        let error = tree_error(format!("`{path}`"), kernel.image.place);
        self.root.insert(path.as_bytes(), node).map_err(error)?;
        Ok(())
    }

    fn decompressed(&self, kernel: &Kernel, binary: Content) -> Result<Content, Error> {
        let error =
            |reason| Error::Decompress { reference: kernel.image.value.clone(), reason, place: kernel.image.place };
        let name = || named(kernel.binary.as_ref(), "binary").unwrap_or_default();
        if is_plain(&binary).map_err(|source| inside(kernel, name())(Cause::new(source)))? {
            return Ok(binary);
        }
        let payload = payload(&binary).map_err(|source| inside(kernel, name())(Cause::new(source)))?.map_err(error)?;
        let plain: SharedSource = self.supply.unpack(&payload).map_err(inside(kernel, name()))?;
        Ok(Content::whole(plain))
    }
}

/// The name of a file in the kernel image; `None` where there is to be none.
fn named<'a>(given: Option<&'a Located<String>>, key: &str) -> Option<&'a str> {
    let given = given.map(|name| name.value.as_str());
    match key {
        "binary" => given.filter(|name| !name.is_empty()).or(Some("kernel")),
        "tar" => Some(given.unwrap_or("kernel.tar")).filter(|name| !name.is_empty() && *name != "none"),
        _ => given.filter(|name| !name.is_empty()),
    }
}

/// The content of a file that the spec names in the kernel image; links are followed inside the image.
fn file_in(
    image: &SourceImage,
    kernel: &Kernel,
    given: Option<&Located<String>>,
    key: &'static str,
) -> Result<Option<Content>, Error> {
    let Some(name) = named(given, key) else { return Ok(None) };
    let content = boot::followed(&image.tree, name.as_bytes()).and_then(|inode| image.tree.content(inode));
    let missing = || Error::KernelFile {
        reference: kernel.image.value.clone(),
        path: name.to_owned(),
        key,
        place: given.map_or(kernel.image.place, |name| name.place),
    };
    content.ok_or_else(missing).map(Some)
}

fn inside<'a>(kernel: &'a Kernel, path: &'a str) -> impl FnOnce(Cause) -> Error + 'a {
    |source| Error::Inside {
        path: path.to_owned(),
        reference: kernel.image.value.clone(),
        place: kernel.image.place,
        source,
    }
}

/// Bytes that tell how a payload is packed.
const MAGIC: usize = 6;
/// End of the last header field that is looked at.
const HEADER: usize = 0x250;

/// Whether a kernel is uncompressed as it is: an ELF file (as x86's vmlinux), or an Image of arm64 (`booting.rst`).
fn is_plain(kernel: &Content) -> Result<bool, ReadError> {
    let mut head = [0; 64];
    let len = usize::try_from(kernel.size).map_or(head.len(), |size| size.min(head.len()));
    kernel.source()?.read_at(&mut head[..len], 0)?;
    Ok(head.starts_with(b"\x7fELF") || head[56..60] == *b"ARM\x64")
}

/// The packed stream of a kernel: all of a gzip file, or the payload of a bzImage (Linux x86 boot protocol, 2.08 and later),
/// which has its size in its last four bytes.
pub(super) fn payload(kernel: &Content) -> Result<Result<Content, &'static str>, ReadError> {
    let source = kernel.source()?;
    let mut header = [0; HEADER];
    let len = usize::try_from(source.size()).map_or(HEADER, |size| size.min(HEADER));
    source.read_at(&mut header[..len], 0)?;
    if Packing::of(&header) == Some(Packing::Gzip) {
        return Ok(Ok(kernel.clone()));
    }
    if header[0x1fe..0x200] != [0x55, 0xaa] || &header[0x202..0x206] != b"HdrS" {
        return Ok(Err("it is neither gzip nor a bzImage"));
    }
    if u16::from_le_bytes([header[0x206], header[0x207]]) < 0x208 {
        return Ok(Err("its boot protocol is older than 2.08"));
    }
    let long = |at: usize| u64::from(u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes")));
    let offset = long(0x248) + (u64::from(header[0x1f1]) + 1) * 512;
    let size = long(0x24c);
    if offset + size > kernel.size || size < MAGIC as u64 {
        return Ok(Err("the payload of its bzImage leaves the file"));
    }
    let mut magic = [0; MAGIC];
    source.read_at(&mut magic, offset)?;
    if Packing::of(&magic).is_none() {
        return Ok(Err("the payload of its bzImage is neither gzip, xz, zstd nor LZ4"));
    }
    Ok(Ok(Content { source, offset, size }))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::Bytes;

    fn content(bytes: &[u8]) -> Content {
        Content::whole(Arc::new(Bytes(bytes.into())))
    }

    #[test]
    fn the_files_have_default_names() {
        let given = |text: &str| Some(Located::nowhere(text.to_owned()));
        let rows = [
            (None, "binary", Some("kernel")),
            (given(""), "binary", Some("kernel")),
            (given("x"), "binary", Some("x")),
            (None, "tar", Some("kernel.tar")),
            (given("none"), "tar", None),
            (given(""), "tar", None),
            (given("m.tar"), "tar", Some("m.tar")),
            (None, "ucode", None),
            (given(""), "ucode", None),
            (given("u"), "ucode", Some("u")),
        ];
        for (text, key, name) in rows {
            assert_eq!(named(text.as_ref(), key), name);
        }
    }

    #[test]
    fn a_kernel_that_is_uncompressed_already_is_known_by_its_head() {
        let mut image = vec![0; 64];
        image[56..60].copy_from_slice(b"ARMd");
        let rows = [(&b"\x7fELF"[..], true), (&image, true), (&image[..59], false), (b"\x1f\x8b", false), (b"", false)];
        for (head, plain) in rows {
            assert_eq!(is_plain(&content(head)).unwrap(), plain, "{head:?}");
        }
    }

    #[test]
    fn the_packed_stream_of_a_kernel_is_found() {
        let gzip = payload(&content(&[0x1f, 0x8b, 8])).unwrap().unwrap();
        assert_eq!((gzip.offset, gzip.size), (0, 3));
        let mut image = vec![0; 0x1000];
        assert_eq!(payload(&content(&image)).unwrap().err(), Some("it is neither gzip nor a bzImage"));
        image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        image[0x202..0x206].copy_from_slice(b"HdrS");
        assert_eq!(payload(&content(&image)).unwrap().err(), Some("its boot protocol is older than 2.08"));
        image[0x206..0x208].copy_from_slice(&[0x0f, 0x02]);
        image[0x1f1] = 3;
        image[0x248] = 0x10;
        image[0x24c] = 0x20;
        let unknown = Some("the payload of its bzImage is neither gzip, xz, zstd nor LZ4");
        for magic in [&b"BZh91A"[..], b"\x5d\0\0\x80\0\0", b"\x89LZO\0\r", b"\x1f\x8c", b"\x28\xb5\x2f\xfe"] {
            image[0x810..0x810 + magic.len()].copy_from_slice(magic);
            assert_eq!(payload(&content(&image)).unwrap().err(), unknown, "{magic:?}");
        }
        for magic in [&b"\x02\x21\x4c\x18"[..], b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd", b"\x1f\x8b"] {
            image[0x810..0x810 + magic.len()].copy_from_slice(magic);
            let found = payload(&content(&image)).unwrap().unwrap();
            assert_eq!((found.offset, found.size), (0x810, 0x20), "{magic:?}");
        }
        image[0x24f] = 0xff;
        assert_eq!(payload(&content(&image)).unwrap().err(), Some("the payload of its bzImage leaves the file"));
    }
}
