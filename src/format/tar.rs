//! Tar archives of a tree or of artifacts.
//!
//! # Format
//! POSIX.1-2001 (ustar headers, PAX records where a field does not fit): long names, large numbers, times before
//! 1970, extended attributes as `SCHILY.xattr.*`.

use std::sync::Arc;

use super::Error;
use super::limits::{LARGEST_IMAGE, Room, check_devices};
use super::order::Order;
use crate::base::{FileKind, Metadata, SECTOR, Xattr};
use crate::extent::{PagedLayout, PagedMap, SharedSource, Sink};
use crate::tree::{Content, Tree};

/// A member that stands before the tree's entries.
pub struct Member {
    /// Path without a leading slash.
    pub path: String,
    /// Type, mode, owner, time.
    pub metadata: Metadata,
    /// Content of a file.
    pub content: Option<SharedSource>,
}

struct Tar {
    members: Vec<Member>,
    order: Order,
}

/// PAX sizes have no limit.
const ROOM: Room = Room { format: "a tar", file: LARGEST_IMAGE, image: LARGEST_IMAGE };

/// Looks whether an archive can hold a tree, and lays out nothing.
///
/// # Errors
/// When all content together is over 8 EiB, or a device has larger numbers than the field for them, which no record replaces.
pub fn tar_holds(tree: &Tree) -> Result<(), Error> {
    ROOM.check(tree)?;
    check_devices(tree, ROOM.format, MAX_ID)
}

/// Lays out `members`, then `tree`, as one archive.
///
/// # Errors
/// As [`tar_holds`], the content of `members` counted.
pub fn tar(members: Vec<Member>, tree: Arc<Tree>) -> Result<SharedSource, Error> {
    tar_holds(&tree)?;
    let mut left = LARGEST_IMAGE;
    for content in members.iter().filter_map(|member| member.content.as_ref()) {
        let rest = left.checked_sub(content.size());
        left = rest.ok_or(Error::ImageTooLarge { format: ROOM.format, limit: ROOM.image })?;
    }
    Ok(Arc::new(PagedMap::new(Tar { members, order: Order::new(tree) })))
}

impl PagedLayout for Tar {
    /// One page before the tree's for the members, one behind for the two zero blocks.
    fn pages(&self) -> usize {
        self.order.pages() + 2
    }

    fn emit(&self, page: usize, sink: &mut dyn Sink) {
        match page.checked_sub(1) {
            None => self.members.iter().for_each(|member| emit_member(member, sink)),
            Some(page) if page == self.order.pages() => sink.zeros(2 * SECTOR),
            Some(page) => self.order.page(page).for_each(|at| self.emit_entry(at, sink)),
        }
    }
}

fn emit_member(member: &Member, sink: &mut dyn Sink) {
    let content = member.content.clone().map(Content::whole);
    let size = content.as_ref().map_or(0, |c| c.size);
    let fields =
        Fields { path: member.path.as_bytes(), metadata: &member.metadata, size, link: Link::None, xattrs: &[] };
    fields.emit(content, sink);
}

impl Tar {
    fn emit_entry(&self, at: usize, sink: &mut dyn Sink) {
        let tree = &self.order.tree;
        let entry = self.order.entries[at];
        let id = tree.entry_inode(entry);
        let inode = tree.inode(id);
        let (path, first) = (tree.path(entry), self.order.first_name(at).map(|first| tree.path(first)));
        let link = match &first {
            Some(first) => Link::Hard(first),
            None if inode.metadata.kind == FileKind::Symlink => Link::Symbolic(tree.link_target(id)),
            None => Link::None,
        };
        let content = tree.content(id).filter(|_| matches!(link, Link::None));
        let size = content.as_ref().map_or(0, |c| c.size);
        Fields { path: &path, metadata: &inode.metadata, size, link, xattrs: tree.xattrs(id) }.emit(content, sink);
    }
}

/// What a header says of its name's target.
enum Link<'a> {
    None,
    Symbolic(&'a [u8]),
    Hard(&'a [u8]),
}

/// What a header is made of.
struct Fields<'a> {
    path: &'a [u8],
    metadata: &'a Metadata,
    size: u64,
    link: Link<'a>,
    xattrs: &'a [Xattr],
}

/// Largest numbers of the octal fields: seven digits, eleven digits.
const MAX_ID: u32 = 0o7_777_777;
const MAX_NUMBER: u64 = 0o77_777_777_777;
/// Length of the name and link fields.
const NAME: usize = 100;

