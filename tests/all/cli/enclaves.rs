//! Images for AWS Nitro Enclaves: judged by a reader of their own, openssl and cpio; and what `lkit measure` tells.

use std::fs;

use lkit::base::Digest;
use serde_json::{Value, json};

use super::system::{System, assert_says, image, image_that_runs, noise, tar};
use crate::common::{have, run};

/// What the judge finds in an image.
fn judged(system: &System, name: &str) -> Value {
    let (script, image) = (system.path("eif.py"), system.path(name));
    fs::write(&script, include_str!("eif.py")).unwrap();
    serde_json::from_str(&run("python3", [script, image, system.path("last")])).unwrap()
}

fn sha256(system: &System, name: &str) -> String {
    run("sha256sum", [system.path(name)])[..64].to_owned()
}

/// What `lkit measure --json` tells, without the name of the hash.
fn measured(system: &System, line: &str) -> Value {
    let mut told: Value = serde_json::from_str(&system.good(&format!("measure --json {line}"))).unwrap();
    let registers = told["Measurements"].as_object_mut().unwrap();
    assert_eq!(registers.remove("HashAlgorithm"), Some(json!("Sha384 { ... }")));
    Value::Object(registers.clone())
}

/// Makes a key, and a certificate for it.
fn key_and_certificate(system: &System, name: &str, curve: &str) {
    let path = |suffix: &str| system.path(&format!("{name}{suffix}")).to_str().unwrap().to_owned();
    let (key, certificate) = (path(".key"), path(".crt"));
    run("openssl", ["ecparam", "-name", curve, "-genkey", "-out", &key]);
    run("openssl", ["req", "-new", "-x509", "-sha384", "-key", &key, "-subj", "/CN=lkit", "-out", &certificate]);
}

#[test]
fn oracle_an_image_of_one_spec_has_the_parts_of_its_other_formats_and_the_registers_that_are_measured() {
    if !have(&["python3", "sha256sum"]) {
        return;
    }
    let system = System::new();
    system.good("build -f eif -f kernel+initrd a.yml");
    let found = judged(&system, "a.eif");
    assert_eq!(found["kinds"], json!([1, 2, 5, 3]));
    for (at, name) in [(0, "a-kernel"), (1, "a-cmdline"), (3, "a-initrd.img")] {
        assert_eq!(found["digests"][at], sha256(&system, name), "{name}");
    }
    assert_eq!((&found["arm64"], &found["memory"], &found["processors"]), (&json!(false), &json!(1 << 30), &json!(2)));
    assert_eq!(found["metadata"]["ImageName"], "a");
    assert_eq!(found["metadata"]["BuildMetadata"]["BuildTime"], "2017-04-18T16:30:00+00:00");
    assert_eq!(found["registers"], measured(&system, "a.yml"));
    let text = system.good("measure a.yml");
    let registers = &found["registers"];
    let line = |name: &str| format!("{name} {}\n", registers[name].as_str().unwrap());
    assert_eq!(text, ["PCR0", "PCR1", "PCR2"].map(line).concat());
    fs::rename(system.path("a.eif"), system.path("first.eif")).unwrap();
    system.good("build -f eif a.yml");
    assert_eq!(sha256(&system, "a.eif"), sha256(&system, "first.eif"));
}

#[test]
fn oracle_cpio_finds_the_application_of_a_second_spec_below_rootfs() {
    if !have(&["python3", "sha256sum", "cpio"]) {
        return;
    }
    let system = System::new();
    system.write("app.yml", "init:\n  - test/init:1\nfiles:\n  - {path: cmd, contents: run}\n");
    system.good("build -f eif --eif-application app.yml a.yml");
    let found = judged(&system, "a.eif");
    assert_eq!(found["kinds"], json!([1, 2, 5, 3, 3]));
    let list = format!("cpio -it --quiet < '{}'", system.path("last").display());
    let names = run("sh", ["-c", &list]);
    let names: Vec<&str> = names.lines().collect();
    assert_eq!(names[0], "rootfs");
    assert!(names.iter().all(|name| *name == "rootfs" || name.starts_with("rootfs/")), "{names:?}");
    assert!(["rootfs/cmd", "rootfs/usr/large", "rootfs/bin/sh"].iter().all(|name| names.contains(name)), "{names:?}");
    let both = measured(&system, "--eif-application app.yml a.yml");
    assert_eq!(found["registers"], both);
    let alone = measured(&system, "a.yml");
    assert_eq!(both["PCR1"], alone["PCR1"]);
    assert!(both["PCR0"] != alone["PCR0"] && both["PCR2"] != alone["PCR2"]);
}

