//! The FUSE protocol on one side, [`Files`](crate::serve::Files) on the other; nothing is decided here.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use fuser::{
    AccessFlags, Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl,
    ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};

use super::ahead::Ahead;
use super::generations::{Generations, Held};
use super::readers::{self, Readers, Task};
use super::request::Read;
use super::{attr, errno, host};
use crate::serve::FileError;

/// What is asked of the kernel, each where it can: several reads and lookups at once, names and attributes listed
/// together, caches that nothing but us would have to empty, and files asked for by handles, as NFS servers do.
const WANTED: [InitFlags; 10] = [
    InitFlags::FUSE_ASYNC_READ,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
    InitFlags::FUSE_EXPORT_SUPPORT,
    InitFlags::FUSE_NO_OPEN_SUPPORT,
    InitFlags::FUSE_NO_OPENDIR_SUPPORT,
];
/// Reads that the kernel may have under way at once on its own account, such as read-ahead.
const MAX_BACKGROUND: u16 = 64;
/// The unit of `statfs`, in bytes.
const BLOCK: u32 = 4096;
/// Longest name, as on Linux.
const NAME_MAX: u32 = 255;

/// The file system as the protocol library calls it.
pub(super) struct Adapter {
    generations: Arc<Generations>,
    readers: Readers,
    ahead: Arc<Ahead>,
    /// The kernel opens files and directories by itself, and keeps their pages, once it is told that we cannot.
    kernel_opens: bool,
}

impl Adapter {
    /// An adapter over what is shown, with its readers started.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(super) fn new(generations: Arc<Generations>) -> io::Result<Self> {
        let ahead = Arc::new(Ahead::new());
        let readers = Readers::start(&generations, &ahead)?;
        Ok(Self { generations, readers, ahead, kernel_opens: false })
    }

    /// What is to be connected once there is a session.
    pub(super) const fn ahead(&self) -> &Arc<Ahead> {
        &self.ahead
    }

    fn files(&self, inode: INodeNo) -> Result<Held<'_>, FileError> {
        self.generations.of(inode.0).ok_or(FileError::NotFound)
    }

    fn open_any(&self, reply: ReplyOpen, flags: FopenFlags) {
        if self.kernel_opens { reply.error(Errno::ENOSYS) } else { reply.opened(FileHandle(0), flags) }
    }
}

