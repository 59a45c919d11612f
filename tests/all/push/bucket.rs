//! A bucket in memory that speaks S3's protocol as far as uploads need it, and checks what it is sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::common::scripted::{Answer, Request, Scripted};

/// What a bucket holds.
#[derive(Default)]
pub struct Held {
    /// Parts of uploads that are neither completed nor aborted, by upload and number.
    pub parts: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// Objects by their paths.
    pub objects: BTreeMap<String, Vec<u8>>,
}

/// A server with a bucket.
pub struct Bucket {
    pub server: Scripted,
    held: Arc<Mutex<Held>>,
}

impl Bucket {
    /// A bucket that is as it should be, but for the answers that `meddle` gives in its place.
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

    pub fn url(&self) -> String {
        format!("http://{}", self.server.host)
    }

    /// The questions of a method, by what their query begins with.
    pub fn asked(&self, method: &str, query: &str) -> Vec<Request> {
        let asked = self.server.asked(query).into_iter();
        asked.filter(|request| request.method == method).collect()
    }
}

/// Looks whether a question is signed as one of AWS's is; the signatures themselves are judged by examples.
fn check_signature(request: &Request) {
    let value = &request.headers["authorization"];
    assert!(value.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{value}");
    let names = value.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    let must = ["host", "x-amz-content-sha256", "x-amz-date"];
    assert!(must.iter().all(|name| names.split(';').any(|signed| signed == *name)), "{names}");
    if request.headers.contains_key("x-amz-checksum-crc32c") {
        assert!(names.contains("x-amz-checksum-crc32c"), "{names}");
    }
}

/// The key of an upload, which stands before the slash of its name, or `disk.raw`.
fn path_of(id: &str) -> &str {
    id.split_once('/').map_or("disk.raw", |(key, _)| key)
}

fn answer(held: &mut Held, request: &Request) -> Answer {
    check_signature(request);
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let field =
        |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(&format!("{name}="))).map(str::to_owned);
    let upload = field("uploadId").unwrap_or_default();
    match (request.method.as_str(), query) {
        ("POST", "uploads=") => {
            let id = format!("id-{}", held.parts.len() + held.objects.len());
            held.parts.insert(id.clone(), BTreeMap::new());
            let body = format!("<R xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><UploadId>{id}</UploadId></R>");
            Answer::new(200, body)
        }
        ("PUT", _) => {
            let crc = STANDARD.encode(crc32c::crc32c(&request.bytes).to_be_bytes());
            assert_eq!(request.headers["x-amz-checksum-crc32c"], crc);
            let number = field("partNumber").unwrap().parse().unwrap();
            // A part may still be on its way when its upload is aborted.
            let Some(parts) = held.parts.get_mut(&upload) else {
                return Answer::new(404, "<Error><Code>NoSuchUpload</Code><Message>aborted</Message></Error>");
            };
            parts.insert(number, request.bytes.clone());
            Answer::new(200, "").header("ETag", format!("\"<{number}>\"")).header("x-amz-checksum-crc32c", crc)
        }
        ("POST", _) => {
            let parts = held.parts.remove(&upload).unwrap();
            for number in parts.keys() {
                let part = format!("<PartNumber>{number}</PartNumber><ETag>\"&lt;{number}&gt;\"</ETag>");
                assert!(request.body.contains(&part), "{}", request.body);
            }
            let crcs: Vec<u8> = parts.values().flat_map(|part| crc32c::crc32c(part).to_be_bytes()).collect();
            let crc = format!("{}-{}", STANDARD.encode(crc32c::crc32c(&crcs).to_be_bytes()), parts.len());
            held.objects.insert(path.to_owned(), parts.into_values().flatten().collect());
            let name = "CompleteMultipartUploadResult";
            Answer::new(200, format!("\n  <{name}><ChecksumCRC32C>{crc}</ChecksumCRC32C></{name}>"))
        }
        ("DELETE", _) if !upload.is_empty() => {
            held.parts.remove(&upload);
            Answer::new(204, "")
        }
        ("DELETE", _) => {
            held.objects.remove(path);
            Answer::new(204, "")
        }
        ("GET", _) if upload.is_empty() => {
            assert!(query.contains("prefix=") && query.contains("uploads="), "{query}");
            let keys = held.parts.keys().map(|id| {
                let key = path_of(id);
                format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId><Initiated>2026-01-01</Initiated></Upload>")
            });
            Answer::new(
                200,
                format!("<ListMultipartUploadsResult>{}</ListMultipartUploadsResult>", keys.collect::<String>()),
            )
        }
        ("GET", _) => {
            let after: u32 = field("part-number-marker").unwrap().parse().unwrap();
            let parts: Vec<_> = held.parts[&upload].iter().filter(|(number, _)| **number > after).collect();
            // Two at once, so that a list has more than one page.
            let listed = parts.iter().take(2).map(|(number, bytes)| {
                let crc = STANDARD.encode(crc32c::crc32c(bytes).to_be_bytes());
                format!(
                    "<Part><PartNumber>{number}</PartNumber><ETag>\"&lt;{number}&gt;\"</ETag><Size>{}</Size>\
                     <ChecksumCRC32C>{crc}</ChecksumCRC32C></Part>",
                    bytes.len()
                )
            });
            let (listed, more) = (listed.collect::<String>(), parts.len() > 2);
            Answer::new(200, format!("<ListPartsResult><IsTruncated>{more}</IsTruncated>{listed}</ListPartsResult>"))
        }
        ("HEAD", _) => match held.objects.get(path) {
            Some(object) => Answer::new(200, "").claiming(object.len()),
            None => Answer::new(404, ""),
        },
        (method, _) => panic!("{method} {}", request.path),
    }
}
