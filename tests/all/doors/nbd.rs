//! `lkit serve` as network block devices: judged by libnbd's programs and QEMU's.

use std::cell::RefCell;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::Command;

use serde_json::Value;

use super::served::{Served, built, urls};
use crate::cli::system::{System, assert_says, signal, wait_for};
use crate::common::{have, run, stderr};

const UNIX: &str = "--listen nbd+unix://";
const FORMATS: &str = "kernel+initrd,raw-efi,iso-efi,tar,kernel+squashfs,vmdk";

/// The option that listens on a socket of the system; its path has no space, which the line of options cannot have.
fn socket(dir: &tempfile::TempDir) -> String {
    format!("{UNIX}{}", dir.path().join("nbd.sock").display())
}

#[test]
fn oracle_nbdinfo_lists_every_artifact_and_tells_its_size() {
    if !have(&["nbdinfo"]) {
        return;
    }
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let served = Served::of(&system, &socket(&dir));
    let told: Value = serde_json::from_str(&run("nbdinfo", ["--list", "--json", &served.url("")])).unwrap();
    assert_eq!((&told["protocol"], &told["structured"]), (&"newstyle-fixed".into(), &true.into()));
    let exports = told["exports"].as_array().unwrap();
    let inspected: Value = serde_json::from_str(&system.good("inspect --json a.yml")).unwrap();
    let artifacts = inspected["artifacts"].as_array().unwrap();
    let mut compared = 0;
    for export in exports {
        assert_eq!((&export["is_read_only"], &export["can_write"]), (&true.into(), &Value::Null), "{export}");
        let can = ["can_multi_conn", "can_cache", "can_df", "can_flush"].map(|flag| &export[flag]);
        assert_eq!(can, [&Value::Bool(true); 4], "{export}");
        assert_eq!(export["contexts"], serde_json::json!(["base:allocation"]));
        if let Some(artifact) = artifacts.iter().find(|artifact| artifact["name"] == export["export-name"]) {
            assert_eq!(artifact["size"], export["export-size"]);
            compared += 1;
        }
    }
    assert!(exports.len() > 10 && compared > 10, "{exports:#?}\n{artifacts:#?}");
}

#[test]
fn oracle_nbdcopy_copies_what_build_writes() {
    if !have(&["nbdcopy"]) {
        return;
    }
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let served = Served::of(&system, &format!("{} --listen nbd://127.0.0.1:0", socket(&dir)));
    for (name, path) in built(&system, FORMATS) {
        for options in [&["--connections=1"][..], &["--connections=4", "--requests=64"], &["--synchronous"]] {
            let copy = dir.path().join("copy");
            run("nbdcopy", options.iter().copied().chain([served.url(&name).as_str(), copy.to_str().unwrap()]));
            assert!(fs::read(&copy).unwrap() == fs::read(&path).unwrap(), "`{name}` with {options:?}");
            fs::remove_file(copy).unwrap();
        }
    }
}

#[test]
fn oracle_qemu_img_finds_the_same_content_and_holes() {
    if !have(&["qemu-img", "nbdinfo"]) {
        return;
    }
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let served = Served::of(&system, &format!("--listen nbd://127.0.0.1:0 {}", socket(&dir)));
    for (name, path) in built(&system, "raw-efi,tar") {
        let path = path.to_str().unwrap();
        let url = served.url(&name);
        let told = run("qemu-img", ["compare", "-f", "raw", "-F", "raw", &url, path]);
        assert_eq!(told, "Images are identical.\n");
        let copy = dir.path().join("copy");
        run("qemu-img", ["convert", "-f", "raw", "-O", "raw", &url, copy.to_str().unwrap()]);
        assert!(fs::read(&copy).unwrap() == fs::read(path).unwrap(), "{name}");
    }
    let (_, disk) = built(&system, "raw-efi").remove(0);
    let url = served.url("a-efi.img");
    let map: Vec<Value> = serde_json::from_str(&run("nbdinfo", ["--map", "--json", &url])).unwrap();
    let number = |run: &Value, name: &str| run[name].as_u64().unwrap();
    let end = map.iter().fold(0, |at, run| {
        assert_eq!(number(run, "offset"), at);
        at + number(run, "length")
    });
    let content = fs::read(disk).unwrap();
    assert_eq!(end, content.len() as u64);
    let holes: Vec<&Value> = map.iter().filter(|run| run["type"] == 3).collect();
    assert!(!holes.is_empty() && holes.len() < map.len(), "{map:#?}");
    for hole in holes {
        let (start, len) = (number(hole, "offset") as usize, number(hole, "length") as usize);
        assert!(content[start..start + len].iter().all(|byte| *byte == 0), "{hole}");
    }
}

#[test]
fn an_export_that_is_not_there_is_refused_with_those_that_are() {
    if !have(&["nbdinfo"]) {
        return;
    }
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let served = Served::of(&system, &socket(&dir));
    for name in ["", "nothing"] {
        let output = Command::new("nbdinfo").arg(served.url(name)).output().unwrap();
        assert!(!output.status.success());
        assert_says(&stderr(&output), &["export"]);
    }
}

