//! A YAML text as a tree of values that know their places.

use std::rc::Rc;

use super::Place;

/// A value of the text; aliases share it.
#[derive(Debug, PartialEq)]
pub(super) struct Node {
    /// Where it stands; of a collection, where it begins.
    pub place: Place,
    /// What it is.
    pub value: Value,
    /// What it costs, aliases counted in full.
    pub weight: Weight,
}

/// What a node is, scalars resolved as YAML's core schema and Go's YAML library do.
#[derive(Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// The value, and the text as written.
    Integer(i128, String),
    /// The value, and the text as written.
    Float(f64, String),
    Text(String),
    /// `!!binary` that is no text.
    Bytes(Vec<u8>),
    List(Vec<Rc<Node>>),
    /// In the order written; keys are unique and merge keys are resolved.
    Map(Pairs),
}

/// The keys of a mapping and their values.
pub(super) type Pairs = Vec<(Key, Rc<Node>)>;

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Key {
    pub text: String,
    pub place: Place,
}

/// What a tree costs to walk and to copy.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weight {
    /// Number of nodes.
    pub nodes: usize,
    /// Bytes of text.
    pub bytes: usize,
    /// Levels below and with the node.
    pub height: usize,
}

impl Weight {
    /// Adds a part that is on one level with what is already counted.
    pub fn add(&mut self, part: Self) {
        self.nodes = self.nodes.saturating_add(part.nodes);
        self.bytes = self.bytes.saturating_add(part.bytes);
        self.height = self.height.max(part.height);
    }
}

impl Node {
    /// The value under `key`, when this is a mapping that has one.
    pub fn field(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|(k, _)| k.text == key).map(|(_, node)| &**node)
    }

    /// Keys and values; none when this is no mapping.
    pub fn entries(&self) -> &[(Key, Rc<Node>)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// Items; none when this is no list.
    pub fn items(&self) -> &[Rc<Node>] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text, when it is one.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The boolean, when it is one.
    pub fn boolean(&self) -> Option<bool> {
        if let Value::Bool(value) = self.value { Some(value) } else { None }
    }

    /// The integer, when it is one; a float without a fraction is one, as Go's YAML library has it.
    pub fn integer(&self) -> Option<i128> {
        match self.value {
            Value::Integer(value, _) => Some(value),
            Value::Float(value, _) => whole(value),
            _ => None,
        }
    }

    /// What it is, for a message.
    pub fn described(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("the boolean `{value}`"),
            Value::Integer(_, text) => format!("the integer `{text}`"),
            Value::Float(_, text) => format!("the number `{text}`"),
            Value::Text(_) => "a string".to_owned(),
            Value::Bytes(_) => "binary data".to_owned(),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}

fn whole(value: f64) -> Option<i128> {
    // Every integer up to 2^53 is exact as a float; larger ones are no counts that anyone writes with a fraction.
    let exact = value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0;
    if exact { format!("{value:.0}").parse().ok() } else { None }
}