/// Sends a value of an attribute, or its size when that is what is asked for.
fn send_xattr(value: Result<&[u8], FileError>, room: u32, reply: ReplyXattr) {
    match value.map(|value| (value, u32::try_from(value.len()).unwrap_or(u32::MAX))) {
        Ok((_, size)) if room == 0 => reply.size(size),
        Ok((_, size)) if size > room => reply.error(Errno::ERANGE),
        Ok((value, _)) => reply.data(value),
        Err(error) => reply.error(errno::of(&error)),
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for flag in WANTED {
            if config.add_capabilities(flag).is_err() {
                tracing::debug!("the kernel does not know {flag:?}");
            }
        }
        let opens = InitFlags::FUSE_NO_OPEN_SUPPORT | InitFlags::FUSE_NO_OPENDIR_SUPPORT;
        self.kernel_opens = config.capabilities().contains(opens);
        config
            .set_max_background(MAX_BACKGROUND)
            .map_err(|nearest| io::Error::other(format!("not above {nearest}")))?;
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (directory, name) = (parent.0, name.as_bytes());
        match self.files(parent) {
            Ok(files) if files.is_awaited_at(directory, name) => {
                self.readers.put_off(Task::Lookup { directory, name: name.into(), reply });
            }
            Ok(files) if files.is_made_at(directory, name) => readers::entry(&files, directory, name, reply),
            Ok(_) => self.readers.hand(Task::Lookup { directory, name: name.into(), reply }),
            Err(error) => reply.error(errno::of(&error)),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.files(ino) {
            Ok(files) if files.is_awaited(ino.0) => self.readers.put_off(Task::Attributes { inode: ino.0, reply }),
            Ok(files) if files.is_made(ino.0) => readers::attributes(&files, ino.0, reply),
            Ok(_) => self.readers.hand(Task::Attributes { inode: ino.0, reply }),
            Err(error) => reply.error(errno::of(&error)),
        }
    }

    fn forget(&self, _: &Request, ino: INodeNo, entries: u64) {
        self.generations.forget(ino.0, entries);
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.files(ino).as_ref().map_err(Clone::clone).and_then(|files| files.link_target(ino.0)) {
            Ok(target) => reply.data(target),
            Err(error) => reply.error(errno::of(&error)),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.open_any(reply, FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.open_any(reply, FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = Read { inode: ino.0, offset, size };
        let cached = !host::is_past_cache(flags.0);
        let behind = if cached { self.ahead.note(&read) } else { 0 };
        self.readers.read(read, behind, reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let Some(files) = self.generations.of_listing(ino.0, offset) else { return reply.error(Errno::ENOENT) };
        let entries = match files.list(ino.0, offset) {
            Ok(entries) => entries,
            Err(error) => return reply.error(errno::of(&error)),
        };
        for entry in entries {
            let kind = attr::kind(entry.attributes.metadata.kind);
            if reply.add(INodeNo(entry.attributes.inode), entry.next, kind, OsStr::from_bytes(entry.name)) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let Some(files) = self.generations.of_listing(ino.0, offset) else { return reply.error(Errno::ENOENT) };
        let entries = match files.list(ino.0, offset) {
            Ok(entries) => entries,
            Err(error) => return reply.error(errno::of(&error)),
        };
        let generation = Generation(files.generation().into());
        for entry in entries {
            let (attributes, name) = (attr::of(&entry.attributes), OsStr::from_bytes(entry.name));
            let lifetime = attr::lifetime(&entry.attributes).min(attr::lifetime_of_names(&files, ino.0));
            if reply.add(attributes.ino, entry.next, name, &lifetime, &attributes, generation) {
                break;
            }
            // The kernel keeps no entry of these two.
            if ![&b"."[..], b".."].contains(&entry.name) {
                files.give(entry.attributes.inode, ino.0);
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let (bytes, files) = self.generations.shown().totals();
        reply.statfs(bytes.div_ceil(u64::from(BLOCK)), 0, 0, files, 0, BLOCK, NAME_MAX, BLOCK);
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match self.files(ino) {
            // The kernel never asks again, so this is said only where no other files can have any.
            Ok(files) if !files.has_xattrs() && !self.generations.can_change() => reply.error(Errno::ENOSYS),
            Ok(files) => send_xattr(files.xattr(ino.0, name.as_bytes()), size, reply),
            Err(error) => reply.error(errno::of(&error)),
        }
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.files(ino).and_then(|files| files.xattr_names(ino.0));
        send_xattr(names.as_deref().map_err(Clone::clone), size, reply);
    }

    fn lseek(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let found = match (u64::try_from(offset), whence) {
            (Err(_), _) => Err(FileError::PastEnd),
            (Ok(offset), WHENCE_DATA) => self.files(ino).and_then(|files| files.data_at(ino.0, offset)),
            (Ok(offset), WHENCE_HOLE) => self.files(ino).and_then(|files| files.hole_at(ino.0, offset)),
            (Ok(_), _) => Err(FileError::WrongType),
        };
        match found.map(|at| i64::try_from(at).unwrap_or(i64::MAX)) {
            Ok(at) => reply.offset(at),
            Err(error) => reply.error(errno::of(&error)),
        }
    }

    // Told once that we know none of these, the kernel answers them by itself from then on.

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }
}

/// `SEEK_DATA` and `SEEK_HOLE` of Linux's lseek(2).
const WHENCE_DATA: i32 = 3;
const WHENCE_HOLE: i32 = 4;
