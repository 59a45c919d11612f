//! Guests in memory: rings as drivers fill them, and as nobody should.

use std::sync::Arc;

use proptest::prelude::*;
use virtio_queue::{Queue, QueueT as _};
use vm_memory::{Bytes as _, GuestAddress};

use super::chain::{MOST_BUFFERS, Memory};
use super::device::answer_next;
use super::disk::Disk;
use crate::base::{ErrorKind, SECTOR};
use crate::extent::{Bytes, ReadError, SharedSource, Source};

const SIZE: u64 = 1 << 20;
const AVAIL: u64 = 0x1_0000;
const USED: u64 = 0x2_0000;
const HEADER: u64 = 0x3_0000;
const STATUS: u64 = 0x3_8000;
const DATA: u64 = 0x4_0000;
const NOTHING: u8 = 0xaa;
/// Flags of descriptors (VIRTIO 1.2, section 2.7.5).
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

const IN: u32 = 0;
const OUT: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
const DISCARD: u32 = 11;
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

/// A guest with one ring, and the disk it talks to.
struct Guest {
    memory: Memory,
    queue: Queue,
    disk: Disk,
    asked: u16,
}

/// Address, length, flags, next.
type Descriptor = (u64, u32, u16, u16);

/// Sectors whose bytes are their number, and 100 bytes behind the last.
fn source() -> SharedSource {
    let sectors = (0..8u8).flat_map(|sector| vec![sector + 1; 512]);
    Arc::new(Bytes(sectors.chain(vec![9; 100]).collect()))
}

impl Guest {
    fn new() -> Self {
        Self::with(source(), 16)
    }

    fn with(source: SharedSource, entries: u16) -> Self {
        let memory = Memory::from_ranges(&[(GuestAddress(0), usize::try_from(SIZE).unwrap())]).unwrap();
        memory.write_slice(&vec![NOTHING; 1 << 19], GuestAddress(HEADER)).unwrap();
        let mut queue = Queue::new(1024).unwrap();
        queue.set_size(entries);
        queue.try_set_desc_table_address(GuestAddress(0)).unwrap();
        queue.try_set_avail_ring_address(GuestAddress(AVAIL)).unwrap();
        queue.try_set_used_ring_address(GuestAddress(USED)).unwrap();
        queue.set_ready(true);
        Self { memory, queue, disk: Disk::new("a-name-longer-than-serial-numbers", source), asked: 0 }
    }

    fn put(&self, address: u64, bytes: &[u8]) {
        self.memory.write_slice(bytes, GuestAddress(address)).unwrap();
    }

    fn bytes(&self, address: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory.read_slice(&mut bytes, GuestAddress(address)).unwrap();
        bytes
    }

    fn table(&self, address: u64, descriptors: &[Descriptor]) {
        for (at, (buffer, len, flags, next)) in descriptors.iter().enumerate() {
            let entry = [&buffer.to_le_bytes()[..], &len.to_le_bytes(), &flags.to_le_bytes(), &next.to_le_bytes()];
            self.put(address + 16 * at as u64, &entry.concat());
        }
    }

    fn header(&self, kind: u32, sector: u64) {
        self.put(HEADER, &[&kind.to_le_bytes()[..], &[0; 4], &sector.to_le_bytes()].concat());
    }

    /// Offers the chain that begins at entry 0, and has it answered: the bytes that the ring says were written, and the
    /// status byte.
    fn offer(&mut self) -> (u32, u8) {
        let entries = u64::from(self.queue.size());
        self.put(AVAIL + 4 + 2 * (u64::from(self.asked) % entries), &0u16.to_le_bytes());
        self.asked += 1;
        self.put(AVAIL + 2, &self.asked.to_le_bytes());
        assert!(answer_next(&mut self.queue, &self.memory, &self.disk).unwrap());
        let used = USED + 4 + 8 * (u64::from(self.asked - 1) % entries) + 4;
        let len = u32::from_le_bytes(self.bytes(used, 4).try_into().unwrap());
        (len, self.bytes(STATUS, 1)[0])
    }

