//! A file on its way to a client: which blocks are sent next, whatever the client acknowledges or does not.

use super::packet::{BLOCK, Request, data};
use crate::base::in_memory;
use crate::extent::{ReadError, SharedSource};

/// Bytes of a window at most: a client that wants more blocks at once gets fewer.
const LARGEST_WINDOW: u64 = 128 << 10;

/// A transfer under way.
pub(super) struct Transfer {
    source: SharedSource,
    /// Bytes of a block.
    block: u64,
    /// Blocks that are sent before one is acknowledged.
    window: u64,
    /// Blocks that the client has.
    done: u64,
    /// The answer to its options, until it acknowledges that or a block.
    agreement: Option<Vec<u8>>,
    /// Whether the client has answered at all: before, its address may be somebody else's.
    is_proven: bool,
    /// Whether the window was sent again because of a repeated acknowledgement. Once is enough: what repeats both ways
    /// doubles with every block.
    is_repeated: bool,
}

/// What follows from an acknowledgement.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// The packets are to be sent.
    Send,
    /// It says nothing new.
    Ignore,
    /// The client has everything.
    Done,
}

impl Transfer {
    /// A transfer of `source` as the client asks for it.
    pub(super) fn new(source: SharedSource, request: &Request) -> Self {
        let block = u64::from(request.block.unwrap_or(BLOCK));
        let most = u16::try_from((LARGEST_WINDOW / block).max(1)).unwrap_or(u16::MAX);
        let window = request.window.unwrap_or(1).min(most);
        let agreement = request.agreement(source.size(), window);
        let window = window.into();
        Self { source, block, window, done: 0, agreement, is_proven: false, is_repeated: false }
    }

    /// Whether the client has answered at all.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Blocks in all: the last one is shorter than the others, and may be empty.
    fn blocks(&self) -> u64 {
        self.source.size() / self.block + 1
    }

    /// The blocks that are under way.
    fn under_way(&self) -> u64 {
        self.window.min(self.blocks() - self.done)
    }

