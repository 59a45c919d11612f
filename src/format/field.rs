//! Fields of on-disk structures.

/// Bytes as a field of a fixed size holds them: cut to it, or with `fill` up to its end.
pub(super) fn padded<const N: usize>(bytes: &[u8], fill: u8) -> [u8; N] {
    let mut field = [fill; N];
    let len = bytes.len().min(N);
    field[..len].copy_from_slice(&bytes[..len]);
    field
}

/// The sum of all bytes, as VHD and tar checksums want it.
pub(super) fn byte_sum(structure: &[u8]) -> u32 {
    structure.iter().fold(0, |sum: u32, byte| sum.wrapping_add(u32::from(*byte)))
}
