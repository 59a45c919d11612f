//! What assembling a root reads of its layers: nothing, once they are indexed.

use lkit::base::Digest;
use serde_json::json;

use super::system::{Machine, bytes_of, read_spec};
use crate::common::layout::LayoutMaker;

const SPEC: &str = "\
kernel: {image: q.io/kernel:1, cmdline: quiet}
init: [q.io/init:1]
volumes: [{name: v, image: q.io/init:1}]
services: [{name: s, image: q.io/init:1}]
files: [{path: etc/own, contents: own}]
";

fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in entries {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn lazy_an_indexed_system_is_assembled_without_reading_a_layer() {
    let dir = tempfile::tempdir().unwrap();
    let mut layout = LayoutMaker::new(&dir.path().join("layout"));
    let modules = tar(&[("lib/modules/m.ko", b"module")]);
    let kernel = tar(&[("kernel", b"the kernel"), ("kernel.tar", &modules)]);
    let init = tar(&[("init", b"#!"), ("lib/apk/db/installed", b"P:a\n")]);
    for (name, layer) in [("q.io/kernel:1", &kernel), ("q.io/init:1", &init)] {
        let image = layout.image("amd64", &[layer]);
        layout.name(name, &image);
    }
    let spec = dir.path().join("spec.yml");
    std::fs::write(&spec, SPEC).unwrap();
    let spec = read_spec(&[spec]).unwrap();
    let machine = || Machine::new(&dir.path().join("cache"), &layout.dir, dir.path());
    let first = machine();
    first.assemble(&spec).unwrap();
    assert!(!first.record.take().is_empty(), "the first time is a pass over each layer");
    drop(first);

    let second = machine();
    let assembly = second.assemble(&spec).unwrap();
    assert_eq!(second.record.take(), []);
    let module = assembly.tree.find(b"lib/modules/m.ko").unwrap();
    assert_eq!(bytes_of(&assembly.tree.content(module).unwrap().source().unwrap()), b"module");
    assert_eq!(bytes_of(&assembly.kernel.unwrap()), b"the kernel");
    let read = second.record.take();
    assert!(read.iter().all(|read| read.digest == Digest::of(&kernel)), "{read:?}");
    assert_ne!(read, []);
    assert_eq!(json!(assembly.warnings), json!([]));
}
