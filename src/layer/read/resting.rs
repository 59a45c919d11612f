//! Decoders in the middle of a span that no run uses now, for the next read behind them.

use std::collections::VecDeque;

/// Cursors that rest at most: one for each of many readers, which would else begin their span again with each read. And
/// bytes of memory they may hold together: those of gzip hold a fifth of a mebibyte, the windows of zstd frames are large.
const COUNT: usize = 64;
const BYTES: usize = 8 << 20;

/// A cursor and where it stands.
pub(super) struct Rest<C> {
    /// The layer's id.
    pub(super) layer: u64,
    /// The number of the span.
    pub(super) span: usize,
    /// The piece it will decode next.
    pub(super) next: usize,
    /// About how many bytes of memory it holds.
    pub(super) weight: usize,
    pub(super) cursor: C,
}

/// The cursors, the one that came first in front.
pub(super) struct Resting<C>(VecDeque<Rest<C>>);

impl<C> Resting<C> {
    /// None.
    pub(super) const fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Lets a cursor rest. Puts those that have to go for it into `gone`.
    pub(super) fn put(&mut self, rest: Rest<C>, gone: &mut Vec<C>) {
        self.0.push_back(rest);
        while self.0.len() > COUNT || (self.0.len() > 1 && self.bytes() > BYTES) {
            gone.extend(self.0.pop_front().map(|rest| rest.cursor));
        }
    }

    /// Where the cursor stands that is nearest before a piece.
    pub(super) fn nearest(&self, layer: u64, span: usize, piece: usize) -> Option<usize> {
        self.find(layer, span, piece).map(|at| self.0[at].next)
    }

    /// Takes that cursor.
    pub(super) fn take(&mut self, layer: u64, span: usize, piece: usize) -> Option<Rest<C>> {
        self.find(layer, span, piece).and_then(|at| self.0.remove(at))
    }

    /// Drops the cursors of a layer into `gone`.
    pub(super) fn remove_layer(&mut self, layer: u64, gone: &mut Vec<C>) {
        let (removed, kept) = std::mem::take(&mut self.0).into_iter().partition(|rest| rest.layer == layer);
        self.0 = kept;
        gone.extend(VecDeque::into_iter(removed).map(|rest| rest.cursor));
    }

    fn find(&self, layer: u64, span: usize, piece: usize) -> Option<usize> {
        let fits = |rest: &Rest<C>| rest.layer == layer && rest.span == span && rest.next <= piece;
        let fitting = self.0.iter().enumerate().filter(|(_, rest)| fits(rest));
        fitting.max_by_key(|(_, rest)| rest.next).map(|(at, _)| at)
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|rest| rest.weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(resting: &mut Resting<usize>, layer: u64, next: usize, weight: usize) -> Vec<usize> {
        let mut gone = Vec::new();
        resting.put(Rest { layer, span: 3, next, weight, cursor: next }, &mut gone);
        gone
    }

    #[test]
    fn the_nearest_cursor_before_a_piece_goes_on() {
        let mut resting = Resting::new();
        let gone = [(1, 4), (1, 9), (2, 6)].map(|(layer, next)| put(&mut resting, layer, next, 1));
        assert!(gone.concat().is_empty());
        assert_eq!(resting.nearest(1, 3, 8), Some(4));
        assert_eq!(resting.nearest(1, 2, 8), None);
        assert_eq!(resting.take(1, 3, 9).map(|rest| rest.cursor), Some(9));
        assert_eq!(resting.take(1, 3, 9).map(|rest| rest.cursor), Some(4));
        assert_eq!(
            (resting.nearest(1, 3, 9), resting.nearest(2, 3, 5), resting.nearest(2, 3, 6)),
            (None, None, Some(6))
        );
    }

    #[test]
    fn cursors_rest_within_bounds() {
        let mut resting = Resting::new();
        let gone: Vec<usize> = (0..COUNT + 2).flat_map(|next| put(&mut resting, 1, next, BYTES / COUNT)).collect();
        assert_eq!(gone, [0, 1]);
        assert_eq!(put(&mut resting, 2, 100, 2 * BYTES).len(), COUNT, "one that is too large rests alone");
        assert_eq!(put(&mut resting, 2, 101, 1), [100]);
        let mut gone = Vec::new();
        resting.remove_layer(2, &mut gone);
        assert_eq!((gone, resting.0.len()), (vec![101], 0));
    }
}
