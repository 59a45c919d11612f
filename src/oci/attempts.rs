//! The tries of one question: which setbacks pass, how long they are waited for, and what they are called in the end.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::RegistryError;
use super::access::Access;
use super::transport::{Complaint, Setback, Stage};

/// Before the second try after a connection broke or a server had a fault of its own; doubles each time.
pub(super) const SOON: Duration = Duration::from_millis(200);
/// Before the second try after a server asked for patience without saying how much; doubles each time.
const LATER: Duration = Duration::from_secs(2);
/// Longest wait that a server can ask for: nobody waits longer without having been told.
const LONGEST: Duration = Duration::from_secs(300);
/// How often a transient fault is met in a row before it is an error.
pub(super) const TRIES: u32 = 5;

/// What is waited for when a server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// A server that answers; one that cannot be connected to, or stays silent, is not asked again: a person waits.
    ForAServerThatIsThere,
    /// Also one that is gone: it was there a moment ago.
    ForOneThatWasThere,
}

/// An error, and whether asking again may help.
pub(super) struct Failure {
    pub error: RegistryError,
    retry: Retry,
}

/// When to ask again.
enum Retry {
    /// It is of no use.
    Never,
    /// After this time, which doubles.
    Doubling(Duration),
    /// After this time, which doubles; all others who ask the server wait for as long.
    Later(Duration),
    /// After the time that the server asks for; all others who ask it wait, too.
    After(Duration),
}

/// Who is asked, as far as messages say.
pub(super) struct Asked<'a> {
    /// The server.
    pub server: &'a str,
    /// Why there are no credentials, where there might be.
    pub complaint: Option<&'a str>,
    /// What it says, in one line, without what must not be told.
    pub told: &'a dyn Fn(&str) -> String,
    /// Has all others who ask it wait for some time, too.
    pub stall: &'a dyn Fn(Duration),
}

/// The tries of one question.
pub(super) struct Attempts<'a> {
    /// What is asked for, as messages name it.
    wanted: &'a str,
    patience: Patience,
    /// No try begins later.
    until: Option<Instant>,
    faults: u32,
    /// Whether there was a new token for this question already.
    pub renewed: bool,
    /// What it was asked with last.
    pub used: Option<Access>,
}

impl<'a> Attempts<'a> {
    pub fn new(wanted: &'a str, patience: Patience, until: Option<Instant>) -> Self {
        Self { wanted, patience, until, faults: 0, renewed: false, used: None }
    }

    /// How long to wait before asking again.
    ///
    /// # Errors
    /// When that is of no use.
    pub fn after(&mut self, setback: Setback, asked: &Asked<'_>) -> Result<Duration, RegistryError> {
        let is_silent = matches!(setback, Setback::Broken { stage: Stage::Silent | Stage::Handshake, .. });
        let failure = failure(asked, setback, self.wanted);
        self.faults += 1;
        let is_last = self.faults == TRIES || is_silent && self.patience == Patience::ForAServerThatIsThere;
        let doubled = |delay: Duration| delay * 2_u32.saturating_pow(self.faults - 1);
        let delay = match failure.retry {
            Retry::Never => return Err(failure.error),
            Retry::Doubling(delay) | Retry::Later(delay) => doubled(delay),
            Retry::After(delay) => delay,
        };
        if let Retry::Later(_) | Retry::After(_) = failure.retry {
            (asked.stall)(delay);
        }
        if is_last || self.is_too_late_after(delay) { Err(failure.error) } else { Ok(delay) }
    }

    /// Whether no try may begin when this time has passed.
    pub fn is_too_late_after(&self, delay: Duration) -> bool {
        self.until.is_some_and(|until| Instant::now().checked_add(delay).is_none_or(|then| then > until))
    }
}

