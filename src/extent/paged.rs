//! A layout too long to keep as runs: only page offsets are kept, and a page is laid out again when it is read.
//!
//! A tree of a million files has millions of runs. They follow from the tree, so keeping them would only cost memory:
//! eight bytes a page are enough to find the page that holds an offset. The pages that were read last are kept, since
//! the next read is often of one of them.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex, PoisonError};

use super::slice::check_range;
use super::{ExtentMap, MapBuilder, Measure, ReadError, Sink, Source, Traced, Visit};

/// Pages that are kept: those that the readers of the moment are in, and of some megabytes that are read again and again.
const KEPT: usize = 64;
/// Bytes of its own that a page is kept with, at most; those of an archive have some thousand.
const LARGE: u64 = 16 << 10;

/// A layout in pages of a few entries, each of which can be laid out by itself once its offset is known.
pub trait PagedLayout: Send + Sync + 'static {
    /// Number of pages.
    fn pages(&self) -> usize;

    /// Lays out one page; always the same runs for the same page and position.
    fn emit(&self, page: usize, sink: &mut dyn Sink);
}

/// An artifact over a paged layout.
pub struct PagedMap<L> {
    layout: L,
    /// Offset of each page; one more for the end.
    starts: Vec<u64>,
    /// Pages by number, the one that was read last at the back.
    kept: Mutex<VecDeque<(usize, Arc<ExtentMap>)>>,
}

impl<L: PagedLayout> PagedMap<L> {
    /// Measures every page; reads no content.
    pub fn new(layout: L) -> Self {
        let mut sink = Measure::default();
        let mut starts = Vec::with_capacity(layout.pages() + 1);
        for page in 0..layout.pages() {
            starts.push(sink.position());
            layout.emit(page, &mut sink);
        }
        starts.push(sink.position());
        Self { layout, starts, kept: Mutex::default() }
    }

    /// The layout behind the map.
    pub fn layout(&self) -> &L {
        &self.layout
    }
}

impl<L: PagedLayout> PagedMap<L> {
    /// Number of the page that holds `offset`, which is below the size.
    fn page_at(&self, offset: u64) -> usize {
        self.starts.partition_point(|start| *start <= offset) - 1
    }

    /// Reads page by page from `at` on, each by `read`.
    fn read_pages<E>(
        &self,
        mut buf: &mut [u8],
        mut at: u64,
        read: impl Fn(&ExtentMap, &mut [u8], u64) -> Result<(), E>,
    ) -> Result<(), E> {
        while !buf.is_empty() {
            let page = self.page_at(at);
            let left = self.starts[page + 1] - at;
            let len = usize::try_from(left).map_or(buf.len(), |left| left.min(buf.len()));
            let (head, rest) = buf.split_at_mut(len);
            read(&self.runs(page), head, at)?;
            at += len as u64;
            buf = rest;
        }
        Ok(())
    }

    /// The runs of a page, laid out unless they are kept.
    fn runs(&self, page: usize) -> Arc<ExtentMap> {
        self.kept(page).unwrap_or_else(|| {
            let mut runs = MapBuilder::at(self.starts[page]);
            self.layout.emit(page, &mut runs);
            let runs = Arc::new(runs.finish());
            self.keep(page, &runs);
            runs
        })
    }

    /// The runs of a page, if they are kept.
    fn kept(&self, page: usize) -> Option<Arc<ExtentMap>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().rposition(|(number, _)| *number == page)?;
        let (_, runs) = kept.remove(at)?;
        kept.push_back((page, runs.clone()));
        Some(runs)
    }

    /// Keeps the runs of a page, unless they are large.
    fn keep(&self, page: usize, runs: &Arc<ExtentMap>) {
        if runs.inline_size() > LARGE {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((page, runs.clone()));
    }
}

