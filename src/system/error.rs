//! Why specs make no system, and where in their texts the reason is.

use std::error::Error as StdError;
use std::fmt;

use super::Problem;
use crate::base::{ErrorKind, Fault, printable_line};
use crate::rootfs;
use crate::spec::{Place, SHOWN, Texts};

/// A problem with its place in the specs. `Debug` writes it as a person reads it, for programs whose `main` returns it.
pub struct Error {
    problem: Box<Problem>,
    place: Option<Place>,
    texts: Texts,
}

impl Error {
    /// A problem at a place of the spec, if it has one.
    pub(super) fn at(place: Option<Place>, texts: &Texts, problem: impl Into<Problem>) -> Self {
        Self { problem: Box::new(problem.into()), place, texts: texts.clone() }
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Where in the specs, each problem of them apart; empty for what stands in no text.
    pub fn places(&self) -> Vec<Place> {
        match &*self.problem {
            Problem::Spec(error) => error.problems().iter().map(|problem| problem.place).collect(),
            Problem::Root(rootfs::Error::Values { problems }) => problems.iter().map(|problem| problem.place).collect(),
            _ => self.place.into_iter().collect(),
        }
    }

    /// The texts that the places are in.
    pub fn texts(&self) -> &Texts {
        if let Problem::Spec(error) = &*self.problem { error.texts() } else { &self.texts }
    }
}

impl<P: Into<Problem>> From<P> for Error {
    fn from(problem: P) -> Self {
        Self { problem: Box::new(problem.into()), place: None, texts: Texts::default() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problem.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}\n{}", self.excerpt().unwrap_or_default())?;
        let mut causes = std::iter::successors(self.source(), |cause| (*cause).source());
        causes.try_for_each(|cause| writeln!(f, "  cause: {}", printable_line(&cause.to_string())))?;
        self.hint().map_or(Ok(()), |hint| write!(f, "\nhint: {hint}"))
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.problem.source()
    }
}

impl Fault for Error {
    fn kind(&self) -> ErrorKind {
        self.problem.kind()
    }

    fn hint(&self) -> Option<String> {
        self.problem.hint()
    }

    /// The lines of all places; what is wrong at each but the first is said above its line.
    fn excerpt(&self) -> Option<String> {
        let values = match &*self.problem {
            Problem::Spec(error) => return error.excerpt(),
            Problem::Root(rootfs::Error::Values { problems }) => problems,
            _ => return self.place.map(|place| self.texts.excerpt(place)),
        };
        let lines = values.iter().take(SHOWN).enumerate().map(|(number, problem)| {
            let message = (number > 0).then(|| format!("error: {}\n", printable_line(&problem.message)));
            message.unwrap_or_default() + &self.texts.excerpt(problem.place)
        });
        let more = values.len().saturating_sub(SHOWN);
        let more = (more > 0).then(|| format!("and {more} more problems\n"));
        Some(lines.chain(more).collect::<Vec<_>>().join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Digest;
    use crate::oci;
    use crate::spec::{Input, Problem as Value, parse};

    fn texts() -> Texts {
        let text = b"init:\n- q.io/a\n- q.io/b\n".to_vec();
        parse(&[Input { name: "a.yml".to_owned(), text }]).unwrap().texts
    }

    fn place(line: u32) -> Place {
        Place { file: 0, line, column: 3, length: 6 }
    }

    #[test]
    fn an_error_knows_its_place_and_shows_its_line() {
        let error = Error::at(Some(place(3)), &texts(), Problem::LocalSource { path: "x".to_owned() });
        assert_eq!((error.places(), error.kind()), (vec![place(3)], ErrorKind::Spec));
        let shown = "  --> a.yml:3:3\n   |\n 3 | - q.io/b\n   |   ^^^^^^\n";
        assert_eq!(error.excerpt().as_deref(), Some(shown));
        let message = "a spec from a URL may not read `x` of this machine";
        let hint = "allow it with `--allow-local-sources` if you trust who wrote the spec";
        assert_eq!(error.to_string(), message);
        assert_eq!(format!("{error:?}"), format!("{message}\n{shown}\nhint: {hint}"));
    }

    #[test]
    fn values_that_are_wrong_are_each_shown_with_their_line() {
        let problems = vec![Value::new(place(2), "first"), Value::new(place(3), "second")];
        let error = Error::at(Some(place(2)), &texts(), rootfs::Error::Values { problems });
        assert_eq!((error.to_string().as_str(), error.places().len()), ("first", 2));
        let shown = "  --> a.yml:2:3\n   |\n 2 | - q.io/a\n   |   ^^^^^^\n\nerror: second\n  \
                     --> a.yml:3:3\n   |\n 3 | - q.io/b\n   |   ^^^^^^\n";
        assert_eq!(error.excerpt().as_deref(), Some(shown));
    }

    #[test]
    fn an_image_that_is_not_found_is_said_once() {
        let missing = |reference: &str| oci::Error { reference: reference.to_owned(), problem: oci::Problem::NotHere };
        let causes = |name: &str, locked| {
            let error = Error::from(Problem::resolve(name, locked, missing("docker.io/library/a")));
            (error.source().unwrap().to_string(), error.hint().unwrap())
        };
        let hint = missing("a").hint().unwrap();
        let not_here = oci::Problem::NotHere.to_string();
        assert_eq!(causes("docker.io/library/a", None), (not_here.clone(), hint.clone()));
        assert_eq!(causes("a", None), ("cannot resolve image `docker.io/library/a`".to_owned(), hint));
        let digest = Digest::of(b"x");
        let hint = format!("the lock says `{digest}`; take what it means now with `lkit lock`");
        assert_eq!(causes("docker.io/library/a", Some(digest)), (not_here, hint));
    }
}
