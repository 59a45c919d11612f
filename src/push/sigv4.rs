//! Signatures of AWS, which prove that a request comes from the owner of a key that is not sent.
//!
//! # Format
//! "AWS Signature Version 4 for API requests": HMAC-SHA-256 of a canonical form of the request, with a key that derives from
//! the secret, the day, the region and the service.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::Sha256;

use super::service::Call;
use crate::base::{Civil, Digest};

/// What is not escaped in a canonical request: the unreserved characters of RFC 3986, section 2.3.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a path, whose segments stay apart.
const IN_PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Who asks.
#[derive(Clone)]
pub struct Keys {
    /// Its public name.
    pub id: String,
    /// What signs.
    pub secret: String,
    /// What comes with keys that end soon.
    pub token: Option<String>,
}

/// Whom it is asked, and where.
pub(super) struct Signer {
    pub keys: Keys,
    pub region: String,
    pub service: &'static str,
}

/// How the body is a part of what is signed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Payload {
    /// By its digest.
    Signed,
    /// Not by itself: a checksum of it is among the headers, which are signed.
    Unsigned,
}

/// A path in the form in which it is signed and sent.
pub(super) fn escaped_path(path: &str) -> String {
    utf8_percent_encode(path, IN_PATH).to_string()
}

/// A part of a query in the same form.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

impl Signer {
    /// Signs a call at a time in seconds since 1970.
    pub fn sign(&self, mut call: Call, payload: Payload, time: i64) -> Call {
        let Civil { year, month, day, hour, minute, second } = Civil::of(time);
        let day = format!("{year:04}{month:02}{day:02}");
        let stamp = format!("{day}T{hour:02}{minute:02}{second:02}Z");
        let digest = match payload {
            Payload::Signed => Digest::of(&call.body).hex(),
            Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
        };
        call = call.header("x-amz-date", &stamp);
        if self.service == "s3" {
            call = call.header("x-amz-content-sha256", &digest);
        }
        if let Some(token) = &self.keys.token {
            call = call.header("x-amz-security-token", token);
        }
        let (names, canonical) = canonical(&call, &digest);
        let scope = format!("{day}/{}/{}/aws4_request", self.region, self.service);
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", Digest::of(canonical.as_bytes()).hex());
        let signature = base16ct::lower::encode_string(&mac(&self.key(&day), &text));
        let id = &self.keys.id;
        let value = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        call.secret("authorization", &value)
    }

    fn key(&self, day: &str) -> Vec<u8> {
        let first = format!("AWS4{}", self.keys.secret).into_bytes();
        [day, &self.region, self.service, "aws4_request"].into_iter().fold(first, |key, text| mac(&key, text))
    }
}

/// The names of the headers that are signed, and the request in canonical form.
fn canonical(call: &Call, digest: &str) -> (String, String) {
    let host = call.url.host_str().unwrap_or_default();
    let host = call.url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let mut headers = vec![("host".to_owned(), host)];
    headers.extend(call.headers.iter().map(|(name, value)| {
        let words = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), words.split_whitespace().collect::<Vec<_>>().join(" "))
    }));
    headers.sort();
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let mut query: Vec<_> = call.url.query().unwrap_or_default().split('&').collect();
    query.sort_unstable();
    let mut text = format!("{}\n{}\n{}\n", call.method, call.url.path(), query.join("&"));
    headers.iter().for_each(|(name, value)| text += &format!("{name}:{value}\n"));
    let _ = write!(text, "\n{names}\n{digest}");
    (names, text)
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use reqwest::{Method, Url};

    use super::*;

    fn signer(service: &'static str) -> Signer {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned();
        let keys = Keys { id: "AKIAIOSFODNN7EXAMPLE".to_owned(), secret, token: None };
        Signer { keys, region: "us-east-1".to_owned(), service }
    }

    /// The examples of "Signature Calculations for the Authorization Header" of Amazon S3's reference, at 2013-05-24.
    #[test]
    fn the_examples_of_the_reference_have_their_signatures() {
        let get = |query: &str| {
            Call::new(Method::GET, Url::parse(&format!("https://examplebucket.s3.amazonaws.com/{query}")).unwrap())
        };
        let rows = [
            (
                get("test.txt").header("range", "bytes=0-9"),
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (get("?lifecycle="), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            (get("?max-keys=2&prefix=J"), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ];
        for (call, signature) in rows {
            let signed = signer("s3").sign(call, Payload::Signed, 1_369_353_600);
            let value = signed.headers["authorization"].to_str().unwrap();
            assert_eq!(value.rsplit_once("Signature=").unwrap().1, signature);
        }
    }

    #[test]
    fn a_token_is_signed_with_the_rest() {
        let mut signer = signer("ec2");
        signer.keys.token = Some("tok".to_owned());
        let call = Call::new(Method::POST, Url::parse("https://ec2.us-east-1.amazonaws.com/").unwrap());
        let signed = signer.sign(call, Payload::Signed, 1_369_353_600);
        let value = signed.headers["authorization"].to_str().unwrap();
        assert!(value.contains("SignedHeaders=host;x-amz-date;x-amz-security-token, "), "{value}");
        assert!(signed.headers["authorization"].is_sensitive());
    }

    #[test]
    fn paths_are_escaped_as_they_are_signed() {
        assert_eq!(escaped_path("a b/ü+c~(1).raw"), "a%20b/%C3%BC%2Bc~%281%29.raw");
        assert_eq!(escaped("a/b=c"), "a%2Fb%3Dc");
    }
}
