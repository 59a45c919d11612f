//! Entries as other indexes describe them, made into what our own scanner would have found in the tar.

use crate::base::{FileKind, Metadata, Xattrs};
use crate::layer::index::{Body, Entry, TocBuilder, toc_max_of};
use crate::layer::pass::{Attributes, LOCAL_MAX, check_name};

/// What an index says of an entry.
pub(super) struct Described<'a> {
    /// `reg`, `dir` and so on.
    pub(super) kind: &'a [u8],
    pub(super) name: &'a [u8],
    pub(super) link: &'a [u8],
    pub(super) mode: i64,
    pub(super) uid: i64,
    pub(super) gid: i64,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    /// Major and minor number.
    pub(super) device: (i64, i64),
    pub(super) xattrs: Xattrs,
}

/// Entries in archive order.
pub(super) struct Entries {
    toc: TocBuilder,
    /// Most bytes that the table may have.
    most: u64,
}

impl Entries {
    /// None yet, of a blob that is said to have `blob_size` bytes, by an index of `index_size` bytes.
    pub(super) fn new(blob_size: u64, index_size: u64) -> Self {
        Self { toc: TocBuilder::default(), most: toc_max_of(blob_size, index_size) }
    }

    /// Adds an entry; `content` is that of a regular file.
    ///
    /// # Errors
    /// What our scanner would refuse, in a clause.
    pub(super) fn push(&mut self, entry: &Described<'_>, content: Body<'_>) -> Result<(), String> {
        check_name(entry.name, "name")?;
        let metadata = entry.metadata()?;
        let body = match entry.kind {
            b"hardlink" | b"symlink" => {
                check_name(entry.link, "link target")?;
                if entry.kind == b"symlink" { Body::Symlink(entry.link) } else { Body::HardLink(entry.link) }
            }
            _ if metadata.kind == FileKind::File => content,
            _ => Body::Empty,
        };
        self.push_entry(&Entry { path: entry.name, metadata, body, xattrs: entry.xattrs.clone() })
    }

    /// Adds an entry that a scanner found.
    ///
    /// # Errors
    /// When there is more in the table than a layer of this size may have.
    pub(super) fn push_entry(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        self.toc.push(entry);
        if self.toc.len() > self.most {
            return Err(format!("its names, links and attributes take more than {} bytes", self.most));
        }
        Ok(())
    }

    /// The packed table.
    pub(super) fn finish(self) -> Vec<u8> {
        self.toc.finish()
    }
}

impl Described<'_> {
    fn metadata(&self) -> Result<Metadata, String> {
        let kind = self.file_kind()?;
        let is_device = matches!(kind, FileKind::CharDevice | FileKind::BlockDevice);
        let (major, minor) = if is_device { self.device } else { (0, 0) };
        Ok(Metadata {
            kind,
            mode: u16::try_from(self.mode & 0o7777).expect("twelve bits fit in sixteen"),
            uid: word(self.uid)?,
            gid: word(self.gid)?,
            mtime: self.mtime,
            rdev: (word(major)?, word(minor)?),
        })
    }

    fn file_kind(&self) -> Result<FileKind, String> {
        match self.kind {
            // As our scanner has it; old tars have no type for directories.
            b"reg" if self.name.ends_with(b"/") => Ok(FileKind::Directory),
            b"reg" | b"hardlink" => Ok(FileKind::File),
            b"dir" => Ok(FileKind::Directory),
            b"symlink" => Ok(FileKind::Symlink),
            b"char" => Ok(FileKind::CharDevice),
            b"block" => Ok(FileKind::BlockDevice),
            b"fifo" => Ok(FileKind::Fifo),
            other => Err(format!("an entry has the unknown type `{}`", other[..other.len().min(40)].escape_ascii())),
        }
    }
}

fn word(value: i64) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("{value} does not fit in 32 bits"))
}

/// Attributes from names and values.
///
/// # Errors
/// When there are more, or larger ones, than a file can have.
pub(super) fn attributes<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Xattrs, String> {
    let mut attributes = Attributes::default();
    for (name, value) in pairs {
        attributes.set(name, value, LOCAL_MAX)?;
    }
    Ok(attributes.share())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(kind: &str, name: &str, link: &str, numbers: [i64; 2]) -> Result<(), String> {
        let [uid, major] = numbers;
        let entry = Described {
            kind: kind.as_bytes(),
            name: name.as_bytes(),
            link: link.as_bytes(),
            mode: 0o100_644,
            uid,
            gid: 0,
            mtime: 0,
            device: (major, 0),
            xattrs: Xattrs::default(),
        };
        Entries::new(100, 100).push(&entry, Body::Content { offset: 0, size: 0 })
    }

    #[test]
    fn what_our_scanner_refuses_is_refused() {
        let long = "n".repeat(4096);
        let table: [(Result<(), String>, Option<&str>); 11] = [
            (pushed("reg", "a", "", [0, -1]), None),
            (pushed("hardlink", "a", "b", [u32::MAX.into(), 0]), None),
            (pushed("reg", "", "", [0, 0]), Some("the entry has no name")),
            (pushed("reg", "a\0b", "", [0, 0]), Some("the name has a NUL in it")),
            (pushed("dir", &long, "", [0, 0]), Some("the name has 4096 bytes, over 4095")),
            (pushed("symlink", "a", "", [0, 0]), Some("the entry has no link target")),
            (pushed("hardlink", "a", &long, [0, 0]), Some("the link target has 4096 bytes, over 4095")),
            (pushed("chunk", "a", "", [0, 0]), Some("an entry has the unknown type `chunk`")),
            (pushed("reg", "a", "", [-1, 0]), Some("-1 does not fit in 32 bits")),
            (pushed("reg", "a", "", [1 << 32, 0]), Some("4294967296 does not fit in 32 bits")),
            (pushed("char", "a", "", [0, -1]), Some("-1 does not fit in 32 bits")),
        ];
        for (result, expected) in table {
            assert_eq!(result.err().as_deref(), expected);
        }
    }

    #[test]
    fn a_table_is_no_larger_than_the_blob_allows() {
        let mut entries = Entries::new(u64::MAX, 1000);
        let name = "n".repeat(4000);
        let entry = Described {
            kind: b"symlink",
            name: b"a",
            link: name.as_bytes(),
            mode: 0,
            uid: 0,
            gid: 0,
            mtime: 0,
            device: (0, 0),
            xattrs: Xattrs::default(),
        };
        let refused = (0..2000).find_map(|_| entries.push(&entry, Body::Empty).err());
        assert_eq!(refused.as_deref(), Some("its names, links and attributes take more than 129536 bytes"));
    }
}
