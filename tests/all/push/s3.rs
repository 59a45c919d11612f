//! Objects in buckets: sent in parts, checked, and taken back when anything goes wrong.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use lkit::base::Digest;
use serde_json::{Value, json};

use super::bucket::Bucket;
use super::{AWS, Desk, assert_says, names};
use crate::cli::system::{System, signal, wait_for};
use crate::common::measured::{can_measure, measured, measuring};
use crate::common::scripted::{Answer, Request, Rest};

/// Most memory of a push, in KiB.
const MOST_KIB: u64 = 96 << 10;

fn desk(bucket: &Bucket) -> Desk {
    let desk = Desk::new(&AWS);
    Desk { variables: [desk.variables, vec![("AWS_ENDPOINT_URL".to_owned(), bucket.url())]].concat(), ..desk }
}

#[test]
fn a_file_is_sent_in_parts_and_appears_whole() {
    let bucket = Bucket::start(|_, _| None);
    let desk = desk(&bucket);
    let bytes = desk.disk("disk.raw", 21);
    let said = desk.good("push s3 --bucket bkt --img-name a/b+c --json disk.raw");
    assert_eq!(bucket.held().objects["/bkt/a/b%2Bc.raw"], bytes);
    let expected = json!({"url": "s3://bkt/a/b+c.raw", "digest": Digest::of(&bytes).to_string(), "size": bytes.len()});
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), expected);
    let sizes: Vec<_> = bucket.asked("PUT", "partNumber").iter().map(|part| part.bytes.len() >> 20).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 21, "{sizes:?}");
    assert_eq!(sizes.len(), 3, "{sizes:?}");
    assert_eq!(names(&desk.path(".")), ["disk.raw"], "nothing is written");
    let secret = |request: &crate::common::scripted::Request| format!("{request:?}").contains("verysecret");
    assert!(!bucket.server.asked("").iter().any(secret));
}

#[test]
fn an_empty_file_is_an_object_too() {
    let bucket = Bucket::start(|_, _| None);
    let desk = desk(&bucket);
    desk.disk("empty", 0);
    assert_eq!(desk.good("push s3 --bucket bkt empty"), "s3://bkt/empty\n");
    assert_eq!(bucket.held().objects["/bkt/empty"], b"");
}

#[test]
fn a_part_that_fails_is_sent_again() {
    let bucket = Bucket::start(|request, before| match (request.method.as_str(), before) {
        ("PUT", 0) if request.path.contains("partNumber=2") => Some(Answer::new(503, "").header("Retry-After", "0")),
        // The connection ends before the answer does.
        ("PUT", 0) => Some(Answer::new(200, "").claiming(10)),
        _ => None,
    });
    let desk = desk(&bucket);
    let bytes = desk.disk("disk.raw", 17);
    desk.good("push s3 --bucket bkt disk.raw");
    assert_eq!(bucket.held().objects["/bkt/disk.raw"], bytes);
    assert_eq!(bucket.asked("PUT", "partNumber").len(), 6);
}

#[test]
fn what_is_refused_is_aborted_and_told_without_secrets() {
    let body = "<Error><Code>AccessDenied</Code><Message>key verysecret is not let in</Message></Error>";
    let bucket = Bucket::start(move |request, _| {
        let is_last = request.method == "PUT" && request.path.contains("partNumber=2");
        is_last.then(|| Answer::new(403, body))
    });
    let desk = desk(&bucket);
    desk.disk("disk.raw", 17);
    let said = desk.bad("push s3 --bucket bkt disk.raw", 4);
    assert_says(&said, &["refused access: 403 AccessDenied key *** is not let in", "aws sts get-caller-identity"]);
    assert!(bucket.held().objects.is_empty() && bucket.held().parts.is_empty());
    assert_eq!(bucket.asked("DELETE", "uploadId=id-0").len(), 1);
}

