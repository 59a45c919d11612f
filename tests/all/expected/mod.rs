//! What specs come to, field by field: each folder of `cases` has a spec and what LinuxKit makes of it, as text.
//!
//! The expected results are derived from LinuxKit's documentation and behaviour, not recorded from lkit:
//!
//! - `spec.yml`, `spec2.yml`: the spec; several merge in order.
//! - `tree.txt`: every file of the initrd, in the notation of `tests/all/common/entries.rs`, sorted. `@container PATH` stands
//!   for what every image of a container gets, `@system PATH` for that of the root or of a volume. `{…}` is a file whose
//!   content is written elsewhere: JSON in `documents.json`, `{blob}` in an OCI layout, `{kernel}` … in `images.rs`.
//! - `documents.json`: path → document. A mount that is written as a text is one of the usual ones; empty values
//!   of a `runtime.json` are left out.

mod images;
mod kinds;
mod notation;

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::common;
use crate::common::entries::of_cpio;
use crate::common::workshop::{Root, Workshop};

/// Builds a case; what it should be and what it is, line by line.
fn compare(case: &Path) {
    let mut shop = Workshop::new();
    images::make(&mut shop);
    let mut line = "build -f kernel+initrd --name x".to_owned();
    for name in ["spec.yml", "spec2.yml"].into_iter().filter(|name| case.join(name).is_file()) {
        fs::copy(case.join(name), shop.path(name)).unwrap();
        line += &format!(" {name}");
    }
    shop.write("host.txt", "from the host\n");
    shop.good(&line);
    let read = |name: &str| fs::read(shop.path(name)).unwrap_or_default();
    let (kernel, cmdline, initrd) = (read("x-kernel"), read("x-cmdline"), read("x-initrd.img"));
    let microcode = images::microcode();
    let (first, archive) = match initrd.strip_prefix(&microcode[..]) {
        Some(rest) => ("{microcode}", rest),
        None => ("", &initrd[..]),
    };
    let root = Root(of_cpio(archive));
    let shown = format!(
        "kernel: {}\ncmdline: {}\nmicrocode: {first}\n{}",
        String::from_utf8_lossy(&kernel),
        String::from_utf8_lossy(&cmdline),
        notation::tree(&root).join("\n")
    );
    let expected = fs::read_to_string(case.join("tree.txt")).unwrap();
    let (expected, shown) = (notation::expanded(&expected), notation::expanded(&shown));
    assert_eq!(shown, expected, "{}", notation::difference(&expected, &shown));
    let documents: Value = serde_json::from_slice(&fs::read(case.join("documents.json")).unwrap()).unwrap();
    for (path, expected) in documents.as_object().unwrap() {
        let (mut expected, mut found) = (notation::with_usual_mounts(expected.clone()), root.json(path));
        if path.ends_with("/runtime.json") {
            (expected, found) = (notation::without_empty(&expected), notation::without_empty(&found));
        }
        assert_eq!(found, expected, "{path} is\n{found:#}\nand should be\n{expected:#}");
    }
}

macro_rules! cases {
    ($($test:ident $case:literal)*) => {
        $(#[test]
        fn $test() {
            compare(&common::root().join("tests/all/expected/cases").join($case));
        })*

        #[test]
        fn every_case_is_compared() {
            let cases = fs::read_dir(common::root().join("tests/all/expected/cases")).unwrap();
            let mut names: Vec<String> = cases.map(|case| case.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            assert_eq!(names, [$($case),*]);
        }
    };
}

cases! {
    kernel_init_and_containers_make_a_system "1-system"
    volumes_are_blank_full_or_layouts "2-volumes"
    files_have_every_option "3-files"
    a_container_has_every_field "4-container"
    labels_and_images_speak_where_the_spec_is_silent "5-labels"
    runtime_has_every_part "6-runtime"
    specs_merge_and_name_ids "7-merge"
}
