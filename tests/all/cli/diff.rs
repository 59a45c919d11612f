//! `lkit diff`: what differs is told, and how sure that is; the exit code is that of diff(1).

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::system::{SPEC, System, assert_says};
use crate::common::workshop::Workshop;
use crate::common::{stderr, stdout};

/// Images `a` and `b` of one layer each, with a spec for each.
fn shop(a: &str, b: &str) -> Workshop {
    let mut shop = Workshop::new();
    shop.image("a", &[a]).image("b", &[b]);
    shop.write("a.yml", "init: [q.io/a]\n");
    shop.write("b.yml", "init: [q.io/b]\n");
    shop
}

/// Runs the program, which is to end with `code` and say nothing on standard error; its standard output.
fn told(shop: &Workshop, line: &str, code: i32) -> String {
    let output = shop.output(line);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(code), ""), "{line}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines below a headline, up to the next one.
fn section(told: &str, headline: &str) -> Vec<String> {
    let lines = told.lines().skip_while(|line| *line != headline).skip(1);
    lines.take_while(|line| line.starts_with("  ")).map(|line| line.trim_start().to_owned()).collect()
}

#[test]
fn what_differs_is_told_path_by_path() {
    let before = "etc/motd = hello\n etc/gone = x\n bin/sh -> busybox\n dev/null 666 0:0 c1,3\n same = s";
    let after = "etc/motd 600 1:2 = hello!\n etc/new/x = 12\n bin/sh -> dash\n dev/null 666 0:0 c1,5\n same @5 = s";
    let shop = shop(before, after);
    let told = told(&shop, "diff --content a.yml b.yml", 1);
    let root = [
        "~ bin/sh  target busybox -> dash",
        "~ dev/null  device 1,3 -> 1,5",
        "- etc/gone  file  1 B",
        "~ etc/motd  size 5 B -> 6 B, mode 0644 -> 0600, owner 0/0 -> 1/2",
        "+ etc/new  directory",
        "+ etc/new/x  file  2 B",
        "~ same  time 1600000000 -> 5",
    ];
    assert_eq!(section(&told, "root"), root);
    let images = section(&told, "images");
    assert_eq!(images.len(), 2);
    assert!(images[0].starts_with("- q.io/a  sha256:") && images[1].starts_with("+ q.io/b  sha256:"), "{images:?}");
    assert_says(&told, &["\n2 paths added (2 B)\n1 paths removed (1 B)\n4 paths changed (6 B -> 7 B)\n"]);
    assert!(!told.contains("may differ"), "{told}");
}

#[test]
fn what_is_the_same_for_sure_has_exit_code_zero_and_no_output() {
    let system = System::new();
    // Every format, disks and their checksums among them; another name of the spec changes nothing.
    system.write("b.yml", SPEC);
    for line in ["diff a.yml a.yml", "diff a.yml b.yml", "diff --content a.yml b.yml"] {
        assert_eq!(system.good(line), "", "{line}");
    }
    let told: Value = serde_json::from_str(&system.good("diff --json a.yml b.yml")).unwrap();
    assert_eq!((&told["same"], &told["paths"], &told["artifacts"]), (&json!(true), &json!([]), &json!([])));
}

#[test]
fn files_of_one_size_in_other_layers_may_differ_until_they_are_read() {
    let shop = shop("a = 12\n b = 12", "a = 12\n b = 13\n c/");
    let unread = told(&shop, "diff a.yml b.yml", 1);
    assert_eq!(section(&unread, "root"), ["+ c  directory"]);
    assert_says(&unread, &["2 files may differ (4 B): same size, but from other places; --content reads them\n"]);
    let read = told(&shop, "diff --content a.yml b.yml", 1);
    assert_eq!(section(&read, "root"), ["~ b  content", "+ c  directory"]);
    // A layer of the same files in the same places: nothing but content decides.
    let shop = self::shop("a = 12 \n x @1 = 1", "a = 12 \n x @2 = 1");
    shop.write("c.yml", "init: [q.io/a]\nfiles: [{path: x, contents: \"2\"}]\n");
    shop.write("d.yml", "init: [q.io/b]\nfiles: [{path: x, contents: \"2\"}]\n");
    let unread: Value = serde_json::from_str(&told(&shop, "diff --json c.yml d.yml", 1)).unwrap();
    let rows = unread["paths"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["path"], &rows[0]["change"]), (&json!("a"), &json!("may differ")));
    assert_eq!(unread["totals"]["mayDiffer"], json!({"paths": 1, "before": 2, "after": 2}));
    let tar = |told: &Value| {
        told["artifacts"].as_array().unwrap().iter().find(|artifact| artifact["name"] == "N.tar").cloned()
    };
    assert_eq!(tar(&unread).unwrap()["certain"], json!(false));
    let read: Value = serde_json::from_str(&told(&shop, "diff --content --json c.yml d.yml", 1)).unwrap();
    // The images have other digests; what is made of them is the same.
    assert_eq!((&read["paths"], tar(&read)), (&json!([]), None));
}

#[test]
fn quiet_prints_nothing_and_keeps_the_exit_code() {
    let shop = shop("a = 12", "a = 123");
    assert_eq!(told(&shop, "diff --quiet a.yml b.yml", 1), "");
    assert_eq!(told(&shop, "diff --quiet --json a.yml b.yml", 1), "");
    assert_eq!(told(&shop, "diff --quiet a.yml a.yml", 0), "");
}