    /// Asks for something with one buffer for data.
    fn ask(&mut self, kind: u32, sector: u64, data: Descriptor) -> (u32, u8) {
        self.header(kind, sector);
        self.put(STATUS, &[NOTHING]);
        self.table(0, &[(HEADER, 16, NEXT, 1), (data.0, data.1, data.2 | NEXT, 2), (STATUS, 1, WRITE, 0)]);
        self.offer()
    }
}

#[test]
fn sectors_are_read_into_the_memory_of_the_guest() {
    let mut guest = Guest::new();
    assert_eq!(guest.ask(IN, 2, (DATA, 1024, WRITE, 0)), (1025, OK));
    assert_eq!(guest.bytes(DATA, 1025), [vec![3; 512], vec![4; 512], vec![NOTHING]].concat());
}

#[test]
fn the_last_sector_is_filled_with_zeros() {
    let mut guest = Guest::new();
    assert_eq!(guest.disk.sectors(), 9);
    assert_eq!(guest.ask(IN, 8, (DATA, 512, WRITE, 0)), (513, OK));
    assert_eq!(guest.bytes(DATA, 512), [vec![9; 100], vec![0; 412]].concat());
}

#[test]
fn a_range_past_the_end_or_over_the_end_of_numbers_is_an_error_and_nothing_is_written() {
    let mut guest = Guest::new();
    for (sector, len) in [(9, 512), (8, 1024), (u64::MAX, 512), (u64::MAX / 512, 512), (1 << 55, 512), (0, 511), (0, 1)]
    {
        assert_eq!(guest.ask(IN, sector, (DATA, len, WRITE, 0)), (1, IOERR), "{sector} {len}");
    }
    assert_eq!(guest.bytes(DATA, 1024), vec![NOTHING; 1024]);
    assert_eq!(guest.ask(IN, 9, (DATA, 0, WRITE, 0)), (1, OK));
}

#[test]
fn a_disk_is_not_written_to() {
    let mut guest = Guest::new();
    let rows = [(OUT, 0, IOERR), (DISCARD, 0, UNSUPP), (13, 0, UNSUPP), (77, 0, UNSUPP), (FLUSH, 0, OK)];
    for (kind, flags, status) in rows {
        assert_eq!(guest.ask(kind, 0, (DATA, 512, flags, 0)), (1, status), "{kind}");
    }
}

