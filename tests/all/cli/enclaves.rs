//! Images for AWS Nitro Enclaves: judged by a reader of their own, openssl and cpio; and what `lkit measure` tells.

use std::fs;

use serde_json::{Value, json};

use super::system::{System, assert_says};
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
