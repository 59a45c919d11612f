//! What a file is apart from its name and content: the inode fields that tar, trees and file systems share.

/// The type of a file (the `S_IFMT` part of `st_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A Unix socket; no layer holds one, a tree may.
    Socket,
}

impl FileKind {
    /// The `S_IFMT` bits of `st_mode`, the same in newc, squashfs, EROFS and Rock Ridge.
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::Fifo => 0o010_000,
            Self::CharDevice => 0o020_000,
            Self::Directory => 0o040_000,
            Self::BlockDevice => 0o060_000,
            Self::File => 0o100_000,
            Self::Symlink => 0o120_000,
            Self::Socket => 0o140_000,
        }
    }
}

/// The inode fields that come with a name in a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The type of the file.
    pub kind: FileKind,
    /// Permission bits with setuid, setgid and sticky (the low 12 bits of `st_mode`).
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time in seconds since 1970, UTC.
    pub mtime: i64,
    /// Device numbers (major, minor); zero unless the file is a device.
    pub rdev: (u32, u32),
}

impl Metadata {
    /// LinuxKit's modification time of everything it generates: 2017-04-18 16:30:00 UTC.
    pub const GENERATED_MTIME: i64 = 1_492_533_000;

    /// A directory as LinuxKit generates one: 0755, root.
    pub const fn directory() -> Self {
        Self::generated(FileKind::Directory, 0o755)
    }

    /// A file as LinuxKit generates one: 0644, root.
    pub const fn file() -> Self {
        Self::generated(FileKind::File, 0o644)
    }

    /// A symbolic link as LinuxKit generates one.
    pub const fn symlink() -> Self {
        Self::generated(FileKind::Symlink, 0o777)
    }

    const fn generated(kind: FileKind, mode: u16) -> Self {
        Self { kind, mode, uid: 0, gid: 0, mtime: Self::GENERATED_MTIME, rdev: (0, 0) }
    }
}
