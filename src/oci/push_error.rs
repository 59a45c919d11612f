//! Why something cannot be put into a registry.

use super::{Reference, RegistryError};
use crate::base::{ErrorKind, Fault};
use crate::extent::ReadError;

/// Something that could not be pushed.
#[derive(Debug, thiserror::Error)]
#[error("cannot push to `{target}`")]
pub struct PushError {
    /// Registry and repository.
    pub target: String,
    /// Why.
    #[source]
    pub problem: PushProblem,
}

/// Why it could not be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushProblem {
    /// No registry may be asked.
    #[error("no registry may be asked")]
    Offline,
    /// What is to be pushed is no manifest or image index.
    #[error("it is no manifest: {0}")]
    NotAManifest(String),
    /// The registry did not take it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// What is to be pushed cannot be read.
    #[error(transparent)]
    Content(#[from] ReadError),
}

impl PushError {
    /// Whether it is about what is to be pushed, and not about the registry.
    pub fn is_about_content(&self) -> bool {
        matches!(self.problem, PushProblem::Content(_))
    }

    /// Nothing may be pushed to `target`, since no registry may be asked.
    pub(super) fn offline(target: &Reference) -> Self {
        Self { target: format!("{}/{}", target.registry(), target.repository()), problem: PushProblem::Offline }
    }
}

impl Fault for PushError {
    fn kind(&self) -> ErrorKind {
        match &self.problem {
            PushProblem::Offline => ErrorKind::Usage,
            PushProblem::NotAManifest(_) => ErrorKind::Corrupt,
            PushProblem::Registry(error) => error.kind(),
            PushProblem::Content(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match &self.problem {
            PushProblem::Offline => Some("leave out `--offline`".to_owned()),
            PushProblem::NotAManifest(_) => None,
            // What else a pull could do is not for a push.
            PushProblem::Registry(RegistryError::Unreachable { .. } | RegistryError::Failed { .. }) => {
                Some("check the name of the registry and the network, and try again".to_owned())
            }
            PushProblem::Registry(error) => error.hint(),
            PushProblem::Content(error) if error.kind() == ErrorKind::Corrupt => {
                Some("bring the image here again with `lkit cache pull`".to_owned())
            }
            PushProblem::Content(error) => error.hint(),
        }
    }
}
