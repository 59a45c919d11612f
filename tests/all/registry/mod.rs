//! Images from layouts, the cache, a real registry, and from servers that fail.

mod archives;
mod bounds;
mod daemon;
mod docker;
mod faults;
mod layouts;
mod letters;
mod patient;
mod pushes;
mod ranges;
mod referrers;
mod resumed;
mod tls;
mod tokens;

use std::path::Path;
use std::sync::{Arc, Mutex};

use lkit::base::{Event, Fault as _, Monitor, Platform, Silent};
use lkit::blob::Store;
use lkit::oci::{Error, Image, Options, Pull, Reference, Resolver};

/// A resolver over a cache and layouts.
fn resolver(cache: &Path, layouts: &[&Path], options: Options) -> Resolver {
    let layouts: Vec<_> = layouts.iter().map(|dir| dir.to_path_buf()).collect();
    Resolver::new(Arc::new(Store::open(cache, &layouts).unwrap()), options)
}

fn offline() -> Options {
    Options { pull: Pull::Never, ..Options::default() }
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

fn resolve(resolver: &Resolver, text: &str) -> Result<Image, Error> {
    resolver.resolve(&reference(text), &Platform::linux("amd64"), &Silent)
}

/// An error and its causes, a line each.
fn told(error: &Error) -> String {
    let mut lines = vec![error.to_string()];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        lines.push(error.to_string());
        cause = error.source();
    }
    lines.push(error.hint().unwrap_or_default());
    lines.join("\n")
}

/// Notes events.
#[derive(Default)]
struct Notes(Mutex<Vec<Event>>);

impl Monitor for Notes {
    fn event(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}
