//! Page blobs of Azure and images of them: made whole, or taken back when anything goes wrong.

use std::process::Stdio;

use lkit::base::Digest;
use serde_json::{Value, json};

use super::page_blobs::{Blob, Cloud, KEY, refused};
use super::{Desk, assert_says, names};
use crate::cli::system::{signal, wait_for};
use crate::common::measured::{can_measure, measured, measuring};
use crate::common::scripted::{Answer, Request, Rest};
use crate::common::stderr;

const LINE: &str = "push azure --storage-account acct --resource-group grp";
/// Where the image of `disk.vhd` is asked about.
const IMAGE: &str = "/providers/Microsoft.Compute/images/disk";
/// Most memory of a push, in KiB.
const MOST_KIB: u64 = 96 << 10;

/// A principal as linuxkit wants it.
const PRINCIPAL: [(&str, &str); 4] = [
    ("AZURE_SUBSCRIPTION_ID", "00000000-aaaa"),
    ("AZURE_TENANT_ID", "tenant"),
    ("AZURE_CLIENT_ID", "client"),
    ("AZURE_CLIENT_SECRET", "very secret"),
];

fn desk(cloud: &Cloud) -> Desk {
    let authority = format!("http://{}", cloud.server.host);
    let desk = Desk::new(&[&PRINCIPAL[..], &[("AZURE_AUTHORITY_HOST", &authority)]].concat());
    vhd(&desk, 9);
    desk
}

/// Where the cloud is.
fn there(cloud: &Cloud) -> String {
    let host = &cloud.server.host;
    format!("--endpoint http://{host}/acct --resource-manager http://{host}")
}

/// Writes `disk.vhd`, with a disk of some MiB that has bytes in three of them.
fn vhd(desk: &Desk, mib: usize) -> Vec<u8> {
    let mut bytes = vec![0; mib << 20];
    for at in [0, (mib - 1) << 20, mib << 19 & !511] {
        bytes[at..at + 3].copy_from_slice(b"lk!");
    }
    bytes.extend(footer(mib as u64));
    std::fs::write(desk.path("disk.vhd"), &bytes).unwrap();
    bytes
}

fn footer(mib: u64) -> [u8; 512] {
    let mut footer = [0; 512];
    footer[..8].copy_from_slice(b"conectix");
    footer[48..56].copy_from_slice(&(mib << 20).to_be_bytes());
    footer[63] = 2;
    footer
}

fn is_page(request: &Request) -> bool {
    request.path.contains("comp=page")
}

#[test]
fn a_disk_becomes_a_page_blob_without_its_holes_and_an_image() {
    let cloud = Cloud::start(|_, _| None);
    let desk = desk(&cloud);
    let bytes = vhd(&desk, 9);
    let said = desk.good(&format!("{LINE} --uefi --json {} disk.vhd", there(&cloud)));
    let url = format!("http://{}/acct/linuxkitcontainer/disk.vhd", cloud.server.host);
    let id = format!("/subscriptions/00000000-aaaa/resourceGroups/grp{IMAGE}");
    let digest = Digest::of(&bytes).to_string();
    let expected = json!({"url": url, "digest": digest, "size": bytes.len(), "image": id});
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), expected);
    assert!(cloud.held().blobs["linuxkitcontainer/disk.vhd"].bytes == bytes);
    let mut ranges: Vec<_> =
        cloud.server.asked("comp=page").iter().map(|page| page.headers["x-ms-range"].clone()).collect();
    ranges.sort();
    assert_eq!(ranges, ["bytes=0-511", "bytes=4718592-4719103", "bytes=8388608-8389119", "bytes=9437184-9437695"]);
    let mut image = cloud.held().images["disk"].clone();
    let mark = image["tags"]["lkit"].take();
    assert_eq!(mark.as_str().map(str::len), Some(36));
    let disk = json!({"osType": "Linux", "osState": "Generalized", "blobUri": url, "caching": "ReadWrite"});
    let properties = json!({"hyperVGeneration": "V2", "storageProfile": {"osDisk": disk}});
    assert_eq!(image, json!({"location": "westeurope", "tags": {"lkit": null}, "properties": properties}));
    assert_eq!(cloud.methods(IMAGE), ["GET", "PUT", "GET"]);
    assert_eq!(cloud.methods("/operation").len(), 3);
    assert_eq!(names(&desk.path(".")), ["disk.vhd"], "nothing is written");
    let told = |request: &Request| ["very secret", KEY].iter().any(|secret| format!("{request:?}").contains(secret));
    assert!(!cloud.server.asked("").iter().any(told));
}

