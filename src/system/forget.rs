//! Names of the cache that are not wanted any more.

use super::Error;
use super::held::not_in_cache;
use crate::blob::{Contents, Store};
use crate::oci::Reference;

/// Removes names from the cache, with the blobs and index files that only they lead to; what was removed. A name may be
/// written as in a spec.
///
/// # Errors
/// When the cache does not have one of them; nothing is removed then.
pub fn forget(names: &[String], store: &Store) -> Result<Contents, Error> {
    let kept = store.kept()?;
    let mut found = Vec::new();
    for name in names {
        let wanted: Option<Reference> = name.parse().ok();
        let is_meant = |kept: &str| {
            let other: Option<Reference> = kept.parse().ok();
            kept == name || wanted.as_ref().zip(other).is_some_and(|(wanted, other)| wanted.means(&other))
        };
        let meant: Vec<String> = kept.iter().map(|kept| &kept.name).filter(|kept| is_meant(kept)).cloned().collect();
        if meant.is_empty() {
            let full = wanted.map_or_else(|| name.clone(), |wanted| wanted.to_string());
            return Err(not_in_cache(store, &full).into());
        }
        found.extend(meant);
    }
    Ok(store.forget(&found)?)
}
