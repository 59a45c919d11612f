//! Texts → a checked spec, and the text of an image's label → the fields of a container.

use std::rc::Rc;

use super::check::{check, check_options};
use super::conform::conform;
use super::node::{Key, Node, Value};
use super::options::LABEL;
use super::read::{Read, read};
use super::sections::SPEC;
use super::source_text::NoText;
use super::template::{PackageFinder, resolved};
use super::{ContainerOptions, Error, Input, Place, Problem, Spec, Texts, decode, source_text};

/// A spec that is valid, with what later stages need to speak about it.
#[derive(Clone, Debug, Default)]
pub struct Parsed {
    /// The spec.
    pub spec: Spec,
    /// The texts it was read from.
    pub texts: Texts,
    /// What is odd, but no error.
    pub warnings: Vec<Problem>,
}

/// Reads a spec from its texts: they merge in order, fields of the kernel override, lists append.
///
/// # Errors
/// Every problem of every text.
pub fn parse(inputs: &[Input]) -> Result<Parsed, Error> {
    parse_with(inputs, &mut |_, _| Err("packages are only looked up for specs in files".to_owned()))
}

/// The same, where `find` turns `@pkg:DIR` into the reference of that package.
///
/// # Errors
/// Every problem of every text.
pub fn parse_with(inputs: &[Input], find: &mut PackageFinder<'_>) -> Result<Parsed, Error> {
    let mut reading = Reading::default();
    for (index, input) in inputs.iter().enumerate() {
        reading.add(index, input, find);
    }
    let Reading { mut spec, texts, mut problems, mut warnings, complete } = reading;
    if problems.is_empty() && is_empty(&spec) {
        let start = Place { file: 0, line: 1, column: 1, length: 1 };
        let problem = Problem::new(start, "the spec is empty");
        problems.push(problem.hint("it needs at least a `kernel`, or an image in `init` or `services`"));
    }
    check(&spec, complete, &mut problems, &mut warnings);
    if spec.kernel.as_ref().is_some_and(|kernel| kernel.image.value.is_empty()) {
        spec.kernel = None;
    }
    let texts = Texts::new(texts);
    if problems.is_empty() { Ok(Parsed { spec, texts, warnings }) } else { Err(Error::new(problems, texts)) }
}

/// Reads the `org.mobyproject.config` label of an image, in YAML or JSON.
///
/// # Errors
/// Every problem of the label.
pub fn parse_label(text: &str) -> Result<ContainerOptions, Error> {
    let mut problems = Vec::new();
    let options = label(text, &mut problems);
    let texts = || Texts::new(vec![("label `org.mobyproject.config`".to_owned(), text.to_owned())]);
    if problems.is_empty() { Ok(options) } else { Err(Error::new(problems, texts())) }
}

fn label(text: &str, problems: &mut Vec<Problem>) -> ContainerOptions {
    let decoded = source_text::decode(text.as_bytes(), 0).map_err(|no_text| no_text.problem);
    let read = decoded.and_then(|text| read(&text, 0));
    let Read { root, problems: found } = match read {
        Ok(read) => read,
        Err(problem) => {
            problems.push(problem);
            return ContainerOptions::default();
        }
    };
    problems.extend(found);
    let Some(root) = root else { return ContainerOptions::default() };
    for key in ["name", "image"] {
        if let Some((key, _)) = root.entries().iter().find(|(k, value)| k.text == key && value.text() != Some("")) {
            problems.push(Problem::new(key.place, format!("a label cannot set `{}`", key.text)));
        }
    }
    let root = unnamed(&root);
    if problems.is_empty() {
        conform(&root, LABEL, problems);
    }
    let options = ContainerOptions::of(&root, problems);
    if problems.is_empty() {
        check_options(&options, problems);
    }
    options
}

/// A label without the keys that it may only leave empty.
fn unnamed(root: &Rc<Node>) -> Rc<Node> {
    let Value::Map(entries) = &root.value else { return root.clone() };
    let other = |(key, _): &&(Key, Rc<Node>)| !["name", "image"].contains(&key.text.as_str());
    let value = Value::Map(entries.iter().filter(other).cloned().collect());
    Rc::new(Node { place: root.place, value, weight: root.weight })
}

#[derive(Default)]
struct Reading {
    spec: Spec,
    texts: Vec<(String, String)>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
    /// Names of containers and volumes are all known, since nothing that may have named one was refused.
    complete: bool,
}

impl Reading {
    fn add(&mut self, index: usize, input: &Input, find: &mut PackageFinder<'_>) {
        self.complete |= index == 0;
        let Ok(file) = u16::try_from(index) else {
            self.problems.push(Problem::new(Place::default(), "too many specs are given"));
            return;
        };
        let read = match source_text::decode(&input.text, file) {
            Ok(text) => {
                let read = read(&text, file);
                self.texts.push((input.name.clone(), text));
                read
            }
            Err(NoText { problem, shown }) => {
                self.texts.push((input.name.clone(), shown));
                Err(problem)
            }
        };
        match read {
            Ok(read) => self.add_tree(read, &input.name, find),
            Err(problem) => {
                self.problems.push(problem);
                self.complete = false;
            }
        }
    }

    fn add_tree(&mut self, read: Read, name: &str, find: &mut PackageFinder<'_>) {
        self.complete &= read.problems.is_empty();
        self.problems.extend(read.problems);
        let Some(root) = read.root.filter(|root| root.value != Value::Null) else { return };
        conform(&root, SPEC, &mut self.problems);
        self.complete &= names_are_known(&root);
        self.warnings.extend(decode::idle_outputs(&root));
        let root = resolved(&root, name, find, &mut self.problems);
        decode::append(&mut self.spec, &root, &mut self.problems);
    }
}

/// Whether every section is what it should be, and every entry that should have a name has one.
fn names_are_known(root: &Node) -> bool {
    let named = |node: &Rc<Node>| node.field("name").is_some_and(|name| name.text().is_some());
    root.entries().iter().all(|(key, node)| match key.text.as_str() {
        "onboot" | "onshutdown" | "services" | "volumes" => match &node.value {
            Value::List(items) => items.iter().all(named),
            value => *value == Value::Null,
        },
        other => SPEC.iter().any(|field| field.key == other),
    })
}

fn is_empty(spec: &Spec) -> bool {
    let containers = [&spec.onboot, &spec.onshutdown, &spec.services];
    let no_kernel = spec.kernel.as_ref().is_none_or(|kernel| kernel.image.value.is_empty());
    let nothing = no_kernel && spec.init.is_empty() && containers.into_iter().all(Vec::is_empty);
    nothing && spec.files.is_empty() && spec.volumes.is_empty()
}