    /// What is to be sent now, also once more when nothing came back.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub(super) fn packets(&self) -> Result<Vec<Vec<u8>>, ReadError> {
        if let Some(agreement) = &self.agreement {
            return Ok(vec![agreement.clone()]);
        }
        let start = self.done * self.block;
        let mut bytes = vec![0; in_memory((self.under_way() * self.block).min(self.source.size() - start))];
        self.source.read_at(&mut bytes, start)?;
        let content = |at: u64| {
            let from = in_memory(at * self.block).min(bytes.len());
            &bytes[from..in_memory((at + 1) * self.block).min(bytes.len())]
        };
        Ok((0..self.under_way()).map(|at| data(self.done + at + 1, content(at))).collect())
    }

    /// The client has all blocks up to the one with this number, of which there are the low 16 bits.
    pub(super) fn acknowledged(&mut self, number: u16) -> Reaction {
        if self.agreement.is_some() {
            if number != 0 {
                return Reaction::Ignore;
            }
            self.agreement = None;
            self.is_proven = true;
            return Reaction::Send;
        }
        let [.., high, low] = self.done.to_be_bytes();
        let new = u64::from(number.wrapping_sub(u16::from_be_bytes([high, low])));
        match new {
            0 if self.window == 1 || self.is_repeated || !self.is_proven => return Reaction::Ignore,
            0 => self.is_repeated = true,
            new if new > self.under_way() => return Reaction::Ignore,
            new => {
                self.done += new;
                self.is_repeated = false;
            }
        }
        self.is_proven = true;
        if self.done == self.blocks() { Reaction::Done } else { Reaction::Send }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::{Bytes, Zeros};

    fn transfer(size: usize, block: Option<u16>, window: Option<u16>) -> Transfer {
        let bytes: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[0]).collect();
        let request = Request { block, window, ..Request::default() };
        let mut transfer = Transfer::new(Arc::new(Bytes(bytes.into())), &request);
        if transfer.agreement.is_some() {
            assert_eq!(transfer.acknowledged(0), Reaction::Send);
        }
        transfer
    }

    /// Number and length of each block that is to be sent.
    fn sent(transfer: &Transfer) -> Vec<(u16, usize)> {
        let packets = transfer.packets().unwrap();
        packets.iter().map(|packet| (u16::from_be_bytes([packet[2], packet[3]]), packet.len() - 4)).collect()
    }

    #[test]
    fn a_file_ends_with_a_block_that_is_not_full() {
        for (size, lengths) in [(0, vec![0]), (511, vec![511]), (512, vec![512, 0]), (1025, vec![512, 512, 1])] {
            let mut transfer = transfer(size, None, None);
            for (at, length) in lengths.iter().enumerate() {
                let number = u16::try_from(at + 1).unwrap();
                assert_eq!(sent(&transfer), [(number, *length)]);
                let end = at + 1 == lengths.len();
                assert_eq!(transfer.acknowledged(number), if end { Reaction::Done } else { Reaction::Send });
            }
        }
    }

    #[test]
    fn a_window_goes_on_where_the_client_lost_a_block() {
        let mut transfer = transfer(79, Some(8), Some(4));
        assert_eq!(sent(&transfer), [(1, 8), (2, 8), (3, 8), (4, 8)]);
        assert_eq!(transfer.acknowledged(4), Reaction::Send);
        // The sixth is lost.
        assert_eq!(transfer.acknowledged(5), Reaction::Send);
        assert_eq!(sent(&transfer), [(6, 8), (7, 8), (8, 8), (9, 8)]);
        // The first of a window is lost; said twice, it is sent again once.
        assert_eq!(transfer.acknowledged(5), Reaction::Send);
        assert_eq!(transfer.acknowledged(5), Reaction::Ignore);
        assert_eq!(transfer.acknowledged(9), Reaction::Send);
        assert_eq!(sent(&transfer), [(10, 7)]);
        assert_eq!(transfer.acknowledged(10), Reaction::Done);
    }

    #[test]
    fn acknowledgements_of_what_was_not_sent_or_again_say_nothing() {
        let mut transfer = transfer(2000, None, None);
        for number in [0, 2, 3, 65535] {
            assert_eq!(transfer.acknowledged(number), Reaction::Ignore, "{number}");
        }
        assert_eq!(transfer.acknowledged(1), Reaction::Send);
        assert_eq!(transfer.acknowledged(1), Reaction::Ignore);
        assert_eq!(sent(&transfer), [(2, 512)]);
    }

    #[test]
    fn numbers_of_blocks_wrap() {
        let source: SharedSource = Arc::new(Zeros(70_000 * 8));
        let request = Request { block: Some(8), window: Some(1000), ..Request::default() };
        let mut transfer = Transfer::new(source, &request);
        assert_eq!(transfer.acknowledged(0), Reaction::Send);
        let (mut blocks, mut numbers) = (0_u64, Vec::new());
        loop {
            let window = sent(&transfer);
            blocks += window.len() as u64;
            numbers.push(window.last().unwrap().0);
            match transfer.acknowledged(window.last().unwrap().0) {
                Reaction::Done => break,
                reaction => assert_eq!(reaction, Reaction::Send),
            }
        }
        assert_eq!((blocks, &numbers[64..67]), (70_001, &[65_000, 464, 1464][..]));
    }

    #[test]
    fn before_a_client_has_answered_it_gets_one_small_packet() {
        let source: SharedSource = Arc::new(Zeros(1 << 20));
        let request = Request { block: Some(65_464), window: Some(65_535), wants_size: true, ..Request::default() };
        let mut transfer = Transfer::new(source, &request);
        let agreed = b"\0\x06blksize\x0065464\0tsize\x001048576\0windowsize\x002\0";
        assert_eq!(transfer.packets().unwrap(), [agreed]);
        assert_eq!(transfer.acknowledged(1), Reaction::Ignore);
        assert!(!transfer.is_proven());
        assert_eq!(transfer.acknowledged(0), Reaction::Send);
        assert!(transfer.is_proven());
        assert_eq!(sent(&transfer), [(1, 65_464), (2, 65_464)]);
    }
}
