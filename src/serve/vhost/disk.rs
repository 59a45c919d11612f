//! A disk that guests read: what each request of virtio-blk comes to.
//!
//! # Invariants
//! - Bytes go from the source straight into the buffers of the guest.
//! - A request that cannot be answered is an error of that request alone, whatever the reason: a range past the end, a buffer
//!   that is not there, a layer that cannot be read, a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_ID_BYTES, VIRTIO_BLK_S_IOERR, VIRTIO_BLK_S_OK, VIRTIO_BLK_S_UNSUPP, VIRTIO_BLK_T_FLUSH,
    VIRTIO_BLK_T_GET_ID, VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT,
};
use vm_memory::{Bytes as _, GuestMemory as _, Permissions, VolatileSlice};

use super::chain::{Buffer, Header, Memory, Request};
use crate::base::{SECTOR, in_line, in_memory};
use crate::extent::SharedSource;

/// Bytes that are read at a time: a guest may ask for 4 GiB at once, and may leave meanwhile.
const PIECE: usize = 1 << 20;

/// A disk, for one front end.
pub(super) struct Disk {
    name: String,
    source: SharedSource,
    /// Nobody waits for answers any more.
    is_left: AtomicBool,
    /// The memory that answers go to is gone.
    is_lost: Arc<AtomicBool>,
}

/// Why a request fails: a status of virtio-blk.
struct Failed(u32);

const IOERR: Failed = Failed(VIRTIO_BLK_S_IOERR);

impl Disk {
    /// The disk with these bytes; its name is what guests take for its serial number.
    pub fn new(name: impl Into<String>, source: SharedSource) -> Self {
        Self { name: name.into(), source, is_left: AtomicBool::new(false), is_lost: Arc::default() }
    }

    /// The name of its artifact.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Size in sectors; zeros fill the last one.
    pub fn sectors(&self) -> u64 {
        self.source.size().div_ceil(SECTOR)
    }

    /// Has requests that are being answered fail soon.
    pub fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits for answers any more.
    pub fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed) || self.is_lost()
    }

    /// Whether the memory that answers go to is gone.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    /// What is set when that memory is gone.
    pub fn loss(&self) -> &Arc<AtomicBool> {
        &self.is_lost
    }

    /// Answers a request; how many bytes were written to the guest's memory, as far as it may rely on them.
    pub fn answer(&self, memory: &Memory, request: &Request) -> u32 {
        let done = request.header.ok_or(IOERR).and_then(|header| self.execute(memory, header, &request.data));
        let (status, written) = match done {
            Ok(written) => (VIRTIO_BLK_S_OK, written),
            Err(Failed(status)) => (status, 0),
        };
        let status = u8::try_from(status).expect("a status is a byte");
        memory.write_obj(status, request.status).map_or(0, |()| written.saturating_add(1))
    }

    fn execute(&self, memory: &Memory, header: Header, data: &[Buffer]) -> Result<u32, Failed> {
        match header.kind {
            VIRTIO_BLK_T_IN => self.read(memory, header.sector, data),
            VIRTIO_BLK_T_GET_ID => self.identify(memory, data),
            // Nothing was written, so all of it is on the disk.
            VIRTIO_BLK_T_FLUSH => Ok(0),
            VIRTIO_BLK_T_OUT => Err(IOERR),
            _ => Err(Failed(VIRTIO_BLK_S_UNSUPP)),
        }
    }

    /// Fills buffers with sectors, one after another.
    fn read(&self, memory: &Memory, sector: u64, data: &[Buffer]) -> Result<u32, Failed> {
        let len: u64 = data.iter().map(|buffer| buffer.len as u64).sum();
        let end = sector.checked_add(len / SECTOR).filter(|end| *end <= self.sectors());
        end.filter(|_| len.is_multiple_of(SECTOR)).ok_or(IOERR)?;
        let mut at = sector * SECTOR;
        for buffer in data {
            let slices = memory.get_slices(buffer.address, buffer.len, Permissions::Write).map_err(|_| IOERR)?;
            for slice in slices {
                let slice = slice.map_err(|_| IOERR)?;
                for start in (0..slice.len()).step_by(PIECE) {
                    let piece = slice.subslice(start, PIECE.min(slice.len() - start)).map_err(|_| IOERR)?;
                    self.fill(&piece, at)?;
                    at += piece.len() as u64;
                }
            }
        }
        u32::try_from(len).map_err(|_| IOERR)
    }

    /// Fills a piece of a guest's memory with the bytes at an offset, and what lies behind the last byte with zeros.
    fn fill(&self, piece: &VolatileSlice<'_>, offset: u64) -> Result<(), Failed> {
        if self.is_left() {
            return Err(IOERR);
        }
        let guard = piece.ptr_guard_mut();
        // SAFETY: the piece is memory that is mapped for as long as `piece` is borrowed, and a byte has no wrong value.
        // The guest and other queues may write to it meanwhile; sources only write to what they fill, and decide
        // nothing by what they find there.
        let bytes = unsafe { std::slice::from_raw_parts_mut(guard.as_ptr(), piece.len()) };
        let there = in_memory(self.source.size().saturating_sub(offset).min(bytes.len() as u64));
        let (bytes, behind) = bytes.split_at_mut(there);
        behind.fill(0);
        match catch_unwind(AssertUnwindSafe(|| self.source.read_at(bytes, offset))) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => tracing::error!("cannot read `{}`: {}", self.name, in_line(&error)),
            Err(_) => tracing::error!("a read of `{}` panicked", self.name),
        }
        Err(IOERR)
    }

    /// Tells the serial number: the name, without what is too long, and zeros behind it.
    fn identify(&self, memory: &Memory, data: &[Buffer]) -> Result<u32, Failed> {
        let mut id = [0; VIRTIO_BLK_ID_BYTES as usize];
        id.iter_mut().zip(self.name.bytes()).for_each(|(to, from)| *to = from);
        let mut rest = &id[..];
        for buffer in data {
            let (head, behind) = rest.split_at(buffer.len.min(rest.len()));
            memory.write_slice(head, buffer.address).map_err(|_| IOERR)?;
            rest = behind;
        }
        if rest.is_empty() { Ok(VIRTIO_BLK_ID_BYTES) } else { Err(IOERR) }
    }
}
