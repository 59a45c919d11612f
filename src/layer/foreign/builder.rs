//! A writer of FlatBuffers, byte for byte as their Go library writes them.
//!
//! # Format
//! As `flatbuffer` reads it. A buffer is made from its end to its start: what is referred to stands behind what refers to
//! it. Places are counted in bytes from the end. Tables with the same fields at the same distances share a vtable.

/// A place in a buffer: bytes from its end to the first byte of what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place(u32);

/// The value of a field.
#[derive(Clone, Copy)]
pub(super) enum Value {
    Byte(i8),
    Int(i32),
    Word(u32),
    Long(i64),
    At(Place),
}

/// A buffer that is made.
#[derive(Default)]
pub(super) struct Builder {
    /// The bytes so far, the last of the buffer first.
    reversed: Vec<u8>,
    /// The largest alignment of what is in it.
    alignment: usize,
    /// Where vtables are.
    vtables: Vec<u32>,
}

impl Builder {
    /// Adds a string: its length, its bytes, a NUL.
    pub(super) fn string(&mut self, text: &[u8]) -> Place {
        self.align(4, text.len() + 1);
        self.put(&[0]);
        self.put(text);
        self.length(text.len())
    }

    /// Adds a vector of bytes.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Place {
        self.align(4, bytes.len());
        self.put(bytes);
        self.length(bytes.len())
    }

    /// Adds a vector of what stands at these places.
    pub(super) fn vector(&mut self, places: &[Place]) -> Place {
        self.align(4, 4 * places.len());
        places.iter().rev().for_each(|place| self.value(Value::At(*place)));
        self.length(places.len())
    }

    /// Adds a table of these slots and values, which are written in this order. What is zero or absent is left out.
    pub(super) fn table(&mut self, fields: &[(usize, Value)]) -> Place {
        let end = self.place();
        let mut slots: Vec<u32> = Vec::new();
        for (slot, value) in fields {
            if matches!(value, Value::Byte(0) | Value::Int(0) | Value::Word(0) | Value::Long(0)) {
                continue;
            }
            self.value(*value);
            slots.resize(slots.len().max(slot + 1), 0);
            slots[*slot] = self.place();
        }
        self.value(Value::Int(0));
        let table = self.place();
        // A vtable has the distances of fields from the start of the table, but 0 for those that are absent.
        let slots: Vec<u16> = slots.iter().map(|place| if *place > 0 { short(table - place) } else { 0 }).collect();
        let vtable = self.vtables.iter().rev().find(|vtable| self.has_vtable(**vtable, &slots)).copied();
        let vtable = vtable.unwrap_or_else(|| {
            slots.iter().rev().for_each(|slot| self.short(*slot));
            self.short(short(table - end));
            self.short(short(4 + 2 * u32::try_from(slots.len()).expect("a table has few slots")));
            self.vtables.push(self.place());
            self.place()
        });
        let distance = i64::from(vtable) - i64::from(table);
        let distance = i32::try_from(distance).expect("a buffer is shorter than 2 GiB").to_le_bytes();
        let start = self.index(table);
        distance.iter().enumerate().for_each(|(at, byte)| self.reversed[start - at] = *byte);
        Place(table)
    }

    /// The buffer with this root.
    pub(super) fn finish(mut self, root: Place) -> Vec<u8> {
        self.align(self.alignment, 4);
        self.value(Value::At(root));
        self.reversed.reverse();
        self.reversed
    }

    /// Bytes from the end to what was added last.
    fn place(&self) -> u32 {
        u32::try_from(self.reversed.len()).expect("a buffer is shorter than 4 GiB")
    }

    /// The index of the first byte of what is at a place.
    fn index(&self, place: u32) -> usize {
        place as usize - 1
    }

    /// Pads, so that what follows these bytes, which come first, is aligned.
    fn align(&mut self, alignment: usize, bytes: usize) {
        self.alignment = self.alignment.max(alignment);
        let len = (self.reversed.len() + bytes).next_multiple_of(alignment) - bytes;
        self.reversed.resize(len, 0);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.reversed.extend(bytes.iter().rev());
    }

    fn length(&mut self, len: usize) -> Place {
        self.put(&u32::try_from(len).expect("a buffer is shorter than 4 GiB").to_le_bytes());
        Place(self.place())
    }

    fn short(&mut self, value: u16) {
        self.align(2, 0);
        self.put(&value.to_le_bytes());
    }

    fn value(&mut self, value: Value) {
        match value {
            Value::Byte(value) => self.put(&value.to_le_bytes()),
            Value::Int(value) => self.aligned(&value.to_le_bytes()),
            Value::Word(value) => self.aligned(&value.to_le_bytes()),
            Value::Long(value) => self.aligned(&value.to_le_bytes()),
            Value::At(Place(place)) => {
                self.align(4, 0);
                let distance = self.place() - place + 4;
                self.put(&distance.to_le_bytes());
            }
        }
    }

    fn aligned(&mut self, bytes: &[u8]) {
        self.align(bytes.len(), 0);
        self.put(bytes);
    }

    /// Whether the vtable at a place has these slots.
    fn has_vtable(&self, place: u32, slots: &[u16]) -> bool {
        let start = self.index(place);
        let short = |at: usize| u16::from_le_bytes([self.reversed[start - at], self.reversed[start - at - 1]]);
        usize::from(short(0)) == 4 + 2 * slots.len()
            && slots.iter().enumerate().all(|(at, slot)| short(4 + 2 * at) == *slot)
    }
}

fn short(number: u32) -> u16 {
    u16::try_from(number).expect("a table is shorter than 64 KiB")
}

#[cfg(test)]
mod tests {
    use super::super::flatbuffer::Buffer;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut builder = Builder::default();
        let texts: Vec<Place> = ["a", "", "longer than a word"].map(|text| builder.string(text.as_bytes())).into();
        let tables: Vec<Place> =
            texts.iter().map(|text| builder.table(&[(1, Value::At(*text)), (0, Value::Word(5))])).collect();
        assert_eq!(builder.vtables.len(), 1, "tables of one kind share a vtable");
        let (vector, strings, bytes) = (builder.vector(&tables), builder.vector(&texts), builder.bytes(b"\0\xff\0"));
        let fields = [
            (0, Value::At(vector)),
            (2, Value::At(strings)),
            (3, Value::At(bytes)),
            (4, Value::Byte(2)),
            (5, Value::Word(9)),
            (6, Value::Int(0)),
        ];
        let root = builder.table(&fields);
        let bytes = builder.finish(root);
        let buffer = Buffer::new(&bytes);
        let root = buffer.root().unwrap();
        let tables: Vec<_> =
            root.tables(0).unwrap().map(|table| table.and_then(|t| Some((t.word(0)?, t.bytes(1)?)))).collect();
        let texts: Vec<_> = root.strings(2).unwrap().collect();
        let expected = [&b"a"[..], b"", b"longer than a word"];
        assert_eq!(tables, expected.map(|text| Some((5, text))));
        assert_eq!(texts, expected.map(Some));
        assert_eq!(
            (root.bytes(3), root.byte(4, 1), root.word(5), root.int(6)),
            (Some(&b"\0\xff\0"[..]), Some(2), Some(9), Some(0))
        );
    }
}
