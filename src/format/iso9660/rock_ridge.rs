//! Rock Ridge: what a directory record says of modes, owners, true names, links and devices.
//!
//! # Format
//! SUSP 1.10 sections 5.1 (CE), 5.3 (SP), 5.5 (ER); RRIP 1.09 sections 4.1.1 (PX), 4.1.2 (PN), 4.1.3 (SL), 4.1.4 (NM),
//! 4.1.6 (TF). An entry is a signature, its length, version 1, and fields.

use zerocopy::IntoBytes as _;

use super::BLOCK;
use super::record::{Both32, LONGEST, Location, date, emit_within_block};
use crate::base::{FileKind, in_memory};
use crate::extent::{Measure, Sink};
use crate::tree::{InodeId, Tree};

/// Entries of one record in their order.
pub(super) type Entries = Vec<Vec<u8>>;

/// Bytes of a CE entry.
const CONTINUED_LEN: usize = 28;
/// Most bytes of text or components in one NM or SL entry, whose length is a byte.
const PART: usize = 248;
/// Flag of NM, SL and SL components: the next one goes on.
const CONTINUE: u8 = 1;

/// What the root's record of itself must say: that the system use areas follow SUSP, and which extension they use.
pub(super) fn announcement() -> Entries {
    let texts: [&[u8]; 3] = [
        b"RRIP_1991A",
        b"THE ROCK RIDGE INTERCHANGE PROTOCOL PROVIDES SUPPORT FOR POSIX FILE SYSTEM SEMANTICS",
        b"PLEASE CONTACT DISC PUBLISHER FOR SPECIFICATION SOURCE.  SEE PUBLISHER IDENTIFIER IN PRIMARY VOLUME \
          DESCRIPTOR FOR CONTACT INFORMATION.",
    ];
    let [id, description, source] = texts.map(|text| u8::try_from(text.len()).expect("these texts are short"));
    let reference = [&[id, description, source, 1], texts.concat().as_slice()].concat();
    vec![entry(*b"SP", &[0xbe, 0xef, 0]), entry(*b"ER", &reference)]
}

/// The entries of a record; `name` is absent where a directory names itself or the one above.
pub(super) fn entries(tree: &Tree, id: InodeId, name: Option<&[u8]>) -> Entries {
    let inode = tree.inode(id);
    let metadata = &inode.metadata;
    let mut entries = name.map_or_else(Vec::new, name_entries);
    let mode = metadata.kind.mode_bits() | u32::from(metadata.mode);
    let numbers = [mode, inode.nlink, metadata.uid, metadata.gid].map(Both32::from);
    entries.push(entry(*b"PX", numbers.as_bytes()));
    // Three dates: of modification, access, attribute change.
    entries.push(entry(*b"TF", &[&[0x0e], [date(metadata.mtime); 3].as_flattened()].concat()));
    match metadata.kind {
        FileKind::Symlink => entries.extend(link_entries(tree.link_target(id))),
        FileKind::CharDevice | FileKind::BlockDevice => {
            entries.push(entry(*b"PN", device(metadata.rdev).map(Both32::from).as_bytes()));
        }
        _ => {}
    }
    entries
}

fn entry(signature: [u8; 2], fields: &[u8]) -> Vec<u8> {
    let len = u8::try_from(fields.len() + 4).expect("fields are cut to fit an entry");
    [&signature, &[len, 1], fields].concat()
}

/// Device numbers as readers take them: those that fit the old 16 bits in the low word, others one in each word.
fn device((major, minor): (u32, u32)) -> [u32; 2] {
    if major < 1 << 24 && minor < 1 << 8 { [0, major << 8 | minor] } else { [major, minor] }
}

fn name_entries(name: &[u8]) -> Entries {
    let parts = name.chunks(PART).count();
    let part = |(at, text): (usize, &[u8])| {
        let flags = if at + 1 < parts { CONTINUE } else { 0 };
        entry(*b"NM", &[&[flags], text].concat())
    };
    name.chunks(PART).enumerate().map(part).collect()
}

/// A link's target in components; empty ones cannot be expressed, and a path means the same without them.
fn link_entries(target: &[u8]) -> Entries {
    let mut groups = vec![Vec::new()];
    if target.starts_with(b"/") {
        groups[0].extend([component_flag::ROOT, 0]);
    }
    let mut parts = target.split(|b| *b == b'/').filter(|part| !part.is_empty()).peekable();
    while let Some(part) = parts.next() {
        match part {
            b"." => push_component(&mut groups, component_flag::CURRENT, b"", parts.peek().is_none()),
            b".." => push_component(&mut groups, component_flag::PARENT, b"", parts.peek().is_none()),
            _ => push_component(&mut groups, 0, part, parts.peek().is_none()),
        }
    }
    let last = groups.len() - 1;
    let flags = |at| if at < last { CONTINUE } else { 0 };
    groups.iter().enumerate().map(|(at, group)| entry(*b"SL", &[&[flags(at)], group.as_slice()].concat())).collect()
}

/// Flags of SL components that stand for a name.
mod component_flag {
    pub const CURRENT: u8 = 2;
    pub const PARENT: u8 = 4;
    pub const ROOT: u8 = 8;
}

