//! Globally unique identifiers, made from a digest instead of chance so that equal specs give equal bytes.
//!
//! # Format
//! UEFI specification, appendix A (mixed-endian fields); RFC 9562 section 5.8 (version 8).

use crate::base::Digest;

/// A GUID; as a hexadecimal number it reads like its usual text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guid(pub u128);

impl Guid {
    /// The GUID that plays `role` in the artifact known by `seed`.
    pub fn derive(seed: &Digest, role: &str) -> Self {
        let digest = Digest::of(&[seed.as_bytes(), role.as_bytes()].concat());
        let number = u128::from_be_bytes(digest.as_bytes()[..16].try_into().expect("a digest has 32 bytes"));
        let (version, variant) = (0xf_u128 << 76, 0b11_u128 << 62);
        Self(number & !version & !variant | 8 << 76 | 0b10 << 62)
    }

    /// As partition tables and VHDX store it: the first three fields little-endian, the rest in order.
    pub fn to_mixed_endian(self) -> [u8; 16] {
        let mut bytes = self.to_big_endian();
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        bytes
    }

    /// As VHD stores it: in the order of the text form.
    pub const fn to_big_endian(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// A 32-bit identifier with the same origin, for a disk signature or a content id; never 0.
    pub fn short(self) -> u32 {
        let [a, b, c, d, ..] = self.to_big_endian();
        u32::from_be_bytes([a, b, c, d]).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_stored_with_its_first_three_fields_swapped() {
        let bytes = Guid(0xC12A7328_F81F_11D2_BA4B_00A0C93EC93B).to_mixed_endian();
        let stored = [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
        assert_eq!(bytes, stored);
    }

    #[test]
    fn a_guid_follows_from_seed_and_role() {
        let seed = Digest::of(b"spec");
        let guid = Guid::derive(&seed, "disk");
        assert_eq!(guid, Guid::derive(&seed, "disk"));
        assert_ne!(guid, Guid::derive(&seed, "esp"));
        let [.., g, _, i, _, _, _, _, _, _, _] = guid.to_big_endian();
        assert_eq!((g >> 4, i >> 6), (8, 2), "version and variant");
    }
}
