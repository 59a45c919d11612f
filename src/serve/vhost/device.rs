//! The device that a front end sees, and the threads that answer its rings.
//!
//! # Format
//! Virtual I/O Device (VIRTIO) 1.2, section 5.2: a block device that is only read, with several rings.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost_user_backend::{ShutdownHandle, VhostUserBackend, VringMutex, VringT as _};
use virtio_bindings::virtio_blk::{
    VIRTIO_BLK_F_BLK_SIZE, VIRTIO_BLK_F_FLUSH, VIRTIO_BLK_F_MQ, VIRTIO_BLK_F_RO, VIRTIO_BLK_F_SEG_MAX,
};
use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{Error as RingError, Queue, QueueOwnedT, QueueT};
use vm_memory::{GuestAddressSpace as _, GuestMemoryAtomic};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{EventConsumer, EventNotifier};
use zerocopy::byteorder::little_endian::{U16, U32, U64};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::chain::{Memory, Request};
use super::disk::Disk;
use super::end::End;
use super::handed::Handed;
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
    handed: Mutex<Arc<Handed>>,
    /// What hangs up on the front end, once it is there.
    connection: Mutex<Option<ShutdownHandle>>,
    end: End,
    is_told: AtomicBool,
}

impl Device {
    /// A device of a disk, in the memory that the front end will hand over.
    ///
    /// # Errors
    /// When the system has no room for its events.
    pub fn new(disk: Disk) -> io::Result<Self> {
        let (handed, connection) = (Mutex::default(), Mutex::default());
        Ok(Self { disk, handed, connection, end: End::new(RINGS)?, is_told: AtomicBool::new(false) })
    }

    /// Has everything that is being answered end soon, and then the threads: the front end has left.
    pub fn leave(&self) {
        self.disk.leave();
        self.end.come();
    }

    /// Takes what hangs up on the front end.
    pub fn connected(&self, handle: ShutdownHandle) {
        let mut connection = lock(&self.connection);
        // Its memory may be gone already.
        if self.disk.is_lost() {
            handle.shutdown();
        }
        *connection = Some(handle);
    }

    /// Ends the device of a front end whose memory is gone.
    fn cut_off(&self) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            let name = self.disk.name();
            let why = "memory that it handed over is gone: the file was shortened, or there are too few huge pages";
            tracing::warn!("a front end of `{name}` is cut off: {why}");
        }
        self.leave();
        lock(&self.connection).iter().for_each(ShutdownHandle::shutdown);
    }

    fn handed(&self) -> Arc<Handed> {
        lock(&self.handed).clone()
    }

    /// Does something with the queue of a ring, in the memory that is watched: the ring's own methods take any.
    fn in_queue<T>(&self, vring: &VringMutex, act: impl FnOnce(&mut Queue, &Memory) -> T) -> T {
        act(vring.get_mut().get_queue_mut(), self.handed().memory())
    }

    /// Answers what waits in a ring, until nothing more does.
    fn answer_all(&self, vring: &VringMutex) -> Result<(), RingError> {
        loop {
            self.in_queue(vring, Queue::disable_notification)?;
            while self.answer_one(vring)? {}
            if self.disk.is_left() || !self.in_queue(vring, Queue::enable_notification)? {
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
        let handed = self.handed();
        let is_answered = answer_next(ring.get_queue_mut(), handed.memory(), &self.disk)?;
        if is_answered && ring.get_queue_mut().needs_notification(handed.memory())? {
            // A front end that does not listen is one that leaves.
            let _ = ring.signal_used_queue();
        }
        Ok(is_answered)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Takes other memory. What cannot be watched is used by nobody: the rings' own methods have it already.
    fn update_memory(&self, shared: GuestMemoryAtomic<Memory>) -> io::Result<()> {
        let memory = Memory::clone(&shared.memory());
        let handed = Handed::new(memory, &self.handed(), self.disk.loss());
        let handed = handed.inspect_err(|_| {
            shared.lock().unwrap_or_else(PoisonError::into_inner).replace(Memory::new());
        })?;
        *lock(&self.handed) = Arc::new(handed);
        Ok(())
    }

    fn queues_per_thread(&self) -> Vec<u64> {
        (0..RINGS).map(|ring| 1 << ring).collect()
    }

    fn exit_event(&self, _: usize) -> Option<(EventConsumer, EventNotifier)> {
        self.end.of_a_thread()
    }

    fn handle_event(&self, event: u16, _: EventSet, vrings: &[VringMutex], _: usize) -> io::Result<()> {
        let Some(vring) = vrings.get(usize::from(event)) else { return Ok(()) };
        let answered = self.answer_all(vring);
        if self.disk.is_lost() {
            self.cut_off();
        }
        // Another ring, or this one when it is set up again, may be in order: the thread stays.
        if let Err(error) = answered
            && !self.is_told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!("a guest's ring for `{}` is not in order: {error}", self.disk.name());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vhost_user_backend::VhostUserDaemon;

    use super::*;
    use crate::extent::Zeros;

    #[test]
    fn the_event_that_ends_the_threads_is_closed_by_nobody_but_its_owner() {
        let device = Arc::new(Device::new(Disk::new("a", Arc::new(Zeros(512)))).unwrap());
        let event = device.end.id().unwrap();
        let memory = GuestMemoryAtomic::new(Memory::new());
        drop(VhostUserDaemon::new("test".to_owned(), device.clone(), memory).unwrap());
        assert_eq!(device.end.id(), Some(event));
        assert_eq!(Arc::strong_count(&device), 1, "the threads have ended");
    }
}
