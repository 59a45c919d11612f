//! Signatures of Azure's storage, which prove that a request comes from who has the key of an account.
//!
//! # Format
//! "Authorize with Shared Key" of "Azure Storage services REST API Reference": HMAC-SHA-256 of a canonical form of the
//! request.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::percent_decode_str;
use reqwest::header::HeaderValue;
use sha2::Sha256;

use crate::push::service::Call;

/// Headers whose values are signed without their names, in this order; the length of the body stands behind the first two.
const PLAIN: [&str; 10] = [
    "content-encoding",
    "content-language",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// The key of a storage account.
pub struct StorageKey {
    account: String,
    key: Vec<u8>,
}

impl StorageKey {
    /// A key as Azure writes it, in base64; nothing when it is none.
    pub fn new(account: &str, text: &str) -> Option<Self> {
        let key = STANDARD.decode(text).ok().filter(|key| !key.is_empty())?;
        Some(Self { account: account.to_owned(), key })
    }

    /// Signs a call at a time.
    pub fn sign(&self, call: Call, time: SystemTime) -> Call {
        let mut call = call.header("x-ms-date", &httpdate::fmt_http_date(time));
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        mac.update(self.canonical(&call).as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        if let Ok(mut value) = HeaderValue::from_str(&format!("SharedKey {}:{signature}", self.account)) {
            value.set_sensitive(true);
            call.headers.insert("authorization", value);
        }
        call
    }

    fn canonical(&self, call: &Call) -> String {
        let value =
            |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim();
        let mut lines = vec![call.method.to_string()];
        lines.extend(PLAIN.iter().map(|name| value(name).to_owned()));
        let length = call.body.len();
        lines.insert(3, if length == 0 { String::new() } else { length.to_string() });
        let mut names: Vec<_> = call.headers.keys().map(|name| name.as_str()).collect();
        names.retain(|name| name.starts_with("x-ms-"));
        names.sort_unstable();
        lines.extend(names.iter().map(|name| format!("{name}:{}", value(name))));
        lines.push(format!("/{}{}", self.account, call.url.path()));
        let mut fields: Vec<_> = call.url.query().unwrap_or_default().split('&').collect();
        fields.retain(|field| !field.is_empty());
        fields.sort_unstable();
        lines.extend(fields.iter().map(|field| {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            format!("{}:{}", name.to_lowercase(), percent_decode_str(value).decode_utf8_lossy())
        }));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use reqwest::{Method, Url};

    use super::*;

    /// The key that all emulators of Azure's storage have; what Python's `hmac` makes of the strings that the reference tells.
    #[test]
    fn what_is_signed_is_what_the_reference_tells() {
        let text = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
        let key = StorageKey::new("devstoreaccount1", text).unwrap();
        let call = |url: &str| Call::new(Method::PUT, Url::parse(url).unwrap()).header("x-ms-version", "2021-12-02");
        let page = call("http://127.0.0.1:10000/devstoreaccount1/c/a%20b.vhd?comp=page")
            .header("x-ms-range", "bytes=0-511")
            .header("x-ms-page-write", "update")
            .header("content-md5", "XrY7u+Ae7tCTyyK7j1rNww==")
            .body(vec![0; 512]);
        let container = call("https://devstoreaccount1.blob.core.windows.net/c?timeout=9&restype=container");
        let rows = [
            (page, "n6nvbpSSWM3tBS/a8h8CiQgjOga3mZi7B3NdptsEB0Q="),
            (container, "sUiR19cpLQJ47hEX3ArwDkinMVeepEZvYydwpQSTUdU="),
        ];
        for (call, signature) in rows {
            let signed = key.sign(call, SystemTime::UNIX_EPOCH);
            let value = &signed.headers["authorization"];
            assert_eq!(value.to_str().unwrap(), format!("SharedKey devstoreaccount1:{signature}"));
            assert!(value.is_sensitive());
        }
        assert!(StorageKey::new("a", "no base64").is_none() && StorageKey::new("a", "").is_none());
    }
}
