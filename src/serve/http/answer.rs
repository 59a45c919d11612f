//! Questions and their answers: which path shows what, and what goes wrong.

use hyper::header::{ALLOW, HOST, HeaderValue, VARY};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Response, StatusCode, Version};
use percent_encoding::percent_decode_str;

use super::accepted::prefers_json;
use super::artifact::{self, Shop};
use super::body::Body;
use super::listing::Listing;
use super::page::page;
use super::reply::{HTML, POLICY, TEXT, complaint, failure, set, text, values};
use crate::base::printable;
use crate::serve::{Generation, ipxe};

const JSON: &str = "application/json";

/// What is shown at the paths of a server. All of it may block.
pub(super) trait Shelf: Send + Sync + 'static {
    /// What stands at the path of a question, which begins behind its first slash; `base` is the URL of the server as the
    /// client wrote it, without a scheme: `HOST/`, or nothing.
    fn show(&self, head: &Parts, path: &str, base: &str) -> Response<Body>;
}

/// The answer to a question. It may block.
pub(super) fn answer(shelf: &dyn Shelf, head: &Parts) -> Response<Body> {
    let mut response = respond(shelf, head);
    if head.method == Method::HEAD {
        *response.body_mut() = Body::text("");
    }
    response
}

fn respond(shelf: &dyn Shelf, head: &Parts) -> Response<Body> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        let mut refused = complaint(StatusCode::METHOD_NOT_ALLOWED, "files can be read here, and nothing else");
        set(&mut refused, ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let Ok(host) = host(head) else {
        return complaint(StatusCode::BAD_REQUEST, "the request names no host, or one that is none");
    };
    let Some(path) = head.uri.path().strip_prefix('/') else {
        return complaint(StatusCode::BAD_REQUEST, "the path of a request begins with `/`");
    };
    shelf.show(head, path, &host.map_or_else(String::new, |host| format!("{host}/")))
}

impl Shelf for Shop {
    fn show(&self, head: &Parts, path: &str, base: &str) -> Response<Body> {
        let base = if base.is_empty() { String::new() } else { format!("{}://{base}", self.scheme) };
        let name = percent_decode_str(path).decode_utf8_lossy();
        let generation = self.exports.now_with(&name);
        if let Some(artifact) = generation.get(&name) {
            return artifact::answer(self, head, &generation, artifact);
        }
        match &*name {
            "" => index(&generation, head, &base),
            "index.json" => text(JSON, Listing::of(&generation).json()),
            "ipxe" | "boot.ipxe" => ipxe::script(&generation, &base).map_or_else(|e| failure(&e), |it| text(TEXT, it)),
            _ => not_found(&generation, &name),
        }
    }
}

/// The page for people, or its content for programs.
fn index(generation: &Generation, head: &Parts, base: &str) -> Response<Body> {
    let listing = Listing::of(generation);
    let accept = values(head, hyper::header::ACCEPT);
    let mut response = match prefers_json(&accept) {
        true => text(JSON, listing.json()),
        false => text(HTML, page(&listing, base)),
    };
    set(&mut response, VARY, HeaderValue::from_static("accept"));
    set(&mut response, hyper::header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

fn not_found(generation: &Generation, name: &str) -> Response<Body> {
    let mut names: Vec<&str> = generation.artifacts.iter().map(|artifact| artifact.name()).collect();
    names.extend(["ipxe", "index.json"]);
    let names: String = names.iter().map(|name| format!("  {}\n", printable(name.as_bytes()))).collect();
    let message = format!("there is no `{}` here; there are\n{names}", printable(name.as_bytes()));
    let mut response = text(TEXT, message);
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// The host that the client asked, as it wrote it; `None` where an old client may leave it out.
fn host(head: &Parts) -> Result<Option<String>, ()> {
    let mut hosts = head.headers.get_all(HOST).iter();
    let written = match (head.uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(()),
        (Some(authority), _, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().map_err(|_| ())?,
        (None, None, None) if head.version < Version::HTTP_11 => return Ok(None),
        (None, None, None) => return Err(()),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    let is_host = written.bytes().all(is_plain) && written.parse::<Authority>().is_ok();
    if is_host { Ok(Some(written.to_owned())) } else { Err(()) }
}
