//! Fuzz targets: one function for each kind of input that strangers write. Each takes any bytes and panics on a finding.
//!
//! `tools/fuzz` runs them; the test below replays what they found, and small examples of each kind.

pub use crate::layer::fuzz::{blob, gzip, index, inflate, reads, rows, tar, toc, unpacked, zstd, ztoc};
pub use crate::oci::fuzz::{config, manifest};
pub use crate::rootfs::fuzz::kernel;
pub use crate::serve::fuzz::ring;
pub use crate::serve::http::fuzz::http;
pub use crate::serve::nbd::fuzz::nbd;
pub use crate::serve::tftp::fuzz::tftp;

use std::sync::Arc;

use crate::boot::{Kernel, efi_loader, uki_stub};
use crate::extent::Bytes;
use crate::format::{Section, uki};
use crate::sbom::{self, Bill, Database, Distribution, Part};
use crate::spec::{self, Input, MetadataFormat};

/// Texts of a spec, with a NUL between one and the next.
pub fn spec(data: &[u8]) {
    let texts = data.split(|byte| *byte == 0).enumerate();
    let inputs: Vec<Input> =
        texts.map(|(at, text)| Input { name: format!("{at}.yml"), text: text.to_vec() }).take(3).collect();
    match spec::parse(&inputs) {
        Ok(parsed) => {
            for format in [MetadataFormat::Yaml, MetadataFormat::Json] {
                assert!(!parsed.spec.to_text(format, &str::to_owned).is_empty());
            }
            parsed.warnings.iter().for_each(|warning| drop(parsed.texts.excerpt(warning.place)));
        }
        Err(error) => told(&error),
    }
}

/// The label of an image.
pub fn label(data: &[u8]) {
    if let Err(error) = spec::parse_label(&String::from_utf8_lossy(data)) {
        told(&error);
    }
}

fn told(error: &spec::Error) {
    assert!(!error.problems().is_empty() && !error.to_string().is_empty());
    error.problems().iter().for_each(|problem| drop(error.texts().excerpt(problem.place)));
}

/// An attestation of an image, and the databases of its packages.
pub fn sbom(data: &[u8]) {
    let part = Part { reference: "a", prefix: "x" };
    for format in [sbom::Format::Spdx, sbom::Format::CycloneDx] {
        let mut bill = Bill::new(format, 0);
        if bill.add_statement(part, data).is_ok() {
            assert!(serde_json::from_slice::<serde_json::Value>(&bill.finish().expect("it is small")).is_ok());
        }
        let mut bill = Bill::new(format, 0);
        bill.add_image(part);
        let distribution = Distribution::read(&mut &*data).expect("all of it can be read");
        for database in [Database::Dpkg, Database::Apk] {
            let read = database.read(&mut &*data, &distribution, &mut |package| bill.add_package(part, package));
            assert!(read.is_ok() || !read.expect_err("it failed").to_string().is_empty());
        }
        assert!(serde_json::from_slice::<serde_json::Value>(&bill.finish().expect("it is small")).is_ok());
    }
}

/// The head of a kernel file, and a unified kernel image of the file.
pub fn pe(data: &[u8]) {
    let kernel = Kernel::inspect(&data[..data.len().min(Kernel::HEAD)]);
    let stub = uki_stub(&kernel);
    assert_eq!(stub.is_ok(), efi_loader(&kernel).is_ok());
    let Ok(stub) = stub else { return };
    let memory = match kernel.kind {
        crate::boot::KernelKind::Efi { memory, .. } => memory,
        _ => 0,
    };
    let section = Section { name: ".linux", content: Arc::new(Bytes(data.into())), memory, code: true };
    if let Ok(image) = uki(stub, &[section]) {
        assert!(image.size() >= (stub.len() + data.len()) as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    type Target = fn(&[u8]);

    /// All targets by name: programs in `tests/fuzz/targets`, and folders in `tests/fuzz/corpus`.
    const TARGETS: [(&str, Target); 22] = [
        ("blob", blob),
        ("config", config),
        ("gzip", gzip),
        ("http", http),
        ("index", index),
        ("inflate", inflate),
        ("kernel", kernel),
        ("label", label),
        ("manifest", manifest),
        ("nbd", nbd),
        ("pe", pe),
        ("reads", reads),
        ("ring", ring),
        ("rows", rows),
        ("sbom", sbom),
        ("spec", spec),
        ("tar", tar),
        ("tftp", tftp),
        ("toc", toc),
        ("unpacked", unpacked),
        ("zstd", zstd),
        ("ztoc", ztoc),
    ];

    fn files(below: &str) -> Vec<PathBuf> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(below);
        let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn names(below: &str) -> BTreeSet<String> {
        files(below).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_target_has_a_program_and_a_corpus() {
        let expected: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(names("targets"), expected);
        assert_eq!(names("corpus"), expected);
    }

    #[test]
    fn what_fuzzing_found_is_found_no_more() {
        for (name, target) in TARGETS {
            let inputs = files(&format!("corpus/{name}"));
            assert!(!inputs.is_empty(), "{name}");
            for path in inputs {
                eprintln!("{}", path.display());
                target(&fs::read(path).unwrap());
            }
        }
    }
}
