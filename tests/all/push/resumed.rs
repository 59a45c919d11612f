//! Uploads that were left in a bucket: taken up where they are the same, left alone where they are not.

use std::collections::BTreeMap;
use std::process::Stdio;

use super::bucket::Bucket;
use super::{AWS, Desk, assert_says};
use crate::cli::system::{signal, wait_for};
use crate::common::scripted::{Answer, Request, Rest};
use crate::common::stderr;

const MIB: usize = 1 << 20;
/// Bytes of a part.
const PART: usize = 8 * MIB;

fn desk(bucket: &Bucket) -> Desk {
    let url = bucket.url();
    let [a, b, c] = AWS;
    Desk::new(&[a, b, c, ("AWS_ENDPOINT_URL", &url)])
}

/// Puts parts of `bytes` into an upload of `disk.raw`.
fn leave(bucket: &Bucket, id: &str, bytes: &[u8], numbers: &[u32]) {
    let part = |number: u32| bytes.chunks(PART).nth(number as usize - 1).unwrap().to_vec();
    let parts: BTreeMap<u32, Vec<u8>> = numbers.iter().map(|number| (*number, part(*number))).collect();
    bucket.held().parts.insert(id.to_owned(), parts);
}

/// Pushes the disk; what is said.
fn pushed(desk: &Desk) -> String {
    let output = desk.output("push s3 --bucket bkt disk.raw");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

/// The numbers of the parts that were sent, in order.
fn sent(bucket: &Bucket) -> Vec<String> {
    let number = |request: &Request| request.path.split("partNumber=").nth(1).unwrap()[..1].to_owned();
    let mut sent: Vec<_> = bucket.asked("PUT", "partNumber").iter().map(number).collect();
    sent.sort();
    sent
}

#[test]
fn a_push_that_was_killed_goes_on_where_it_was() {
    let bucket = Bucket::start(|request, before| {
        let hangs = request.method == "PUT" && before == 0 && request.path.contains("partNumber=4");
        hangs.then(|| Answer::new(200, "").then(Rest::Silence))
    });
    let desk = desk(&bucket);
    let bytes = desk.disk("disk.raw", 33);
    let mut command = desk.command("push s3 --bucket bkt disk.raw");
    let mut child = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let has_four = || bucket.held().parts.get("id-0").is_some_and(|parts| parts.len() == 4);
    wait_for("five parts, of which four are kept", || has_four() && bucket.asked("PUT", "partNumber").len() == 5);
    signal("KILL", child.id());
    child.wait().unwrap();
    let before = bucket.asked("PUT", "partNumber").len();
    let said = pushed(&desk);
    assert_says(&said, &["goes on with an upload that was left: 4 of 5 parts are there"]);
    let after = bucket.asked("PUT", "partNumber").split_off(before);
    assert_eq!(after.iter().map(|part| part.bytes.len() / MIB).collect::<Vec<_>>(), [8]);
    assert!(after[0].path.contains("partNumber=4&uploadId=id-0"), "{}", after[0].path);
    assert!(bucket.held().objects["/bkt/disk.raw"] == bytes);
    assert!(bucket.held().parts.is_empty() && bucket.asked("POST", "uploads=").len() == 1);
}

#[test]
fn an_upload_of_something_else_is_left_alone_and_told() {
    let bucket = Bucket::start(|_, _| None);
    let desk = desk(&bucket);
    let bytes = desk.disk("disk.raw", 17);
    let mut other = bytes.clone();
    other[PART + 9] = 1;
    // One part is the same, and one is not; another upload is of a longer disk; one has no parts; one is of another key.
    leave(&bucket, "one", &other, &[1, 2]);
    leave(&bucket, "longer", &[bytes.clone(), vec![0; PART]].concat(), &[3]);
    leave(&bucket, "empty", &bytes, &[]);
    leave(&bucket, "disk.raw.old/x", &bytes, &[1]);
    let said = pushed(&desk);
    assert_says(&said, &["another upload to `s3://bkt/disk.raw` is left alone", "--key 'disk.raw' --upload-id "]);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert_eq!(sent(&bucket), ["1", "2", "3"]);
    assert!(bucket.held().objects["/bkt/disk.raw"] == bytes);
    assert_eq!(bucket.held().parts.keys().collect::<Vec<_>>(), ["disk.raw.old/x", "empty", "longer", "one"]);
}

#[test]
fn lists_that_cannot_be_believed_are_as_good_as_none() {
    let list = |parts: &str| format!("<ListPartsResult><IsTruncated>true</IsTruncated>{parts}</ListPartsResult>");
    let part = |number: &str, size: &str| {
        format!("<Part><PartNumber>{number}</PartNumber><ETag>x</ETag><Size>{size}</Size></Part>")
    };
    let rows = [
        ("no XML", 200, "<ListPartsResult>".to_owned()),
        ("access that is denied", 403, String::new()),
        ("the same parts for ever", 200, list(&part("1", "8388608"))),
        ("a part of no number", 200, list(&part("-1", "8388608"))),
        ("a part over the end", 200, list(&part("9000", "8388608"))),
        ("a number over all", 200, list(&part("18446744073709551615", "8388608"))),
        ("a size over all", 200, list(&part("1", "18446744073709551615"))),
        ("no size", 200, list(&part("1", "0"))),
    ];
    for (what, status, body) in rows {
        let bucket = Bucket::start(move |request, _| {
            let is_list = request.method == "GET" && request.path.contains("uploadId");
            is_list.then(|| Answer::new(status, body.clone()))
        });
        let desk = desk(&bucket);
        let bytes = desk.disk("disk.raw", 9);
        leave(&bucket, "left", &bytes, &[1]);
        assert_says(&pushed(&desk), &["another upload to `s3://bkt/disk.raw` is left alone"]);
        assert_eq!(sent(&bucket), ["1", "2"], "{what}");
        assert!(bucket.held().objects["/bkt/disk.raw"] == bytes, "{what}");
    }
}

#[test]
fn a_store_that_lists_other_bytes_than_it_has_has_no_object_left() {
    let bucket = Bucket::start(|_, _| None);
    let desk = desk(&bucket);
    let bytes = desk.disk("disk.raw", 9);
    let crc = base64::Engine::encode(
        &base64::engine::general_purpose::STANDARD,
        crc32c::crc32c(&bytes[..PART]).to_be_bytes(),
    );
    let lying = Bucket::start(move |request, _| {
        let is_list = request.method == "GET" && request.path.contains("uploadId");
        let part = format!("<PartNumber>1</PartNumber><ETag>\"&lt;1&gt;\"</ETag><Size>{PART}</Size>");
        let body = format!("<R><Part>{part}<ChecksumCRC32C>{crc}</ChecksumCRC32C></Part></R>");
        is_list.then(|| Answer::new(200, body))
    });
    leave(&lying, "left", &vec![7; PART], &[1]);
    let mut command = desk.command("push s3 --bucket bkt disk.raw");
    let output = command.env("AWS_ENDPOINT_URL", lying.url()).output().unwrap();
    assert_says(&stderr(&output), &["the object has other bytes than were sent"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(lying.held().objects.is_empty());
}

#[test]
fn an_interrupted_push_aborts_what_it_has_taken_up() {
    let bucket = Bucket::start(|request, _| {
        let is_part = request.method == "PUT" && request.path.contains("partNumber=2");
        is_part.then(|| Answer::new(200, "").then(Rest::Silence))
    });
    let desk = desk(&bucket);
    let bytes = desk.disk("disk.raw", 17);
    leave(&bucket, "left", &bytes, &[1]);
    let mut command = desk.command("push s3 --bucket bkt disk.raw");
    let child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the second part", || !bucket.asked("PUT", "partNumber=2").is_empty());
    signal("TERM", child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(bucket.held().parts.is_empty() && bucket.held().objects.is_empty());
}

#[test]
fn an_upload_that_somebody_else_ends_is_told() {
    let bucket = Bucket::start(|request, _| {
        let body = "<Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>";
        (request.method == "PUT").then(|| Answer::new(404, body))
    });
    let desk = desk(&bucket);
    let bytes = desk.disk("disk.raw", 17);
    leave(&bucket, "left", &bytes, &[1]);
    let said = desk.bad("push s3 --bucket bkt disk.raw", 4);
    assert_says(&said, &["404 NoSuchUpload gone", "another push of it may have ended the upload"]);
}
