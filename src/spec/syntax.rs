//! What is wrong with a text that is not YAML, in the words of those who write specs.
//!
//! The parser says where it had to stop. That is often behind the mistake: a quote that is never closed goes on to the
//! next quote of the text. So the text before that place is looked at again, to point at what should be changed.

use serde_saphyr::granit_parser::{ErrorKind, ScanError};

use super::escape::bad_escape;
use super::indentation::misplaced;
use super::spot::{Spot, token, value};
use super::{Place, Problem};

/// The mistake behind an error of the parser. `open` is the innermost bracket that was open where it stopped.
pub(super) fn mistake(error: &ScanError, text: &str, file: u16, open: Option<Place>) -> Problem {
    let spot = Spot::new(text, file, error.marker());
    match error.kind() {
        ErrorKind::UnclosedQuotedScalar | ErrorKind::DocumentIndicatorInQuotedScalar => {
            unclosed_quote(spot.up_to_end())
        }
        ErrorKind::InvalidTrailingSingleQuotedScalar => after_a_quote(&spot, '\''),
        ErrorKind::InvalidTrailingDoubleQuotedScalar => after_a_quote(&spot, '"'),
        ErrorKind::UnclosedFlowCollection { open } => unclosed_bracket(spot.here(1), *open),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            Problem::new(spot.here(1), format!("the `{open}` that begins here is closed by `{close}`"))
        }
        ErrorKind::MisplacedFlowCollectionEnd => closes_nothing(&spot),
        ErrorKind::UnexpectedCharacter { character } if *character != '\t' => bad_start(&spot, *character),
        ErrorKind::UnknownAnchor => unknown_anchor(&spot),
        ErrorKind::MissingAnchorOrAliasName => Problem::new(spot.here(1), "a name is missing right after this"),
        ErrorKind::CommentNotSeparated => Problem::new(spot.here(1), "a space is missing before this `#`"),
        ErrorKind::UndeclaredTagHandle => Problem::new(spot.here(token(spot.rest())), "this tag is not declared"),
        ErrorKind::InvalidBlockScalarHeader => {
            Problem::new(spot.here(token(spot.rest())), "a text after `|` or `>` begins on the next line")
        }
        ErrorKind::RecursionLimitExceeded => Problem::new(spot.here(1), "values are nested too deep"),
        ErrorKind::UnexpectedEofImplicitFlowMapping if spot.rest().starts_with(',') => {
            Problem::new(spot.here(1), "a value is missing before this `,`")
        }
        kind => tab(&spot, kind)
            .or_else(|| escape(&spot, kind))
            .or_else(|| bracket(&spot, open))
            .or_else(|| misplaced(&spot, kind))
            .unwrap_or_else(|| other(error, &spot)),
    }
}

/// What the parser says.
fn other(error: &ScanError, spot: &Spot<'_>) -> Problem {
    let message = format!("not valid YAML: {}", error.info().trim_end_matches('.'));
    Problem::new(spot.here(token(spot.rest())), message)
}

fn unclosed_quote(place: Place) -> Problem {
    Problem::new(place, "the quote that begins here is never closed")
}

fn unclosed_bracket(place: Place, bracket: char) -> Problem {
    Problem::new(place, format!("the `{bracket}` that begins here is never closed"))
}

/// Text after a closing quote: if the quote was opened on an earlier line, it was meant to end there.
fn after_a_quote(spot: &Spot<'_>, quote: char) -> Problem {
    let opening = spot.opening(quote).filter(|opening| opening.line != spot.line);
    if let Some(opening) = opening {
        let hint = format!("it goes on to the quote on line {}", spot.line);
        return unclosed_quote(opening.up_to_end()).hint(hint);
    }
    let inside = match quote {
        '"' => "a `\"` inside double quotes is written `\\\"`",
        _ => "a `'` inside single quotes is written twice, `''`",
    };
    Problem::new(spot.here(value(spot.rest())), "there is text after the closing quote").hint(inside)
}

fn closes_nothing(spot: &Spot<'_>) -> Problem {
    let bracket = spot.rest().chars().next().unwrap_or(']');
    Problem::new(spot.here(1), format!("this `{bracket}` closes nothing"))
}

fn bad_start(spot: &Spot<'_>, character: char) -> Problem {
    let name = if character == '`' { "a backtick".to_owned() } else { format!("`{character}`") };
    let problem = Problem::new(spot.here(token(spot.rest())), format!("a value cannot begin with {name}"));
    problem.hint("put the value between quotes")
}

fn unknown_anchor(spot: &Spot<'_>) -> Problem {
    let width = token(spot.rest());
    let name: String = spot.rest().chars().skip(1).take(width - 1).collect();
    let problem = Problem::new(spot.here(width), format!("there is no anchor `&{name}` above this `*{name}`"));
    problem.hint("put the value between quotes if it is no alias")
}

/// A tab before the text of a line: on this line, or on the one that the parser was about to read.
fn tab(spot: &Spot<'_>, kind: &ErrorKind) -> Option<Problem> {
    let is_tab = matches!(
        kind,
        ErrorKind::TabNotAllowed
            | ErrorKind::TabInBlockIndentation
            | ErrorKind::TabInIndentation
            | ErrorKind::TabInPlainScalar
            | ErrorKind::TabAtBlockScalarStart
            | ErrorKind::InvalidBlockEntryWhitespace
            | ErrorKind::InvalidMappingValueWhitespace
            | ErrorKind::UnexpectedCharacter { .. }
    );
    let place = if is_tab { spot.indenting_tab().or_else(|| spot.tab()) } else { None };
    place.map(|place| Problem::new(place, "a tab cannot indent YAML; use spaces"))
}

/// A bad escape in the double quotes that begin here.
fn escape(spot: &Spot<'_>, kind: &ErrorKind) -> Option<Problem> {
    let is_escape = matches!(
        kind,
        ErrorKind::UnknownQuotedScalarEscape
            | ErrorKind::InvalidQuotedScalarHexEscape
            | ErrorKind::InvalidLowSurrogateHexEscape
            | ErrorKind::InvalidLowSurrogate
            | ErrorKind::MissingLowSurrogate
            | ErrorKind::UnpairedLowSurrogate
            | ErrorKind::InvalidUnicodeEscape
    );
    if is_escape { bad_escape(spot) } else { None }
}

/// A bracket that was opened on an earlier line was most likely meant to be closed there.
fn bracket(spot: &Spot<'_>, open: Option<Place>) -> Option<Problem> {
    let open = open.filter(|open| usize::try_from(open.line).is_ok_and(|line| line < spot.line))?;
    let bracket = spot.at(open)?.rest().chars().next()?;
    Some(unclosed_bracket(open, bracket))
}
