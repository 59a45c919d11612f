//! A root behind the network: of a large system a machine fetches what it touches, counted byte by byte.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lkit::base::{Digest, MIB};
use lkit::extent::SharedSource;

use super::say;
use super::system::can_mount;
use crate::common::artifact::{Noise, read, scratch, write};
use crate::common::qemu::{Firmware, tail, try_boot};
use crate::common::{self, stdout};

/// Size of the file that makes the system large, and the MiB of it that the guest reads.
const LARGE: u64 = 256 * MIB;
const PLACE: u64 = 100;

/// Passes the first connection on to a socket; its port, and how many bytes have come from the socket so far.
fn counted(socket: PathBuf) -> (u16, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU64::new(0)));
    let counter = count.clone();
    thread::spawn(move || {
        let (mut guest, _) = listener.accept().unwrap();
        let mut server = UnixStream::connect(socket).unwrap();
        let (mut questions, mut asked) = (guest.try_clone().unwrap(), server.try_clone().unwrap());
        thread::spawn(move || io::copy(&mut questions, &mut asked));
        let mut answer = vec![0; 1 << 16];
        while let Ok(len @ 1..) = server.read(&mut answer) {
            counter.fetch_add(len as u64, Ordering::Relaxed);
            // A guest that is off takes no more.
            if guest.write_all(&answer[..len]).is_err() {
                break;
            }
        }
    });
    (port, count)
}

/// A mount and a server of the system; both end with this.
struct Served {
    dir: PathBuf,
    server: Child,
}

impl Served {
    fn start(dir: &Path, images: &Path) -> Self {
        fs::create_dir(dir.join("mnt")).unwrap();
        let lkit = |command: &str| {
            let mut lkit = common::lkit(&dir.join("cache"));
            lkit.current_dir(dir).args([command, "--offline", "--arch", "amd64", "--root", "squashfs", "--layout"]);
            lkit.arg(images).arg("a.yml");
            lkit
        };
        stdout("lkit mount", &lkit("mount").arg("mnt").output().unwrap());
        let listen = format!("nbd+unix://{}", dir.join("s").display());
        let mut server = lkit("serve").args(["--listen", &listen]).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(server.stderr.take().unwrap()).read_line(&mut said).unwrap();
        assert!(said.contains(" is served at "), "{said}");
        Self { dir: dir.to_owned(), server }
    }

    fn size(&self, name: &str) -> u64 {
        fs::metadata(self.dir.join("mnt").join(name)).unwrap().len()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("umount").arg("-l").arg(self.dir.join("mnt")).stderr(Stdio::null()).status();
    }
}

#[test]
fn boot_a_root_behind_the_network_with_a_tenth_of_the_bytes() {
    let Some(images) = common::example_images() else { return };
    if !can_mount() || !Firmware::Bios.available() || !common::have(&["umount"]) {
        return;
    }
    let dir = scratch("behind-network");
    let content: SharedSource = Arc::new(Noise(LARGE));
    write(&content, &dir.join("large"));
    let sum = Digest::of(&read(&*content, PLACE * MIB, usize::try_from(MIB).unwrap())).hex();
    let verdict = format!(
        "#!/bin/sh\necho \"verdict: $(dd if=/usr/share/large bs=1M skip={PLACE} count=1 2>/dev/null | sha256sum | \
         cut -c1-64) $(awk '$2 == \"/\" {{ type = $3 }} END {{ print type }}' /proc/mounts)\"\n"
    );
    fs::write(dir.join("verdict"), verdict).unwrap();
    let path = |name: &str| dir.join(name).display().to_string();
    let spec = format!(
        "kernel:\n  image: linuxkit/kernel:example\ninit:\n  - linuxkit/init:example\nfiles:\n  - path: usr/bin/verdict\n    \
         source: {}\n    mode: '0755'\n  - path: usr/share/large\n    source: {}\n",
        path("verdict"),
        path("large")
    );
    fs::write(dir.join("a.yml"), spec).unwrap();
    let served = Served::start(&dir, &images);
    let (port, count) = counted(dir.join("s"));
    let words = format!(
        "console=ttyS0 panic=-1 quiet lkit.exec=/usr/bin/verdict lkit.poweroff ip=dhcp lkit.root=nbd://10.0.2.2:{port}/a-squashfs.img"
    );
    let (kernel, initrd) = (path("mnt/kernel"), path("mnt/a-squashfs-initrd.img"));
    let direct = ["-m", "384", "-kernel", &kernel, "-initrd", &initrd, "-append", &words];
    let network = ["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,romfile="];
    let console = try_boot(Firmware::Bios, &dir, direct.into_iter().chain(network)).unwrap();
    assert!(console.contains(&format!("verdict: {sum} overlay")), "{}", tail(&console));
    let blocks = count.load(Ordering::Relaxed);
    let fetched = served.size("kernel") + served.size("a-squashfs-initrd.img") + blocks;
    let whole = served.size("kernel") + served.size("initrd.img");
    say(&format!("boots: a root behind the network: {fetched} bytes ({blocks} by NBD) in the place of {whole}\n"));
    assert!(blocks > MIB && fetched * 10 <= whole, "{fetched} of {whole}");
}
