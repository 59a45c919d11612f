//! Damaged and hostile layers: refused with what is wrong, before a byte of them is shown.

use std::fs;

use lkit::base::Digest;

use super::system::{System, assert_says, gzip, image_of, is_mounted, noise, tar};

/// Building and mounting a system with this layer as its init image fails with `code`; what is said.
fn fails(system: &mut System, name: &str, blob: Vec<u8>, diff_id: Digest, code: i32) -> String {
    let descriptor = image_of(&system.layout, &[(blob, diff_id)]);
    system.layout.name(&format!("docker.io/test/{name}:1"), &descriptor);
    system.write("b.yml", format!("init:\n  - test/{name}:1\n"));
    let said = system.bad("build b.yml", code);
    assert!(!system.path("b-initrd.img").exists());
    let mounting = system.bad("mount b.yml mnt", code);
    assert!(!is_mounted(&system.mount_point()));
    assert_says(&mounting, &[name]);
    // What is good is still used.
    system.good("build --digest a.yml");
    said
}

#[test]
fn damage_layers_that_are_not_what_they_claim_are_corrupt() {
    let mut system = System::new();
    let good = tar(&[("a", &noise(100_000))]);
    let id = Digest::of(&good);
    let blob = gzip(&good);
    let cut = blob[..blob.len() / 2].to_vec();
    assert_says(&fails(&mut system, "cut", cut, id, 5), &["cannot use image `docker.io/test/cut:1`", "b.yml:2:5"]);
    assert_says(&fails(&mut system, "garbage", noise(5000), id, 5), &["cannot use image"]);
    let said = fails(&mut system, "other", blob, Digest::of(b"other"), 5);
    assert_says(&said, &["cannot use image", &Digest::of(b"other").to_string()]);
}

#[test]
fn damage_a_blob_that_does_not_have_its_digest_is_corrupt() {
    let mut system = System::new();
    let good = tar(&[("a", &noise(100_000))]);
    let blob = gzip(&good);
    let digest = Digest::of(&blob);
    let descriptor = image_of(&system.layout, &[(blob.clone(), Digest::of(&good))]);
    system.layout.name("docker.io/test/flipped:1", &descriptor);
    let mut flipped = blob;
    flipped[50_000] ^= 1;
    fs::write(system.layout.path(&digest), flipped).unwrap();
    system.write("b.yml", "init:\n  - test/flipped:1\n");
    assert_says(&system.bad("build b.yml", 5), &["cannot use image `docker.io/test/flipped:1`"]);
    assert!(!system.path("b-initrd.img").exists());
}

#[test]
fn damage_a_header_that_lies_about_its_size_is_corrupt() {
    let mut system = System::new();
    let mut lying = tar(&[("a", b"short")]);
    let mut header = tar::Header::from_byte_slice(&lying[..512]).clone();
    header.set_size(1 << 40);
    header.set_cksum();
    lying[..512].copy_from_slice(header.as_bytes());
    let id = Digest::of(&lying);
    let blob = gzip(&lying);
    assert_says(&fails(&mut system, "lying", blob, id, 5), &["cannot use image `docker.io/test/lying:1`"]);
}

#[test]
fn names_that_climb_stay_inside_the_root() {
    let mut system = System::new();
    let climbing = tar(&[("../../climbed", b"inside"), ("/etc/absolute", b"inside")]);
    let descriptor = image_of(&system.layout, &[(gzip(&climbing), Digest::of(&climbing))]);
    system.layout.name("docker.io/test/climbing:1", &descriptor);
    system.write("b.yml", "init:\n  - test/climbing:1\n");
    let listed = system.good("inspect --tree b.yml");
    assert!(!listed.contains(".."), "{listed}");
    assert_says(&listed, &[" climbed", " etc/absolute"]);
}
