//! Bytes that an index keeps packed by zstd, and that are taken into memory whole.

/// zstd's level: past it an index gets hardly smaller.
const LEVEL: i32 = 6;

/// Packs bytes.
pub(super) fn pack(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, LEVEL).expect("compressing to memory fails only without memory")
}

/// Unpacks what has `most` bytes at most; `None` when it is damaged or longer.
pub(super) fn unpack(packed: &[u8], most: u64) -> Option<Vec<u8>> {
    let size = zstd::zstd_safe::get_frame_content_size(packed).ok()??;
    if size > size_max(packed, most) {
        return None;
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size).ok()?).ok()?;
    zstd::bulk::Decompressor::new().ok()?.decompress_to_buffer(packed, &mut bytes).ok()?;
    Some(bytes)
}

/// Most bytes that these can unpack to, up to `most`. Whatever a frame claims, a block of zstd has four bytes at least, and
/// becomes 128 KiB at most (RFC 8878, section 3.1.1.2).
const fn size_max(packed: &[u8], most: u64) -> u64 {
    let by_blocks = (packed.len() as u64 / 4) << 17;
    if most < by_blocks { most } else { by_blocks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_no_longer_than_allowed_and_than_its_blocks_hold() {
        assert_eq!([500, u64::MAX].map(|most| size_max(&[0; 40], most)), [500, 10 * (128 << 10)]);
        let zeros = vec![0; 50 << 20];
        let packed = pack(&zeros);
        assert!(size_max(&packed, u64::MAX) >= 50 << 20, "{}", packed.len());
        assert!(unpack(&packed, 50 << 20).is_some_and(|bytes| bytes == zeros));
        assert_eq!(unpack(&packed, (50 << 20) - 1), None);
        assert_eq!(unpack(&packed[..packed.len() - 1], u64::MAX), None);
    }
}
