//! Emulators of clouds, each started for a test on the loopback interface: what others made of the providers' protocols.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::cloud::Cloud;
use super::{AWS, Desk, assert_says};
use crate::cli::system::wait_for;
use crate::common::registry::free_port;
use crate::common::{root, run, skip_unless};

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