#[test]
fn locks_are_compared_by_reference() {
    let shop = Workshop::new();
    let lock = |name: &str, rows: &[(&str, u8)]| {
        let row = |(reference, byte): &(&str, u8)| {
            ((*reference).to_owned(), json!(format!("sha256:{}", format!("{byte:02x}").repeat(32))))
        };
        let references: serde_json::Map<String, Value> = rows.iter().map(row).collect();
        shop.write(name, json!({"version": 1, "platforms": {"linux/amd64": references}}).to_string());
    };
    lock("a.lock", &[("q.io/a:1", 1), ("q.io/b:1", 1), ("q.io/c:1", 1)]);
    lock("b.lock", &[("q.io/a:1", 1), ("q.io/b:1", 2), ("q.io/d:1", 1)]);
    let [one, two] = ["01", "02"].map(|byte| format!("sha256:{}", byte.repeat(32)));
    let expected = format!("linux/amd64\n  ~ q.io/b:1  {one} -> {two}\n  - q.io/c:1  {one}\n  + q.io/d:1  {one}\n");
    assert_eq!(told(&shop, "diff a.lock b.lock", 1), expected);
    assert_eq!(told(&shop, "diff a.lock a.lock", 0), "");
    let told: Value = serde_json::from_str(&told(&shop, "diff --json a.lock b.lock", 1)).unwrap();
    assert_eq!(told["platforms"]["linux/amd64"][2], json!({"reference": "q.io/d:1", "before": null, "after": one}));
}

#[test]
fn what_cannot_be_compared_has_an_exit_code_above_one() {
    let shop = shop("a = 12", "a = 123");
    shop.write("a.lock", r#"{"version": 1, "platforms": {}}"#);
    fs::create_dir(shop.path("dir")).unwrap();
    assert_says(&shop.bad("diff a.yml no.yml", 2), &["cannot read spec `no.yml`"]);
    assert_says(&shop.bad("diff a.yml dir", 2), &["`dir` shows no system: it has no directory `rootfs`", "hint: "]);
    assert_says(&shop.bad("diff a.yml a.lock", 2), &["a lock can be compared with another lock alone"]);
    assert_says(&shop.bad("diff a.lock no.lock", 4), &["there is no lock `no.lock`"]);
    shop.write("c.yml", "init: [q.io/none]\n");
    shop.bad("diff a.yml c.yml", 4);
}

#[test]
fn names_are_escaped_in_text_and_exact_in_json() {
    let shop = shop("a = 1", "a = 1\n e\u{1b}[2J/ \n l -> \u{1b}x");
    let text = told(&shop, "diff --content a.yml b.yml", 1);
    assert_eq!(section(&text, "root"), ["+ e\\x1b[2J  directory", "+ l  link"]);
    let json: Value = serde_json::from_str(&told(&shop, "diff --json --content a.yml b.yml", 1)).unwrap();
    assert_eq!(json["paths"][0]["path"], json!("e\u{1b}[2J"));
}

#[test]
fn fuse_a_mount_is_compared_with_its_spec() {
    let system = System::new();
    // Without a kernel there are no disks of a GiB to read.
    let spec = "init:\n  - test/init:1\n";
    system.write("a.yml", spec);
    let Some(mounted) = system.mounted() else { return };
    assert_eq!(system.good("diff --content mnt a.yml"), "");
    assert_eq!(system.good("diff mnt mnt"), "");
    let unread = system.command("diff mnt a.yml").output().unwrap();
    let said = String::from_utf8(unread.stdout).unwrap();
    assert_eq!(unread.status.code(), Some(1), "{said}");
    assert_says(&said, &["  ? N-initrd.img  may differ\n", " files may differ ("]);
    assert!(!said.contains("root\n"), "{said}");
    system.write("b.yml", format!("{spec}files: [{{path: etc/motd, contents: \"other\"}}]\n"));
    let other = system.command("diff --content mnt b.yml").output().unwrap();
    let said = String::from_utf8(other.stdout).unwrap();
    assert_eq!(other.status.code(), Some(1));
    assert_says(&said, &["root\n  ~ etc/motd  size 6 B -> 5 B"]);
    drop(mounted);
}

/// A directory with a root, whose hard links, links and modes are those of files on a disk.
fn directory(dir: &Path, mode: u32) {
    fs::create_dir_all(dir.join("rootfs/etc")).unwrap();
    fs::write(dir.join("rootfs/etc/a"), "text").unwrap();
    fs::hard_link(dir.join("rootfs/etc/a"), dir.join("rootfs/etc/b")).unwrap();
    std::os::unix::fs::symlink("a", dir.join("rootfs/etc/l")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
    fs::set_permissions(dir.join("rootfs/etc/a"), mode).unwrap();
    for path in ["rootfs/etc/a", "rootfs/etc", "rootfs"] {
        stdout("touch", &std::process::Command::new("touch").args(["-d@5"]).arg(dir.join(path)).output().unwrap());
    }
    let link = std::process::Command::new("touch").args(["-hd@5"]).arg(dir.join("rootfs/etc/l")).output().unwrap();
    stdout("touch", &link);
}

#[test]
fn directories_are_compared_without_reading_them() {
    let shop = Workshop::new();
    directory(&shop.path("one"), 0o644);
    directory(&shop.path("two"), 0o600);
    fs::write(shop.path("one/x-initrd.img"), "12").unwrap();
    fs::write(shop.path("two/y-initrd.img"), "13").unwrap();
    assert_eq!(told(&shop, "diff one one", 0), "");
    let unread = told(&shop, "diff one two", 1);
    assert_eq!(section(&unread, "root").len(), 2, "{unread}");
    assert_eq!(section(&unread, "artifacts"), ["? N-initrd.img  may differ"]);
    let read = told(&shop, "diff --content one two", 1);
    assert_eq!(section(&read, "root"), ["~ etc/a  mode 0644 -> 0600", "~ etc/b  mode 0644 -> 0600"]);
    assert_eq!(section(&read, "artifacts"), ["~ N-initrd.img  content"]);
}