impl<L: PagedLayout> Source for PagedMap<L> {
    fn size(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<(), ReadError> {
        check_range(offset, buf.len(), self.size())?;
        self.read_pages(buf, offset, |page, buf, at| page.read_at(buf, at))
    }

    fn read_at_once(&self, buf: &mut [u8], offset: u64) -> bool {
        let read = |page: &ExtentMap, buf: &mut [u8], at| page.read_at_once(buf, at).then_some(()).ok_or(());
        check_range(offset, buf.len(), self.size()).is_ok() && self.read_pages(buf, offset, read).is_ok()
    }

    fn data_from(&self, offset: u64) -> Option<Range<u64>> {
        let mut at = offset;
        while at < self.size() {
            let page = self.page_at(at);
            if let Some(run) = self.runs(page).data_from(at) {
                return Some(run);
            }
            at = self.starts[page + 1];
        }
        None
    }

    fn trace(&self, range: Range<u64>, visit: &mut Visit<'_>) -> Traced {
        let mut at = range.start;
        while at < range.end {
            let page = self.page_at(at);
            let end = self.starts[page + 1].min(range.end);
            if self.runs(page).trace(at..end, visit)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            at = end;
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Page `n` is `n` bytes of value `n`, aligned to 4.
    struct Stairs;

    impl PagedLayout for Stairs {
        fn pages(&self) -> usize {
            10
        }

        fn emit(&self, page: usize, sink: &mut dyn Sink) {
            sink.bytes(&vec![u8::try_from(page).unwrap(); page]);
            sink.align(4);
        }
    }

    /// Counts the pages that are laid out.
    struct Counted(AtomicUsize);

    impl PagedLayout for Counted {
        fn pages(&self) -> usize {
            2 * KEPT
        }

        fn emit(&self, _: usize, sink: &mut dyn Sink) {
            self.0.fetch_add(1, Ordering::Relaxed);
            sink.bytes(&[7; 10]);
        }
    }

    #[test]
    fn the_pages_that_were_read_last_are_not_laid_out_again() {
        let map = PagedMap::new(Counted(AtomicUsize::new(0)));
        let laid_out = |pages: std::ops::Range<usize>| {
            map.layout().0.store(0, Ordering::Relaxed);
            for page in pages {
                map.read_at(&mut [0; 3], page as u64 * 10).unwrap();
            }
            map.layout().0.load(Ordering::Relaxed)
        };
        assert_eq!((laid_out(0..KEPT), laid_out(0..KEPT)), (KEPT, 0));
        // Page 1 is read once more, so page 0 alone goes for the next.
        assert_eq!((laid_out(1..KEPT), laid_out(KEPT..KEPT + 1)), (0, 1));
        assert_eq!((laid_out(1..KEPT + 1), laid_out(0..1)), (0, 1));
        assert_eq!(map.kept.lock().unwrap().len(), KEPT);
    }

    #[test]
    fn prop_any_split_of_a_read_equals_the_whole() {
        let map = PagedMap::new(Stairs);
        let size = usize::try_from(map.size()).unwrap();
        assert_eq!(size, 4 + 4 + 4 + 4 + 8 + 8 + 8 + 8 + 12);
        let mut whole = vec![0; size];
        map.read_at(&mut whole, 0).unwrap();
        assert_eq!(&whole[..12], [1, 0, 0, 0, 2, 2, 0, 0, 3, 3, 3, 0]);
        assert_eq!([0, 1, 46].map(|at| map.data_from(at)), [Some(0..1), Some(4..6), Some(46..48)]);
        assert_eq!((map.data_from(57), map.data_from(size as u64)), (None, None));
        for start in 0..size {
            for end in start..=size {
                let mut part = vec![0xff; end - start];
                map.read_at(&mut part, start as u64).unwrap();
                assert_eq!(part, whole[start..end]);
                part.fill(0xff);
                assert!(map.read_at_once(&mut part, start as u64) && part == whole[start..end]);
            }
        }
    }
}
