//! What is served while layers are still fetched.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use lkit::base::Digest;
use serde_json::json;

use super::followed::put;
use super::system::{
    Mounted, SPEC, System, assert_says, can_mount, gzip, image_that_runs, is_mounted, kernel, signal, tar, wait_for,
};
use crate::common::scripted::Answer;
use crate::common::shelf::{Lists, Shelf};
use crate::common::{lkit, run};
use crate::doors::served::urls;

/// Holds those who wait until it is opened, and tells them how.
#[derive(Default)]
struct Gate {
    answer: Mutex<Option<Option<Answer>>>,
    changed: Condvar,
}

impl Gate {
    /// Lets all go on, with an answer of the test's where there is one.
    fn open(&self, answer: Option<Answer>) {
        *self.answer.lock().unwrap() = Some(answer);
        self.changed.notify_all();
    }

    fn wait(&self) -> Option<Answer> {
        let answer = self.changed.wait_while(self.answer.lock().unwrap(), |answer| answer.is_none()).unwrap();
        answer.clone().unwrap()
    }
}

/// A system with a service whose layer no registry gives before a gate is opened.
struct Stalled {
    system: System,
    gate: Arc<Gate>,
    /// The server of the registry ends with the test's process, but for this what it holds is gone.
    shelf: Shelf,
    layer: Digest,
}

impl Stalled {
    fn new() -> Self {
        let system = System::new();
        let files = tar(&[("etc/motd", b"of the service\n")]);
        let blob = gzip(&files);
        let layer = Digest::of(&blob);
        let image = image_that_runs(&system.layout, &json!({"Cmd": ["sh"]}), &[(blob, Digest::of(&files))]);
        let gate = Arc::<Gate>::default();
        let (held, suffix) = (gate.clone(), format!("/blobs/{layer}"));
        let shelf = Shelf::meddled(
            Lists::Not,
            move |request, _, _| {
                if request.path.ends_with(&suffix) { held.wait() } else { None }
            },
        );
        put(&mut shelf.held(), &system, &image, "1");
        // The registry alone has it.
        fs::remove_file(system.layout.path(&layer)).unwrap();
        let host = &shelf.server.host;
        system.write("a.yml", format!("{SPEC}services:\n  - name: app\n    image: {host}/test/init:1\n"));
        Self { system, gate, shelf, layer }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = lkit(&self.system.cache());
        command.current_dir(self.system.dir.path()).stdin(Stdio::null()).stderr(Stdio::piped());
        command.arg(words[0]).args(["--layout", "layout"]).args(&words[1..]);
        command
    }

    /// Mounts, and waits until the kernel can be read and the layer is asked for.
    fn mounting(&self, options: &[&str]) -> (Child, Mounted) {
        let child = self.command(&[&["mount"], options, &["a.yml", "mnt"]].concat()).spawn().unwrap();
        let mounted = Mounted(self.system.mount_point());
        wait_for("the kernel", || fs::read(mounted.path("kernel")).is_ok());
        self.shelf.server.wait_for(&self.layer.to_string());
        (child, mounted)
    }
}

