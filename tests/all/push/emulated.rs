//! Emulators of clouds, each started for a test on the loopback interface: what others made of the providers' protocols.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use lkit::base::Digest;
use serde_json::Value;

use super::cloud::Cloud;
use super::{AWS, Desk, assert_says, names};
use crate::cli::system::{System, wait_for};
use crate::common::registry::free_port;
use crate::common::{root, run, skip_unless, stderr, stdout};

/// An emulator, killed when it is dropped.
struct Emulator {
    child: Child,
    port: u16,
}

impl Emulator {
    /// Starts a program of those that `tools/install` puts below `target/clouds`, and waits until it listens.
    fn start(program: &str, args: impl Fn(u16) -> Vec<String>) -> Option<Self> {
        let path: PathBuf = root().join("target/clouds").join(program);
        if !skip_unless(path.is_file(), &format!("no `{}`; run tools/install", path.display())) {
            return None;
        }
        let port = free_port();
        let child = Command::new(path).args(args(port)).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let emulator = Self { child, port };
        wait_for("the emulator", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(emulator)
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Reads a blob of Azurite with a signature of Python's making, into a file.
const READ_BLOB: &str = r#"
import base64, email.utils, hashlib, hmac, sys, urllib.request
url, path, key, out = sys.argv[1:]
account, date = url.rsplit("/", 1)[1], email.utils.formatdate(usegmt=True)
text = "GET" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2021-12-02\n/{account}/{account}/{path}"
signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
headers = {"x-ms-date": date, "x-ms-version": "2021-12-02", "Authorization": f"SharedKey {account}:{signature}"}
answer = urllib.request.urlopen(urllib.request.Request(f"{url}/{path}", headers=headers))
assert answer.headers["x-ms-blob-type"] == "PageBlob"
open(out, "wb").write(answer.read())
"#;

/// A system whose disk is pushed in a format: the line that pushes it, and what `lkit build` writes.
fn built(format: &str) -> (System, Vec<u8>) {
    let system = System::new();
    std::fs::create_dir(system.path("built")).unwrap();
    system.good(&format!("build --dir built -f {format} a.yml"));
    let written = std::fs::read(system.path("built").join(names(&system.path("built"))[0].as_str())).unwrap();
    (system, written)
}

/// Pushes it, with nothing of this machine's accounts.
fn pushed(system: &System, variables: &[(&str, &str)], line: &str) -> Output {
    let desk = Desk::new(variables);
    let mut command = desk.command(line);
    command.current_dir(system.dir.path()).args(["--layout", "layout", "a.yml"]);
    command.output().unwrap()
}

#[test]
fn oracle_azurite_has_the_disk_that_is_built() {
    let args = |port: u16| {
        let port = port.to_string();
        ["--silent", "--inMemoryPersistence", "--blobHost", "127.0.0.1", "--blobPort", &port]
            .map(str::to_owned)
            .to_vec()
    };
    let Some(azurite) = Emulator::start("node_modules/.bin/azurite-blob", args) else { return };
    let key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    let url = format!("{}/devstoreaccount1", azurite.url());
    let connection = format!("AccountName=devstoreaccount1;AccountKey={key};BlobEndpoint={url}");
    let variables = [("AZURE_STORAGE_CONNECTION_STRING", connection.as_str())];
    let (system, written) = built("vhd");
    let line = "push azure --blob-only --container cont-1 --img-name my/disk";
    let said = stdout(line, &pushed(&system, &variables, line));
    assert_eq!(said, format!("{url}/cont-1/my/disk.vhd\n"));
    let read_back = || {
        let out = system.path("read").to_str().unwrap().to_owned();
        run("python3", ["-c", READ_BLOB, &url, "cont-1/my/disk.vhd", key, &out]);
        std::fs::read(out).unwrap()
    };
    assert!(read_back() == written);
    let said = stderr(&pushed(&system, &variables, line));
    assert_says(&said, &["cont-1/my/disk.vhd` is there already"]);
    stdout(line, &pushed(&system, &variables, &format!("{line} --overwrite")));
    assert!(read_back() == written);
    let other = connection.replace("Eby8", "Abcd");
    let said = stderr(&pushed(&system, &[("AZURE_STORAGE_CONNECTION_STRING", &other)], line));
    assert_says(&said, &["refused access: 403 AuthorizationFailure", "check the key or signature of storage account"]);
}

#[test]
fn oracle_moto_takes_a_disk_and_knows_no_other_bucket() {
    let args = |port: u16| vec!["-H".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), port.to_string()];
    let Some(moto) = Emulator::start("bin/moto_server", args) else { return };
    let mut desk = Desk::new(&AWS);
    desk.variables.push(("AWS_ENDPOINT_URL".to_owned(), moto.url()));
    run("curl", ["-sfX", "PUT", &format!("{}/bkt", moto.url())]);
    let bytes = desk.disk("disk.raw", 21);
    assert_eq!(desk.good("push s3 --bucket bkt --img-name my/disk disk.raw"), "s3://bkt/my/disk.raw\n");
    let got = desk.path("got");
    run("curl", ["-sfo", got.to_str().unwrap(), &format!("{}/bkt/my/disk.raw", moto.url())]);
    assert!(std::fs::read(got).unwrap() == bytes);
    assert_says(
        &desk.bad("push s3 --bucket other disk.raw", 4),
        &["bucket `other` is not there", "aws s3 mb s3://other"],
    );
}

#[test]
fn oracle_moto_has_an_upload_that_was_left_and_goes_on_with_it() {
    let args = |port: u16| vec!["-H".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), port.to_string()];
    let Some(moto) = Emulator::start("bin/moto_server", args) else { return };
    let mut desk = Desk::new(&AWS);
    desk.variables.push(("AWS_ENDPOINT_URL".to_owned(), moto.url()));
    let object = format!("{}/bkt/disk.raw", moto.url());
    run("curl", ["-sfX", "PUT", &format!("{}/bkt", moto.url())]);
    let bytes = desk.disk("disk.raw", 21);
    let left = |part: &[u8]| {
        let begun = run("curl", ["-sfX", "POST", &format!("{object}?uploads")]);
        let id = begun.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap().to_owned();
        let path = desk.path("part");
        std::fs::write(&path, part).unwrap();
        run("curl", ["-sfT", path.to_str().unwrap(), &format!("{object}?partNumber=2&uploadId={id}")]);
        id
    };
    let other = left(&[7; 8 << 20]);
    let same = left(&bytes[8 << 20..16 << 20]);
    let output = desk.output("push s3 --bucket bkt disk.raw");
    let said = crate::common::stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_says(&said, &["goes on with an upload that was left: 1 of 3 parts are there"]);
    let got = desk.path("got");
    run("curl", ["-sfo", got.to_str().unwrap(), &object]);
    assert!(std::fs::read(got).unwrap() == bytes);
    let uploads = run("curl", ["-sf", &format!("{}/bkt?uploads", moto.url())]);
    assert!(uploads.contains(&other) && !uploads.contains(&same), "{uploads}");
}

#[test]
fn oracle_gcp_storage_emulator_takes_an_archive_and_knows_no_other_bucket() {
    let args = |port: u16| {
        ["start", "--in-memory", "--default-bucket", "bkt", "--host", "127.0.0.1", "--port", &port.to_string()]
            .map(str::to_owned)
            .to_vec()
    };
    let Some(emulator) = Emulator::start("bin/gcp-storage-emulator", args) else { return };
    let cloud = Cloud::start(|_, _, _| None);
    let mut desk = cloud.desk(0);
    let compute = format!("http://{}/compute/v1/", cloud.server.host);
    desk.variables.push(("CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE".to_owned(), compute));
    desk.variables.push(("STORAGE_EMULATOR_HOST".to_owned(), format!("127.0.0.1:{}", emulator.port)));
    let bytes = desk.disk("disk.img.tar.gz", 21);
    assert_eq!(desk.good("push gcp --bucket bkt disk.img.tar.gz"), "projects/p-1/global/images/disk\n");
    let got = desk.path("got");
    run("curl", ["-sfo", got.to_str().unwrap(), &format!("{}/bkt/disk.img.tar.gz", emulator.url())]);
    assert!(std::fs::read(got).unwrap() == bytes);
    assert_says(
        &desk.bad("push gcp --bucket other --img-name b disk.img.tar.gz", 4),
        &["bucket `other` is not there", "gcloud storage buckets create gs://other"],
    );
}

/// Keystone and Glance themselves, each in a process of its own over SQLite and files.
#[test]
fn oracle_glance_has_the_disk_that_is_built() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("image_service.py");
    std::fs::write(&script, include_str!("image_service.py")).unwrap();
    let identity = std::cell::Cell::new(0);
    let args = |service: &str, port: u16| {
        if service == "keystone" {
            identity.set(port);
        }
        let words = [script.to_str().unwrap(), service, dir.path().to_str().unwrap()].map(str::to_owned);
        [&words[..], &[port, identity.get()].map(|port| port.to_string())[..]].concat()
    };
    if !skip_unless(root().join("target/clouds/bin/glance-manage").is_file(), "no Glance; run tools/install") {
        return;
    }
    let Some(keystone) = Emulator::start("bin/python", |port| args("keystone", port)) else { return };
    let Some(glance) = Emulator::start("bin/python", |port| args("glance", port)) else { return };
    let auth = keystone.url();
    let login = [("OS_AUTH_URL", auth.as_str()), ("OS_USERNAME", "admin"), ("OS_PROJECT_NAME", "admin")];
    let good = [&login[..], &[("OS_PASSWORD", "secret")]].concat();
    let (system, written) = built("qcow2-bios");
    let said = stderr(&pushed(&system, &good, "push openstack"));
    assert_says(&said, &["knows no image service", "--endpoint URL"]);
    let said = stderr(&pushed(&system, &[&login[..], &[("OS_PASSWORD", "wrong")]].concat(), "push openstack"));
    assert_says(&said, &["refused access: 401 The request you have made requires authentication."]);
    register(&auth, &glance.url());
    let line = "push openstack --region one --uefi --property os_distro=linuxkit --json";
    let said: Value = serde_json::from_str(&stdout(line, &pushed(&system, &good, line))).unwrap();
    assert_eq!(said["digest"], Digest::of(&written).to_string());
    let kept = dir.path().join("images").join(said["image"].as_str().unwrap());
    assert!(std::fs::read(kept).unwrap() == written);
    let said = stderr(&pushed(&system, &good, "push openstack --property min_disk=many"));
    assert_says(&said, &["answered: 400 "]);
    assert_eq!(names(&dir.path().join("images")).len(), 1);
}

/// Has Keystone know where Glance is.
fn register(auth: &str, glance: &str) {
    let script = r#"
import json, sys, urllib.request
auth, glance = sys.argv[1:]
def post(path, body, token=None):
    headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
    question = urllib.request.Request(f"{auth}/v3/{path}", json.dumps(body).encode(), headers)
    answer = urllib.request.urlopen(question)
    return json.load(answer), answer.headers
domain = {"id": "default"}
user = {"name": "admin", "domain": domain, "password": "secret"}
identity = {"methods": ["password"], "password": {"user": user}}
scope = {"project": {"name": "admin", "domain": domain}}
token = post("auth/tokens", {"auth": {"identity": identity, "scope": scope}})[1]["X-Subject-Token"]
service = post("services", {"service": {"type": "image", "name": "glance"}}, token)[0]["service"]["id"]
endpoint = {"interface": "public", "region_id": "one", "service_id": service, "url": glance}
post("endpoints", {"endpoint": endpoint}, token)
"#;
    run("python3", ["-c", script, auth, glance]);
}
