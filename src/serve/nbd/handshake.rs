//! The handshake: a client asks what there is, and chooses an export.
//!
//! # Format
//! "Fixed newstyle negotiation" and "Option haggling" of the protocol. What a client has asked for before TLS is forgotten.

use std::io;
use std::sync::Arc;

use super::Security;
use super::link::{Link, Receiver};
use super::wire::{self, Fields, OPTION_HEADER, bounded, info, option, reply};
use crate::base::{in_line, printable, printable_line};
use crate::extent::SharedSource;
use crate::serve::{Exports, Generation};

/// Options that a client may send: some for each of the exports it asks about.
const OPTIONS: usize = 512;
/// Longest data of an option, in bytes: a name and queries.
const LONGEST: u32 = 16 << 10;
/// The one metadata context there is: which ranges are holes ("Metadata querying").
const ALLOCATION: &str = "base:allocation";
/// Its number in replies.
pub(super) const ALLOCATION_ID: u32 = 1;
/// Sizes of requests in bytes: the shortest, the one that is best, and the longest ("Block size constraints").
const BLOCK_SIZES: [u32; 3] = [1, 4096, super::LONGEST_REQUEST];

/// What a client has chosen.
pub(super) struct Chosen {
    /// Name of the artifact.
    pub(super) name: String,
    /// Its bytes.
    pub(super) source: SharedSource,
    /// How it is replied to.
    pub(super) replies: Replies,
    /// Whether it may ask for holes.
    pub(super) tells_holes: bool,
}

/// How reads are replied to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    /// Each by one message.
    #[default]
    Simple,
    /// In chunks.
    Structured,
}

/// How an option ends.
enum Next {
    GoOn,
    Chosen(Chosen),
    End,
}

/// A client that chooses.
pub(super) struct Handshake<'a, 'b> {
    link: &'a Link,
    receiver: &'b mut Receiver<'a>,
    exports: &'a Exports,
    security: &'a Security,
    no_zeroes: bool,
    replies: Replies,
    /// The export that the client wants to know the holes of.
    allocation_of: Option<String>,
}

impl<'a, 'b> Handshake<'a, 'b> {
    /// Lets a client choose; `None` when it goes without having done so.
    ///
    /// # Errors
    /// When the connection breaks, or the client does not keep to the protocol.
    pub(super) fn run(
        link: &'a Link,
        receiver: &'b mut Receiver<'a>,
        exports: &'a Exports,
        security: &'a Security,
    ) -> io::Result<Option<Chosen>> {
        let no_zeroes = greet(link, receiver)?;
        let replies = Replies::default();
        let mut handshake = Self { link, receiver, exports, security, no_zeroes, replies, allocation_of: None };
        for _ in 0..OPTIONS {
            let Some(header) = handshake.receiver.next::<OPTION_HEADER>()? else { return Ok(None) };
            match handshake.option(&header)? {
                Next::GoOn => {}
                Next::Chosen(chosen) => return Ok(Some(chosen)),
                Next::End => return Ok(None),
            }
        }
        Err(violation("too many options"))
    }

    fn option(&mut self, header: &[u8; OPTION_HEADER]) -> io::Result<Next> {
        let mut fields = Fields(header);
        let (magic, option, len) = (fields.u64(), fields.u32().unwrap_or(0), fields.u32().unwrap_or(u32::MAX));
        if magic != Some(wire::OPTION_MAGIC) {
            return Err(violation("no option where one is to be"));
        }
        if len > LONGEST {
            self.refuse(option, reply::ERR_TOO_BIG, "an option is too long")?;
            return Err(violation("an option is too long"));
        }
        let mut data = vec![0; usize::try_from(len).unwrap_or(0)];
        self.receiver.read(&mut data)?;
        if matches!(self.security, Security::Tls(_)) && !self.link.is_secret() {
            match option {
                option::STARTTLS | option::ABORT => {}
                option::EXPORT_NAME => return Err(violation("an export is chosen without TLS")),
                _ => return self.refuse(option, reply::ERR_TLS_REQD, "this server speaks TLS alone"),
            }
        }
        match option {
            option::EXPORT_NAME => self.export_name(&data),
            option::ABORT => self.acknowledge(option).map(|_| Next::End),
            option::LIST if data.is_empty() => self.list(),
            option::STARTTLS if data.is_empty() => self.start_tls(),
            option::INFO | option::GO => self.info(option, &data),
            option::STRUCTURED_REPLY if data.is_empty() => {
                self.replies = Replies::Structured;
                self.acknowledge(option)
            }
            option::LIST_META_CONTEXT | option::SET_META_CONTEXT => self.meta_context(option, &data),
            option::LIST | option::STARTTLS | option::STRUCTURED_REPLY => {
                self.refuse(option, reply::ERR_INVALID, "this option has no data")
            }
            _ => self.refuse(option, reply::ERR_UNSUP, "this option is not known"),
        }
    }

