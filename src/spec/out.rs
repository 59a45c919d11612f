//! A value that is about to be written, as YAML or JSON.

use std::borrow::Cow;

/// A value in the order and with the keys it is written with.
#[derive(Debug, PartialEq)]
pub(super) enum Out<'a> {
    Null,
    Bool(bool),
    Number(&'a serde_json::Number),
    Zero,
    Text(Cow<'a, str>),
    /// Bytes that are no text, in base64.
    Binary(&'a str),
    List(Vec<Out<'a>>),
    Map(Vec<(String, Out<'a>)>),
}
