//! A request in a guest's memory: a chain of buffers, some to be read, then some to be filled.
//!
//! # Format
//! Virtual I/O Device (VIRTIO) 1.2, section 5.2.6: type (4 bytes), reserved (4), sector (8), little endian, in what is to be
//! read; data and a last byte for the status in what is to be filled. How these lie in buffers is up to the guest (2.7.4.1).
//!
//! # Invariants
//! Whatever a guest writes into its rings: a chain is followed to its end or given up after as many steps as its table has
//! entries, and at most [`MOST_BUFFERS`] buffers of it are kept.

use virtio_queue::DescriptorChain;
use vm_memory::{Address as _, Bytes as _, GuestAddress, GuestMemoryMmap};

/// The memory of a guest.
pub(super) type Memory = GuestMemoryMmap;

/// Bytes of the header of a request.
const HEADER: usize = 16;
/// Buffers with data that a request may have: far above what the device says it takes at most.
pub(super) const MOST_BUFFERS: usize = 1024;

/// A range of a guest's memory, which need not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Buffer {
    pub address: GuestAddress,
    pub len: usize,
}

/// A request, and the places its answer goes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// What is wanted; `None` for a request without a whole header, or with too many buffers.
    pub header: Option<Header>,
    /// Where data goes.
    pub data: Vec<Buffer>,
    /// Where the status goes.
    pub status: GuestAddress,
}

/// What a request wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: u32,
    pub sector: u64,
}

impl Request {
    /// The request of a chain; `None` where it has no place for a status: then nothing can be answered.
    pub fn of(chain: DescriptorChain<&Memory>) -> Option<Self> {
        let memory = chain.memory();
        let (mut header, mut data) = (Vec::with_capacity(HEADER), Vec::new());
        let mut last = None;
        let mut has_end = false;
        for descriptor in chain.clone() {
            let buffer = Buffer { address: descriptor.addr(), len: usize::try_from(descriptor.len()).ok()? };
            has_end = !descriptor.has_next();
            if buffer.len == 0 {
                continue;
            }
            if descriptor.is_write_only() {
                // What was last so far is data.
                data.extend(last.replace(buffer).filter(|_| data.len() <= MOST_BUFFERS));
            } else if last.is_some() {
                return None;
            } else {
                read_header(&mut header, memory, buffer)?;
            }
        }
        let last = last.filter(|_| has_end)?;
        let status = last.address.checked_add(u64::try_from(last.len - 1).ok()?)?;
        data.extend((last.len > 1).then_some(Buffer { len: last.len - 1, ..last }));
        let header = Header::of(&header).filter(|_| data.len() <= MOST_BUFFERS);
        Some(Self { header, data, status })
    }
}

/// Adds to the header what a buffer has of it; `None` where the buffer is not there.
fn read_header(header: &mut Vec<u8>, memory: &Memory, buffer: Buffer) -> Option<()> {
    let (start, len) = (header.len(), buffer.len.min(HEADER - header.len()));
    header.resize(start + len, 0);
    memory.read_slice(&mut header[start..], buffer.address).ok()
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk()?;
        let (_reserved, rest) = rest.split_first_chunk::<4>()?;
        Some(Self { kind: u32::from_le_bytes(*kind), sector: u64::from_le_bytes(*rest.first_chunk()?) })
    }
}
