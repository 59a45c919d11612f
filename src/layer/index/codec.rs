//! How a blob is compressed.

/// How a blob is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Codec {
    /// Not at all.
    Plain = 0,
    /// gzip, perhaps of several members.
    Gzip = 1,
    /// Zstandard, perhaps of several frames.
    Zstd = 2,
}

impl Codec {
    /// The codec with this number in an index.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        [Self::Plain, Self::Gzip, Self::Zstd].into_iter().find(|codec| codec.number() == number)
    }

    /// Its number in an index.
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }

    /// The name in messages.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}
