//! Content digests as the OCI image specification writes them (`sha256:` and 64 lower-case hex digits).

use std::fmt;
use std::io;
use std::str::FromStr;

use uuid::Uuid;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The digest of what is written to it.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        sha2::Digest::update(&mut self.0, bytes);
    }

    /// The digest of all that was written.
    pub fn finish(self) -> Digest {
        Digest(sha2::Digest::finalize(self.0).into())
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A text that is no digest lkit can verify.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseDigestError {
    /// A registered algorithm other than the one every registry uses.
    #[error("digest algorithm `{0}` is not supported, only `sha256`")]
    Algorithm(String),
    /// Not `algorithm:hex` with the right number of digits.
    #[error("`{0}` is not a digest")]
    Malformed(String),
}

impl Digest {
    /// A digest from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A UUID of the free form (RFC 9562, section 5.8) that derives from it.
    pub fn uuid(&self) -> Uuid {
        let (first, _) = self.0.split_first_chunk().expect("a digest has 32 bytes");
        uuid::Builder::from_custom_bytes(*first).into_uuid()
    }

    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(<sha2::Sha256 as sha2::Digest>::digest(bytes).into())
    }

    /// The 64 hex digits, which name the blob in a layout's `blobs/sha256` directory.
    pub fn hex(&self) -> String {
        base16ct::lower::encode_string(&self.0)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || ParseDigestError::Malformed(text.to_owned());
        let (algorithm, hex) = text.split_once(':').ok_or_else(malformed)?;
        if algorithm != "sha256" {
            return Err(ParseDigestError::Algorithm(algorithm.to_owned()));
        }
        let mut bytes = [0; 32];
        // Upper-case digits are refused: the specification's grammar has lower-case only.
        match base16ct::lower::decode(hex, &mut bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(bytes)),
            _ => Err(malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_back_as_it_is_written() {
        let digest = Digest::of(b"");
        assert_eq!(digest.to_string(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn a_uuid_of_a_digest_has_its_version() {
        assert_eq!(Digest::of(b"").uuid().to_string(), "e3b0c442-98fc-8c14-9afb-f4c8996fb924");
    }

    #[test]
    fn a_digest_of_pieces_is_that_of_the_whole() {
        use io::Write as _;
        let mut hasher = Hasher::default();
        [&b"lk"[..], b"", b"it"].into_iter().for_each(|piece| hasher.write_all(piece).unwrap());
        assert_eq!(hasher.finish(), Digest::of(b"lkit"));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let long = format!("sha256:{}", "A".repeat(64));
        for text in ["", "sha256", "sha256:00", long.as_str(), "sha256:é"] {
            assert_eq!(text.parse::<Digest>(), Err(ParseDigestError::Malformed(text.to_owned())));
        }
        assert_eq!("sha512:00".parse::<Digest>(), Err(ParseDigestError::Algorithm("sha512".to_owned())));
    }
}
