//! lkit turns a LinuxKit YAML spec into a bootable system without building it.
//!
//! One idea carries the program: every file lkit shows is an **extent map**, a sorted list of runs of bytes that each
//! name where they come from. Making a kernel, an initrd or a disk image means laying out such a map from names and
//! sizes. No content is read to do that, none is copied, and a read touches only the spans of the layers behind it.
//!
//! ```text
//!  spec.yml ──spec──▶ Spec ─┐
//!                           ├─rootfs─▶ Tree ─format─▶ extent maps ─output─▶ artifacts ─┬─serve─▶ mount, files
//!  registry ──oci───▶ Image ┘            ▲                                             └─vm────▶ QEMU, HyperKit …
//!      └─────blob──▶ layers ──layer──────┘ tables of contents now, content when it is read
//!  └───────────────────────── system::load goes all this way ────────────────────────┘
//! ```
//!
//! # As a library
//! `examples/` has programs of a few lines that mount a spec, list what it is made of, and stream one of its artifacts:
//!
//! ```no_run
//! use lkit::base::Silent;
//! use lkit::serve::{Files, Interrupts, MountOptions, mount};
//! use lkit::system::{Input, Options, Origins, load};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let origins = Origins { layouts: vec!["images".into()], ..Origins::new("cache") };
//! let system = load(&[Input::named("minimal.yml")], &origins, &Options::default(), &Silent)?;
//! let interrupts = Interrupts::catch()?;
//! mount(Files::of(&system.catalog), "/mnt/lk".as_ref(), MountOptions::default())?.wait(interrupts)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms
//! A module imports only from rows below its own; modules on one row do not know each other.
//!
//! | row | module | takes → gives | touches |
//! |---|---|---|---|
//! | 9 | `cli` | arguments → calls; errors → messages; events → progress | terminal, environment |
//! | 8 | `system` | specs → names → images → root → a catalog of artifacts. The rooms below are wired together here and nowhere else | network, disk |
//! | 8 | `serve` | artifacts → FUSE mount, network block devices, HTTP, TFTP, disks of guests, files | kernel, disk, network |
//! | 8 | `push` | artifacts → buckets and stores of clouds, and images made of them there | network |
//! | 8 | `vm` | paths → command lines of QEMU and other monitors, and running them | processes |
//! | 7 | `output` | LinuxKit's format names → a catalog of artifacts, each made on demand, at most once | – |
//! | 6 | `rootfs` | spec + images → kernel, cmdline, root tree with its runtime configs | – |
//! | 6 | `format` | tree or artifacts → extent maps; tree → compressed roots, written in order | – |
//! | 6 | `boot` | our boot loaders and the fields patched into them | – |
//! | 5 | `tree` | layers in order → one tree, whiteouts applied | – |
//! | 4 | `layer` | blob → layer index (table of contents, resume points); the diff as a random-access source | via `blob` |
//! | 3 | `oci` | reference + platform → image; registries, layouts, credentials, mirrors; blobs and manifests → registries | network, disk |
//! | 2 | `blob` | digest and range → bytes: the cache on disk | disk |
//! | 1 | `extent` | bytes by reference: sources and maps | – |
//! | 1 | `sbom` | attestations and databases of packages → one SPDX or CycloneDX document | – |
//! | 1 | `spec` | YAML text → checked spec with its places in the text | – |
//! | 0 | `base` | digest, platform, metadata, units, error kind, monitor | – |
//!
//! Three traits cross rows: [`extent::Source`] (bytes at an offset), `blob::Fetch` (a range of a blob, which the
//! registry client implements for the store below it) and [`base::Monitor`] (what happened: the library reports, the
//! command line draws, tests assert).
//!
//! # Invariants
//! 1. **Listing and `stat` cost indexes; a read costs only the spans it touches.** A layer without an index costs one
//!    full pass, once; a mount looks at the first 4 KiB of its kernel. Kept by the `lazy_` tests, which record every
//!    range of a blob that is read.
//! 2. **`format` is a pure function.** Same tree and options, same extents, byte for byte. Kept by the digests in the
//!    format tests and by `tests/all/tidy.rs`, which keeps everything that does I/O out of its imports.
//! 3. **An offset is computed once.** A writer runs over two sinks, one that measures and one that keeps. Kept by the
//!    `prop_` tests: any split of a read equals the whole.
//! 4. **No unverified byte is served.** Blobs are checked against their digest and their diff id while they are
//!    indexed; what is decoded later is checked against the digests of its pieces, and so is an index whenever a part of
//!    it is used. Kept by the `damage_` tests.
//! 5. **Parsers never panic and never trust a length; what they take is in proportion to what they are given.** Kept by
//!    the tables of hostile input beside each parser, by `tests/all/hostile`, and by the targets of `tools/fuzz`.
//! 6. **Memory does not grow with content.** It grows with the number of files and with a cache of fixed size. Kept by
//!    the counting tests and shown by the benchmarks.
//! 7. **Nothing is written but the blob store and its indexes.** Kept by the mount tests, which look at the disk.
//! 8. **Imports point down the table.** Kept by `tests/all/tidy.rs`.
//!
//! # Words
//! An *image* is an OCI image, never a disk file; an *artifact* is a file lkit shows, a *product* what it holds.
//! *Origins* say where specs and images come from. A *blob* is bytes known by their digest; a *layer* is a blob, its
//! uncompressed tar the *diff*. A *layer index* makes a layer seekable: table of contents and places where decoding can
//! start, its *resume points*. A *span* is what lies between two of them, a *piece* a part of it that is verified by
//! itself. What of an index answers `stat` is its *summary*, what reading in a span needs a *part*; both can be *published*.
//! A *generation* is what is served until something else takes its place. An *early* catalog has what can be had before all
//! layers are indexed; the *whole* one completes it.
//! A *read list* says which bytes of layers somebody has decoded. The *tree* is the merged root. A *bundle* is a
//! container's directory with root and runtime config. *Image config* and *runtime config* are two things; the YAML is
//! the *spec*. Compressed and uncompressed offsets are told apart by type.

pub mod base;
pub mod blob;
pub mod extent;
pub mod sbom;
pub mod spec;

pub mod oci;

pub mod layer;
pub mod tree;

pub mod boot;
pub mod format;
pub mod rootfs;

pub mod output;

pub mod push;
pub mod serve;
pub mod system;
pub mod vm;

pub mod cli;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