/// What a setback means.
pub(super) fn failure(asked: &Asked<'_>, setback: Setback, wanted: &str) -> Failure {
    let registry = asked.server.to_owned();
    let wanted = wanted.to_owned();
    let soon = Retry::Doubling(SOON);
    let (error, retry) = match setback {
        Setback::Broken { source, .. } => (RegistryError::Unreachable { registry, source }, soon),
        Setback::PlainHttp => (RegistryError::PlainHttp { registry }, Retry::Never),
        Setback::Untrusted(reason) => (RegistryError::Untrusted { registry, reason }, Retry::Never),
        Setback::Uncertified(reason) => (RegistryError::Uncertified { registry, reason }, Retry::Never),
        Setback::Denied(answer) => (denied(asked, (asked.told)(&answer)), Retry::Never),
        Setback::Unusable(answer) => (RegistryError::Unusable { registry, answer }, Retry::Never),
        Setback::Wrong(reason) => (RegistryError::Corrupt { registry, wanted, reason }, Retry::Never),
        Setback::Status(complaint) => return of_status(asked, &complaint, wanted),
    };
    Failure { error, retry }
}

fn denied(asked: &Asked<'_>, answer: String) -> RegistryError {
    RegistryError::Denied { registry: asked.server.to_owned(), answer, complaint: asked.complaint.map(str::to_owned) }
}

/// What an answer means that is an error: as its code says, or else its status.
fn of_status(asked: &Asked<'_>, complaint: &Complaint, wanted: String) -> Failure {
    let registry = asked.server.to_owned();
    let (code, text) = code_of(&complaint.text);
    let status = complaint.status.as_u16();
    let text = (asked.told)(&text);
    let answer = if text.is_empty() { complaint.status.to_string() } else { format!("{status} {text}") };
    match (status, code.as_str()) {
        (401, _) => {
            let answer = if code.is_empty() { String::new() } else { format!(": {text}") };
            Failure { error: denied(asked, format!("401 Unauthorized{answer}")), retry: Retry::Never }
        }
        (403, _) | (400..500, "UNAUTHORIZED" | "DENIED") => {
            Failure { error: denied(asked, answer), retry: Retry::Never }
        }
        (404, _) | (400..500, "MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN" | "NOT_FOUND") => {
            Failure { error: RegistryError::NotFound { registry, wanted }, retry: Retry::Never }
        }
        (416, _) => {
            let reason = format!("it is shorter than its descriptor says, or {answer}");
            Failure { error: RegistryError::Corrupt { registry, wanted, reason }, retry: Retry::Never }
        }
        (429 | 503, _) | (400..500, "TOOMANYREQUESTS") => patient(registry, answer, complaint.retry_after),
        (408 | 500.., _) => Failure { error: RegistryError::Failed { registry, answer }, retry: Retry::Doubling(SOON) },
        _ => Failure { error: RegistryError::Unusable { registry, answer }, retry: Retry::Never },
    }
}

/// A server that asks for patience, for some time or for as long as may be.
fn patient(registry: String, answer: String, asked: Option<Duration>) -> Failure {
    let retry = match asked {
        None => Retry::Later(LATER),
        Some(asked) if asked <= LONGEST => Retry::After(asked),
        Some(asked) => {
            let answer = format!("{answer}; it wants to be asked again in {} s", asked.as_secs());
            return Failure { error: RegistryError::Unusable { registry, answer }, retry: Retry::Never };
        }
    };
    Failure { error: RegistryError::Failed { registry, answer }, retry }
}

/// The first code of an error as registries write it (OCI distribution specification, "Error Codes"), and its text; no
/// code and the whole text when it is none.
pub(super) fn code_of(text: &str) -> (String, String) {
    #[derive(Deserialize)]
    struct Envelope {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        code: String,
        #[serde(default)]
        message: Option<String>,
    }
    let envelope: Option<Envelope> = serde_json::from_str(text).ok();
    match envelope.and_then(|envelope| envelope.errors.into_iter().next()) {
        Some(Entry { code, message: Some(message) }) => {
            let text = format!("{code}: {message}");
            (code, text)
        }
        Some(Entry { code, message: None }) => (code.clone(), code),
        None => (String::new(), text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_found_where_there_is_one() {
        let rows = [
            (r#"{"errors":[{"code":"DENIED","message":"no"},{"code":"X"}]}"#, "DENIED", "DENIED: no"),
            (r#"{"errors":[{"code":"DENIED","detail":{}}]}"#, "DENIED", "DENIED"),
            (r#"{"errors":[]}"#, "", r#"{"errors":[]}"#),
            ("bad gateway", "", "bad gateway"),
        ];
        for (text, code, told) in rows {
            assert_eq!(code_of(text), (code.to_owned(), told.to_owned()));
        }
    }
}
