//! Requests for bytes, and memory to answer them from.

/// Bytes of a page, or of several.
const PAGE: usize = 4096;

/// A range that is asked for.
pub(super) struct Read {
    pub(super) inode: u64,
    pub(super) offset: u64,
    /// In bytes; what goes beyond the end of the file is left out of the answer.
    pub(super) size: u32,
}

/// The first `len` bytes of a page and those behind it: out of whole pages the kernel fills each page of its cache in one
/// go, else in two.
pub(super) fn paged(buf: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buf.len() < len + PAGE {
        buf.resize(len + PAGE, 0);
    }
    let start = buf.as_ptr().align_offset(PAGE);
    &mut buf[start..start + len]
}
