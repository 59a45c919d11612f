//! What TFTP sends: requests with options, blocks, acknowledgements, errors.
//!
//! # Format
//! RFC 1350 (packets), 2347 (options), 2348 (blksize), 2349 (timeout, tsize), 7440 (windowsize).

use std::time::Duration;

/// A packet of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// It wants a file.
    Read(Request),
    /// It has all blocks up to this one.
    Acknowledged(u16),
    /// It wants no more.
    Aborted,
}

/// A request for a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub name: String,
    /// Bytes of a block, as the client wants them.
    pub block: Option<u16>,
    /// Blocks that are sent before one is acknowledged.
    pub window: Option<u16>,
    /// How long a side waits before it sends again, in seconds.
    pub timeout: Option<u8>,
    /// Whether it wants to know the size.
    pub wants_size: bool,
}

/// Why a packet is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: u16,
    pub message: String,
}

/// Error codes (RFC 1350, appendix).
pub(super) const UNDEFINED: u16 = 0;
pub(super) const NOT_FOUND: u16 = 1;
pub(super) const DENIED: u16 = 2;
pub(super) const ILLEGAL: u16 = 4;

/// Operations.
const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACKNOWLEDGEMENT: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

/// Bytes of a block unless an option says more (RFC 1350), the smallest and the largest that there are (RFC 2348).
pub(super) const BLOCK: u16 = 512;
const BLOCKS: std::ops::RangeInclusive<u32> = 8..=65464;
/// Longest message of an error, in bytes, so that its packet is no longer than a block.
const LONGEST_MESSAGE: usize = 500;

impl Refusal {
    pub(super) fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The packet that tells the client.
    pub(super) fn packet(&self) -> Vec<u8> {
        let end = self.message.floor_char_boundary(LONGEST_MESSAGE);
        let message = self.message[..end].bytes().filter(|byte| *byte != 0);
        let numbers = [ERROR, self.code].map(u16::to_be_bytes);
        numbers.as_flattened().iter().copied().chain(message).chain([0]).collect()
    }
}

impl Packet {
    /// Reads a packet. `None` stands for one that is to be ignored, since an answer could begin a quarrel between servers.
    ///
    /// # Errors
    /// What is to be told to the client.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Refusal> {
        let Some((operation, rest)) = number(bytes) else { return Ok(None) };
        match operation {
            READ => Request::parse(rest).map(|request| Some(Self::Read(request))),
            WRITE => Err(Refusal::new(DENIED, "files can be read here, and nothing else")),
            ACKNOWLEDGEMENT => Ok(number(rest).map(|(block, _)| Self::Acknowledged(block))),
            ERROR => Ok(Some(Self::Aborted)),
            _ => Ok(None),
        }
    }
}

impl Request {
    fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let illegal = || Refusal::new(ILLEGAL, "the request cannot be understood");
        // Every text ends with a NUL.
        let texts = bytes.strip_suffix(&[0]).ok_or_else(illegal)?.split(|byte| *byte == 0);
        let texts: Vec<&str> = texts.map(str::from_utf8).collect::<Result<_, _>>().map_err(|_| illegal())?;
        let [name, mode, options @ ..] = &texts[..] else { return Err(illegal()) };
        if !mode.eq_ignore_ascii_case("octet") {
            return Err(Refusal::new(UNDEFINED, "files are sent as they are: use the mode octet (binary)"));
        }
        let mut request = Self { name: (*name).to_owned(), ..Self::default() };
        // An option that is not known, or whose value is none, is as if it were not there.
        options.chunks_exact(2).for_each(|option| request.take(option[0], option[1]));
        Ok(request)
    }

    fn take(&mut self, option: &str, value: &str) {
        let value: Option<u32> = value.parse().ok();
        match option.to_ascii_lowercase().as_str() {
            "blksize" => {
                let block = value.filter(|block| block >= BLOCKS.start()).map(|block| block.min(*BLOCKS.end()));
                self.block = block.and_then(|block| block.try_into().ok());
            }
            "windowsize" => self.window = value.and_then(|window| window.try_into().ok()).filter(|window| *window > 0),
            "timeout" => self.timeout = value.and_then(|timeout| timeout.try_into().ok()).filter(|time| *time > 0),
            "tsize" => self.wants_size = value == Some(0),
            _ => {}
        }
    }

    /// The answer to the options, which says what of them holds; `None` without any.
    pub(super) fn agreement(&self, size: u64, window: u16) -> Option<Vec<u8>> {
        let options = [
            ("blksize", self.block.map(u64::from)),
            ("tsize", self.wants_size.then_some(size)),
            ("timeout", self.timeout.map(u64::from)),
            ("windowsize", self.window.map(|_| window.into())),
        ];
        let told: String =
            options.iter().filter_map(|(name, value)| Some(format!("{name}\0{}\0", (*value)?))).collect();
        (!told.is_empty()).then(|| [&OPTIONS.to_be_bytes()[..], told.as_bytes()].concat())
    }

    /// How long a client waits before it asks again.
    pub(super) fn wait(&self) -> Option<Duration> {
        self.timeout.map(|seconds| Duration::from_secs(seconds.into()))
    }
}

