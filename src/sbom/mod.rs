//! Bills of materials: which packages a system is made of, merged into one document.
//!
//! ```text
//! attestations of images (in-toto, SPDX 2) ──statement──┐
//! databases of packages (dpkg, apk) ────────database────┴─▶ Bill ──▶ SPDX 2.3 or CycloneDX 1.5
//! ```
//!
//! # Invariants
//! - The same parts in the same order give the same bytes: identifiers are made of the number of a part, the document's
//!   own of the digest of its text.
//! - Every identifier is there once: those of each part get its number, since two images may use the same ones.
//! - What is read is bounded, and so is the text that comes of it.
//!
//! # Format
//! SPDX specification 2.3; CycloneDX 1.5 (ECMA-424); in-toto attestations as BuildKit stores them; package-url.

mod bill;
mod cyclonedx;
mod database;
mod error;
mod scope;
mod spdx;
mod statement;

pub use bill::{Bill, Format};
pub use database::{Database, Distribution, Package};
pub use error::Error;
pub use scope::Part;
pub use statement::{MAX_STATEMENT, SPDX_PREDICATE};