/// Adds a component to the last group, cut where the group ends. A group ends within a component wherever that can be:
/// libarchive forgets the slash between two entries.
fn push_component(groups: &mut Vec<Vec<u8>>, flags: u8, mut text: &[u8], is_last: bool) {
    // The least that the next component takes when it is cut.
    let kept = if is_last { 0 } else { 3 };
    loop {
        let group = groups.last_mut().expect("there is always one");
        let room = PART - group.len();
        let can_cut = text.len() > 1 && room > 2;
        if text.len() + 2 + kept <= room || (text.len() + 2 <= room && !can_cut) {
            group.extend([flags, u8::try_from(text.len()).expect("the rest of a group is shorter than an entry")]);
            group.extend(text);
            return;
        }
        if can_cut {
            let (head, rest) = text.split_at((text.len() - 1).min(room - 2));
            group.extend([flags | CONTINUE, u8::try_from(head.len()).expect("a group is shorter than an entry")]);
            group.extend(head);
            text = rest;
        }
        groups.push(Vec::new());
    }
}

/// A record's entries, split into what stands in it and what goes on elsewhere.
pub(super) struct Split {
    inline: Vec<u8>,
    /// Each at most a block long, with the entry that leads to the next.
    pieces: Vec<Vec<u8>>,
}

/// Splits entries for a record whose part before them has `head` bytes.
pub(super) fn split(entries: Entries, head: usize) -> Split {
    let all: usize = entries.iter().map(Vec::len).sum();
    let room = if head + all <= LONGEST { LONGEST - head } else { LONGEST - head - CONTINUED_LEN };
    let mut split = Split { inline: Vec::new(), pieces: Vec::new() };
    let block = in_memory(BLOCK) - CONTINUED_LEN;
    for entry in entries {
        match split.pieces.last_mut() {
            None if split.inline.len() + entry.len() <= room => split.inline.extend(entry),
            Some(piece) if piece.len() + entry.len() <= block => piece.extend(entry),
            _ => split.pieces.push(entry),
        }
    }
    split
}

impl Split {
    /// Lays out the pieces, none of which crosses a block, and gives the system use part of the record.
    ///
    /// `first_block` is the number of the block at the sink's position 0.
    pub fn emit(self, first_block: u32, sink: &mut dyn Sink) -> Vec<u8> {
        let mut system_use = self.inline;
        if self.pieces.is_empty() {
            return system_use;
        }
        let places = places(&self.pieces, first_block, sink.position());
        let mut links = places.iter().map(|(offset, place)| continuation(*offset, *place));
        system_use.extend(links.next().into_iter().flatten());
        for piece in self.pieces {
            let link = links.next().unwrap_or_default();
            emit_within_block(&[piece, link].concat(), sink);
        }
        system_use
    }
}

/// Offset within its block, block and size of each piece, when the first comes at `start`.
fn places(pieces: &[Vec<u8>], first_block: u32, start: u64) -> Vec<(u32, Location)> {
    let mut at = Measure::at(start);
    let last = pieces.len() - 1;
    let mut places = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let len = piece.len() + if number < last { CONTINUED_LEN } else { 0 };
        emit_within_block(&vec![0; len], &mut at);
        let offset = at.position() - len as u64;
        let small = |value: u64| u32::try_from(value).expect("continuations lie within the directories' blocks");
        let place = Location { block: first_block + small(offset / BLOCK), size: small(len as u64) };
        places.push((small(offset % BLOCK), place));
    }
    places
}

fn continuation(offset: u32, place: Location) -> Vec<u8> {
    entry(*b"CE", [place.block, offset, place.size].map(Both32::from).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extent::{MapBuilder, Source};

    #[test]
    fn a_target_is_stored_by_components() {
        let rows: [(&[u8], &[u8]); 4] = [
            (b"/usr/../a", b"SL\x11\x01\0\x08\0\0\x03usr\x04\0\0\x01a"),
            (b"./b//c/", b"SL\x0d\x01\0\x02\0\0\x01b\0\x01c"),
            (b"..", b"SL\x07\x01\0\x04\0"),
            (b"/", b"SL\x07\x01\0\x08\0"),
        ];
        for (target, expected) in rows {
            assert_eq!(link_entries(target), [expected.to_vec()], "{}", String::from_utf8_lossy(target));
        }
    }

    #[test]
    fn a_long_target_is_cut_within_components() {
        let long = link_entries(&[b'x'; 600]);
        assert_eq!(long.iter().map(Vec::len).collect::<Vec<_>>(), [253, 253, 115]);
        assert_eq!(long.iter().map(|e| (e[4], e[5])).collect::<Vec<_>>(), [(1, 1), (1, 1), (0, 0)]);
        for len in 1..12 {
            let target = ("a".repeat(len) + "/").repeat(400);
            for entry in link_entries(target.as_bytes()) {
                assert!(entry.len() <= 253);
                let mut components = entry[5..].split(|b| *b == b'a').filter(|c| !c.is_empty());
                let cut = components.next_back().unwrap()[0] == CONTINUE;
                assert_eq!(cut, entry[4] == CONTINUE && len > 1, "{len}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_the_record_goes_on_elsewhere_and_links_on() {
        let entries = || -> Entries { (0..20).map(|n| entry(*b"SL", &[n; 200])).collect() };
        let mut whole = MapBuilder::default();
        whole.zeros(1000);
        let system_use = split(entries(), 60).emit(7, &mut whole);
        // Nine entries of 204 bytes and a link fit a block; the first piece does not fit the rest of block 7.
        assert_eq!(system_use, continuation(0, Location { block: 8, size: 9 * 204 + 28 }));
        let whole = whole.finish();
        assert_eq!(whole.size(), 3 * BLOCK + 2 * 204);
        let mut link = [0; 28];
        whole.read_at(&mut link, BLOCK + 9 * 204).unwrap();
        assert_eq!(link.as_slice(), continuation(0, Location { block: 9, size: 9 * 204 + 28 }));
        let mut measure = Measure::at(1000);
        split(entries(), 60).emit(7, &mut measure);
        assert_eq!(measure.position(), whole.size());
    }
}
