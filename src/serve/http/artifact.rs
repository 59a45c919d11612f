//! An artifact as the answer to a question: whole or in part, as it is or compressed, or not at all when the client has
//! it.
//!
//! # Format
//! RFC 9110: section 8.8.3 (ETag), 12.5.3 (encodings). There is no `Last-Modified`: all that lkit makes bears one date, so a
//! client that compares dates would keep what a spec was before a change.

use std::ops::Range;

use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderValue,
    RANGE, TRANSFER_ENCODING, VARY,
};
use hyper::http::request::Parts;
use hyper::{Response, Version};

use super::accepted::Encoding;
use super::body::{Body, Plain, Room};
use super::conditions::{Validators, visible};
use super::encoded::{Encoded, Encoders};
use super::reply::{failure, set, values};
use crate::base::Digest;
use crate::extent::{ReadError, SharedSource};
use crate::output::{Artifact, Product};
use crate::serve::{Exports, Generation};

/// What all answers are made from.
pub(super) struct Shop {
    pub exports: Exports,
    pub room: Room,
    pub encoders: Encoders,
    /// `http` or `https`.
    pub scheme: &'static str,
}

/// The answer to a question for `artifact`.
pub(super) fn answer(shop: &Shop, head: &Parts, generation: &Generation, artifact: &Artifact) -> Response<Body> {
    match artifact.open() {
        Ok(source) => Shown { shop, head, artifact, source, seed: &generation.seed }.answer(),
        Err(error) => failure(&error),
    }
}

/// An artifact that somebody asks for.
struct Shown<'a> {
    shop: &'a Shop,
    head: &'a Parts,
    artifact: &'a Artifact,
    source: &'a SharedSource,
    seed: &'a Digest,
}

impl Shown<'_> {
    fn answer(&self) -> Response<Body> {
        let encoding = self.encoding();
        let (size, validators) = (self.source.size(), Validators { etag: self.etag(encoding), modified: None });
        let sent = |range| match (range, encoding) {
            (Some(range), _) => self.plain(range),
            (None, None) => self.plain(0..size),
            (None, Some(encoding)) => self.encoded(encoding).unwrap_or_else(|error| failure(&error)),
        };
        validators.answer(self.head, size, || self.described(encoding), sent)
    }

    /// How the answer is encoded: only what is sent whole, and in pieces whose end a client can see.
    fn encoding(&self) -> Option<Encoding> {
        let fits = self.varies() && self.head.version >= Version::HTTP_11 && !self.head.headers.contains_key(RANGE);
        fits.then(|| Encoding::preferred(&values(self.head, ACCEPT_ENCODING))).flatten()
    }

    /// Whether there are encoded forms of it: worth it for what a machine loads before it starts.
    fn varies(&self) -> bool {
        use Product::{ErofsInitrd, Initrd, Kernel, SquashfsInitrd};
        matches!(self.artifact.product(), Some(Kernel | Initrd | SquashfsInitrd | ErofsInitrd))
    }

    /// A tag that is the same only for the same bytes.
    fn etag(&self, encoding: Option<Encoding>) -> String {
        let Self { artifact, source, seed, .. } = self;
        let encoding = encoding.map_or("", Encoding::name);
        let digest = Digest::of(format!("{seed}\n{}\n{encoding}\n{}", source.size(), artifact.name()).as_bytes());
        format!("\"{}\"", &digest.hex()[..32])
    }

    /// An answer without a body that says what the file is.
    fn described(&self, encoding: Option<Encoding>) -> Response<Body> {
        let mut response = Response::new(Body::text(""));
        set(&mut response, ETAG, visible(self.etag(encoding)));
        set(&mut response, CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if self.varies() {
            set(&mut response, VARY, HeaderValue::from_static("accept-encoding"));
        }
        response
    }

    fn sent(&self, encoding: Option<Encoding>, body: Body) -> Response<Body> {
        let mut response = self.described(encoding);
        set(&mut response, CONTENT_TYPE, HeaderValue::from_static(content_type(self.artifact.product())));
        set(&mut response, ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        *response.body_mut() = body;
        response
    }

    fn plain(&self, range: Range<u64>) -> Response<Body> {
        let len = range.end - range.start;
        let pieces = Plain { source: self.source.clone(), range };
        let body = Body::artifact(self.artifact.name(), pieces, Some(len), self.shop.room.clone());
        let mut response = self.sent(None, body);
        set(&mut response, CONTENT_LENGTH, HeaderValue::from(len));
        response
    }

    /// The file encoded; as it is when all encoders are taken.
    fn encoded(&self, encoding: Encoding) -> Result<Response<Body>, ReadError> {
        let range = 0..self.source.size();
        let Some(permit) = self.shop.encoders.take() else { return Ok(self.plain(range)) };
        let plain = Plain { source: self.source.clone(), range };
        let pieces = Encoded::new(plain, encoding, permit).map_err(|error| ReadError::io("cannot compress", error))?;
        let body = Body::artifact(self.artifact.name(), pieces, None, self.shop.room.clone());
        let mut response = self.sent(Some(encoding), body);
        set(&mut response, CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        set(&mut response, TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        Ok(response)
    }
}

/// The media type of a product. The types of what UEFI's HTTP boot starts are those that EDK II knows
/// (`NetworkPkg/HttpBootDxe`).
const fn content_type(product: Option<Product>) -> &'static str {
    match product {
        Some(Product::Cmdline) => super::reply::TEXT,
        Some(Product::Tar | Product::Docker | Product::KernelInitrdTar) => "application/x-tar",
        Some(Product::Gcp) => "application/gzip",
        Some(Product::BootIso) => "application/vnd.efi-iso",
        Some(Product::Disk | Product::CloudDisk) => "application/vnd.efi-img",
        Some(Product::UnifiedImage) => "application/efi",
        _ => "application/octet-stream",
    }
}