#[test]
fn a_key_or_a_signature_is_enough_for_a_blob_alone() {
    let rows = [
        vec![("AZURE_STORAGE_ACCOUNT", "acct"), ("AZURE_STORAGE_KEY", KEY)],
        vec![("AZURE_STORAGE_ACCOUNT", "acct"), ("AZURE_STORAGE_SAS_TOKEN", "?sp=rw&sig=s%2Fg")],
        vec![(
            "AZURE_STORAGE_CONNECTION_STRING",
            "AccountName=acct;AccountKey=c3RvcmFnZS1rZXktb2YtdGVzdHM=;EndpointSuffix=x",
        )],
    ];
    for variables in rows {
        let cloud = Cloud::start(|_, _| None);
        let desk = Desk::new(&variables);
        vhd(&desk, 1);
        let url = format!("http://{}/acct/c-1/a%20b.vhd", cloud.server.host);
        let endpoint = format!("http://{}/acct", cloud.server.host);
        let mut command =
            desk.command(&format!("push azure --blob-only --container c-1 --endpoint {endpoint} disk.vhd"));
        let output = command.args(["--img-name", "a b"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{url}\n"), "{}", stderr(&output));
        assert_eq!(cloud.held().blobs.keys().collect::<Vec<_>>(), ["c-1/a%20b.vhd"]);
        assert!(cloud.methods("/subscriptions").is_empty());
    }
}

#[test]
fn a_range_that_fails_is_sent_again() {
    let cloud = Cloud::start(|request, before| match before {
        0 if is_page(request) => Some(Answer::new(503, "").header("Retry-After", "0")),
        // The connection ends before the answer does.
        1 if is_page(request) => Some(Answer::new(201, "").claiming(10)),
        _ => None,
    });
    let desk = desk(&cloud);
    let bytes = vhd(&desk, 9);
    desk.good(&format!("{LINE} {} disk.vhd", there(&cloud)));
    assert!(cloud.held().blobs["linuxkitcontainer/disk.vhd"].bytes == bytes);
    assert_eq!(cloud.server.asked("comp=page").len(), 6);
}

#[test]
fn a_blob_whose_making_was_answered_too_late_is_ours() {
    let mark = std::sync::Mutex::new(String::new());
    let cloud = Cloud::start(move |request, before| {
        let mut mark = mark.lock().unwrap();
        match (request.method.as_str(), request.headers.get("x-ms-meta-lkit")) {
            ("PUT", Some(own)) if before == 0 => {
                mark.clone_from(own);
                Some(refused(500, "OperationTimedOut", "it may have been made"))
            }
            ("PUT", Some(_)) => Some(refused(409, "BlobAlreadyExists", "it exists")),
            ("PUT", None) => Some(Answer::new(201, "")),
            _ => {
                let answer = Answer::new(200, "").claiming((9 << 20) + 512).header("x-ms-blob-type", "PageBlob");
                Some(answer.header("x-ms-meta-lkit", mark.clone()))
            }
        }
    });
    let desk = Desk::new(&[("AZURE_STORAGE_ACCOUNT", "acct"), ("AZURE_STORAGE_KEY", KEY)]);
    vhd(&desk, 9);
    desk.good(&format!("push azure --blob-only --endpoint http://{}/acct disk.vhd", cloud.server.host));
    assert_eq!(cloud.server.asked("comp=page").len(), 4);
}

#[test]
fn what_is_refused_is_deleted_and_told_without_secrets() {
    let key = format!("key {KEY} is not let in");
    let cloud = Cloud::start(move |request, _| {
        let is_last = is_page(request) && request.headers["x-ms-range"].starts_with("bytes=9437184");
        is_last.then(|| refused(403, "AuthorizationFailure", &key))
    });
    let said = desk(&cloud).bad(&format!("{LINE} {} disk.vhd", there(&cloud)), 4);
    assert_says(&said, &["refused access: 403 AuthorizationFailure key *** is not let in", "storage account `acct`"]);
    assert!(cloud.is_empty() && cloud.methods(IMAGE) == ["GET"]);
    assert_eq!(cloud.methods("disk.vhd").last().unwrap(), "DELETE");
}

#[test]
fn a_store_that_has_other_bytes_has_no_blob_left() {
    type Lie = fn(&Request) -> Option<Answer>;
    let rows: [(Lie, &str, i32); 3] = [
        (
            |request| is_page(request).then(|| Answer::new(201, "").header("Content-MD5", "AAAA")),
            "it has other bytes than were sent at offset",
            5,
        ),
        (|request| is_page(request).then(|| refused(400, "Md5Mismatch", "no")), "400 Md5Mismatch no", 5),
        (
            |request| (request.method == "HEAD").then(|| Answer::new(404, "")),
            "404 Not Found, when it was asked for the blob that it has just taken",
            4,
        ),
    ];
    for (lie, told, code) in rows {
        let cloud = Cloud::start(move |request, _| lie(request));
        assert_says(&desk(&cloud).bad(&format!("{LINE} {} disk.vhd", there(&cloud)), code), &[told]);
        let is_hidden = told.starts_with("404");
        assert!(is_hidden || cloud.is_empty(), "{told}");
        assert_eq!(cloud.methods(IMAGE), ["GET"], "no image is made: {told}");
    }
}

#[test]
fn an_image_that_cannot_be_made_leaves_neither_image_nor_blob() {
    let failed = r#"{"status":"Failed","error":{"code":"InvalidParameter","message":"bad\nVHD"}}"#;
    let cloud = Cloud::start(move |request, _| request.path.contains("/operation").then(|| Answer::new(200, failed)));
    let said = desk(&cloud).bad(&format!("{LINE} {} disk.vhd", there(&cloud)), 1);
    assert_says(&said, &["Azure could not make the image: Failed InvalidParameter bad VHD"]);
    assert!(cloud.is_empty());
    assert_eq!(cloud.methods(IMAGE), ["GET", "PUT", "GET", "DELETE"]);

    let body = r#"{"error":{"code":"AuthorizationFailed","message":"tok-1234 may not"}}"#;
    let cloud = Cloud::start(move |request, _| {
        (request.method == "PUT" && request.path.contains(IMAGE)).then(|| Answer::new(403, body))
    });
    let said = desk(&cloud).bad(&format!("{LINE} {} disk.vhd", there(&cloud)), 4);
    assert_says(&said, &["refused access: 403 AuthorizationFailed *** may not", "Contributor in resource group `grp`"]);
    assert!(cloud.is_empty());
}

/// The token would be theirs.
#[test]
fn no_other_server_is_asked_how_far_an_image_is() {
    let other = Cloud::start(|_, _| panic!("nobody asks here"));
    let url = format!("http://{}/steal", other.server.host);
    let cloud = Cloud::start(move |request, before| {
        let is_making = request.method == "PUT" && request.path.contains(IMAGE) && before > 0;
        is_making.then(|| Answer::new(202, "{}").header("Azure-AsyncOperation", url.clone()).header("Retry-After", "0"))
    });
    // The image itself is asked about: it is not there, since the making was answered here alone.
    let said = desk(&cloud).bad(&format!("{LINE} {} disk.vhd", there(&cloud)), 4);
    assert_says(&said, &["404 ResourceNotFound no image"]);
    assert!(other.server.asked("").is_empty() && cloud.is_empty());
}

#[test]
fn what_is_there_is_not_touched_unless_that_is_said() {
    let cloud = Cloud::start(|_, _| None);
    let desk = desk(&cloud);
    cloud.held().images.insert("disk".to_owned(), json!({"tags": {}}));
    let line = format!("{LINE} {} disk.vhd", there(&cloud));
    assert_says(
        &desk.bad(&line, 1),
        &["image `disk` is in resource group `grp` already", "az image delete -g grp -n disk"],
    );
    assert!(cloud.server.asked("/acct/").is_empty(), "nothing is sent");
    cloud.held().images.clear();
    let blob = Blob { bytes: vec![7; 512], mark: String::new() };
    cloud.held().containers.push("linuxkitcontainer".to_owned());
    cloud.held().blobs.insert("linuxkitcontainer/disk.vhd".to_owned(), blob.clone());
    assert_says(&desk.bad(&line, 1), &["/acct/linuxkitcontainer/disk.vhd` is there already", "`--overwrite`"]);
    assert_eq!(cloud.held().blobs["linuxkitcontainer/disk.vhd"], blob);
    desk.good(&format!("{LINE} --overwrite {} disk.vhd", there(&cloud)));
    assert_eq!(cloud.held().blobs["linuxkitcontainer/disk.vhd"].bytes.len(), (9 << 20) + 512);
}

#[test]
fn an_interrupted_push_is_taken_back() {
    let cloud = Cloud::start(|request, _| {
        let is_last = is_page(request) && request.headers["x-ms-range"].starts_with("bytes=9437184");
        is_last.then(|| Answer::new(201, "").then(Rest::Silence))
    });
    let desk = desk(&cloud);
    let mut command = desk.command(&format!("{LINE} {} disk.vhd", there(&cloud)));
    let child = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    wait_for("the last range", || {
        cloud.server.asked("comp=page").iter().any(|page| page.headers["x-ms-range"].starts_with("bytes=9437184"))
    });
    signal("INT", child.id());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_says(&stderr(&output), &["interrupted while `http://", "/acct/linuxkitcontainer/disk.vhd` was pushed"]);
    assert!(cloud.is_empty());
}

#[test]
fn what_azure_refuses_is_told_in_plain_words() {
    type Meddle = fn(&Request) -> Option<Answer>;
    let rows: [(Meddle, &[&str]); 5] = [
        (
            |request| {
                let detail = "Server failed.</Message><AuthenticationErrorDetail>Request date header too old: 'x'";
                let body = format!(
                    "<Error><Code>AuthenticationFailed</Code><Message>{detail}</AuthenticationErrorDetail></Error>"
                );
                request.path.starts_with("/acct").then(|| Answer::new(403, body))
            },
            &["the clock of this machine is not that of", "timedatectl set-ntp true"],
        ),
        (
            |request| {
                let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: `very secret` is wrong"}"#;
                request.path.starts_with("/tenant").then(|| Answer::new(401, body))
            },
            &["did not let the service principal in", "AADSTS7000215: `***` is wrong", "AZURE_CLIENT_SECRET"],
        ),
        (
            |request| {
                let body = r#"{"error":{"code":"ResourceGroupNotFound","message":"none"}}"#;
                request.path.starts_with("/subscriptions").then(|| Answer::new(404, body))
            },
            &["resource group `grp` is not there", "az group create -n grp"],
        ),
        (
            |request| {
                let body = r#"{"error":{"code":"ResourceNotFound","message":"storageAccounts/acct was not found"}}"#;
                request.path.contains("listKeys").then(|| Answer::new(404, body))
            },
            &["the storage account is not in resource group `grp`", "--storage-account"],
        ),
        (
            |request| request.path.contains("listKeys").then(|| Answer::new(200, "no JSON")),
            &["it gives no key of the storage account"],
        ),
    ];
    for (meddle, told) in rows {
        let cloud = Cloud::start(move |request, _| meddle(request));
        assert_says(&desk(&cloud).bad(&format!("{LINE} {} disk.vhd", there(&cloud)), 4), told);
        assert!(cloud.is_empty());
    }
}

#[test]
fn mistakes_are_told_before_anybody_is_asked() {
    let desk = Desk::new(&PRINCIPAL);
    vhd(&desk, 1);
    std::fs::write(desk.path("no.vhd"), [0; 700]).unwrap();
    std::fs::write(desk.path("empty.vhd"), "").unwrap();
    let mut odd = vec![0; 1000];
    odd.extend(footer(1));
    std::fs::write(desk.path("odd.vhd"), &odd).unwrap();
    odd[1000 + 63] = 3;
    std::fs::write(desk.path("dynamic.vhd"), &odd).unwrap();
    let rows = [
        ("push azure --resource-group grp disk.vhd", "no storage account is named"),
        ("push azure --storage-account acct disk.vhd", "no resource group is named"),
        (
            "push azure --storage-account A.b --resource-group grp disk.vhd",
            "no storage account can have the name `A.b`",
        ),
        (
            "push azure --storage-account acct --resource-group a/b disk.vhd",
            "no resource group can have the name `a/b`",
        ),
        (&format!("{LINE} --subscription ../x disk.vhd"), "`../x` is no subscription of Azure"),
        (&format!("{LINE} --container A disk.vhd"), "no container can have the name `A`"),
        (&format!("{LINE} --img-name a/b disk.vhd"), "no image of Azure can have the name `a/b`"),
        (&format!("{LINE} --endpoint ftp://x disk.vhd"), "endpoint: `ftp://x` is no URL"),
        (&format!("{LINE} --blob-only --uefi disk.vhd"), "cannot be used with"),
        (&format!("{LINE} a.raw"), "cannot push `a.raw`"),
        (&format!("{LINE} no.vhd"), "Azure starts no such file: it is no VHD"),
        (&format!("{LINE} empty.vhd"), "Azure starts no such file: it is no VHD"),
        (&format!("{LINE} odd.vhd"), "its disk is not of whole MiB, as its footer says"),
        (&format!("{LINE} dynamic.vhd"), "it is no fixed VHD, but a dynamic one"),
    ];
    for (line, told) in rows {
        assert_says(&desk.bad(line, if told.starts_with("cannot push") { 1 } else { 2 }), &[told]);
    }
    let said = desk.bad(&format!("{LINE} --arch arm64 disk.vhd"), 1);
    assert_says(&said, &["Azure makes no managed images for `arm64`", "--blob-only"]);
    let nobody = Desk::new(&[("AZURE_SUBSCRIPTION_ID", "00")]);
    vhd(&nobody, 1);
    assert_says(
        &nobody.bad(&format!("{LINE} disk.vhd"), 4),
        &["no login for Azure's resource manager", "az account get-access-token"],
    );
    let other = Desk::new(&[("AZURE_STORAGE_CONNECTION_STRING", "AccountName=other;AccountKey=AAAA")]);
    vhd(&other, 1);
    assert_says(&other.bad(&format!("{LINE} disk.vhd"), 2), &["is of storage account `other`, not `acct`"]);
}

#[test]
fn the_service_principal_of_az_is_found_in_its_files() {
    let cloud = Cloud::start(|_, _| None);
    let authority = format!("http://{}", cloud.server.host);
    let desk = Desk::new(&[("AZURE_AUTHORITY_HOST", &authority)]);
    vhd(&desk, 1);
    std::fs::create_dir(desk.path(".azure")).unwrap();
    let user = json!({"name": "client", "type": "servicePrincipal"});
    let profile = json!({"subscriptions": [{"id": "0"}, {"id": "00000000-aaaa", "isDefault": true, "user": user}]});
    std::fs::write(desk.path(".azure/azureProfile.json"), format!("\u{feff}{profile}")).unwrap();
    let entries = json!([{"client_id": "client", "tenant": "tenant", "client_secret": "very secret"}]);
    std::fs::write(desk.path(".azure/service_principal_entries.json"), entries.to_string()).unwrap();
    desk.good(&format!("{LINE} {} disk.vhd", there(&cloud)));
    assert_eq!(cloud.held().images.len(), 1);
}

#[test]
fn a_dry_run_tells_the_calls_and_makes_none() {
    let cloud = Cloud::start(|_, _| None);
    let desk = desk(&cloud);
    let url = "https://acct.blob.core.windows.net/linuxkitcontainer/disk.vhd";
    let expected = format!(
        "POST listKeys of storage account `acct` in `grp`\nPUT {url} (page blob of 9437696 bytes)\n\
         PUT image `disk` V1 into resource group `grp`, of {url}\n\
         GET image `disk`, until it is there\n"
    );
    assert_eq!(desk.good(&format!("{LINE} --dry-run disk.vhd")), expected);
    assert!(cloud.server.asked("").is_empty());
}

#[test]
fn memory_does_not_grow_with_what_is_pushed() {
    if !can_measure() {
        return;
    }
    let size: u64 = 400 << 20;
    let cloud = Cloud::start(|request, _| (request.method == "PUT").then(|| Answer::new(201, "")));
    let desk = Desk::new(&[("AZURE_STORAGE_ACCOUNT", "acct"), ("AZURE_STORAGE_KEY", KEY)]);
    let mut bytes = vec![1; usize::try_from(size).unwrap()];
    bytes.extend(footer(400));
    std::fs::write(desk.path("disk.vhd"), bytes).unwrap();
    let notes = desk.path("notes");
    let line = format!("push azure --blob-only --endpoint http://{}/acct disk.vhd", cloud.server.host);
    let run = measured(measuring(&desk.command(&line), &notes), &notes);
    // Nothing is kept there, so that it ends with the look at the blob.
    assert_says(&stderr(&run.output), &["when it was asked for the blob that it has just taken"]);
    let sent: usize = cloud.server.asked("comp=page").iter().map(|page| page.bytes.len()).sum();
    assert_eq!(sent as u64, size + 512);
    assert!(run.peak < MOST_KIB, "{} KiB", run.peak);
}
