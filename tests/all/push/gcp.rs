//! Google Cloud: objects in sessions that go on where they are, images of them, and what is refused or goes wrong.

use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lkit::base::Digest;
use serde_json::{Value, json};

use super::cloud::{Cloud, Held};
use super::{Desk, assert_says, names};
use crate::cli::system::{signal, wait_for};
use crate::common::scripted::{Answer, Request, Rest};

/// An answer in the place of the cloud's own.
type Meddle = fn(&Request, usize, &mut Held) -> Option<Answer>;

#[test]
fn an_image_is_made_of_an_archive_that_a_session_takes_in_pieces() {
    let cloud = Cloud::start(|_, _, _| None);
    let desk = cloud.desk(0);
    let bytes = desk.disk("disk.img.tar.gz", 17);
    let options = "--family f --public --nested-virt --uefi-compatible --license projects/x/global/licenses/l --arch arm64 --json";
    let json: Value = serde_json::from_str(&desk.good(&cloud.line(options))).unwrap();
    let expected = json!({"url": "gs://bkt/disk.img.tar.gz", "digest": Digest::of(&bytes).to_string(),
                          "size": bytes.len(), "image": "projects/p-1/global/images/disk"});
    assert_eq!(json, expected);
    assert!(cloud.held().objects["disk.img.tar.gz"] == bytes);
    let image = json!({"name": "disk", "rawDisk": {"source": "https://storage.googleapis.com/bkt/disk.img.tar.gz"},
                       "family": "f", "licenses": ["projects/x/global/licenses/l",
                       "projects/vm-options/global/licenses/enable-vmx"],
                       "guestOsFeatures": [{"type": "UEFI_COMPATIBLE"}], "architecture": "ARM64"});
    assert_eq!(cloud.held().images["disk"], image);
    let begun = &cloud.asked("POST", "/upload/")[0];
    assert_eq!(
        begun.path,
        "/upload/storage/v1/b/bkt/o?uploadType=resumable&name=disk.img.tar.gz&predefinedAcl=publicRead"
    );
    assert_eq!(begun.headers["x-upload-content-length"], bytes.len().to_string());
    let insert = &cloud.asked("POST", "/images")[0].path;
    assert!(insert.starts_with("/compute/v1/projects/p-1/global/images?requestId="), "{insert}");
    let ranges: Vec<_> =
        cloud.asked("PUT", "/session").iter().map(|put| put.headers["content-range"].clone()).collect();
    let expected = ["0-8388607", "5242880-8388607", "8388608-16777215", "13631488-16777215", "16777216-17825791"];
    assert_eq!(ranges, expected.map(|range| format!("bytes {range}/17825792")));
    assert_eq!(names(&desk.path(".")), ["disk.img.tar.gz", "key.json"], "nothing is written");
}

