//! What is served now, reported to those who change it: which generation, since when, and what is wrong with the next one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

/// The status of what may be replaced while it is served. A copy is the same status.
#[derive(Clone)]
pub struct Status(Arc<Mutex<State>>);

struct State {
    generation: u64,
    since: SystemTime,
    trouble: Option<(SystemTime, Trouble)>,
}

/// Why the next generation cannot be served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    /// One line.
    pub message: String,
    /// Spec, line and column, where it is about a place in a spec.
    pub place: Option<String>,
    /// The line of that place, with a marker.
    pub excerpt: Option<String>,
    /// What is below it, one line each.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Default for Status {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { generation: 1, since: SystemTime::now(), trouble: None })))
    }
}

impl Status {
    /// Another generation is served.
    pub fn replaced(&self) {
        let mut state = self.state();
        *state = State { generation: state.generation + 1, since: SystemTime::now(), trouble: None };
    }

    /// Nothing is wrong any more with what is to be served, which is what is served already.
    pub fn recovered(&self) {
        self.state().trouble = None;
    }

    /// The next generation cannot be served. The last one stays.
    pub fn failed(&self, trouble: Trouble) {
        self.state().trouble = Some((SystemTime::now(), trouble));
    }

    /// Number of the generation that is served, from 1.
    pub fn generation(&self) -> u64 {
        self.state().generation
    }

    /// All of it, with times in seconds since 1970.
    pub fn to_json(&self) -> Value {
        let State { generation, since, trouble } = &*self.state();
        let error = trouble.as_ref().map(|(since, trouble)| {
            let Trouble { message, place, excerpt, causes, hint } = trouble;
            json!({"since": seconds(*since), "message": message, "place": place, "excerpt": excerpt, "causes": causes,
                   "hint": hint})
        });
        json!({"generation": generation, "since": seconds(*since), "error": error})
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is made in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_generation_is_told_until_there_is_a_good_one() {
        let status = Status::default();
        let facts = || {
            let json = status.to_json();
            (json["generation"].clone(), json["error"]["message"].clone())
        };
        assert_eq!(facts(), (1.into(), Value::Null));
        status.failed(Trouble { message: "no".to_owned(), ..Trouble::default() });
        assert_eq!(facts(), (1.into(), "no".into()));
        status.clone().replaced();
        assert_eq!((facts(), status.generation()), ((2.into(), Value::Null), 2));
        status.failed(Trouble { message: "no".to_owned(), ..Trouble::default() });
        status.recovered();
        assert_eq!(facts(), (2.into(), Value::Null));
    }
}