#[test]
fn oracle_openssl_verifies_a_signature_that_is_the_same_twice() {
    if !have(&["python3", "openssl", "sha256sum"]) {
        return;
    }
    let system = System::new();
    key_and_certificate(&system, "a", "secp384r1");
    let line = "build -f eif --eif-key a.key --eif-certificate a.crt a.yml";
    system.good(line);
    let found = judged(&system, "a.eif");
    assert_eq!(found["kinds"], json!([1, 2, 5, 3, 4]));
    assert_eq!(found["registers"], measured(&system, "--eif-certificate a.crt a.yml"));
    let first = sha256(&system, "a.eif");
    let (sec1, pkcs8) = (system.path("a.key"), system.path("b.key"));
    run("openssl", ["pkcs8", "-topk8", "-nocrypt", "-in", sec1.to_str().unwrap(), "-out", pkcs8.to_str().unwrap()]);
    system.good(&line.replace("a.key", "b.key"));
    assert_eq!(sha256(&system, "a.eif"), first);
}

#[test]
fn keys_and_certificates_that_cannot_sign_are_refused_by_name_before_anything_is_fetched() {
    if !have(&["openssl"]) {
        return;
    }
    let system = System::new();
    key_and_certificate(&system, "a", "secp384r1");
    key_and_certificate(&system, "b", "secp384r1");
    key_and_certificate(&system, "p256", "prime256v1");
    system.write("none", "no key");
    for (key, certificate, parts) in [
        (
            "a.key",
            "b.crt",
            ["--eif-certificate: `b.crt` cannot be used: the certificate is for another key", "openssl"],
        ),
        ("a.key", "p256.crt", ["--eif-certificate: `p256.crt` cannot be used", "hint: make one with `openssl req"]),
        ("p256.key", "p256.crt", ["--eif-key: `p256.key` cannot be used", "hint: make one with `openssl ecparam"]),
        ("none", "a.crt", ["--eif-key: `none` cannot be used: the key is no private key on the curve P-384", "hint"]),
        ("a.key", "a.key", ["--eif-certificate: `a.key` cannot be used: the certificate is no X.509", "hint"]),
    ] {
        let line = format!("build -f eif --eif-key {key} --eif-certificate {certificate} missing.yml");
        assert_says(&system.bad(&line, 2), &parts);
    }
    system.bad("build -f eif --eif-key gone --eif-certificate a.crt a.yml", 1);
    system.bad("build -f eif --eif-key a.key a.yml", 2);
    system.bad("measure --eif-certificate none a.yml", 2);
}

#[test]
fn what_is_about_enclaves_is_refused_where_none_is_written() {
    let system = System::new();
    let said = system.bad("build --eif-application a.yml a.yml", 2);
    assert_says(&said, &["`--eif-application`", "are for the format `eif`", "hint: add `-f eif`"]);
    system.write("b.yml", "init:\n  - test/init:1\n");
    let said = system.bad("measure b.yml", 1);
    assert_says(&said, &["the spec has no kernel", "hint: add a kernel to the spec"]);
    let said = system.bad("measure --eif-application gone.yml a.yml", 1);
    assert_says(&said, &["gone.yml"]);
}

#[test]
fn fuse_a_mounted_image_of_two_specs_is_the_one_that_is_written_and_changes_nothing_else() {
    let system = System::new();
    system.write("app.yml", "init:\n  - test/init:1\n");
    if !super::system::can_mount() {
        return;
    }
    system.good("mount --eif-application app.yml a.yml mnt");
    let mounted = super::system::Mounted(system.mount_point());
    system.good("build -f eif --eif-application app.yml a.yml");
    assert_eq!(run("cmp", [&system.path("a.eif"), &mounted.path("a.eif")]), "");
    // What else is in the mount has nothing of the second spec.
    system.good("build -f raw-efi a.yml");
    assert_eq!(run("cmp", [&system.path("a-efi.img"), &mounted.path("a-efi.img")]), "");
}

/// A system with an image as `--kernel-image` takes it, and one of an application.
fn of_images() -> System {
    let mut system = System::new();
    let kernel = tar(&[
        ("bzImage", &super::system::kernel()),
        ("cmdline", b"reboot=k panic=30\n"),
        ("init", b"INIT"),
        ("nsm.ko", b"NSM"),
    ]);
    let descriptor = image(&system.layout, &[&kernel]);
    system.layout.name("docker.io/test/enclave:1", &descriptor);
    let files = tar(&[("app/run", &noise(70_000))]);
    let layers = [(files.clone(), Digest::of(&files))];
    let process = json!({"Entrypoint": ["/app/run"], "Cmd": ["-v"], "Env": ["A=b"]});
    for (name, process) in [("docker.io/test/app:1", process), ("docker.io/test/idle:1", json!({}))] {
        let descriptor = image_that_runs(&system.layout, &process, &layers);
        system.layout.name(name, &descriptor);
    }
    system
}

