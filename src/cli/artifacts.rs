//! Artifacts that stand in a registry, in the place of specs: `oci://REFERENCE`.

use std::path::PathBuf;

use super::progress::Progress;
use super::report::Failure;
use super::settings::Settings;
use crate::base::ErrorKind;
use crate::oci::{ParseReferenceError, Reference};
use crate::serve::Files;
use crate::system;

/// What such a name begins with.
pub const SCHEME: &str = "oci://";

/// A reference, with what is said where it is none.
///
/// # Errors
/// When it is none.
pub fn parsed(text: &str) -> Result<Reference, Failure> {
    text.strip_prefix(SCHEME).unwrap_or(text).parse().map_err(|error: ParseReferenceError| {
        Failure::caused(ErrorKind::Usage, format!("`{text}` is no reference of artifacts"), &error)
            .hint("write it as `REGISTRY/REPOSITORY:TAG`")
    })
}

/// The reference that these names are, if they are one.
///
/// # Errors
/// When a name begins with `oci://` and is no reference, or there are other names as well.
pub fn reference(names: &[PathBuf]) -> Result<Option<Reference>, Failure> {
    let is_one = |name: &PathBuf| name.to_str().is_some_and(|name| name.starts_with(SCHEME));
    match names {
        [name] if is_one(name) => parsed(&name.to_string_lossy()).map(Some),
        names if names.iter().any(is_one) => Err(Failure::usage(format!("artifacts of `{SCHEME}` are shown alone"))
            .hint("name one reference, and no specs beside it")),
        _ => Ok(None),
    }
}

/// The files of a reference, with their names.
///
/// # Errors
/// When they cannot be found.
pub fn files(reference: &Reference, settings: &Settings, progress: &Progress) -> Result<(Files, Vec<String>), Failure> {
    let loaded = system::load_artifacts(reference, &settings.origins, progress);
    progress.clear();
    let (_, artifacts) = loaded?;
    let names = artifacts.iter().map(|artifact| artifact.name().to_owned()).collect();
    let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    Ok((Files::new(artifacts, None, owner), names))
}
