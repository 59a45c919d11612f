//! Attributes in the words of the FUSE protocol.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

use super::generations::Held;
use crate::base::FileKind;
use crate::serve::Attributes;

/// How long the kernel may believe what does not change: for as long as it lives.
const EVER: Duration = Duration::from_secs(365 * 24 * 3600);
/// The unit that `st_blocks` counts in.
const BLOCK: u64 = 512;

/// How long the kernel may keep these attributes.
pub(super) fn lifetime(attributes: &Attributes) -> Duration {
    if attributes.exact { EVER } else { Duration::ZERO }
}

/// How long the kernel may believe what the names of a directory stand for, and that there are no others. It asks again
/// each time where that can change, so that all names stand for other files at the same moment.
pub(super) fn lifetime_of_names(files: &Held<'_>, directory: u64) -> Duration {
    if files.can_change(directory) { Duration::ZERO } else { EVER }
}

/// Attributes as a reply has them.
pub(super) fn of(attributes: &Attributes) -> FileAttr {
    let Attributes { inode, size, data, nlink, metadata, .. } = *attributes;
    let time = time(metadata.mtime);
    FileAttr {
        ino: INodeNo(inode),
        size,
        blocks: data.div_ceil(BLOCK),
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: kind(metadata.kind),
        perm: metadata.mode,
        nlink,
        uid: metadata.uid,
        gid: metadata.gid,
        rdev: device(metadata.rdev),
        blksize: 4096,
        flags: 0,
    }
}

/// What stands for "no such file, and believe it": an entry without an inode.
pub(super) fn absent() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

/// The type of a file.
pub(super) const fn kind(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::CharDevice => FileType::CharDevice,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
    }
}

fn time(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// Device numbers as the kernel packs them into 32 bits (`new_encode_dev` in `linux/kdev_t.h`).
const fn device((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & 0xf_ff00) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_packed_as_the_kernel_packs_them() {
        for (pair, packed) in [((0, 0), 0), ((1, 3), 0x103), ((8, 0x100), 0x10_0800), ((0xfff, 0xf_ffff), 0xffff_ffff)]
        {
            assert_eq!(device(pair), packed, "{pair:?}");
        }
    }

    #[test]
    fn times_before_1970_and_beyond_reason_do_not_fail() {
        assert_eq!(time(-1), UNIX_EPOCH - Duration::from_secs(1));
        assert!(time(i64::MIN) <= UNIX_EPOCH && time(i64::MAX) >= UNIX_EPOCH);
    }
}
