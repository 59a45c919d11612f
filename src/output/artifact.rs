//! A file lkit shows: bytes under a name that are there already, or are laid out when somebody asks.

use super::Product;
use crate::base::{Attempt, ErrorKind, Fault as _, Metadata};
use crate::extent::{ReadError, SharedSource};

type Made = Result<SharedSource, ReadError>;

/// A named file; laid out at most once. One that never can be is not there; what could not be read is tried again.
pub struct Artifact {
    name: String,
    product: Option<Product>,
    mtime: i64,
    open: Box<dyn Fn() -> Made + Send + Sync>,
    made: Attempt<SharedSource, ReadError>,
}

impl Artifact {
    /// An artifact that `open` lays out when its size or its bytes are first asked for.
    pub fn new(name: impl Into<String>, open: impl Fn() -> Made + Send + Sync + 'static) -> Self {
        let (mtime, made) = (Metadata::GENERATED_MTIME, Attempt::default());
        Self { name: name.into(), product: None, mtime, open: Box::new(open), made }
    }

    /// The same as one of the products of a catalog.
    pub(super) fn of(self, product: Product) -> Self {
        Self { product: Some(product), ..self }
    }

    /// An artifact that needs no layout.
    pub fn ready(name: impl Into<String>, source: SharedSource) -> Self {
        let artifact = Self::new(name, move || Ok(source.clone()));
        artifact.open().expect("it is at hand");
        artifact
    }

    /// The same with a modification time, in seconds since 1970.
    pub fn at(self, mtime: i64) -> Self {
        Self { mtime, ..self }
    }

    /// Its file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it holds, where a catalog lays it out.
    pub fn product(&self) -> Option<Product> {
        self.product
    }

    /// Modification time in seconds since 1970.
    pub fn mtime(&self) -> i64 {
        self.mtime
    }

    /// Its bytes; laid out now when they are not yet.
    ///
    /// # Errors
    /// What the layout said.
    pub fn open(&self) -> Result<&SharedSource, ReadError> {
        self.made.get_or_make(&self.open, |error| error.kind() == ErrorKind::Unsupported)
    }

    /// Whether it is known that it never can be laid out.
    pub fn is_impossible(&self) -> bool {
        matches!(self.made.kept(), Some(Err(_)))
    }

    /// Whether asking for its size costs nothing.
    pub fn is_made(&self) -> bool {
        self.made.kept().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_layout_happens_when_asked_for_and_once_even_when_it_fails() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = count.clone();
        let artifact = Artifact::new("initrd.img", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(ReadError::new(ErrorKind::Unsupported, "a file is over 4 GiB"))
        });
        assert!(!artifact.is_made() && count.load(Ordering::Relaxed) == 0);
        for _ in 0..2 {
            assert_eq!(artifact.open().err().unwrap().to_string(), "a file is over 4 GiB");
        }
        assert!(artifact.is_impossible() && count.load(Ordering::Relaxed) == 1);
    }

    #[test]
    fn what_could_not_be_read_is_tried_again() {
        let count = AtomicU32::new(0);
        let artifact = Artifact::new("kernel", move || match count.fetch_add(1, Ordering::Relaxed) {
            0 => Err(ReadError::new(ErrorKind::Unreachable, "no route")),
            _ => Ok(Arc::new(crate::extent::Zeros(1)) as SharedSource),
        });
        assert_eq!(artifact.open().err().unwrap().kind(), ErrorKind::Unreachable);
        assert!(artifact.open().is_ok() && artifact.is_made() && !artifact.is_impossible());
    }
}