#[test]
fn a_store_that_has_other_bytes_has_no_object_left() {
    type Lie = fn(&Request) -> Option<Answer>;
    let lies: [(&str, Lie, &str); 4] = [
        (
            "a part with another checksum",
            |request| {
                let lie = Answer::new(200, "").header("ETag", "x").header("x-amz-checksum-crc32c", "AAAAAA==");
                (request.method == "PUT").then_some(lie)
            },
            "it has other bytes than were sent of part ",
        ),
        (
            "a part without an ETag",
            |request| (request.method == "PUT").then(|| Answer::new(200, "")),
            "it gives no `ETag` of part ",
        ),
        (
            "an object of another size",
            |request| (request.method == "HEAD").then(|| Answer::new(200, "").claiming(7)),
            "the object has 7 bytes, not 17825792",
        ),
        (
            "an object that could not be made",
            |request| {
                let body = "<Error><Code>InvalidPart</Code><Message>lost</Message></Error>";
                (request.method == "POST" && request.path.contains("uploadId")).then(|| Answer::new(200, body))
            },
            "answered: 200 InvalidPart lost",
        ),
    ];
    for (what, lie, told) in lies {
        let bucket = Bucket::start(move |request, _| lie(request));
        let desk = desk(&bucket);
        desk.disk("disk.raw", 17);
        let output = desk.output("push s3 --bucket bkt disk.raw");
        assert!(matches!(output.status.code(), Some(4 | 5)), "{what}");
        assert_says(&crate::common::stderr(&output), &[told]);
        assert!(bucket.held().objects.is_empty() && bucket.held().parts.is_empty(), "{what}");
    }
}