    fn send(&self, option: u32, reply: u32, data: &[u8]) -> io::Result<()> {
        self.link.sender().send(&[&wire::option_reply(option, reply, data)])
    }

    fn acknowledge(&self, option: u32) -> io::Result<Next> {
        self.send(option, reply::ACK, &[]).map(|()| Next::GoOn)
    }

    fn refuse(&self, option: u32, reply: u32, why: &str) -> io::Result<Next> {
        self.send(option, reply, bounded(why).as_bytes()).map(|()| Next::GoOn)
    }

    /// Every name, with its size where that costs nothing.
    fn list(&self) -> io::Result<Next> {
        for artifact in &self.exports.now().artifacts {
            let name = artifact.name().as_bytes();
            let made = if artifact.is_made() { artifact.open().ok() } else { None };
            let size = made.map(|source| format!("{} bytes", source.size())).unwrap_or_default();
            let data = [&u32::try_from(name.len()).unwrap_or(0).to_be_bytes(), name, size.as_bytes()].concat();
            self.send(option::LIST, reply::SERVER, &data)?;
        }
        self.acknowledge(option::LIST)
    }

    fn start_tls(&mut self) -> io::Result<Next> {
        let (Security::Tls(config) | Security::TlsIfAsked(config)) = self.security else {
            return self.refuse(option::STARTTLS, reply::ERR_POLICY, "this server has no certificate for TLS");
        };
        if self.link.is_secret() {
            return self.refuse(option::STARTTLS, reply::ERR_INVALID, "TLS is spoken already");
        }
        // Else somebody in between could have asked for something in the name of the client.
        if self.receiver.has_more() {
            return Err(violation("something follows the option that starts TLS"));
        }
        self.acknowledge(option::STARTTLS)?;
        self.link.start_tls(config, self.receiver.until())?;
        (self.replies, self.allocation_of) = (Replies::Simple, None);
        Ok(Next::GoOn)
    }

    /// Chooses an export in the oldest way, which can tell of no error.
    fn export_name(&mut self, name: &[u8]) -> io::Result<Next> {
        let chosen = self.open(name).map_err(|Refusal(_, why)| violation(&why))?;
        let mut data = chosen.source.size().to_be_bytes().to_vec();
        data.extend(self.flags().to_be_bytes());
        if !self.no_zeroes {
            data.extend([0; 124]);
        }
        self.link.sender().send(&[&data])?;
        Ok(Next::Chosen(chosen))
    }

    /// Tells of an export, or chooses it.
    fn info(&mut self, option: u32, data: &[u8]) -> io::Result<Next> {
        let mut fields = Fields(data);
        let asked = fields.text().zip(fields.u16()).filter(|(_, count)| fields.0.len() == usize::from(*count) * 2);
        let Some((name, _)) = asked else { return self.refuse(option, reply::ERR_INVALID, "the option is garbled") };
        let chosen = match self.open(name) {
            Ok(chosen) => chosen,
            Err(Refusal(reply, why)) => return self.refuse(option, reply, &why),
        };
        let flags = self.flags().to_be_bytes();
        let export = [&info::EXPORT.to_be_bytes()[..], &chosen.source.size().to_be_bytes(), &flags].concat();
        self.send(option, reply::INFO, &export)?;
        while let Some(wanted) = fields.u16() {
            match wanted {
                info::NAME => {
                    let name = [&info::NAME.to_be_bytes(), chosen.name.as_bytes()].concat();
                    self.send(option, reply::INFO, &name)?;
                }
                info::BLOCK_SIZE => {
                    let sizes = BLOCK_SIZES.map(u32::to_be_bytes).concat();
                    self.send(option, reply::INFO, &[&info::BLOCK_SIZE.to_be_bytes(), &sizes[..]].concat())?;
                }
                _ => {}
            }
        }
        self.acknowledge(option)?;
        Ok(if option == option::GO { Next::Chosen(chosen) } else { Next::GoOn })
    }

