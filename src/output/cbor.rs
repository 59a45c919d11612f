//! The little CBOR that a signed image for an enclave needs.
//!
//! # Format
//! RFC 8949, section 3; integers in their shortest form.

/// A data item being written.
#[derive(Default)]
pub(super) struct Cbor(pub Vec<u8>);

/// The major types.
#[derive(Clone, Copy)]
pub(super) enum Major {
    Unsigned = 0,
    Bytes = 2,
    Text = 3,
    Array = 4,
    Map = 5,
}

impl Cbor {
    /// The head of an item: its type, and its value or length.
    pub fn head(mut self, major: Major, value: u64) -> Self {
        let major = (major as u8) << 5;
        let bytes = value.to_be_bytes();
        let (code, width) = match value {
            0..24 => (bytes[7], 0),
            24..0x100 => (24, 1),
            0x100..0x1_0000 => (25, 2),
            0x1_0000..0x1_0000_0000 => (26, 4),
            _ => (27, 8),
        };
        self.0.push(major | code);
        self.0.extend_from_slice(&bytes[bytes.len() - width..]);
        self
    }

    /// A text.
    pub fn text(mut self, text: &str) -> Self {
        self = self.head(Major::Text, text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    /// A string of bytes.
    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self = self.head(Major::Bytes, bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Bytes as an array of numbers, which is what serde makes of a list of them.
    pub fn numbers(self, bytes: &[u8]) -> Self {
        let array = self.head(Major::Array, bytes.len() as u64);
        bytes.iter().fold(array, |array, byte| array.head(Major::Unsigned, u64::from(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_as_short_as_they_can_be() {
        let head = |value| Cbor::default().head(Major::Unsigned, value).0;
        // RFC 8949, appendix A.
        assert_eq!(head(23), [0x17]);
        assert_eq!(head(24), [0x18, 24]);
        assert_eq!(head(1000), [0x19, 0x03, 0xe8]);
        assert_eq!(head(1_000_000), [0x1a, 0, 0x0f, 0x42, 0x40]);
        assert_eq!(head(1_000_000_000_000), [0x1b, 0, 0, 0, 0xe8, 0xd4, 0xa5, 0x10, 0]);
        assert_eq!(Cbor::default().text("IETF").bytes(&[1, 2]).0, *b"\x64IETF\x42\x01\x02");
        assert_eq!(Cbor::default().numbers(&[1, 200]).0, [0x82, 1, 0x18, 200]);
    }
}