impl Fields<'_> {
    fn emit(&self, content: Option<Content>, sink: &mut dyn Sink) {
        let path = self.shown_path();
        let records = self.records(&path);
        if !records.is_empty() {
            let mut header = self.header(b"PaxHeaders/record");
            header.set_entry_type(::tar::EntryType::XHeader);
            header.set_size(records.len() as u64);
            sink.bytes(finished(header).as_bytes());
            sink.bytes(&records);
            sink.align(SECTOR);
        }
        let mut header = self.header(&path);
        header.set_entry_type(self.entry_type());
        header.set_size(self.size.min(MAX_NUMBER));
        if let Link::Hard(target) | Link::Symbolic(target) = self.link {
            copy_cut(target, &mut header.as_ustar_mut().expect("made as ustar").linkname);
        }
        sink.bytes(finished(header).as_bytes());
        if let Some(content) = content {
            sink.extent(&content.source, content.offset, content.size);
            sink.align(SECTOR);
        }
    }

    /// Directories end in a slash, which is how version 7 readers tell them.
    fn shown_path(&self) -> Vec<u8> {
        let slash: &[u8] = if self.metadata.kind == FileKind::Directory { b"/" } else { b"" };
        [self.path, slash].concat()
    }

    fn header(&self, path: &[u8]) -> ::tar::Header {
        let mut header = ::tar::Header::new_ustar();
        copy_cut(path, &mut header.as_ustar_mut().expect("made as ustar").name);
        header.set_mode(u32::from(self.metadata.mode));
        header.set_uid(self.metadata.uid.min(MAX_ID).into());
        header.set_gid(self.metadata.gid.min(MAX_ID).into());
        header.set_mtime(u64::try_from(self.metadata.mtime).unwrap_or(0).min(MAX_NUMBER));
        let (major, minor) = self.metadata.rdev;
        header.set_device_major(major).expect("made as ustar");
        header.set_device_minor(minor).expect("made as ustar");
        header
    }

    fn entry_type(&self) -> ::tar::EntryType {
        match (&self.link, self.metadata.kind) {
            (Link::Hard(_), _) => ::tar::EntryType::Link,
            (_, FileKind::File | FileKind::Socket) => ::tar::EntryType::Regular,
            (_, FileKind::Directory) => ::tar::EntryType::Directory,
            (_, FileKind::Symlink) => ::tar::EntryType::Symlink,
            (_, FileKind::CharDevice) => ::tar::EntryType::Char,
            (_, FileKind::BlockDevice) => ::tar::EntryType::Block,
            (_, FileKind::Fifo) => ::tar::EntryType::Fifo,
        }
    }

    /// PAX records for what the ustar fields cannot hold.
    fn records(&self, path: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        let mut number = |key: &str, value: i128, fits: bool| {
            if !fits {
                record(&mut records, key.as_bytes(), value.to_string().as_bytes());
            }
        };
        let metadata = self.metadata;
        number("uid", metadata.uid.into(), metadata.uid <= MAX_ID);
        number("gid", metadata.gid.into(), metadata.gid <= MAX_ID);
        number("size", self.size.into(), self.size <= MAX_NUMBER);
        let fits = u64::try_from(metadata.mtime).is_ok_and(|t| t <= MAX_NUMBER);
        number("mtime", metadata.mtime.into(), fits);
        if path.len() > NAME {
            record(&mut records, b"path", path);
        }
        if let Link::Hard(target) | Link::Symbolic(target) = self.link
            && target.len() > NAME
        {
            record(&mut records, b"linkpath", target);
        }
        for xattr in self.xattrs {
            record(&mut records, &[b"SCHILY.xattr.", &*xattr.name].concat(), &xattr.value);
        }
        records
    }
}

fn finished(mut header: ::tar::Header) -> ::tar::Header {
    header.set_cksum();
    header
}

/// Copies what fits; the record of the whole text follows the same rule.
fn copy_cut(text: &[u8], field: &mut [u8]) {
    let len = text.len().min(field.len());
    field[..len].copy_from_slice(&text[..len]);
}

