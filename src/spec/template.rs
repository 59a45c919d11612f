//! References that name a LinuxKit package by its directory: `@pkg:DIR`.
//!
//! # Format
//! LinuxKit's `docs/yaml.md`, "Templates". Finding the package is not done here: it reads the disk.

use std::collections::HashMap;

use super::node::Node;
use super::{Place, Problem};

const PACKAGE: &str = "@pkg:";

/// Finds the reference of a package, from the name of the input that asks and the directory it names.
pub type PackageFinder<'a> = dyn FnMut(&str, &str) -> Result<String, String> + 'a;

/// Resolved templates by input and text.
#[derive(Default)]
pub(super) struct Templates(HashMap<(u16, String), String>);

impl Templates {
    /// Resolves every template of one input.
    pub fn resolve(&mut self, root: &Node, input: &str, find: &mut PackageFinder<'_>, problems: &mut Vec<Problem>) {
        for (place, text) in references(root) {
            let Some(directory) = text.strip_prefix(PACKAGE) else { continue };
            let key = (place.file, text.to_owned());
            if self.0.contains_key(&key) {
                continue;
            }
            match find(input, directory) {
                Ok(reference) => drop(self.0.insert(key, reference)),
                Err(message) => problems.push(Problem::new(place, format!("cannot resolve `{text}`: {message}"))),
            }
        }
    }

    /// The reference that `text` stands for.
    pub fn resolved<'a>(&'a self, file: u16, text: &'a str) -> &'a str {
        if !text.starts_with(PACKAGE) {
            return text;
        }
        self.0.get(&(file, text.to_owned())).map_or(text, String::as_str)
    }
}

/// Every place where a spec names an image.
fn references(root: &Node) -> impl Iterator<Item = (Place, &str)> {
    let kernel = root.field("kernel").and_then(|kernel| kernel.field("image"));
    let init = root.field("init").into_iter().flat_map(Node::items).map(|item| &**item);
    let sections = ["onboot", "onshutdown", "services", "volumes"].into_iter().filter_map(|key| root.field(key));
    let images = sections.flat_map(Node::items).filter_map(|entry| entry.field("image"));
    kernel.into_iter().chain(init).chain(images).filter_map(|node| Some((node.place, node.text()?)))
}