#[test]
fn oracle_an_image_is_made_of_two_images_alone_as_nitro_cli_lays_it_out() {
    if !have(&["python3", "sha256sum", "cpio"]) {
        return;
    }
    let system = of_images();
    let images = "--image test/app:1 --kernel-image test/enclave:1";
    system.good(&format!("build {images}"));
    let found = judged(&system, "app.eif");
    assert_eq!((&found["kinds"], &found["metadata"]["ImageName"]), (&json!([1, 2, 5, 3, 3]), &json!("app")));
    assert_eq!(found["registers"], measured(&system, images));
    system.good("build -f kernel+initrd,eif --name parts --kernel-image test/enclave:1");
    for (at, name) in [(0, "parts-kernel"), (1, "parts-cmdline"), (3, "parts-initrd.img")] {
        assert_eq!(found["digests"][at], sha256(&system, name), "{name}");
    }
    system.good("build --image test/init:1 --kernel-image test/enclave:1");
    let version = |found: &Value| found["metadata"]["ImageVersion"].clone();
    assert_ne!(version(&judged(&system, "init.eif")), version(&found));
    judged(&system, "app.eif");
    assert_eq!(fs::read(system.path("parts-cmdline")).unwrap(), b"reboot=k panic=30");
    let dir = system.path("unpacked");
    fs::create_dir(&dir).unwrap();
    let unpack = |archive: &str| {
        let unpack = format!("cd '{}' && cpio -idm --quiet < '{}'", dir.display(), system.path(archive).display());
        run("sh", ["-c", &unpack]);
    };
    unpack("parts-initrd.img");
    unpack("last");
    let text = |name: &str| String::from_utf8(fs::read(dir.join(name)).unwrap()).unwrap();
    assert_eq!(["init", "nsm.ko", "cmd", "env"].map(text), ["INIT", "NSM", "/app/run\n-v\n", "A=b\n"]);
    assert_eq!(fs::read(dir.join("rootfs/app/run")).unwrap(), noise(70_000));
    assert!(["dev", "run", "sys", "var", "proc", "tmp"].iter().all(|name| dir.join("rootfs").join(name).is_dir()));
    // The application alone may be an image; kernel and first ramdisk are those of the spec then.
    let mixed = measured(&system, "--image test/app:1 a.yml");
    assert_eq!(mixed["PCR2"], found["registers"]["PCR2"]);
    assert_eq!(mixed["PCR1"], measured(&system, "a.yml")["PCR1"]);
}

#[test]
fn fuse_a_mounted_image_of_two_images_is_the_one_that_is_written() {
    if !super::system::can_mount() {
        return;
    }
    let system = of_images();
    let images = "--image test/app:1 --kernel-image test/enclave:1";
    system.good(&format!("mount {images} mnt"));
    let mounted = super::system::Mounted(system.mount_point());
    system.good(&format!("build {images}"));
    assert_eq!(run("cmp", [&system.path("app.eif"), &mounted.path("app.eif")]), "");
    assert_eq!(mounted.read("rootfs/init"), b"INIT");
}

#[test]
fn images_that_cannot_be_an_enclave_are_refused_by_name() {
    let system = of_images();
    let said = system.bad("build --image test/app:1 --kernel-image test/init:1", 3);
    assert_says(
        &said,
        &["image `docker.io/test/init:1` has no file `init`", "--kernel-image:1:17", "hint: the image has to have"],
    );
    let said = system.bad("measure --image test/idle:1 --kernel-image test/enclave:1", 3);
    let reason = "image `docker.io/test/idle:1` cannot be the application of an enclave: it has neither an entrypoint";
    assert_says(&said, &[reason, "--image:1:8", "hint: give it a command with `CMD`"]);
    let said = system.bad("build -f eif --image A --kernel-image test/enclave:1", 2);
    assert_says(&said, &["--image: `A` is no image reference"]);
    let said = system.bad("build --image test/app:1 a.yml", 2);
    assert_says(&said, &["`--image`, `--kernel-image`", "are for the format `eif`"]);
    assert_says(&system.bad("build -f eif --image test/gone:1 a.yml", 4), &["docker.io/test/gone:1"]);
    for line in [
        "build -f eif --image test/app:1",
        "build -f eif --image test/app:1 --kernel-image test/enclave:1 a.yml",
        "build -f eif --image test/app:1 --eif-application a.yml a.yml",
        "mount --kernel-image test/enclave:1 mnt",
        "mount --image test/app:1 --kernel-image test/enclave:1 a.yml mnt",
    ] {
        system.bad(line, 2);
    }
}
