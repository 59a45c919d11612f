//! Texts that name a LinuxKit package by its directory: `@pkg:DIR`, in the place of any text of a spec.
//!
//! # Format
//! LinuxKit's `docs/yaml.md`, "Templates". Finding the package is not done here: it reads the disk.

use std::collections::HashMap;
use std::rc::Rc;

use super::Problem;
use super::node::{Node, Value};

const PACKAGE: &str = "@pkg:";

/// Finds the reference of a package, from the name of the input that asks and the directory it names.
pub type PackageFinder<'a> = dyn FnMut(&str, &str) -> Result<String, String> + 'a;

/// One input while its templates are resolved.
struct Templates<'a, 'f> {
    input: &'a str,
    find: &'a mut PackageFinder<'f>,
    problems: &'a mut Vec<Problem>,
    /// References by what stands for them; nothing for those that were not found.
    known: HashMap<String, Option<String>>,
}

/// The tree of an input with references in the place of templates.
pub(super) fn resolved(
    root: &Rc<Node>,
    input: &str,
    find: &mut PackageFinder<'_>,
    problems: &mut Vec<Problem>,
) -> Rc<Node> {
    Templates { input, find, problems, known: HashMap::new() }.node(root)
}

impl Templates<'_, '_> {
    fn node(&mut self, node: &Rc<Node>) -> Rc<Node> {
        let value = match &node.value {
            Value::Text(text) => self.reference(text, node).map(Value::Text),
            Value::List(items) => {
                let new: Vec<Rc<Node>> = items.iter().map(|item| self.node(item)).collect();
                let differs = new.iter().zip(items).any(|(new, old)| !Rc::ptr_eq(new, old));
                differs.then_some(Value::List(new))
            }
            Value::Map(entries) => {
                let new: Vec<_> = entries.iter().map(|(key, value)| (key.clone(), self.node(value))).collect();
                let differs = new.iter().zip(entries).any(|((_, new), (_, old))| !Rc::ptr_eq(new, old));
                differs.then_some(Value::Map(new))
            }
            _ => None,
        };
        value.map_or_else(|| Rc::clone(node), |value| Rc::new(Node { place: node.place, value, weight: node.weight }))
    }

    /// The reference that a text stands for.
    fn reference(&mut self, text: &str, node: &Node) -> Option<String> {
        let directory = text.strip_prefix(PACKAGE)?;
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        let found = (self.find)(self.input, directory).map_err(|message| {
            self.problems.push(Problem::new(node.place, format!("cannot resolve `{text}`: {message}")));
        });
        self.known.insert(text.to_owned(), found.clone().ok());
        found.ok()
    }
}
