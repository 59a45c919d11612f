//! Azure in memory: a storage account, the resource manager and the server of logins, as far as a push needs them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use crate::common::scripted::{Answer, Request, Scripted};

/// A page blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    pub bytes: Vec<u8>,
    /// Who made it.
    pub mark: String,
}

/// What is there.
#[derive(Default)]
pub struct Held {
    /// Names of containers.
    pub containers: Vec<String>,
    /// Blobs by their paths below the account.
    pub blobs: BTreeMap<String, Blob>,
    /// Images by their names, as they were asked for.
    pub images: BTreeMap<String, Value>,
    /// How often it was asked how far an image is.
    polls: usize,
}

/// A server of all three.
pub struct Cloud {
    pub server: Scripted,
    held: Arc<Mutex<Held>>,
}

/// The key of the storage account.
pub const KEY: &str = "c3RvcmFnZS1rZXktb2YtdGVzdHM=";
const GROUP: &str = "/subscriptions/00000000-aaaa/resourceGroups/grp";

impl Cloud {
    /// A cloud that is as it should be, but for the answers that `meddle` gives in its place.
    pub fn start(meddle: impl Fn(&Request, usize) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let held = Arc::<Mutex<Held>>::default();
        let inside = held.clone();
        let server = Scripted::start(move |request, before| {
            meddle(request, before).unwrap_or_else(|| answer(&mut inside.lock().unwrap(), request))
        });
        Self { server, held }
    }

    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Neither blob nor image.
    pub fn is_empty(&self) -> bool {
        let held = self.held();
        held.blobs.is_empty() && held.images.is_empty()
    }

    /// Methods of the questions for paths that hold `part`.
    pub fn methods(&self, part: &str) -> Vec<String> {
        self.server.asked(part).into_iter().map(|request| request.method).collect()
    }
}

/// A refusal as the storage words it.
pub fn refused(status: u16, code: &'static str, detail: &str) -> Answer {
    let body = format!("\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{detail}</Message></Error>");
    Answer::new(status, body).header("x-ms-error-code", code)
}

fn answer(held: &mut Held, request: &Request) -> Answer {
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    if path == "/tenant/oauth2/v2.0/token" {
        let expected = "grant_type=client_credentials&client_id=client&client_secret=very%20secret&scope=";
        assert!(request.body.starts_with(expected), "{}", request.body);
        return Answer::new(200, r#"{"access_token":"tok-1234","expires_in":3600}"#);
    }
    match path.strip_prefix("/acct/") {
        Some(path) => storage(held, request, path, query),
        None => manager(held, request, path.strip_prefix(GROUP).unwrap_or_else(|| panic!("{path}"))),
    }
}

fn storage(held: &mut Held, request: &Request, path: &str, query: &str) -> Answer {
    let is_signed = request.headers.get("authorization").is_some_and(|value| value.starts_with("SharedKey acct:"));
    assert!(is_signed || query.ends_with("sp=rw&sig=s%2Fg"), "{request:?}");
    assert_eq!(request.headers["x-ms-version"], "2021-12-02");
    let header = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let container = path.split('/').next().unwrap().to_owned();
    if query.starts_with("restype=container") {
        held.containers.push(container);
        return Answer::new(201, "");
    }
    let found = held.blobs.get_mut(path);
    match (request.method.as_str(), found) {
        ("PUT", _) if !held.containers.contains(&container) => refused(404, "ContainerNotFound", "no such container"),
        ("PUT", Some(blob)) if query.starts_with("comp=page") => put_page(blob, request),
        ("PUT", Some(_)) if header("if-none-match") == "*" => refused(409, "BlobAlreadyExists", "it exists"),
        ("PUT", _) => {
            assert_eq!(header("x-ms-blob-type"), "PageBlob");
            let size = header("x-ms-blob-content-length").parse().unwrap();
            held.blobs.insert(path.to_owned(), Blob { bytes: vec![0; size], mark: header("x-ms-meta-lkit") });
            Answer::new(201, "")
        }
        ("HEAD", Some(blob)) => {
            let answer = Answer::new(200, "").claiming(blob.bytes.len());
            answer.header("x-ms-blob-type", "PageBlob").header("x-ms-meta-lkit", blob.mark.clone())
        }
        ("DELETE", Some(_)) => {
            held.blobs.remove(path);
            Answer::new(202, "")
        }
        (_, None) => Answer::new(404, ""),
        (method, _) => panic!("{method} {path}"),
    }
}

fn put_page(blob: &mut Blob, request: &Request) -> Answer {
    let (start, end) = request.headers["x-ms-range"].strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (start, end) = (start.parse::<usize>().unwrap(), end.parse::<usize>().unwrap() + 1);
    assert!(start % 512 == 0 && end % 512 == 0 && end - start <= 4 << 20, "{start} to {end}");
    let md5 = STANDARD.encode(Md5::digest(&request.bytes));
    if request.headers["content-md5"] != md5 {
        return refused(400, "Md5Mismatch", "other bytes");
    }
    blob.bytes[start..end].copy_from_slice(&request.bytes);
    Answer::new(201, "").header("Content-MD5", md5)
}

fn manager(held: &mut Held, request: &Request, path: &str) -> Answer {
    assert_eq!(request.headers["authorization"], "Bearer tok-1234");
    let json = |status: u16, value: Value| Answer::new(status, value.to_string());
    let name = path.rsplit('/').next().unwrap().to_owned();
    match (request.method.as_str(), path) {
        ("GET", "") => json(200, json!({"location": "westeurope"})),
        ("POST", "/providers/Microsoft.Storage/storageAccounts/acct/listKeys") => {
            json(200, json!({"keys": [{"keyName": "key1", "value": KEY}]}))
        }
        ("GET", "/operation") => {
            held.polls += 1;
            let status = if held.polls < 3 { "InProgress" } else { "Succeeded" };
            json(200, json!({"status": status})).header("Retry-After", "0")
        }
        ("PUT", _) => {
            held.images.insert(name, serde_json::from_str(&request.body).unwrap());
            let operation = format!("http://{}{GROUP}/operation", request.headers["host"]);
            json(202, json!({})).header("Azure-AsyncOperation", operation).header("Retry-After", "0")
        }
        ("GET", _) => match held.images.get(&name) {
            Some(image) => {
                let mut image = image.clone();
                image["id"] = format!("{GROUP}{path}").into();
                image["properties"]["provisioningState"] = "Succeeded".into();
                json(200, image)
            }
            None => json(404, json!({"error": {"code": "ResourceNotFound", "message": "no image"}})),
        },
        ("DELETE", _) => {
            held.images.remove(&name);
            json(202, json!({}))
        }
        (method, _) => panic!("{method} {path}"),
    }
}