#[test]
fn a_token_is_exchanged_for_what_a_service_account_signs() {
    let cloud = Cloud::start(|_, _, _| None);
    let desk = cloud.desk(1);
    desk.good(&cloud.line(""));
    let tokens = cloud.asked("POST", "/token");
    assert_eq!(tokens.len(), 1, "it is kept");
    let (form, assertion) = tokens[0].body.split_once("&assertion=").unwrap();
    assert_eq!(form, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer");
    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let decoded = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    assert_eq!(decoded(header), json!({"alg": "RS256", "typ": "JWT"}));
    let claims = decoded(claims);
    assert_eq!([&claims["iss"], &claims["aud"]], ["a@b.iam", &format!("http://{}/token", cloud.server.host)]);
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    // OpenSSL judges the signature.
    let key: Value = serde_json::from_slice(&std::fs::read(desk.path("key.json")).unwrap()).unwrap();
    std::fs::write(desk.path("key.pem"), key["private_key"].as_str().unwrap()).unwrap();
    std::fs::write(desk.path("signed"), signed).unwrap();
    std::fs::write(desk.path("signature"), URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let path = |name: &str| desk.path(name).to_str().unwrap().to_owned();
    let (pem, signature, signed) = (path("key.pem"), path("signature"), path("signed"));
    let judged =
        crate::common::run("openssl", ["dgst", "-sha256", "-prverify", &pem, "-signature", &signature, &signed]);
    assert_eq!(judged.trim(), "Verified OK");
}

#[test]
fn a_login_and_a_machine_of_googles_have_tokens_too() {
    let cloud = Cloud::start(|request, _, held| {
        if request.path.starts_with("/computeMetadata/") {
            assert_eq!(request.headers["metadata-flavor"], "Google");
            held.tokens = 1;
            let token = json!({"access_token": "tok-1", "expires_in": 600}).to_string();
            return Some(Answer::new(200, token).header("Metadata-Flavor", "Google"));
        }
        None
    });
    let desk = Desk::new(&[("GCE_METADATA_HOST", &cloud.server.host), ("STORAGE_EMULATOR_HOST", "")]);
    desk.disk("disk.img.tar.gz", 1);
    // Where an endpoint is named, nobody needs to be known, so this machine is not asked.
    let compute = format!("http://{}/compute/v1", cloud.server.host);
    let variables = [("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE", compute.as_str()), ("CLOUDSDK_CORE_PROJECT", "p")];
    let mut command = desk.command("push gcp --bucket bkt --timeout 20 disk.img.tar.gz");
    // The image is there, so Google's own buckets are not asked.
    cloud.held().images.insert("disk".to_owned(), json!({"name": "disk"}));
    let output = command.envs(variables).output().unwrap();
    assert_says(&crate::common::stderr(&output), &["there is an image `disk` already", "--replace"]);
    assert_eq!((output.status.code(), cloud.asked("GET", "/computeMetadata/").len()), (Some(2), 1));

    let login = json!({"type": "authorized_user", "client_id": "c", "client_secret": "verysecret",
                       "refresh_token": "r/1", "quota_project_id": "payer"});
    std::fs::create_dir_all(desk.path(".config/gcloud")).unwrap();
    std::fs::write(desk.path(".config/gcloud/application_default_credentials.json"), login.to_string()).unwrap();
    // Its tokens come from Google alone, which is not asked here.
    let said = desk.good(&cloud.line("--project p --dry-run"));
    assert_says(&said, &["PUT gs://bkt/disk.img.tar.gz (1048576 bytes in 1 pieces)"]);
}

#[test]
fn a_session_goes_on_where_it_is_after_faults() {
    let rows: [(&str, Meddle, &[&str]); 4] = [
        (
            "a session that has all bytes and has not made the object",
            |request, _, held| {
                let is_last =
                    request.headers.get("content-range").is_some_and(|range| range.starts_with("bytes 8388608-"));
                is_last.then(|| {
                    held.session.as_mut().unwrap().extend_from_slice(&request.bytes);
                    Answer::new(308, "").header("Range", "bytes=0-9437183")
                })
            },
            &["0-8388607", "5242880-8388607", "8388608-9437183", "*"],
        ),
        (
            "a server that is busy",
            |request, before, _| {
                let is_first = request.path.starts_with("/session") && before == 0;
                is_first.then(|| Answer::new(503, "").header("Retry-After", "0"))
            },
            &["0-8388607", "*", "0-8388607"],
        ),
        (
            "a connection that breaks when some is there",
            |request, before, held| {
                let is_first = request.path.starts_with("/session") && before == 0;
                is_first.then(|| {
                    held.session.as_mut().unwrap().extend_from_slice(&request.bytes[..256 << 10]);
                    Answer::new(308, "").claiming(10)
                })
            },
            &["0-8388607", "*", "262144-8388607"],
        ),
        (
            "a token that has expired",
            |request, before, _| {
                let is_first = request.path.starts_with("/session") && before == 0;
                is_first.then(|| Answer::new(401, json!({"error": {"message": "expired"}}).to_string()))
            },
            &["0-8388607", "*", "0-8388607"],
        ),
    ];
    for (what, meddle, first) in rows {
        let cloud = Cloud::start(meddle);
        let desk = cloud.desk(9);
        desk.good(&cloud.line(""));
        let held = std::fs::read(desk.path("disk.img.tar.gz")).unwrap();
        assert!(cloud.held().objects["disk.img.tar.gz"] == held, "{what}");
        let ranges: Vec<_> =
            cloud.asked("PUT", "/session").iter().map(|put| put.headers["content-range"].clone()).collect();
        let expected: Vec<_> = first.iter().map(|range| format!("bytes {range}/9437184")).collect();
        assert_eq!(ranges[..expected.len()], expected, "{what}");
        assert_eq!(cloud.held().tokens, if what.contains("token") { 2 } else { 1 }, "{what}");
    }
}

/// What is meddled with, what is answered then, what is told, and the exit code.
type Row = (&'static str, Meddle, &'static str, i32);

/// A push that fails as told, after which the cloud is as it was.
fn leaves_nothing((what, meddle, told, code): Row) {
    let cloud = Cloud::start(meddle);
    let said = cloud.desk(1).bad(&cloud.line(""), code);
    assert_says(&said, &[told]);
    let held = cloud.held();
    assert!(held.objects.is_empty() && held.images.is_empty() && held.session.is_none(), "{what}");
}

#[test]
fn what_google_refuses_leaves_nothing() {
    let rows: [Row; 3] = [
        (
            "a bucket that is not there",
            |request, _, _| request.path.starts_with("/upload/").then(|| Answer::new(404, "")),
            "bucket `bkt` is not there",
            4,
        ),
        (
            "credentials that it does not know",
            |request, _, _| {
                let body = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
                (request.path == "/token").then(|| Answer::new(400, body.to_string()))
            },
            "refused the credentials: 400 invalid_grant Invalid JWT Signature.",
            4,
        ),
        (
            "an account that may not",
            |request, _, _| {
                let body = json!({"error": {"message": "tok-1 may not"}}).to_string();
                request.path.starts_with("/upload/").then(|| Answer::new(403, body))
            },
            "refused access: 403 *** may not",
            4,
        ),
    ];
    rows.into_iter().for_each(leaves_nothing);
}

#[test]
fn what_google_gets_wrong_leaves_nothing() {
    let rows: [Row; 6] = [
        (
            "an object of other bytes",
            |request, _, held| {
                (request.method == "PUT").then(|| {
                    held.objects.insert("disk.img.tar.gz".to_owned(), Vec::new());
                    Answer::new(200, json!({"size": "1048576", "crc32c": "AAAAAA=="}).to_string())
                })
            },
            "the object has other bytes than were sent",
            5,
        ),
        (
            "an object that is shorter",
            |request, _, _| {
                (request.method == "PUT")
                    .then(|| Answer::new(200, json!({"size": "7", "crc32c": "AAAAAA=="}).to_string()))
            },
            "the object has 7 bytes, not 1048576",
            5,
        ),
        (
            "an object that nothing is said of",
            |request, _, _| (request.method == "PUT").then(|| Answer::new(200, "no JSON")),
            "it does not say what the object has",
            5,
        ),
        (
            "a session elsewhere",
            |request, _, _| {
                let is_first = request.path.starts_with("/upload/");
                is_first.then(|| Answer::new(200, "").header("Location", "http://127.0.0.2:1/x"))
            },
            "it does not say where to send the object",
            4,
        ),
        (
            "a session that has more than it was sent",
            |request, _, _| {
                (request.method == "PUT").then(|| Answer::new(308, "").header("Range", "bytes=0-18446744073709551614"))
            },
            "it has 18446744073709551615 bytes, when 0 to 1048576 were sent",
            4,
        ),
        (
            "a session that takes nothing",
            |request, _, _| (request.method == "PUT").then(|| Answer::new(308, "")),
            "it takes no more bytes",
            4,
        ),
    ];
    rows.into_iter().for_each(leaves_nothing);
}

#[test]
fn an_image_that_cannot_be_made_is_told_and_removed() {
    let cloud = Cloud::start(|_, _, _| None);
    cloud.held().error = Some(json!({"code": "INVALID", "message": "bad\ndisk"}));
    let desk = cloud.desk(1);
    let said = desk.bad(&cloud.line(""), 1);
    assert_says(&said, &["Compute Engine could not do it: INVALID bad disk"]);
    assert!(cloud.held().images.is_empty());
    assert_eq!(cloud.asked("DELETE", "/images/disk").len(), 1);
}

#[test]
fn an_image_that_is_there_is_replaced_only_where_that_is_asked_for() {
    let cloud = Cloud::start(|_, _, _| None);
    cloud.held().images.insert("disk".to_owned(), json!({"name": "disk", "family": "old"}));
    let desk = cloud.desk(1);
    assert_says(&desk.bad(&cloud.line(""), 2), &["there is an image `disk` already", "--img-name", "--replace"]);
    assert!(cloud.asked("POST", "/upload/").is_empty(), "nothing is sent in vain");
    let line = cloud.line("").replacen("push", "linuxkit push", 1);
    assert_eq!(desk.good(&line), "projects/p-1/global/images/disk\n");
    assert!(cloud.held().images["disk"]["family"].is_null());
}

#[test]
fn an_image_that_somebody_else_makes_meanwhile_is_left_alone() {
    let cloud = Cloud::start(|request, _, held| {
        let is_insert = request.method == "POST" && request.path.contains("/images");
        is_insert.then(|| {
            held.images.insert("disk".to_owned(), json!({"name": "disk", "family": "theirs"}));
            Answer::new(409, json!({"error": {"message": "already exists"}}).to_string())
        })
    });
    let desk = cloud.desk(1);
    assert_says(&desk.bad(&cloud.line(""), 2), &["there is an image `disk` already"]);
    assert_eq!(cloud.held().images["disk"]["family"], "theirs");
}

#[test]
fn an_interrupted_push_is_taken_back() {
    let silent: Meddle = |request, before, _| {
        let is_last = request.path.starts_with("/session") && request.method == "PUT" && before == 1;
        is_last.then(|| Answer::new(308, "").then(Rest::Silence))
    };
    let usual: Meddle = |_, _, _| None;
    for (what, meddle, waited) in [("upload", silent, "/session"), ("image", usual, "/operations/")] {
        let cloud = Cloud::start(meddle);
        cloud.held().is_slow = true;
        let desk = cloud.desk(9);
        let mut command = desk.command(&cloud.line(""));
        let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        wait_for(what, || cloud.server.asked(waited).len() > 1);
        signal("INT", child.id());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{what}: {}", crate::common::stderr(&output));
        let held = cloud.held();
        assert!(held.images.is_empty() && held.session.is_none(), "{what}");
        assert_eq!(held.cancelled, usize::from(what == "upload"), "{what}");
    }
}

#[test]
fn mistakes_are_told_before_google_is_asked() {
    let desk = Desk::new(&[("NO_GCE_CHECK", "true")]);
    desk.disk("disk.img.tar.gz", 1);
    std::fs::write(desk.path("bad.json"), "{\"private_key\": \"hunter22\"}").unwrap();
    let pem = "-----BEGIN PRIVATE KEY-----\\nhunter22\\n-----END PRIVATE KEY-----\\n";
    let key = format!(r#"{{"type":"service_account","client_email":"a","private_key":"{pem}"}}"#);
    std::fs::write(desk.path("key.json"), key).unwrap();
    let near = "--endpoint http://127.0.0.1:1 --bucket bkt";
    let rows = [
        ("disk.img.tar.gz".to_owned(), 2, "no bucket is named"),
        ("--bucket bkt --project p disk.img.tar.gz".to_owned(), 4, "no credentials for Google Cloud are known"),
        ("--bucket bkt --project p --keys no.json disk.img.tar.gz".to_owned(), 1, "there is no `no.json`"),
        (
            "--bucket bkt --project p --keys bad.json disk.img.tar.gz".to_owned(),
            1,
            "is neither the key of a service account",
        ),
        (format!("{near} disk.img.tar.gz"), 2, "no project of Google Cloud is named"),
        (format!("{near} --project p/../q disk.img.tar.gz"), 2, "`p/../q` is no project of Google Cloud"),
        (format!("{near} --project p --img-name A/b disk.img.tar.gz"), 2, "can have the name `A/b`"),
        (format!("{near} --project p --family F disk.img.tar.gz"), 2, "can have the name `F`"),
        (format!("{near} --project p --license x disk.img.tar.gz"), 2, "`x` is no license of Google Cloud"),
        (format!("{near} --project p bad.json"), 2, "Google Cloud takes no file that ends in `.json`"),
        (format!("{near} --project p --keys key.json disk.img.tar.gz"), 2, "is no RSA key in PEM"),
        ("--endpoint x --bucket bkt --project p disk.img.tar.gz".to_owned(), 2, "endpoint: `x/compute/v1/` is no URL"),
        (
            "--endpoint http://127.0.0.1:1 --bucket gs://b --project p disk.img.tar.gz".to_owned(),
            2,
            "no bucket can have the name `gs://b`",
        ),
    ];
    for (line, code, told) in rows {
        let said = desk.bad(&format!("push gcp {line}"), code);
        assert_says(&said, &[told]);
        assert!(!said.contains("hunter22"), "{said}");
    }
}

#[test]
fn a_dry_run_tells_the_calls_to_google_and_makes_none() {
    let cloud = Cloud::start(|_, _, _| None);
    let said = cloud.desk(17).good(&cloud.line("--family f --replace --dry-run"));
    let expected = format!(
        "PUT gs://bkt/disk.img.tar.gz (17825792 bytes in 3 pieces)\nDELETE image `disk`, if it is there\n\
         POST http://{}/compute/v1/projects/p-1/global/images {}\nGET its operation, until it is done\n",
        cloud.server.host,
        r#"{"name":"disk","rawDisk":{"source":"https://storage.googleapis.com/bkt/disk.img.tar.gz"},"family":"f"}"#
    );
    assert_eq!(said, expected);
    assert!(cloud.server.asked("").is_empty());
}