/// A process that does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ended(child: Child) -> (ExitStatus, String) {
    let output = child.wait_with_output().unwrap();
    (output.status, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn fuse_kernel_and_command_line_can_be_read_while_a_layer_of_a_service_is_fetched() {
    if !can_mount() {
        return;
    }
    let stalled = Stalled::new();
    let (mut child, mounted) = stalled.mounting(&["--root", "squashfs"]);
    assert_eq!(mounted.read("kernel"), kernel());
    assert_eq!(mounted.read("a-cmdline"), b"console=ttyS0");
    let initrd_of_disk = mounted.read("a-squashfs-initrd.img");
    let names = || {
        let entries = fs::read_dir(&mounted.0).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let early = names();
    let stats = ["initrd.img", "a-efi.img", "rootfs/etc/motd", "a.iso", "a-squashfs.img", "rootfs", "a.tar", "a.vmdk"];
    let waiting = stats.map(|name| {
        let path = mounted.path(name);
        thread::spawn(move || fs::metadata(path).map(|metadata| metadata.len()))
    });
    // More of them than there are readers, and one that reads goes on. No name that is not listed is waited for.
    assert_eq!(mounted.read("kernel"), kernel());
    assert!(fs::metadata(mounted.path("nothing")).is_err());
    assert!(waiting.iter().all(|thread| !thread.is_finished()));
    assert!(child.try_wait().unwrap().is_none());
    stalled.gate.open(None);
    let sizes = waiting.map(|thread| thread.join().unwrap().unwrap());
    assert_eq!(ended(child), (ExitStatus::default(), String::new()));
    assert_eq!(names(), early);
    let now = stats.map(|name| fs::metadata(mounted.path(name)).unwrap().len());
    assert_eq!(sizes, now);
    assert_eq!(mounted.read("a-squashfs-initrd.img"), initrd_of_disk);
    let motd = mounted.read("rootfs/containers/services/app/lower/etc/motd");
    assert_eq!(motd, b"of the service\n");
    let built = stalled.command(&["build", "-f", "kernel+initrd", "a.yml"]).output().unwrap();
    assert!(built.status.success());
    assert_eq!(mounted.read("initrd.img"), fs::read(stalled.system.path("a-initrd.img")).unwrap());
}

#[test]
fn fuse_with_no_wait_a_mount_is_told_before_its_layers_are_there() {
    if !can_mount() {
        return;
    }
    let stalled = Stalled::new();
    let (child, mounted) = stalled.mounting(&["--no-wait"]);
    assert_eq!(ended(child), (ExitStatus::default(), String::new()));
    assert_eq!(mounted.read("cmdline"), b"console=ttyS0");
    stalled.gate.open(None);
    assert_eq!(mounted.read("rootfs/containers/services/app/lower/etc/motd"), b"of the service\n");
}

#[test]
fn fuse_a_layer_that_cannot_be_had_ends_the_mount_and_those_who_wait() {
    if !can_mount() {
        return;
    }
    let stalled = Stalled::new();
    let (child, mounted) = stalled.mounting(&[]);
    let (initrd, rootfs) = (mounted.path("initrd.img"), mounted.path("rootfs"));
    let waiting = [initrd, rootfs].map(|path| thread::spawn(move || fs::metadata(path)));
    assert_eq!(mounted.read("kernel"), kernel());
    stalled.gate.open(Some(Answer::new(404, "")));
    for thread in waiting {
        let error = thread.join().unwrap().unwrap_err();
        // One that was asked for after the end of the mount is not there.
        assert!(matches!(error.raw_os_error(), Some(libc::EIO | libc::ENOENT | libc::ENOTCONN)), "{error}");
    }
    let (status, said) = ended(child);
    assert_eq!(status.code(), Some(4), "{said}");
    assert_says(&said, &["error: ", &stalled.layer.to_string()]);
    assert!(!is_mounted(&mounted.0));
}

#[test]
fn fuse_a_signal_ends_a_mount_that_waits_for_a_layer() {
    if !can_mount() {
        return;
    }
    let stalled = Stalled::new();
    let (child, mounted) = stalled.mounting(&["--foreground"]);
    signal("TERM", child.id());
    let (status, said) = ended(child);
    assert!(status.code().is_some_and(|code| code != 0), "{status} {said}");
    assert_says(&said, &["interrupted"]);
    assert!(!is_mounted(&mounted.0));
    stalled.gate.open(None);
}

#[test]
fn http_kernel_and_command_line_are_served_while_a_layer_is_fetched() {
    let stalled = Stalled::new();
    let words = ["serve", "a.yml", "--no-wait", "--listen", "http://127.0.0.1:0"];
    let mut child = Killed(stalled.command(&words).spawn().unwrap());
    let mut stderr = BufReader::new(child.0.stderr.take().unwrap());
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    let url = urls(&line).remove(0);
    let get = |name: &str| run("curl", ["-sSf", &format!("{url}/{name}")]);
    stalled.shelf.server.wait_for(&stalled.layer.to_string());
    assert_eq!(get("cmdline"), "console=ttyS0");
    assert_says(&get("ipxe"), &["kernel", "initrd.img"]);
    let initrd = format!("{url}/initrd.img");
    let waiting = thread::spawn(move || run("curl", ["-sSfI", &initrd]));
    assert_eq!(get("a-cmdline"), "console=ttyS0");
    assert!(!waiting.is_finished());
    stalled.gate.open(None);
    let tag = |head: &str| head.lines().find_map(|line| line.strip_prefix("etag: ").map(str::to_owned)).unwrap();
    assert_eq!(tag(&waiting.join().unwrap()), tag(&run("curl", ["-sSfI", &format!("{url}/initrd.img")])));
    signal("TERM", child.0.id());
    let mut said = String::new();
    stderr.read_to_string(&mut said).unwrap();
    assert!(child.0.wait().unwrap().success(), "{said}");
}

#[test]
fn no_wait_is_refused_where_nothing_is_shown_early() {
    let said = System::new().bad("mount --image test/init:1 --no-wait mnt", 2);
    assert_says(&said, &["--image", "cannot be used with '--no-wait'"]);
}