/// Adds `LENGTH key=value\n`, where the length counts itself (POSIX pax, "pax Extended Header").
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} ").as_bytes());
    records.extend_from_slice(&[key, b"=", value, b"\n"].concat());
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::tree::{Node, TreeBuilder};

    fn read(source: &SharedSource) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(source.size()).unwrap()];
        source.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn another_reader_sees_names_links_and_attributes() {
        let long = "long-name/".repeat(20) + "end";
        let mut tree = TreeBuilder::new();
        let metadata = Metadata { uid: 3_000_000, mtime: -5, ..Metadata::file() };
        let id = tree.insert(long.as_bytes(), Node::Generated(metadata, b"text")).unwrap();
        tree.set_xattrs(id, [Xattr { name: (*b"user.x").into(), value: (*b"\0y").into() }].into_iter().collect());
        tree.hard_link(b"z", long.as_bytes()).unwrap();
        tree.insert(b"l", Node::Symlink(Metadata::symlink(), long.as_bytes())).unwrap();
        let bytes = read(&tar(Vec::new(), Arc::new(tree.finish())).unwrap());
        let mut archive = ::tar::Archive::new(&*bytes);
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let link = entry.link_name_bytes().map(|l| String::from_utf8(l.into_owned()).unwrap());
            seen.push((path, text, link));
        }
        let of = |path: &str| seen.iter().find(|(p, ..)| p == path).unwrap().clone();
        assert_eq!(seen.len(), 23);
        assert_eq!(of("z"), ("z".to_owned(), "text".to_owned(), None));
        assert_eq!(of(&long), (long.clone(), String::new(), Some("z".to_owned())));
        assert_eq!(of("l"), ("l".to_owned(), String::new(), Some(long.clone())));
        for text in ["26 SCHILY.xattr.user.x=\0y\n", "15 uid=3000000\n", "12 mtime=-5\n"] {
            assert!(bytes.windows(text.len()).any(|w| w == text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn members_that_no_archive_can_hold_together_are_refused() {
        let member = |path: &str, size| Member {
            path: path.to_owned(),
            metadata: Metadata::file(),
            content: Some(Arc::new(crate::extent::Zeros(size))),
        };
        let laid_out = |sizes: [u64; 2]| {
            let members = vec![member("a", sizes[0]), member("b", sizes[1])];
            tar(members, Arc::new(TreeBuilder::new().finish())).map(|tar| tar.size()).map_err(|e| e.to_string())
        };
        assert_eq!(laid_out([1 << 62, 1]), Ok((1 << 62) + 512 * 5 + 1024));
        let error = "the content is more than a tar can hold (9223372036854775807 bytes)".to_owned();
        assert_eq!(laid_out([LARGEST_IMAGE, 1]), Err(error.clone()));
        assert_eq!(laid_out([u64::MAX, u64::MAX]), Err(error));
    }

    #[test]
    fn a_device_with_larger_numbers_than_a_header_holds_is_refused_by_name() {
        let laid_out = |rdev| {
            let mut tree = TreeBuilder::new();
            let device = Metadata { kind: FileKind::BlockDevice, rdev, ..Metadata::file() };
            tree.insert(b"dev/x", Node::Plain(device)).unwrap();
            tar(Vec::new(), Arc::new(tree.finish())).map(|tar| read(&tar)).map_err(|e| e.to_string())
        };
        let bytes = laid_out((2_097_151, 2_097_151)).unwrap();
        let header = ::tar::Archive::new(&*bytes).entries().unwrap().nth(1).unwrap().unwrap().header().clone();
        assert_eq!(
            (header.device_major().unwrap(), header.device_minor().unwrap()),
            (Some(2_097_151), Some(2_097_151))
        );
        for rdev in [(2_097_152, 0), (0, 2_097_152)] {
            assert_eq!(laid_out(rdev).unwrap_err(), "`dev/x` has device numbers that a tar cannot hold");
        }
    }

    #[test]
    fn the_first_of_many_names_is_the_one_that_the_others_link_to() {
        let mut tree = TreeBuilder::new();
        tree.insert(b"d/m0", Node::Generated(Metadata::file(), b"x")).unwrap();
        tree.insert(b"d/e", Node::Generated(Metadata::file(), b"")).unwrap();
        (1..100).for_each(|n| tree.hard_link(format!("d/m{n}").as_bytes(), b"d/m0").unwrap());
        tree.hard_link(b"z", b"d/e").unwrap();
        let order = Order::new(Arc::new(tree.finish()));
        let first = |at| order.first_name(at).map(|entry| order.tree.path(entry));
        let firsts: Vec<_> = (0..order.entries.len()).map(first).collect();
        assert_eq!(firsts.len(), 103);
        assert_eq!(firsts.iter().flatten().filter(|path| **path == b"d/m0").count(), 99);
        assert_eq!(firsts.iter().flatten().filter(|path| **path == b"z").count(), 1);
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        for len in [1, 88, 89, 90, 91, 985, 990, 995] {
            let mut records = Vec::new();
            record(&mut records, b"path", &vec![b'x'; len]);
            let text = String::from_utf8(records).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse(), Ok(text.len()));
        }
    }
}