#[test]
fn the_serial_number_is_the_name_as_far_as_it_goes() {
    let mut guest = Guest::new();
    assert_eq!(guest.ask(GET_ID, 0, (DATA, 20, WRITE, 0)), (21, OK));
    assert_eq!(guest.bytes(DATA, 21), b"a-name-longer-than-s\xaa");
    assert_eq!(guest.ask(GET_ID, 0, (DATA, 19, WRITE, 0)), (1, IOERR));
    guest.disk = Disk::new("kernel", source());
    assert_eq!(guest.ask(GET_ID, 0, (DATA, 512, WRITE, 0)), (21, OK));
    assert_eq!(guest.bytes(DATA, 20), b"kernel\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
}

#[test]
fn a_request_may_lie_in_any_buffers() {
    let mut guest = Guest::new();
    guest.header(IN, 1);
    // The header in three pieces and an empty one, the data in two with the status in the second.
    guest.table(
        0,
        &[
            (HEADER, 3, NEXT, 1),
            (u64::MAX, 0, NEXT, 2),
            (HEADER + 3, 5, NEXT, 3),
            (HEADER + 8, 100, NEXT, 4),
            (DATA, 500, NEXT | WRITE, 5),
            (STATUS - 12, 13, WRITE, 0),
        ],
    );
    assert_eq!(guest.offer(), (513, OK));
    assert_eq!((guest.bytes(DATA, 501), guest.bytes(STATUS - 13, 13)), {
        ([vec![2; 500], vec![NOTHING]].concat(), [vec![NOTHING], vec![2; 12]].concat())
    });
}

#[test]
fn a_table_of_its_own_may_hold_a_request() {
    let mut guest = Guest::new();
    guest.header(IN, 0);
    guest.table(0x8000, &[(HEADER, 16, NEXT, 1), (DATA, 512, NEXT | WRITE, 2), (STATUS, 1, WRITE, 0)]);
    guest.table(0, &[(0x8000, 48, INDIRECT, 0)]);
    assert_eq!(guest.offer(), (513, OK));
    // A table in a table, and one of half an entry, are no requests.
    guest.put(STATUS, &[NOTHING]);
    guest.table(0x8000, &[(0x8000, 48, INDIRECT, 0)]);
    assert_eq!(guest.offer(), (0, NOTHING));
    guest.table(0, &[(0x8000, 40, INDIRECT, 0)]);
    assert_eq!(guest.offer(), (0, NOTHING));
}

#[test]
fn chains_that_make_no_sense_are_given_back_unanswered() {
    let status = (STATUS, 1, WRITE, 0);
    let rows: [(&str, &[Descriptor]); 7] = [
        ("a circle", &[(HEADER, 16, NEXT, 1), (DATA, 512, NEXT | WRITE, 1), status]),
        ("an end outside the table", &[(HEADER, 16, NEXT, 1), (STATUS, 1, WRITE | NEXT, 99)]),
        ("no place for a status", &[(HEADER, 16, 0, 0)]),
        ("an empty place for a status", &[(HEADER, 16, NEXT, 1), (STATUS, 0, WRITE, 0)]),
        ("what is read behind what is written", &[(DATA, 512, NEXT | WRITE, 1), (HEADER, 16, NEXT, 2), status]),
        ("a header that is not there", &[(SIZE - 8, 16, NEXT, 1), status]),
        ("a status behind the end of addresses", &[(HEADER, 16, NEXT, 1), (u64::MAX, 2, WRITE, 0)]),
    ];
    for (what, table) in rows {
        let mut guest = Guest::new();
        guest.header(IN, 0);
        guest.table(0, table);
        assert_eq!(guest.offer(), (0, NOTHING), "{what}");
    }
}

#[test]
fn buffers_that_are_not_there_are_an_error_of_their_request() {
    let mut guest = Guest::new();
    for data in [(SIZE, 512), (SIZE - 1, 512), (u64::MAX, 512), (u64::MAX - 511, 512), (1 << 40, 512)] {
        let (written, status) = guest.ask(IN, 0, (data.0, data.1, WRITE, 0));
        assert_eq!((written, status), (1, IOERR), "{data:?}");
    }
    assert_eq!(guest.ask(IN, 0, (DATA, 512, WRITE, 0)), (513, OK));
    // Its status goes nowhere, so nothing of it may be relied on.
    guest.table(0, &[(HEADER, 16, NEXT, 1), (SIZE, 1, WRITE, 0)]);
    assert_eq!(guest.offer().0, 0);
}

#[test]
fn a_header_that_is_cut_short_is_an_error() {
    let mut guest = Guest::new();
    guest.header(IN, 0);
    guest.table(0, &[(HEADER, 15, NEXT, 1), (DATA, 512, NEXT | WRITE, 2), (STATUS, 1, WRITE, 0)]);
    assert_eq!(guest.offer(), (1, IOERR));
}

#[test]
fn more_buffers_than_are_kept_are_an_error() {
    for (count, answer) in [(MOST_BUFFERS, (1 + 8 * 512, OK)), (MOST_BUFFERS + 1, (1, IOERR))] {
        let mut guest = Guest::new();
        guest.header(IN, 0);
        let mut table = vec![(HEADER, 16, NEXT, 1)];
        table.extend((2..).map(|next| (DATA, 4, NEXT | WRITE, next)).take(count));
        table.push((STATUS, 1, WRITE, 0));
        guest.table(0x8_0000, &table);
        guest.table(0, &[(0x8_0000, u32::try_from(16 * table.len()).unwrap(), INDIRECT, 0)]);
        assert_eq!(guest.offer(), answer, "{count}");
    }
}

#[test]
fn a_ring_that_promises_more_than_it_holds_is_an_error_until_it_is_set_up_again() {
    let mut guest = Guest::new();
    guest.put(AVAIL + 2, &17u16.to_le_bytes());
    assert!(answer_next(&mut guest.queue, &guest.memory, &guest.disk).is_err());
    guest.queue.set_ready(false);
    assert!(answer_next(&mut guest.queue, &guest.memory, &guest.disk).is_err());
    guest.queue.set_ready(true);
    guest.put(AVAIL + 2, &0u16.to_le_bytes());
    assert!(!answer_next(&mut guest.queue, &guest.memory, &guest.disk).unwrap());
    assert_eq!(guest.ask(IN, 0, (DATA, 512, WRITE, 0)), (513, OK));
}

/// A source whose second sector is damaged, and whose third one panics.
struct Damaged;

impl Source for Damaged {
    fn size(&self) -> u64 {
        4 * SECTOR
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        match offset / SECTOR {
            1 => Err(ReadError::new(ErrorKind::Corrupt, "a span does not match its digest")),
            2 => panic!("a defect"),
            _ => {
                buf.fill(7);
                Ok(())
            }
        }
    }
}

#[test]
fn what_cannot_be_read_or_panics_is_an_error_of_its_request() {
    let mut guest = Guest::with(Arc::new(Damaged), 16);
    let answers = [0, 1, 2, 3].map(|sector| guest.ask(IN, sector, (DATA, 512, WRITE, 0)));
    assert_eq!(answers, [(513, OK), (1, IOERR), (1, IOERR), (513, OK)]);
}

#[test]
fn who_has_left_is_read_nothing() {
    let mut guest = Guest::new();
    guest.disk.leave();
    assert_eq!(guest.ask(IN, 0, (DATA, 512, WRITE, 0)), (1, IOERR));
}

proptest! {
    #[test]
    fn prop_whatever_stands_in_a_ring_is_answered_once_and_written_only_where_it_says(
        table in prop::collection::vec((0..SIZE + 64, 0..5000u32, 0..8u16, 0..20u16), 16),
        kind in 0..9u32,
        sector in 0..12u64,
    ) {
        let mut guest = Guest::new();
        guest.header(kind, sector);
        guest.table(0, &table);
        let before = guest.bytes(0, usize::try_from(SIZE).unwrap());
        let heads: u16 = 3;
        (0..heads).for_each(|at| guest.put(AVAIL + 4 + 2 * u64::from(at), &at.to_le_bytes()));
        guest.put(AVAIL + 2, &heads.to_le_bytes());
        let mut answered = 0;
        while let Ok(true) = answer_next(&mut guest.queue, &guest.memory, &guest.disk) {
            answered += 1;
            prop_assert!(answered <= heads);
        }
        let ring = usize::try_from(USED).unwrap()..usize::try_from(USED).unwrap() + 4 + 16 * 8;
        let may = |at: usize| table.iter().any(|(start, len, flags, _)| {
            let start = usize::try_from(*start).unwrap();
            flags & WRITE != 0 && (start..start + usize::try_from(*len).unwrap()).contains(&at)
        });
        // Where a table is written over, or one of its own is followed, what may be written is no longer what `table` says.
        let is_plain = table.iter().all(|(start, _, flags, _)| flags & INDIRECT == 0 && *start > HEADER);
        let after = guest.bytes(0, usize::try_from(SIZE).unwrap());
        let changed = before.iter().zip(&after).enumerate().filter(|(_, (old, new))| old != new).map(|(at, _)| at);
        for at in changed {
            prop_assert!(!is_plain || ring.contains(&at) || may(at), "{at:#x}");
        }
    }
}