    fn meta_context(&mut self, option: u32, data: &[u8]) -> io::Result<Next> {
        let is_choice = option == option::SET_META_CONTEXT;
        if is_choice {
            // The latest choice holds, whatever becomes of it.
            self.allocation_of = None;
        }
        let mut fields = Fields(data);
        let asked = fields.text().zip(fields.u32()).and_then(|(name, count)| Some((name, queries(fields, count)?)));
        let Some((name, queries)) = asked else {
            return self.refuse(option, reply::ERR_INVALID, "the option is garbled");
        };
        if is_choice && self.replies == Replies::Simple {
            return self.refuse(option, reply::ERR_INVALID, "holes are told in structured replies alone");
        }
        let generation = self.exports.now();
        let name = match find(&generation, name) {
            Ok(at) => generation.artifacts[at].name(),
            Err(Refusal(reply, why)) => return self.refuse(option, reply, &why),
        };
        let is_named = |query: &&[u8]| *query == ALLOCATION.as_bytes() || !is_choice && *query == b"base:";
        if queries.iter().any(is_named) || queries.is_empty() && !is_choice {
            let id = if is_choice { ALLOCATION_ID } else { 0 };
            self.send(option, reply::META_CONTEXT, &[&id.to_be_bytes(), ALLOCATION.as_bytes()].concat())?;
            if is_choice {
                self.allocation_of = Some(name.to_owned());
            }
        }
        self.acknowledge(option)
    }

    /// Lays the export out, if it is not yet.
    fn open(&self, name: &[u8]) -> Result<Chosen, Refusal> {
        let generation = self.exports.now();
        let artifact = &generation.artifacts[find(&generation, name)?];
        let name = artifact.name().to_owned();
        let source = artifact.open().map_err(|error| {
            let why = printable_line(&in_line(&error)).to_string();
            tracing::warn!("`{}` is not served: {why}", printable(name.as_bytes()));
            Refusal(reply::ERR_UNKNOWN, why)
        })?;
        let tells_holes = self.allocation_of.as_ref() == Some(&name);
        Ok(Chosen { source: source.clone(), name, replies: self.replies, tells_holes })
    }

    const fn flags(&self) -> u16 {
        match self.replies {
            Replies::Simple => wire::EXPORT_FLAGS,
            Replies::Structured => wire::EXPORT_FLAGS | wire::SEND_DF,
        }
    }
}

/// Sends the greeting; whether the client wants no zeros in the oldest reply.
fn greet(link: &Link, receiver: &mut Receiver<'_>) -> io::Result<bool> {
    let flags = wire::FIXED_NEWSTYLE | wire::NO_ZEROES;
    let hello = [&wire::INIT_MAGIC.to_be_bytes()[..], &wire::OPTION_MAGIC.to_be_bytes(), &flags.to_be_bytes()];
    link.sender().send(&hello)?;
    let flags = receiver.next()?.map_or(Ok(0), |bytes| {
        u16::try_from(u32::from_be_bytes(bytes)).map_err(|_| violation("the client has flags that are not known"))
    })?;
    if flags & !(wire::FIXED_NEWSTYLE | wire::NO_ZEROES) != 0 {
        return Err(violation("the client has flags that are not known"));
    }
    Ok(flags & wire::NO_ZEROES != 0)
}

/// Why an option cannot be followed: the kind of the reply, and a text.
struct Refusal(u32, String);

/// The number of the artifact with a name; the only one has the empty name, too.
fn find(generation: &Arc<Generation>, name: &[u8]) -> Result<usize, Refusal> {
    let artifacts = &generation.artifacts;
    if name.is_empty() && artifacts.len() == 1 {
        return Ok(0);
    }
    artifacts.iter().position(|artifact| artifact.name().as_bytes() == name).ok_or_else(|| {
        let names: Vec<&str> = artifacts.iter().map(|artifact| artifact.name()).collect();
        let wanted = if name.is_empty() { "an export is to be named".to_owned() } else { unknown(name) };
        Refusal(reply::ERR_UNKNOWN, format!("{wanted}; there are {}", printable_line(&names.join(", "))))
    })
}

fn unknown(name: &[u8]) -> String {
    format!("there is no export `{}`", printable(&name[..name.len().min(256)]))
}

/// As many texts as `count` says, and nothing behind them.
fn queries(mut fields: Fields<'_>, count: u32) -> Option<Vec<&[u8]>> {
    let mut queries = Vec::new();
    for _ in 0..count {
        queries.push(fields.text()?);
    }
    fields.0.is_empty().then_some(queries)
}

fn violation(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
