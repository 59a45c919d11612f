//! The device that a front end sees, and the threads that answer its rings.
//!
//! # Format
//! Virtual I/O Device (VIRTIO) 1.2, section 5.2: a block device that is only read, with several rings.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{VhostUserBackend, VringMutex, VringT as _};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{Error as RingError, QueueOwnedT, QueueT};
use vm_memory::{GuestAddressSpace as _, GuestMemoryAtomic};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::chain::{Memory, Request};
use super::disk::Disk;
use crate::base::SECTOR;

/// Rings, each answered by its own thread. Monitors take one for each processor of the guest, as far as they go.
const RINGS: usize = 16;
/// Entries that a ring may have.
const LONGEST_RING: usize = 1024;
/// Buffers with data in a request: what fits into the shortest usual ring, of 128 entries, with header and status.
const SEGMENTS: u32 = 126;

/// `struct virtio_blk_config` (section 5.2.4), as far as this device has it.
#[derive(FromZeros, Immutable, IntoBytes)]
#[repr(C)]
struct Config {
    capacity: U64,
    size_max: U32,
    seg_max: U32,
    geometry: U32,
    blk_size: U32,
    topology: U64,
    writeback: u8,
    unused: u8,
    num_queues: U16,
}

const _: () = assert!(size_of::<Config>() == 36);

/// A disk as a front end sees it.
pub(super) struct Device {
    disk: Disk,
    memory: GuestMemoryAtomic<Memory>,
    is_told: AtomicBool,
}

impl Device {
    /// A device of a disk, in the memory that the front end will name.
    pub fn new(disk: Disk, memory: GuestMemoryAtomic<Memory>) -> Self {
        Self { disk, memory, is_told: AtomicBool::new(false) }
    }

    /// Has everything that is being answered end soon: the front end has left.
    pub fn leave(&self) {
        self.disk.leave();
    }

    /// Answers what waits in a ring, until nothing more does.
    fn answer_all(&self, vring: &VringMutex) -> Result<(), RingError> {
        loop {
            vring.disable_notification()?;
            while self.answer_one(vring)? {}
            if self.disk.is_left() || !vring.enable_notification()? {
                return Ok(());
            }
        }
    }

    /// Answers one request, if one waits. The ring is locked meanwhile, so who resets it waits for the answer.
    fn answer_one(&self, vring: &VringMutex) -> Result<bool, RingError> {
        let mut ring = vring.get_mut();
        if self.disk.is_left() || !ring.get_queue().ready() {
            return Ok(false);
        }
        let is_answered = answer_next(ring.get_queue_mut(), &self.memory.memory(), &self.disk)?;
        if is_answered && ring.needs_notification()? {
            // A front end that does not listen is one that leaves.
            let _ = ring.signal_used_queue();
        }
        Ok(is_answered)
    }
}

/// Answers the next request of a ring; whether there was one.
///
/// # Errors
/// When the ring makes no sense.
pub(super) fn answer_next<Q: QueueT + QueueOwnedT>(
    queue: &mut Q,
    memory: &Memory,
    disk: &Disk,
) -> Result<bool, RingError> {
    let Some(chain) = queue.iter(memory)?.next() else { return Ok(false) };
    let head = chain.head_index();
    let written = Request::of(chain).map_or(0, |request| disk.answer(memory, &request));
    queue.add_used(memory, head, written)?;
    Ok(true)
}

impl VhostUserBackend for Device {
    type Bitmap = ();
    type Vring = VringMutex;

    fn num_queues(&self) -> usize {
        RINGS
    }

    fn max_queue_size(&self) -> usize {
        LONGEST_RING
    }

    fn features(&self) -> u64 {
        let bits = [
            VIRTIO_F_VERSION_1,
            VIRTIO_RING_F_INDIRECT_DESC,
            VIRTIO_RING_F_EVENT_IDX,
            VIRTIO_BLK_F_SEG_MAX,
            VIRTIO_BLK_F_RO,
            VIRTIO_BLK_F_BLK_SIZE,
            VIRTIO_BLK_F_FLUSH,
            VIRTIO_BLK_F_MQ,
        ];
        bits.iter().fold(VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits(), |all, bit| all | 1 << bit)
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
            | VhostUserProtocolFeatures::CONFIGURE_MEM_SLOTS
            | VhostUserProtocolFeatures::RESET_DEVICE
    }

    /// Each ring keeps this itself.
    fn set_event_idx(&self, _: bool) {}

    /// Zeros follow what this device has of it.
    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let config = Config {
            capacity: self.disk.sectors().into(),
            seg_max: SEGMENTS.into(),
            blk_size: u32::try_from(SECTOR).expect("a sector is small").into(),
            num_queues: u16::try_from(RINGS).expect("there are few").into(),
            ..Config::new_zeroed()
        };
        let bytes = config.as_bytes().iter().copied().chain(std::iter::repeat(0));
        let place = |number| usize::try_from(number).expect("memory has more than 4 GiB of places");
        bytes.skip(place(offset)).take(place(size)).collect()
    }

    /// The memory is shared with the rings already.
    fn update_memory(&self, _: GuestMemoryAtomic<Memory>) -> io::Result<()> {
        Ok(())
    }

    fn queues_per_thread(&self) -> Vec<u64> {
        (0..RINGS).map(|ring| 1 << ring).collect()
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        new_event_consumer_and_notifier(EventFlag::NONBLOCK | EventFlag::CLOEXEC).ok()
    }

    fn handle_event(&self, event: u16, _: EventSet, vrings: &[VringMutex], _: usize) -> io::Result<()> {
        let Some(vring) = vrings.get(usize::from(event)) else { return Ok(()) };
        // Another ring, or this one when it is set up again, may be in order: the thread stays.
        if let Err(error) = self.answer_all(vring)
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("a guest's ring for `{}` is not in order: {error}", self.disk.name());
        }
        Ok(())
    }
}
