//! A server that speaks Google Cloud's protocols as far as pushes need them: tokens, one session, its object, images.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Desk;
use crate::common::run;
use crate::common::scripted::{Answer, Request, Scripted};

/// Most bytes that a session takes at once: whole 256 KiB, and fewer than it is sent.
const TAKES: usize = 5 << 20;

/// What the cloud holds.
#[derive(Default)]
pub struct Held {
    /// Bytes of the session that is open.
    pub session: Option<Vec<u8>>,
    /// Sessions that were cancelled.
    pub cancelled: usize,
    pub objects: BTreeMap<String, Vec<u8>>,
    pub images: BTreeMap<String, Value>,
    /// Tokens that were given.
    pub tokens: usize,
    /// What the operation on an image says when it is done.
    pub error: Option<Value>,
    /// Whether no operation ends.
    pub is_slow: bool,
}

/// The server.
pub struct Cloud {
    pub server: Scripted,
    held: Arc<Mutex<Held>>,
}

impl Cloud {
    /// A cloud that is as it should be, but for the answers that `meddle` gives in its place.
    pub fn start(meddle: impl Fn(&Request, usize, &mut Held) -> Option<Answer> + Send + Sync + 'static) -> Self {
        let held = Arc::<Mutex<Held>>::default();
        let inside = held.clone();
        let server = Scripted::start(move |request, before| {
            let mut held = inside.lock().unwrap();
            meddle(request, before, &mut held).unwrap_or_else(|| answer(&mut held, request, before))
        });
        Self { server, held }
    }

    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// A desk with an archive of this size in MiB, and the key of a service account whose tokens this server gives.
    pub fn desk(&self, mib: usize) -> Desk {
        let desk = Desk::new(&[("GOOGLE_APPLICATION_CREDENTIALS", "key.json")]);
        desk.disk("disk.img.tar.gz", mib);
        let pem = run("openssl", ["genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
        let key = json!({"type": "service_account", "client_email": "a@b.iam", "project_id": "p-1", "private_key": pem,
                         "token_uri": format!("http://{}/token", self.server.host)});
        std::fs::write(desk.path("key.json"), key.to_string()).unwrap();
        desk
    }

    /// A command line that pushes the archive here.
    pub fn line(&self, options: &str) -> String {
        let options = if options.is_empty() { String::new() } else { format!("{options} ") };
        format!("push gcp --endpoint http://{} --bucket bkt {options}disk.img.tar.gz", self.server.host)
    }

    /// The questions of a method, by what is in their paths.
    pub fn asked(&self, method: &str, part: &str) -> Vec<Request> {
        self.server.asked(part).into_iter().filter(|request| request.method == method).collect()
    }
}

fn answer(held: &mut Held, request: &Request, before: usize) -> Answer {
    let path = request.path.split('?').next().unwrap();
    if path == "/token" {
        held.tokens += 1;
        return told(&json!({"access_token": format!("tok-{}", held.tokens), "expires_in": 3600}));
    }
    assert_eq!(request.headers["authorization"], format!("Bearer tok-{}", held.tokens), "{path}");
    let name = path.rsplit('/').next().unwrap().to_owned();
    match request.method.as_str() {
        "POST" if path.starts_with("/upload/") => {
            held.session = Some(Vec::new());
            Answer::new(200, "").header("Location", "/session?id=1")
        }
        "PUT" => piece(held, request),
        "DELETE" if path == "/session" => {
            held.cancelled += 1;
            held.session = None;
            Answer::new(499, "")
        }
        "DELETE" if path.contains("/images/") => match held.images.remove(&name) {
            Some(_) => told(&json!({"name": "op-d", "status": "DONE"})),
            None => Answer::new(404, "{}"),
        },
        "DELETE" => {
            held.objects.remove(&name);
            Answer::new(204, "")
        }
        "POST" => {
            let image: Value = serde_json::from_str(&request.body).unwrap();
            held.images.insert(image["name"].as_str().unwrap().to_owned(), image);
            told(&json!({"name": "op-1", "status": "PENDING"}))
        }
        _ if path.contains("/operations/") => {
            let is_done = before > 0 && !held.is_slow;
            let mut operation =
                json!({"name": "op-1", "status": if is_done { "DONE" } else { "RUNNING" }, "progress": 40});
            if let Some(error) = held.error.clone().filter(|_| is_done) {
                operation["error"] = json!({"errors": [error]});
            }
            told(&operation)
        }
        _ => held.images.get(&name).map_or_else(|| Answer::new(404, "{}"), told),
    }
}

/// Takes of a piece what a session takes, and says how much it has.
fn piece(held: &mut Held, request: &Request) -> Answer {
    let session = held.session.as_mut().expect("a session is open");
    let (range, size) = request.headers["content-range"].strip_prefix("bytes ").unwrap().split_once('/').unwrap();
    if let Some((start, _)) = range.split_once('-') {
        assert_eq!(start.parse::<usize>().unwrap(), session.len(), "it goes on where the session is");
        session.extend_from_slice(&request.bytes[..request.bytes.len().min(TAKES)]);
    }
    if session.len().to_string() != size {
        let answer = Answer::new(308, "");
        return match session.len() {
            0 => answer,
            len => answer.header("Range", format!("bytes=0-{}", len - 1)),
        };
    }
    let bytes = held.session.take().unwrap();
    let crc = STANDARD.encode(crc32c::crc32c(&bytes).to_be_bytes());
    if let Some(hash) = request.headers.get("x-goog-hash") {
        assert_eq!(*hash, format!("crc32c={crc}"));
    }
    held.objects.insert("disk.img.tar.gz".to_owned(), bytes);
    told(&json!({"size": size, "crc32c": crc, "generation": "77"}))
}

fn told(value: &Value) -> Answer {
    Answer::new(200, value.to_string())
}
