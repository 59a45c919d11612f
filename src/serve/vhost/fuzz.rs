//! Fuzz target: a ring in the memory of a guest that writes anything there.

use std::sync::Arc;

use virtio_queue::{Queue, QueueT as _};
use vm_memory::{Bytes as _, GuestAddress};

use super::chain::Memory;
use super::device::answer_next;
use super::disk::Disk;
use crate::extent::Bytes;

/// Size of the memory in bytes, and where the ring's parts lie in it.
const SIZE: usize = 0x1_0000;
const AVAIL: u64 = 0x100;
const USED: u64 = 0x200;
/// Entries of the ring.
const ENTRIES: u16 = 16;
/// Answers may write to the ring, which then offers more; a driver has to stop, a target has, too.
const MOST: usize = 256;

/// The memory of a guest: its table of buffers at 0, what it offers at 256, what is answered at 512.
pub fn ring(data: &[u8]) {
    let memory = Memory::from_ranges(&[(GuestAddress(0), SIZE)]).expect("there is room for so little");
    let data = &data[..data.len().min(SIZE)];
    memory.write_slice(data, GuestAddress(0)).expect("it fits");
    let mut queue = Queue::new(ENTRIES).expect("a power of two");
    queue.try_set_avail_ring_address(GuestAddress(AVAIL)).expect("it is aligned");
    queue.try_set_used_ring_address(GuestAddress(USED)).expect("it is aligned");
    queue.set_ready(true);
    let disk = Disk::new("fuzzed", Arc::new(Bytes((0..5000).map(|at: u16| at.to_le_bytes()[0]).collect())));
    for _ in 0..MOST {
        if !matches!(answer_next(&mut queue, &memory, &disk), Ok(true)) {
            return;
        }
    }
}
