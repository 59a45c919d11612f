//! A file system of files full of zeros in folders, all made up: what FUSE and its library cost when nothing stands
//! behind.
//!
//! Inode 1 is the root, the folders follow, then the files folder by folder.

use std::ffi::OsStr;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo, InitFlags, KernelConfig,
    MountOption, ReplyAttr, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEntry, Request, Session,
};

use super::Outcome;

/// As long as lkit says.
const EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Bytes of a file.
const SIZE: u64 = 512 << 20;

struct Empty {
    folders: u64,
    files: u64,
}

/// Serves until it is unmounted.
pub(super) fn serve(dir: &str, folders: &str, files: &str) -> Outcome {
    let empty = Empty { folders: folders.parse()?, files: files.parse()? };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("empty".to_owned())];
    config.n_threads = Some(2);
    config.clone_fd = true;
    Session::new(empty, dir, &config)?.run()?;
    Ok(String::new())
}

impl Empty {
    fn attributes(&self, ino: u64) -> FileAttr {
        let folder = ino <= 1 + self.folders;
        let kind = if folder { FileType::Directory } else { FileType::RegularFile };
        FileAttr {
            ino: INodeNo(ino),
            size: if folder { 0 } else { SIZE },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: 0o755,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// How many entries a directory has, and the inode of its first.
    fn entries(&self, directory: u64) -> (u64, u64) {
        match directory {
            1 => (self.folders, 2),
            folder => (self.files, 2 + self.folders + (folder - 2) * self.files),
        }
    }

    /// Entries from the place that `offset` names: inode, next offset, name.
    fn list(&self, directory: u64, offset: u64) -> impl Iterator<Item = (u64, u64, String)> + use<> {
        let (count, first) = self.entries(directory);
        (offset..count).map(move |at| (first + at, at + 1, format!("{at:03}.txt")))
    }
}

impl Filesystem for Empty {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let wanted = InitFlags::FUSE_PARALLEL_DIROPS
            | InitFlags::FUSE_DO_READDIRPLUS
            | InitFlags::FUSE_READDIRPLUS_AUTO
            | InitFlags::FUSE_NO_OPEN_SUPPORT
            | InitFlags::FUSE_NO_OPENDIR_SUPPORT;
        config.add_capabilities(wanted).map_err(|missing| io::Error::other(format!("the kernel has no {missing:?}")))
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let number = name.to_str().and_then(|name| name.strip_suffix(".txt")).and_then(|name| name.parse().ok());
        let (count, first) = self.entries(parent.0);
        match number.filter(|number: &u64| *number < count) {
            Some(number) => reply.entry(&EVER, &self.attributes(first + number), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&EVER, &self.attributes(ino.0));
    }

    fn open(&self, _: &Request, _: INodeNo, _: fuser::OpenFlags, reply: fuser::ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: fuser::OpenFlags,
        _: Option<fuser::LockOwner>,
        reply: ReplyData,
    ) {
        let len = usize::try_from(SIZE.saturating_sub(offset).min(size.into())).expect("requests fit in memory");
        reply.data(&vec![0; len]);
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: fuser::OpenFlags, reply: fuser::ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        for (inode, next, name) in self.list(ino.0, offset) {
            if reply.add(INodeNo(inode), next, self.attributes(inode).kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        for (inode, next, name) in self.list(ino.0, offset) {
            if reply.add(INodeNo(inode), next, name, &EVER, &self.attributes(inode), Generation(0)) {
                break;
            }
        }
        reply.ok();
    }
}
