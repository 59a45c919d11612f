//! Numbers and messages of the protocol, in network byte order.
//!
//! # Format
//! doc/proto.md of the NBD project; each name is that of the document without `NBD_`.

/// `NBDMAGIC`, with which the server begins.
pub(super) const INIT_MAGIC: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`: the newstyle negotiation, and each option of it.
pub(super) const OPTION_MAGIC: u64 = 0x4948_4156_454f_5054;
/// Begins the reply to an option.
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
/// Begins a request.
pub(super) const REQUEST_MAGIC: u32 = 0x2560_9513;
/// Begins a simple reply.
const SIMPLE_REPLY_MAGIC: u32 = 0x6744_6698;
/// Begins a chunk of a structured reply.
const CHUNK_MAGIC: u32 = 0x668e_33ef;

/// Flags of the handshake, of server and client alike.
pub(super) const FIXED_NEWSTYLE: u16 = 1;
pub(super) const NO_ZEROES: u16 = 2;

/// Transmission flags: what an export can do. It is only read, all connections see the same, and has no cache to flush.
pub(super) const EXPORT_FLAGS: u16 = 1 | 1 << 1 | 1 << 2 | 1 << 8 | 1 << 10;
/// It can reply in one chunk, where it replies in chunks.
pub(super) const SEND_DF: u16 = 1 << 7;

/// Options.
pub(super) mod option {
    pub(in super::super) const EXPORT_NAME: u32 = 1;
    pub(in super::super) const ABORT: u32 = 2;
    pub(in super::super) const LIST: u32 = 3;
    pub(in super::super) const STARTTLS: u32 = 5;
    pub(in super::super) const INFO: u32 = 6;
    pub(in super::super) const GO: u32 = 7;
    pub(in super::super) const STRUCTURED_REPLY: u32 = 8;
    pub(in super::super) const LIST_META_CONTEXT: u32 = 9;
    pub(in super::super) const SET_META_CONTEXT: u32 = 10;
}

/// Replies to options.
pub(super) mod reply {
    pub(in super::super) const ACK: u32 = 1;
    pub(in super::super) const SERVER: u32 = 2;
    pub(in super::super) const INFO: u32 = 3;
    pub(in super::super) const META_CONTEXT: u32 = 4;
    const ERROR: u32 = 1 << 31;
    pub(in super::super) const ERR_UNSUP: u32 = ERROR | 1;
    pub(in super::super) const ERR_POLICY: u32 = ERROR | 2;
    pub(in super::super) const ERR_INVALID: u32 = ERROR | 3;
    pub(in super::super) const ERR_TLS_REQD: u32 = ERROR | 5;
    pub(in super::super) const ERR_UNKNOWN: u32 = ERROR | 6;
    pub(in super::super) const ERR_TOO_BIG: u32 = ERROR | 9;
}

/// What a client asks about an export.
pub(super) mod info {
    pub(in super::super) const EXPORT: u16 = 0;
    pub(in super::super) const NAME: u16 = 1;
    pub(in super::super) const BLOCK_SIZE: u16 = 3;
}

/// Requests.
pub(super) mod command {
    pub(in super::super) const READ: u16 = 0;
    pub(in super::super) const WRITE: u16 = 1;
    pub(in super::super) const DISC: u16 = 2;
    pub(in super::super) const FLUSH: u16 = 3;
    pub(in super::super) const TRIM: u16 = 4;
    pub(in super::super) const CACHE: u16 = 5;
    pub(in super::super) const WRITE_ZEROES: u16 = 6;
    pub(in super::super) const BLOCK_STATUS: u16 = 7;
}

/// Flags of requests: the whole answer in one chunk, and one extent alone.
pub(super) const DF: u16 = 1 << 2;
pub(super) const REQ_ONE: u16 = 1 << 3;

/// Chunks of structured replies.
pub(super) mod chunk {
    pub(in super::super) const NONE: u16 = 0;
    pub(in super::super) const OFFSET_DATA: u16 = 1;
    pub(in super::super) const OFFSET_HOLE: u16 = 2;
    pub(in super::super) const BLOCK_STATUS: u16 = 5;
    pub(in super::super) const ERROR: u16 = 1 << 15 | 1;
    pub(in super::super) const ERROR_OFFSET: u16 = 1 << 15 | 2;
}

/// Errors of requests.
pub(super) mod error {
    pub(in super::super) const EPERM: u32 = 1;
    pub(in super::super) const EIO: u32 = 5;
    pub(in super::super) const EINVAL: u32 = 22;
    pub(in super::super) const EOVERFLOW: u32 = 75;
}

/// Bytes of an option before its data.
pub(super) const OPTION_HEADER: usize = 16;
/// Bytes of a request before its data.
pub(super) const REQUEST: usize = 28;
/// Bytes of a simple reply before its data.
pub(super) const SIMPLE_HEADER: usize = 16;
/// Bytes of a chunk before its payload.
pub(super) const CHUNK_HEADER: usize = 20;

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) flags: u16,
    pub(super) command: u16,
    pub(super) cookie: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
}

impl Request {
    /// The request in these bytes; `None` when they are none.
    pub(super) fn parse(bytes: &[u8; REQUEST]) -> Option<Self> {
        let mut fields = Fields(bytes);
        (fields.u32()? == REQUEST_MAGIC).then_some(())?;
        let (flags, command) = (fields.u16()?, fields.u16()?);
        let (cookie, offset, length) = (fields.u64()?, fields.u64()?, fields.u32()?);
        Some(Self { flags, command, cookie, offset, length })
    }

    /// Behind the last byte that is asked for, if that is in an export of `size` bytes.
    pub(super) fn end(&self, size: u64) -> Option<u64> {
        self.offset.checked_add(self.length.into()).filter(|end| *end <= size && self.length > 0)
    }
}

/// Takes fields off bytes; `None` when there are too few.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// A text behind its length.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(usize::try_from(len).ok()?)
    }
}

/// The reply to an option.
pub(super) fn option_reply(option: u32, reply: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = OPTION_REPLY_MAGIC.to_be_bytes().to_vec();
    bytes.extend(option.to_be_bytes());
    bytes.extend(reply.to_be_bytes());
    bytes.extend(length(data.len()).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// A simple reply before its data.
pub(super) fn simple_reply(cookie: u64, error: u32) -> [u8; SIMPLE_HEADER] {
    let mut bytes = [0; SIMPLE_HEADER];
    bytes[..4].copy_from_slice(&SIMPLE_REPLY_MAGIC.to_be_bytes());
    bytes[4..8].copy_from_slice(&error.to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// The header of a chunk with this many bytes behind it.
pub(super) fn chunk_header(cookie: u64, kind: u16, is_last: bool, payload: usize) -> [u8; CHUNK_HEADER] {
    let mut bytes = [0; CHUNK_HEADER];
    bytes[..4].copy_from_slice(&CHUNK_MAGIC.to_be_bytes());
    bytes[4..6].copy_from_slice(&u16::from(is_last).to_be_bytes());
    bytes[6..8].copy_from_slice(&kind.to_be_bytes());
    bytes[8..16].copy_from_slice(&cookie.to_be_bytes());
    bytes[16..].copy_from_slice(&length(payload).to_be_bytes());
    bytes
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("messages are far shorter than 4 GiB")
}

/// The longest part of a text that a message may carry.
pub(super) fn bounded(text: &str) -> &str {
    /// Bytes of a string, at most ("Conventions").
    const LONGEST: usize = 4096;
    &text[..text.floor_char_boundary(LONGEST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_28_bytes_behind_its_magic() {
        let mut bytes = [0; REQUEST];
        bytes[..4].copy_from_slice(&REQUEST_MAGIC.to_be_bytes());
        bytes[5] = 4;
        bytes[7] = 7;
        bytes[15] = 1;
        bytes[22] = 2;
        bytes[27] = 3;
        let request = Request { flags: DF, command: 7, cookie: 1, offset: 512, length: 3 };
        assert_eq!(Request::parse(&bytes), Some(request));
        assert_eq!((request.end(515), request.end(514)), (Some(515), None));
        let last = Request { offset: u64::MAX, ..request };
        assert_eq!((last.end(u64::MAX), Request { length: 0, ..request }.end(515)), (None, None));
        bytes[0] = 0;
        assert_eq!(Request::parse(&bytes), None);
    }

    #[test]
    fn fields_never_leave_their_bytes() {
        let mut fields = Fields(&[0, 0, 0, 2, 7, 8, 9]);
        assert_eq!((fields.text(), fields.u16(), fields.u64()), (Some([7, 8].as_slice()), None, None));
        assert_eq!(Fields(&[0xff; 4]).text(), None);
        assert_eq!(bounded(&"é".repeat(3000)).len(), 4096);
    }
}
