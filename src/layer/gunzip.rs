//! A gzip file as a stream of what is in it, by the engine that layers are decoded with.

use std::io::{self, BufRead, Read};

use super::engine::{Checks, Decoder, Flow, OVERHANG, Room};
use super::index::{BlobOffset, Codec, WINDOW};

/// Bytes that are decoded at a time.
const STEP: usize = 256 << 10;

/// Reads what is in a gzip file of one or more members. Their checksums are compared.
///
/// Memory: about 300 KiB, whatever the file.
pub struct Gunzip<R> {
    input: R,
    decoder: Decoder,
    /// The 32 KiB before a step, and the step.
    buffer: Vec<u8>,
    /// What of the buffer is decoded and not read.
    start: usize,
    end: usize,
}

impl<R: BufRead> Gunzip<R> {
    /// A reader at the start of a file.
    pub fn new(input: R) -> Self {
        let decoder = Decoder::new(Codec::Gzip, BlobOffset(0), Checks::Made);
        Self { input, decoder, buffer: vec![0; WINDOW + STEP + OVERHANG], start: WINDOW, end: WINDOW }
    }

    /// Decodes the next step behind the one before, unless the file ends.
    fn decode(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.end - WINDOW..self.end, 0);
        (self.start, self.end) = (WINDOW, WINDOW);
        while self.end < WINDOW + STEP {
            let input = self.input.fill_buf()?;
            let is_over = input.is_empty();
            let room = Room { buffer: &mut self.buffer, at: self.end, enough: WINDOW + STEP, window: &[] };
            let step = self.decoder.step(input, room).map_err(io::Error::other)?;
            self.input.consume(step.consumed);
            self.end += step.produced;
            if is_over && step.produced == 0 && step.flow == Flow::Input {
                // What was decoded is read before anybody hears that the file is cut.
                let is_fine = self.end > WINDOW || self.decoder.may_end();
                return if is_fine { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
        Ok(())
    }
}

impl<R: BufRead> BufRead for Gunzip<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.decode()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.fill_buf()?.read(buf)?;
        self.consume(len);
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut file = Vec::new();
        flate2::read::GzEncoder::new(content, flate2::Compression::new(6)).read_to_end(&mut file).unwrap();
        file
    }

    #[test]
    fn what_was_compressed_is_read_and_damage_is_an_error() {
        let content: Vec<u8> = (0..1_000_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        let file = [gzip(&content), gzip(b"more")].concat();
        let mut read = Vec::new();
        Gunzip::new(io::BufReader::with_capacity(1000, &file[..])).read_to_end(&mut read).unwrap();
        assert!(read == [&content[..], b"more"].concat());
        let error = |file: &[u8]| Gunzip::new(file).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error(&file[..file.len() - 1]).kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(error(b"").kind(), io::ErrorKind::UnexpectedEof);
        let mut damaged = file;
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert_eq!(error(&damaged).to_string(), "incorrect length check");
    }
}
