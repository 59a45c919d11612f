//! Where the parts of a layout begin: noted while the layout is measured, known while it is written.
//!
//! # Invariants
//! A writer runs twice. In the first run no place is known yet and `place` returns 0; in the second it returns what the first
//! noted. So the length of what is written must not depend on a place.

use super::{MapBuilder, Measure, SharedSource, Sink};

/// A part of a layout that is named elsewhere by its place.
pub trait Label: Copy {
    /// What holds a place: 32 bits where there is one for each file.
    type Number: Copy + Default + PartialEq + TryFrom<u64>;

    /// What places count, in bytes.
    const UNIT: u64 = 1;

    /// The kind of the part and its number among them, both from 0 without gaps.
    fn slot(self) -> (usize, usize);
}

/// The places of a layout's parts; 0 where none was noted.
pub struct Places<L: Label> {
    kinds: Vec<Vec<L::Number>>,
    end: u64,
    fit: bool,
}

impl<L: Label> Default for Places<L> {
    fn default() -> Self {
        Self { kinds: Vec::new(), end: 0, fit: true }
    }
}

impl<L: Label> Places<L> {
    /// Runs a writer that begins at `start` over a sink that counts, and keeps what it notes.
    pub fn measure(start: u64, write: impl FnOnce(&mut Placing<'_, L>)) -> Self {
        let mut noted = Self::default().run(&mut Measure::at(start), write);
        noted.kinds.iter_mut().for_each(Vec::shrink_to_fit);
        noted
    }

    /// Runs the same writer with its places known, and keeps what it writes.
    pub fn lay_out(&self, write: impl FnOnce(&mut Placing<'_, L>)) -> SharedSource {
        let mut map = MapBuilder::default();
        let noted = self.run(&mut map, write);
        assert!(noted.kinds == self.kinds && noted.end == self.end, "a layout has the places that were measured");
        map.share()
    }

    fn run(&self, sink: &mut dyn Sink, write: impl FnOnce(&mut Placing<'_, L>)) -> Self {
        let mut placing = Placing { sink, known: self, noted: Self::default() };
        write(&mut placing);
        placing.noted.end = placing.position();
        placing.noted
    }

    /// The places, unless one is beyond what its number holds.
    pub fn checked(self) -> Option<Self> {
        self.fit.then_some(self)
    }

    /// Where a part begins, in units.
    pub fn get(&self, label: L) -> L::Number {
        let (kind, number) = label.slot();
        self.kinds.get(kind).and_then(|places| places.get(number)).copied().unwrap_or_default()
    }

    /// Where the layout ends, in bytes.
    pub const fn end(&self) -> u64 {
        self.end
    }

    fn grow(&mut self, kind: usize, count: usize) -> &mut Vec<L::Number> {
        if self.kinds.len() <= kind {
            self.kinds.resize_with(kind + 1, Vec::new);
        }
        let places = &mut self.kinds[kind];
        if places.len() < count {
            places.resize(count, L::Number::default());
        }
        places
    }

    fn note(&mut self, label: L, position: u64) {
        let (kind, number) = label.slot();
        match L::Number::try_from(position / L::UNIT) {
            Ok(place) => self.grow(kind, number + 1)[number] = place,
            Err(_) => self.fit = false,
        }
    }
}

/// A sink that notes places, and knows those of the run before.
pub struct Placing<'a, L: Label> {
    sink: &'a mut dyn Sink,
    known: &'a Places<L>,
    noted: Places<L>,
}

impl<L: Label> Placing<'_, L> {
    /// Notes that a part begins here.
    pub fn note(&mut self, label: L) {
        self.noted.note(label, self.sink.position());
    }

    /// Where a part begins, in units; 0 in the first run.
    pub fn place(&self, label: L) -> L::Number {
        self.known.get(label)
    }

    /// Makes room for the places of `count` parts of a kind at once.
    pub fn reserve(&mut self, kind: usize, count: usize) {
        self.noted.grow(kind, 0).reserve_exact(count);
        self.noted.grow(kind, count);
    }
}

impl<L: Label> Sink for Placing<'_, L> {
    fn position(&self) -> u64 {
        self.sink.position()
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.sink.bytes(bytes);
    }

    fn made(&mut self, len: usize, make: &dyn Fn() -> Vec<u8>) {
        self.sink.made(len, make);
    }

    fn zeros(&mut self, len: u64) {
        self.sink.zeros(len);
    }

    fn extent(&mut self, source: &SharedSource, offset: u64, len: u64) {
        self.sink.extent(source, offset, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy)]
    enum Part {
        Head,
        Body(usize),
    }

    impl Label for Part {
        type Number = u8;
        const UNIT: u64 = 2;

        fn slot(self) -> (usize, usize) {
            match self {
                Self::Head => (0, 0),
                Self::Body(number) => (1, number),
            }
        }
    }

    fn write(sink: &mut Placing<'_, Part>) {
        sink.note(Part::Head);
        sink.bytes(&[sink.place(Part::Body(0)), sink.place(Part::Body(2)), sink.place(Part::Body(9))]);
        for number in [2, 0] {
            sink.align(4);
            sink.note(Part::Body(number));
            sink.bytes(b"body");
        }
    }

    #[test]
    fn places_are_noted_in_one_run_and_known_in_the_next() {
        let places = Places::measure(0, write);
        assert_eq!(
            [Part::Head, Part::Body(0), Part::Body(1), Part::Body(2)].map(|part| places.get(part)),
            [0, 4, 0, 2]
        );
        let map = places.lay_out(write);
        let mut bytes = [0; 12];
        map.read_at(&mut bytes, 0).unwrap();
        assert_eq!((places.end(), map.size(), &bytes), (12, 12, b"\x04\x02\0\0bodybody"));
    }

    #[test]
    fn a_place_that_its_number_does_not_hold_is_told() {
        assert!(Places::measure(498, write).checked().is_some());
        assert!(Places::measure(500, write).checked().is_some());
        assert!(Places::measure(504, write).checked().is_none());
    }

    #[test]
    #[should_panic = "a layout has the places that were measured"]
    fn a_layout_that_differs_from_what_was_measured_is_not_written() {
        let mut runs = 0;
        let mut write = |sink: &mut Placing<'_, Part>| {
            runs += 1;
            sink.zeros(runs * 2);
            sink.note(Part::Head);
        };
        Places::measure(0, &mut write).lay_out(&mut write);
    }
}
