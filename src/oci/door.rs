//! What a repository is asked with: found out once for all who ask it, and renewed before it expires.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::access::Access;

/// How long a token is good whose server does not say, or says less (docker's token authentication, `expires_in`).
const SHORTEST_LIFE: Duration = Duration::from_secs(60);

/// The way into a repository.
#[derive(Default)]
pub(super) struct Door {
    grants: Mutex<Grants>,
    /// Held while a new access is got, so that many who need one ask for it once.
    pub turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Grants {
    current: Option<Grant>,
    /// The one before, which is still a secret.
    last: Option<Access>,
}

/// What a server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub access: Access,
    /// What it was the answer to.
    pub challenges: Vec<String>,
    /// When it is time for a new one.
    renew_at: Option<Instant>,
}

impl Grant {
    /// An access that came at `now` as the answer to some challenges. A token has a `life`, and is renewed after four
    /// fifths of it.
    pub fn new(access: Access, challenges: &[String], life: Option<Duration>, now: Instant) -> Self {
        let renew_at = life.and_then(|life| now.checked_add(life.max(SHORTEST_LIFE) / 5 * 4));
        Self { access, challenges: challenges.to_vec(), renew_at }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.renew_at.is_some_and(|at| at <= now)
    }

    /// The same, used until it is refused.
    pub fn until_refused(self) -> Self {
        Self { renew_at: None, ..self }
    }
}

impl Door {
    /// What was given last.
    pub fn grant(&self) -> Option<Grant> {
        self.grants().current.clone()
    }

    /// What to ask with, if that is known and not to be renewed.
    pub fn access(&self) -> Option<Access> {
        self.grant().filter(|grant| !grant.is_due(Instant::now())).map(|grant| grant.access)
    }

    /// Takes what was given.
    pub fn take(&self, grant: Grant) {
        let mut grants = self.grants();
        let last = grants.current.replace(grant);
        grants.last = last.map(|last| last.access).or(grants.last.take());
    }

    /// `text` without what must not be told.
    pub fn hidden_in(&self, text: &str) -> String {
        let grants = self.grants();
        let secrets = grants.current.iter().map(|grant| &grant.access).chain(&grants.last);
        secrets.fold(text.to_owned(), |text, secret| secret.hidden_in(&text))
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        // What is in it was put in whole.
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_renewed_after_four_fifths_of_its_life() {
        let now = Instant::now();
        for (life, due) in [(Some(300), Some(240)), (Some(60), Some(48)), (Some(1), Some(48)), (None, None)] {
            let grant = Grant::new(Access::Anybody, &[], life.map(Duration::from_secs), now);
            let at = |seconds| grant.is_due(now + Duration::from_secs(seconds));
            assert_eq!(due, [48, 240].into_iter().find(|seconds| at(*seconds)), "{life:?}");
            assert!(
                due.is_none_or(|due| !at(due - 1)) && !grant.clone().until_refused().is_due(now + 1000 * SHORTEST_LIFE)
            );
        }
        assert!(!Grant::new(Access::Anybody, &[], Some(Duration::MAX), now).is_due(now));
    }
}
