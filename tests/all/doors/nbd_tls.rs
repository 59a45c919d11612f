//! `lkit serve` as network block devices by TLS: judged by libnbd's programs and QEMU's, which speak it by GnuTLS.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::served::{Served, built};
use crate::cli::system::{System, assert_says};
use crate::common::tls::Authority;
use crate::common::{have, run, stderr};

/// An authority with a certificate for the server, and directories of clients, with a certificate and without.
struct Pki {
    options: String,
    known: PathBuf,
    unknown: PathBuf,
}

impl Pki {
    fn of(dir: &Path) -> Option<Self> {
        let authority = Authority::new(&dir.join("ca"))?;
        let (certificate, key) = authority.certificate("server");
        let options = format!("--tls-cert {} --tls-key {}", certificate.display(), key.display());
        let client = |name: &str| {
            let dir = dir.join(name);
            fs::create_dir(&dir).unwrap();
            fs::copy(authority.root(), dir.join("ca-cert.pem")).unwrap();
            dir
        };
        let (known, unknown) = (client("known"), client("unknown"));
        let (certificate, key) = authority.certificate("client");
        fs::copy(certificate, known.join("client-cert.pem")).unwrap();
        fs::copy(key, known.join("client-key.pem")).unwrap();
        let options = format!("{options} --listen nbd://127.0.0.1:0");
        Some(Self { options, known, unknown })
    }

    fn root(&self) -> PathBuf {
        self.known.join("ca-cert.pem")
    }
}

/// Asks for the size of an artifact by TLS.
fn size(served: &Served, artifact: &str, client: &Path) -> Output {
    let url = format!("nbds://localhost:{}/{artifact}?tls-certificates={}", served.port(0), client.display());
    Command::new("nbdinfo").args(["--size", &url]).output().unwrap()
}

#[test]
fn oracle_nbdinfo_and_qemu_img_read_by_tls_and_nobody_reads_without() {
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    if !have(&["nbdinfo", "nbdcopy", "qemu-img"]) {
        return;
    }
    let Some(pki) = Pki::of(dir.path()) else { return };
    let served = Served::of(&system, &pki.options);
    assert!(served.urls[0].starts_with("nbds://127.0.0.1:"), "{:?}", served.urls);
    assert_eq!(size(&served, "cmdline", &pki.unknown).stdout, b"13\n");
    let plain = Command::new("nbdinfo").arg(served.urls[0].replace("nbds", "nbd")).output().unwrap();
    assert!(!plain.status.success());
    assert_says(&stderr(&plain), &["server replied with error"]);
    for (name, path) in built(&system, "tar,raw-efi") {
        let url = format!("nbds://localhost:{}/{name}?tls-certificates={}", served.port(0), pki.unknown.display());
        let copy = dir.path().join("copy");
        run("nbdcopy", [url.as_str(), copy.to_str().unwrap()]);
        assert!(fs::read(copy).unwrap() == fs::read(&path).unwrap(), "{name}");
        let tls = format!("tls-creds-x509,id=t,endpoint=client,dir={}", pki.unknown.display());
        let place = format!("driver=nbd,host=127.0.0.1,port={},export={name},tls-creds=t", served.port(0));
        let file = format!("driver=file,filename={}", path.display());
        let told = run("qemu-img", ["compare", "--object", &tls, "--image-opts", &place, &file]);
        assert_eq!(told, "Images are identical.\n");
    }
}

#[test]
fn oracle_nbdinfo_needs_a_certificate_where_clients_are_asked_for_one() {
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    if !have(&["nbdinfo"]) {
        return;
    }
    let Some(pki) = Pki::of(dir.path()) else { return };
    let socket = dir.path().join("s");
    let (ca, socket) = (pki.root(), socket.display().to_string());
    let options = format!("{} --tls-client-ca {} --listen nbd+unix://{socket}", pki.options, ca.display());
    let served = Served::of(&system, &options);
    assert_eq!(size(&served, "cmdline", &pki.known).stdout, b"13\n");
    assert!(!size(&served, "cmdline", &pki.unknown).status.success());
    // The socket is for this user alone, who may read by TLS, or without.
    assert_eq!(run("nbdinfo", ["--size", &format!("nbd+unix:///cmdline?socket={socket}")]), "13\n");
}

#[test]
fn options_before_tls_are_refused_and_none_slips_in_front_of_it() {
    let (system, dir) = (System::new(), tempfile::tempdir().unwrap());
    let Some(pki) = Pki::of(dir.path()) else { return };
    let served = Served::of(&system, &pki.options);
    let option = |option: u8| [b"IHAVEOPT".as_slice(), &[0, 0, 0, option, 0, 0, 0, 0]].concat();
    let answer = |options: &[u8]| {
        let mut client = TcpStream::connect(("127.0.0.1", served.port(0))).unwrap();
        client.write_all(&[&[0, 0, 0, 3], options].concat()).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut said = Vec::new();
        // Bytes that the server did not take may reset the connection.
        let _ = client.read_to_end(&mut said);
        said.split_off(18)
    };
    let (list, start_tls, go_in_the_oldest_way) = (option(3), option(5), option(1));
    let refused = answer(&list);
    assert_eq!(
        (&refused[8..16], &refused[20..]),
        (&[0, 0, 0, 3, 0x80, 0, 0, 5][..], &b"this server speaks TLS alone"[..])
    );
    assert_eq!(answer(&go_in_the_oldest_way), b"");
    assert_eq!(answer(&[start_tls, list].concat()), b"");
}
