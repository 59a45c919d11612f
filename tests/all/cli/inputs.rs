//! Where specs come from, and the lock beside them.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;

use super::system::{SPEC, System, assert_says, image, tar};
use crate::common::layout::{LayoutMaker, digest_of};
use crate::common::stdout;

#[test]
fn specs_come_from_files_standard_input_and_urls() {
    let system = System::new();
    let from_file = system.good("build --digest --name x a.yml");
    let mut command = system.command("build --digest --name x -");
    let output = command.stdin(Stdio::from(File::open(system.path("a.yml")).unwrap())).output().unwrap();
    assert_eq!(stdout("stdin", &output), from_file);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/dir/a.yml", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let asked: Vec<String> = lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{SPEC}", SPEC.len()).unwrap();
        asked[0].clone()
    });
    assert_eq!(system.good(&format!("build --digest --name x {url}")), from_file);
    assert_eq!(server.join().unwrap(), "GET /dir/a.yml HTTP/1.1");
}

#[test]
fn fuse_a_spec_from_standard_input_is_mounted() {
    let system = System::new();
    if !super::system::can_mount() {
        return;
    }
    let mut command = system.command("mount - mnt");
    let output = command.stdin(Stdio::from(File::open(system.path("a.yml")).unwrap())).output().unwrap();
    stdout("mount", &output);
    let mounted = super::system::Mounted(system.mount_point());
    assert!(mounted.path("linuxkit-kernel").is_file());
}

#[test]
fn a_dry_run_prints_the_resolved_spec_and_asks_for_nothing() {
    let system = System::new();
    let text = system.good("build --dry-run a.yml");
    assert_says(&text, &["docker.io/test/kernel:1", "docker.io/test/init:1", "cmdline: console=ttyS0"]);
    assert!(!system.cache().exists());
    system.write("b.yml", "init:\n  - test/never:1\n");
    assert_says(&system.good("build --dry-run a.yml b.yml"), &["docker.io/test/never:1"]);
    system.write("c.yml", text);
    assert_eq!(system.good("build --digest --name x c.yml"), system.good("build --digest --name x a.yml"));
}

#[test]
fn a_package_reference_that_leads_nowhere_is_told() {
    let system = System::new();
    system.write("b.yml", "init:\n  - \"@pkg:./no\"\n");
    assert_says(&system.bad("build b.yml", 3), &["b.yml:2:5", "no"]);
}

#[test]
fn a_lock_is_the_same_each_time_and_holds_what_it_locks() {
    let system = System::new();
    let said = system.bad("build --locked --digest a.yml", 4);
    assert_says(&said, &["there is no lock `a.lock`", "hint: make it with `lkit lock`"]);
    system.good("lock a.yml");
    let first = fs::read_to_string(system.path("a.lock")).unwrap();
    assert_says(&first, &["docker.io/test/init:1", "docker.io/test/kernel:1", "sha256:"]);
    system.good("lock a.yml");
    assert_eq!(fs::read_to_string(system.path("a.lock")).unwrap(), first);
    assert_eq!(system.good("build --locked --digest a.yml"), system.good("build --digest a.yml"));

    system.write("b.yml", "init:\n  - test/kernel:1\n");
    fs::copy(system.path("a.lock"), system.path("b.lock")).unwrap();
    system.good("build --locked --digest b.yml");
    system.write("b.yml", "init:\n  - test/other:1\n");
    assert_says(&system.bad("build --locked --digest b.yml", 4), &["the lock does not record", "b.yml:2:5", "hint: "]);

    system.write("a.lock", "{}");
    assert_says(&system.bad("build --locked --digest a.yml", 3), &["`a.lock` is no lock of lkit", "hint: "]);
}

#[test]
fn a_lock_decides_what_a_moved_tag_means() {
    let mut system = System::new();
    system.write("b.yml", format!("{SPEC}volumes: [{{name: v, image: test/init:1, format: oci}}]\n"));
    let before = system.good("build --digest b.yml");
    system.good("lock b.yml");
    let layout = system.path("layout");
    fs::rename(&layout, system.path("old")).unwrap();
    system.layout = LayoutMaker::new(&layout);
    change_init(&mut system.layout);
    assert_ne!(system.good("build --digest b.yml"), before);
    assert_eq!(system.good("build --locked --digest b.yml --layout old"), before);
    let missing = system.bad("build --locked --digest --cache empty b.yml", 4);
    assert_says(&missing, &["cannot resolve image `test/kernel:1`", "b.yml:2:10", "hint: the lock says `sha256:"]);
}

#[test]
fn a_lock_is_of_every_platform_of_an_image() {
    let mut system = System::new();
    let images = ["amd64", "arm64"].map(|arch| system.layout.image(arch, &[&tar(&[("x", arch.as_bytes())])]));
    let index = system.layout.index(&images);
    system.layout.name("docker.io/test/both:1", &index);
    system.write("b.yml", "init: [test/both:1]\nvolumes: [{name: v, image: test/both:1, format: oci}]\n");
    system.good("lock --arch arm64 b.yml");
    let lock = fs::read_to_string(system.path("b.lock")).unwrap();
    assert_says(&lock, &["linux/arm64", &digest_of(&index).to_string()]);
    assert_says(&system.bad("build --locked --digest --arch amd64 b.yml", 4), &["for linux/amd64", "b.yml:1:8"]);
    let both = system.good("build --locked --digest --arch arm64 b.yml");
    assert_eq!(both, system.good("build --digest --arch arm64 b.yml"));
    let own = lock.replace("test/both:1", "test/both:2");
    system.write("b.lock", own);
    assert_says(&system.bad("build --locked --digest --arch arm64 b.yml", 4), &["the lock does not record"]);
}

/// Lets the name of the init image mean another one.
fn change_init(layout: &mut LayoutMaker) {
    let changed = image(layout, &[&tar(&[("etc/motd", b"changed\n")])]);
    let kernel = image(layout, &[&tar(&[("kernel", b"k"), ("kernel.tar", &tar(&[]))])]);
    layout.name("docker.io/test/init:1", &changed);
    layout.name("docker.io/test/kernel:1", &kernel);
}

#[test]
fn formats_and_options_are_written_as_for_linuxkit() {
    let system = System::new();
    let two = system.good("build --digest -f kernel+initrd,kernel+squashfs a.yml");
    assert_eq!(two, system.good("build --digest -f kernel+initrd -f kernel+squashfs a.yml"));
    system.good("build --format tar --no-sbom --docker --sbom-output x --input-tar y --o out.tar a.yml");
    assert!(system.path("out.tar").is_file());
}

#[test]
fn a_spec_over_its_limit_is_refused_unread() {
    let system = System::new();
    File::create(system.path("b.yml")).unwrap().set_len(17 << 20).unwrap();
    assert_says(&system.bad("build b.yml", 3), &["spec `b.yml` is over 16 MiB"]);
    let mut command = system.command("build -");
    let zeros = File::open(system.path("b.yml")).unwrap();
    let mut said = String::new();
    let mut child = command.stdin(Stdio::from(zeros)).stderr(Stdio::piped()).spawn().unwrap();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3), "{said}");
    assert_says(&said, &["is over 16 MiB"]);
}
