//! LinuxKit packages: directories with a `build.yml` and a Dockerfile, named by what is in them, built by others.
//!
//! ```text
//! DIR ── build.yml, git ──▶ Package ── a builder, for each platform ──▶ OCI archives ──▶ one image index in the cache
//!                                       │ images that its Dockerfile and `depends` name, as far as the cache has them
//! ```
//!
//! # Format
//! LinuxKit's `docs/packages.md`; what its `pkglib` does.

mod arguments;
mod bases;
mod build;
mod build_yml;
mod builder;
mod depends;
mod docker;
mod dockerfile;
mod error;
mod git;
mod keep;
mod login;
mod process;
mod push;
mod source;
mod text;

pub use bases::Bases;
pub use build::{BuildOptions, BuildOutcome, Presence, build, check_push, presence};
pub use builder::{Builder, Scan};
pub use docker::{Care, DockerBuilder, load_into_docker, look_after, tag_in_docker};
pub use error::PackageError;
pub use login::Login;
pub use push::{Index, push_index, push_platforms, release, remote_tag};
pub use source::{Naming, Package};

pub(super) use source::find_package;
