//! Globally unique identifiers, made from a digest instead of chance so that equal specs give equal bytes.
//!
//! # Format
//! UEFI specification, appendix A: on disks the first three fields are little-endian, which is [`Guid::to_bytes_le`].

use crate::base::Digest;

/// A GUID, which is what Microsoft and UEFI call a UUID.
pub use uuid::Uuid as Guid;

/// The GUID that plays `role` in the artifact known by `seed`.
pub fn derived_guid(seed: &Digest, role: &str) -> Guid {
    Digest::of(&[seed.as_bytes(), role.as_bytes()].concat()).uuid()
}

/// A 32-bit identifier with the same origin, for a disk signature or a content id; never 0.
pub fn derived_id(seed: &Digest, role: &str) -> u32 {
    let [a, b, c, d, ..] = derived_guid(seed, role).into_bytes();
    u32::from_be_bytes([a, b, c, d]).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_stored_with_its_first_three_fields_swapped() {
        let bytes = Guid::from_u128(0xC12A7328_F81F_11D2_BA4B_00A0C93EC93B).to_bytes_le();
        let stored = [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
        assert_eq!(bytes, stored);
    }

    #[test]
    fn a_guid_follows_from_seed_and_role() {
        let seed = Digest::of(b"spec");
        let guid = derived_guid(&seed, "disk");
        assert_eq!(guid, derived_guid(&seed, "disk"));
        assert_ne!(guid, derived_guid(&seed, "esp"));
        assert_eq!((guid.get_version_num(), guid.get_variant()), (8, uuid::Variant::RFC4122));
        assert_eq!(derived_id(&seed, "disk"), u32::try_from(guid.as_u128() >> 96).unwrap());
    }
}