#[test]
fn an_interrupted_push_is_aborted() {
    let bucket = Bucket::start(|request, _| {
        let is_part = request.method == "PUT" && request.path.contains("partNumber=2");
        is_part.then(|| Answer::new(200, "").then(Rest::Silence))
    });
    let desk = desk(&bucket);
    desk.disk("disk.raw", 17);
    let mut command = desk.command("push s3 --bucket bkt disk.raw");
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the second part", || !bucket.asked("PUT", "partNumber=2").is_empty());
    signal("INT", child.id());
    let output = child.wait_with_output().unwrap();
    let said = crate::common::stderr(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert_says(&said, &["interrupted while `s3://bkt/disk.raw` was pushed"]);
    assert!(bucket.held().parts.is_empty() && bucket.held().objects.is_empty());
}

#[test]
fn a_push_that_takes_too_long_is_aborted() {
    let bucket =
        Bucket::start(|request, _| (request.method == "PUT").then(|| Answer::new(200, "").then(Rest::Silence)));
    let desk = desk(&bucket);
    desk.disk("disk.raw", 1);
    let said = desk.bad("push s3 --bucket bkt --timeout 1 disk.raw", 4);
    assert_says(&said, &["`s3://bkt/disk.raw` was not pushed within 1 s", "--timeout SECONDS"]);
    assert!(bucket.held().parts.is_empty());
}

#[test]
fn what_stores_refuse_is_told_in_plain_words() {
    let rows = [
        (404, "NoSuchBucket", "", "bucket `bkt` is not there", "aws s3 mb s3://bkt --region us-east-1"),
        (
            301,
            "PermanentRedirect",
            "eu-west-1",
            "bucket `bkt` is not in region `us-east-1`",
            "add `--region eu-west-1`",
        ),
        (400, "AuthorizationHeaderMalformed", "eu-west-1", "is not in region `us-east-1`", "add `--region eu-west-1`"),
        (403, "RequestTimeTooSkewed", "", "the clock of this machine is not that of", "timedatectl set-ntp true"),
        (400, "ExpiredToken", "", "the keys for AWS have expired", "aws sso login"),
        (501, "NotImplemented", "", "answered: 501 NotImplemented it says", ""),
    ];
    for (status, code, region, message, hint) in rows {
        let region = if region.is_empty() { String::new() } else { format!("<Region>{region}</Region>") };
        let body = format!("<Error><Code>{code}</Code><Message>it\nsays</Message>{region}</Error>");
        let bucket = Bucket::start(move |_, _| Some(Answer::new(status, body.clone())));
        let desk = desk(&bucket);
        desk.disk("disk.raw", 1);
        let said = desk.bad("push s3 --bucket bkt disk.raw", 4);
        assert_says(&said, &[message, hint]);
        let asked: Vec<_> = bucket.server.asked("").into_iter().map(|request| request.method).collect();
        assert_eq!(asked, ["GET", "POST"], "{code}: nothing is sent");
    }
}

#[test]
fn mistakes_are_told_before_anybody_is_asked() {
    let desk = Desk::new(&AWS);
    desk.disk("disk.raw", 1);
    let rows = [
        ("push s3 disk.raw", "no bucket is named"),
        ("push s3 --bucket s3://bkt disk.raw", "no bucket can have the name `s3://bkt`"),
        ("push s3 --bucket bkt --img-name ../x disk.raw", "no object can have the name `../x.raw`"),
        ("push s3 --bucket bkt --region eu/1 disk.raw", "`eu/1` is no region of AWS"),
        ("push s3 --bucket bkt --endpoint ftp://x disk.raw", "endpoint: `ftp://x` is no URL"),
        ("push s3 --bucket bkt -f kernel+initrd a.yml", "`kernel+initrd` has 3 files, and one is pushed"),
        ("push aws --bucket bkt --tpm disk.raw", "--uefi"),
        ("push aws --bucket bkt --img-name a:b disk.raw", "no image of AWS can have the name `a:b`"),
        ("push vcenter -datastore d a.iso", "lkit pushes nothing to `vcenter`"),
        ("push awz disk.raw", "did you mean `aws`?"),
    ];
    for (line, told) in rows {
        assert_says(&desk.bad(line, 2), &[told]);
    }
    assert_says(
        &desk.bad("push s3 --bucket bkt missing.raw", 1),
        &["cannot push `missing.raw`", "a spec that ends in"],
    );
    let said = Desk::new(&[("AWS_REGION", "x")]).bad("push s3 --bucket bkt /dev/null", 4);
    assert_says(&said, &["no keys for AWS are known", "AWS_ACCESS_KEY_ID"]);
}

#[test]
fn a_dry_run_tells_the_calls_and_makes_none() {
    let bucket = Bucket::start(|_, _| None);
    let desk = desk(&bucket);
    desk.disk("disk.raw", 17);
    let said = desk.good("push aws --bucket bkt --ena --uefi --arch arm64 --dry-run disk.raw");
    let expected = "PUT s3://bkt/disk.raw (17825792 bytes in 3 parts)\n\
                    EC2 ImportSnapshot raw s3://bkt/disk.raw in us-east-1\n\
                    EC2 DescribeImportSnapshotTasks, until it is completed\n\
                    EC2 RegisterImage `disk` arm64 of the snapshot EnaSupport=true BootMode=uefi\n";
    assert_eq!(said, expected);
    assert!(bucket.server.asked("").is_empty());
}

/// When each file and directory was changed last.
fn changes(path: &Path) -> Vec<(PathBuf, SystemTime)> {
    let mut found = vec![(path.to_owned(), path.metadata().unwrap().modified().unwrap())];
    let entries = path.is_dir().then(|| std::fs::read_dir(path).unwrap());
    found.extend(entries.into_iter().flatten().flat_map(|entry| changes(&entry.unwrap().path())));
    found.sort();
    found
}

#[test]
fn a_push_of_a_spec_whose_indexes_are_there_writes_nothing() {
    let system = System::new();
    let bucket = Bucket::start(|_, _| None);
    let push = || {
        let mut command = crate::common::lkit(&system.cache());
        command.args("push s3 --layout layout --bucket bkt -f tar a.yml".split(' ')).current_dir(system.dir.path());
        let output = command.envs(AWS).env("AWS_ENDPOINT_URL", bucket.url()).output().unwrap();
        assert_eq!(crate::common::stdout("push", &output), "s3://bkt/a.tar\n");
    };
    push();
    let before = changes(&system.cache());
    push();
    assert_eq!(changes(&system.cache()), before);
}

#[test]
fn memory_does_not_grow_with_what_is_pushed() {
    if !can_measure() {
        return;
    }
    let sizes = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = sizes.clone();
    let bucket = Bucket::start(move |request, _| {
        let len = request.bytes.len();
        let crc = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            crc32c::crc32c(&request.bytes).to_be_bytes(),
        );
        let kept = |answer: Answer| {
            counted.fetch_add(len, std::sync::atomic::Ordering::SeqCst);
            answer
        };
        match request.method.as_str() {
            "PUT" => Some(kept(Answer::new(200, "").header("ETag", "x").header("x-amz-checksum-crc32c", crc))),
            "POST" if request.path.contains("uploadId") => Some(Answer::new(200, "<CompleteMultipartUploadResult/>")),
            "HEAD" => Some(Answer::new(200, "").claiming(400 << 20)),
            _ => None,
        }
    });
    let desk = desk(&bucket);
    std::fs::File::create(desk.path("disk.raw")).unwrap().set_len(400 << 20).unwrap();
    let notes = desk.path("notes");
    let run = measured(measuring(&desk.command("push s3 --bucket bkt disk.raw"), &notes), &notes);
    assert_eq!(run.code, 0, "{}", crate::common::stderr(&run.output));
    assert_eq!(sizes.load(std::sync::atomic::Ordering::SeqCst), 400 << 20);
    assert!(run.peak < MOST_KIB, "{} KiB", run.peak);
}