#[test]
fn a_client_that_is_killed_leaves_the_others_served() {
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let served = Served::of(&system, &format!("{} --max-connections 2", socket(&dir)));
    let path = dir.path().join("nbd.sock");
    let go = |name: &str| -> std::io::Result<UnixStream> {
        let mut client = UnixStream::connect(&path)?;
        let len = u32::try_from(name.len()).unwrap();
        let option = [&7_u32.to_be_bytes()[..], &(len + 6).to_be_bytes(), &len.to_be_bytes(), name.as_bytes(), &[0; 2]];
        client.write_all(&[&3_u32.to_be_bytes()[..], b"IHAVEOPT", &option.concat()].concat())?;
        // Greeting, the export, and the acknowledgement.
        client.read_exact(&mut [0; 18 + 32 + 20])?;
        Ok(client)
    };
    // A place is free when the server has seen that who had it is gone.
    let admitted = |name: &str| {
        let admitted = RefCell::new(None);
        wait_for("a place", || admitted.borrow_mut().insert(go(name)).is_ok());
        admitted.into_inner().unwrap().unwrap()
    };
    let read = |client: &mut UnixStream, length: u32| {
        let head = [&0x2560_9513_u32.to_be_bytes()[..], &[0; 20], &length.to_be_bytes()].concat();
        client.write_all(&head).unwrap();
    };
    for _ in 0..8 {
        // It asks for more than any buffer between holds, and goes without having taken it.
        read(&mut admitted("initrd.img"), 3 << 20);
    }
    let mut client = admitted("cmdline");
    read(&mut client, 13);
    let mut reply = [0; 16 + 13];
    client.read_exact(&mut reply).unwrap();
    assert_eq!(&reply[16..], b"console=ttyS0");
    let (status, said) = served.end("TERM");
    assert!(status.success() && !said.contains("panicked"), "{said}");
}

#[test]
fn a_signal_ends_the_server_in_order_and_removes_its_socket() {
    for name in ["INT", "TERM"] {
        let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
        let before = system.names();
        let served = Served::of(&system, &format!("{} --store none", socket(&dir)));
        let path = dir.path().join("nbd.sock");
        assert_eq!(served.urls, [format!("nbd+unix:///?socket={}", path.display())]);
        let said = system.bad(&format!("serve a.yml {}", socket(&dir)), 1);
        assert_says(&said, &[&format!("a server listens on `{}` already", path.display())]);
        // Somebody who is connected does not hold it up.
        let _client = UnixStream::connect(&path).unwrap();
        let (status, said) = served.end(name);
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
        assert!(!path.exists());
        assert_eq!(system.names(), before, "something was written");
    }
}

#[test]
fn the_socket_of_a_killed_server_is_taken_over() {
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    drop(Served::of(&system, &socket(&dir)));
    assert!(dir.path().join("nbd.sock").exists());
    let (status, _) = Served::of(&system, &socket(&dir)).end("TERM");
    assert!(status.success());
}

#[test]
fn a_server_in_the_background_serves_when_its_launcher_ends() {
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let line = format!("serve a.yml --background --listen nbd://127.0.0.1:0 {}", socket(&dir));
    let output = system.command(&line).output().unwrap();
    let said = stderr(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(urls(&said).len(), 2);
    let mut greeting = [0; 18];
    UnixStream::connect(dir.path().join("nbd.sock")).unwrap().read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting[..8], b"NBDMAGIC");
    let (_, end) = said.split_once("`kill ").unwrap();
    signal("TERM", end.split('`').next().unwrap().parse().unwrap());
    wait_for("the end of the server", || !dir.path().join("nbd.sock").exists());
}

#[test]
fn what_cannot_be_listened_on_is_refused_before_anything_is_fetched() {
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let port = busy.local_addr().unwrap().port();
    let rows = [
        (format!("--listen nbd://127.0.0.1:{port}"), 1, "let port 0 choose one that is free"),
        ("--listen nbd://0.0.0.0:0".to_owned(), 2, "can be reached from other machines"),
        ("--listen nbd://[::]:0".to_owned(), 2, "--insecure-listen"),
        ("--listen nbd://192.0.2.1:0 --insecure-listen".to_owned(), 1, "an address of this machine"),
        (format!("{UNIX}{}", file.display()), 1, "is no socket"),
        (format!("{UNIX}{}/none/x", dir.path().display()), 1, "choose a path in a directory"),
        (format!("{UNIX}{}/{}", dir.path().display(), "x".repeat(110)), 1, "a socket has 107 bytes at most"),
        ("--listen ftp://127.0.0.1".to_owned(), 2, "its protocol is not served"),
        ("--listen https://127.0.0.1:0".to_owned(), 2, "`http://HOST:PORT` or `nbd://HOST:PORT` with `--tls-cert"),
        ("--listen nbd://127.0.0.1:0 --max-connections 0".to_owned(), 2, "--max-connections"),
        ("--listen nbd://127.0.0.1:0 --tls-cert x".to_owned(), 2, "--tls-key"),
        (format!("--listen nbd://127.0.0.1:0 --tls-cert {0} --tls-key {0}", file.display()), 1, "for TLS"),
    ];
    for (options, code, why) in rows {
        // The spec is not even looked at.
        assert_says(&system.bad(&format!("serve nowhere.yml {options}"), code), &[why]);
    }
    let served = Served::of(&system, "--listen nbd://0.0.0.0:0 --insecure-listen");
    assert!(served.urls[0].starts_with("nbd://0.0.0.0:") && served.port(0) > 0);
}
