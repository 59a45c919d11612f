//! LinuxKit packages: directories with a `build.yml` and a Dockerfile, named by what is in them, built by others.
//!
//! ```text
//! DIR ── build.yml, git ──▶ Package ── a builder, for each platform ──▶ OCI archives ──▶ one image index in the cache
//! ```
//!
//! # Format
//! LinuxKit's `docs/packages.md`; what its `pkglib` does.

mod arguments;
mod build;
mod build_yml;
mod builder;
mod error;
mod git;
mod keep;
mod push;
mod source;

pub use build::{BuildOptions, BuildOutcome, Presence, build, check_push, presence};
pub use builder::{Builder, Scan};
pub use error::PackageError;
pub use push::{Index, push_index, push_platforms, release};
pub use source::{Naming, Package};

pub(super) use source::find_package;
