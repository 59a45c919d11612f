//! What is wrong with a spec: every problem of it, each with its place.

use std::fmt;

use super::{Place, Texts};
use crate::base::{ErrorKind, Fault, printable_line};

/// Problems shown at once; a spec with more has one cause for most of them.
pub const SHOWN: usize = 20;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One line, lower case, without a final period.
    pub message: String,
    /// What it is about.
    pub place: Place,
    /// What would be right.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at `place`.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { message: message.into(), place, hint: None }
    }

    /// The same with what would be right.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// All the problems of a spec or label, in the order of the text; never none.
#[derive(Clone, Debug)]
pub struct Error {
    problems: Vec<Problem>,
    texts: Texts,
}

impl Error {
    pub(super) fn new(mut problems: Vec<Problem>, texts: Texts) -> Self {
        problems.sort_by_key(|p| (p.place.file, p.place.line, p.place.column));
        problems.dedup();
        Self { problems, texts }
    }

    /// The problems, in the order of the text.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The texts the problems are in.
    pub fn texts(&self) -> &Texts {
        &self.texts
    }

    fn only(&self) -> Option<&Problem> {
        if let [problem] = self.problems.as_slice() { Some(problem) } else { None }
    }

    fn block(&self, problem: &Problem) -> String {
        let hint = problem.hint.as_ref().map(|hint| format!("  hint: {}\n", printable_line(hint)));
        self.texts.excerpt(problem.place) + &hint.unwrap_or_default()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.problems.first().map_or("the spec is not valid", |p| p.message.as_str()))
    }
}

impl std::error::Error for Error {}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Spec
    }

    fn hint(&self) -> Option<String> {
        self.only()?.hint.clone()
    }

    /// The excerpt of the first problem, and below it every other problem with its own.
    fn excerpt(&self) -> Option<String> {
        if let Some(problem) = self.only() {
            return Some(self.texts.excerpt(problem.place));
        }
        let mut text = String::new();
        for (index, problem) in self.problems.iter().take(SHOWN).enumerate() {
            if index > 0 {
                text += &format!("\nerror: {}\n", printable_line(&problem.message));
            }
            text += &self.block(problem);
        }
        match self.problems.len().saturating_sub(SHOWN) {
            0 => {}
            more => text += &format!("\nand {more} more problems\n"),
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_told_in_the_order_of_the_text() {
        let place = |line| Place { file: 0, line, column: 1, length: 1 };
        let problems = vec![Problem::new(place(2), "second").hint("do it"), Problem::new(place(1), "first")];
        let error = Error::new(problems, Texts::new(vec![("f".to_owned(), "a\nb".to_owned())]));
        assert_eq!(error.to_string(), "first");
        let expected =
            "  --> f:1:1\n   |\n 1 | a\n   | ^\n\nerror: second\n  --> f:2:1\n   |\n 2 | b\n   | ^\n  hint: do it\n";
        assert_eq!((error.excerpt().unwrap().as_str(), error.hint()), (expected, None));
    }
}