/// The packet of a block; its number has the low 16 bits of the block's.
pub(super) fn data(number: u64, content: &[u8]) -> Vec<u8> {
    let [.., high, low] = number.to_be_bytes();
    [&DATA.to_be_bytes()[..], &[high, low], content].concat()
}

fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    bytes.split_first_chunk().map(|(number, rest)| (u16::from_be_bytes(*number), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Packet>, Refusal> {
        Packet::parse(&[b"\0\x01", text.as_bytes()].concat())
    }

    #[test]
    fn a_request_has_a_name_a_mode_and_options() {
        let plain = Request { name: "x.efi".to_owned(), ..Request::default() };
        assert_eq!(read("x.efi\0octet\0"), Ok(Some(Packet::Read(plain))));
        let all = "x.efi\0OCTET\0tsize\x000\0BlkSize\x001468\0timeout\x003\0windowsize\x004\0other\x001\0";
        let asked = Request {
            name: "x.efi".to_owned(),
            block: Some(1468),
            window: Some(4),
            timeout: Some(3),
            wants_size: true,
        };
        assert_eq!(read(all), Ok(Some(Packet::Read(asked))));
    }

    #[test]
    fn an_option_that_makes_no_sense_is_as_if_it_were_not_there() {
        for option in [
            "blksize\x007",
            "blksize\0-1",
            "blksize\0x",
            "blksize\0",
            "windowsize\x000",
            "windowsize\x0099999",
            "timeout\x000",
            "timeout\x00256",
            "tsize\x007",
            "tsize\0",
            "blksize",
            "\0",
            "\0\0",
        ] {
            let Ok(Some(Packet::Read(request))) = read(&format!("x\0octet\0{option}\0")) else { panic!("{option}") };
            assert_eq!(request, Request { name: "x".to_owned(), ..Request::default() }, "{option}");
            assert_eq!(request.agreement(5, 1), None);
        }
        let Ok(Some(Packet::Read(request))) = read("x\0octet\0blksize\x0099999\0") else { panic!() };
        assert_eq!(request.block, Some(65464));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let rows: [(&[u8], u16); 8] = [
            (b"\0\x01", ILLEGAL),
            (b"\0\x01x", ILLEGAL),
            (b"\0\x01x\0octet", ILLEGAL),
            (b"\0\x01x\0", ILLEGAL),
            (b"\0\x01\xff\0octet\0", ILLEGAL),
            (b"\0\x01x\0netascii\0", UNDEFINED),
            (b"\0\x01x\0mail\0", UNDEFINED),
            (b"\0\x02x\0octet\0", DENIED),
        ];
        for (packet, code) in rows {
            assert_eq!(Packet::parse(packet).unwrap_err().code, code, "{packet:?}");
        }
    }

    #[test]
    fn what_is_no_packet_of_a_client_is_ignored() {
        for packet in
            [&b""[..], b"\0", b"\0\0", b"\0\x03\0\x01data", b"\0\x04", b"\0\x04\0", b"\0\x06a\0b\0", b"\xff\xff\0\0"]
        {
            assert_eq!(Packet::parse(packet), Ok(None), "{packet:?}");
        }
        assert_eq!(Packet::parse(b"\0\x04\x01\x02"), Ok(Some(Packet::Acknowledged(0x102))));
        assert_eq!(Packet::parse(b"\0\x05"), Ok(Some(Packet::Aborted)));
    }

    #[test]
    fn answers_are_as_the_standards_write_them() {
        let request = Request { block: Some(1468), timeout: Some(2), window: Some(99), ..Request::default() };
        let agreement = request.agreement(7, 16).unwrap();
        assert_eq!(agreement, b"\0\x06blksize\x001468\0timeout\x002\0windowsize\x0016\0");
        let sized = Request { wants_size: true, ..Request::default() };
        assert_eq!(sized.agreement(1 << 32, 1).unwrap(), b"\0\x06tsize\x004294967296\0");
        assert_eq!(data(0x1_0203, b"ab"), b"\0\x03\x02\x03ab");
        assert_eq!(Refusal::new(NOT_FOUND, "no\0such").packet(), b"\0\x05\0\x01nosuch\0");
        assert_eq!(Refusal::new(0, "é".repeat(300)).packet().len(), 505);
    }
}
