//! An artifact as the answer to a question: whole or in part, as it is or compressed, or not at all when the client has
//! it.
//!
//! # Format
//! RFC 9110: section 8.8.3 (ETag), 13 (conditions), 14 (ranges). There is no `Last-Modified`: all that lkit makes bears one
//! date, so a client that compares dates would keep what a spec was before a change.

use std::ops::Range;

use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderValue, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE, TRANSFER_ENCODING, VARY,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode, Version};

use super::accepted::Encoding;
use super::answer::{Shop, complaint, failure, set, values};
use super::body::{Body, Plain};
use super::encoded::Encoded;
use super::range::Wanted;
use crate::base::Digest;
use crate::extent::{ReadError, SharedSource};
use crate::output::{Artifact, Product};
use crate::serve::Generation;

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
        let etag = self.etag(encoding);
        if !self.matches(IF_MATCH, &etag, true) {
            return complaint(StatusCode::PRECONDITION_FAILED, "the file is another one now");
        }
        if self.matches(IF_NONE_MATCH, &etag, false) {
            let mut response = self.described(encoding);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        let size = self.source.size();
        match self.wanted(&etag) {
            Wanted::Nothing => {
                let mut response = complaint(StatusCode::RANGE_NOT_SATISFIABLE, "the file has fewer bytes");
                set(&mut response, CONTENT_RANGE, visible(format!("bytes */{size}")));
                response
            }
            Wanted::Part(range) => {
                let span = visible(format!("bytes {}-{}/{size}", range.start, range.end - 1));
                let mut response = self.plain(range);
                *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                set(&mut response, CONTENT_RANGE, span);
                response
            }
            Wanted::Whole => match encoding {
                None => self.plain(0..size),
                Some(encoding) => self.encoded(encoding).unwrap_or_else(|error| failure(&error)),
            },
        }
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

    /// Whether a condition's header names the tag; `missing` where there is no such header.
    fn matches(&self, condition: hyper::header::HeaderName, etag: &str, missing: bool) -> bool {
        if !self.head.headers.contains_key(&condition) {
            return missing;
        }
        let weak = condition == IF_NONE_MATCH;
        let tags = values(self.head, condition);
        let strong = |tag: &str| if weak { tag.strip_prefix("W/").unwrap_or(tag) == etag } else { tag == etag };
        tags.split(',').map(str::trim).any(|tag| tag == "*" || strong(tag))
    }

    /// The bytes that are wanted. The part of another file than the client has is not.
    fn wanted(&self, etag: &str) -> Wanted {
        let mut ranges = self.head.headers.get_all(RANGE).iter();
        let condition = self.head.headers.get(IF_RANGE);
        match (ranges.next().map(HeaderValue::to_str), ranges.next()) {
            (Some(Ok(range)), None) if condition.is_none_or(|tag| tag == etag) => {
                Wanted::parse(range, self.source.size())
            }
            _ => Wanted::Whole,
        }
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

fn visible(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits, letters and signs are visible ASCII")
}

/// The media type of a product. The types of what UEFI's HTTP boot starts are those that EDK II knows
/// (`NetworkPkg/HttpBootDxe`).
const fn content_type(product: Option<Product>) -> &'static str {
    match product {
        Some(Product::Cmdline) => super::answer::TEXT,
        Some(Product::Tar | Product::Docker | Product::KernelInitrdTar) => "application/x-tar",
        Some(Product::Gcp) => "application/gzip",
        Some(Product::BootIso) => "application/vnd.efi-iso",
        Some(Product::Disk | Product::CloudDisk) => "application/vnd.efi-img",
        Some(Product::UnifiedImage) => "application/efi",
        _ => "application/octet-stream",
    }
}
