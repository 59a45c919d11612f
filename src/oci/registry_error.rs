//! What goes wrong with a registry.

use std::error::Error as StdError;

use crate::base::{ErrorKind, Fault};

/// What went wrong with a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It could not be spoken with.
    #[error("cannot reach registry `{registry}`")]
    Unreachable {
        /// Host and port.
        registry: String,
        /// Why not.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It is asked by https and answers by something else.
    #[error("registry `{registry}` does not speak https, but plain http as it seems")]
    PlainHttp {
        /// Host and port.
        registry: String,
    },
    /// It failed.
    #[error("registry `{registry}` answered: {answer}")]
    Failed {
        /// Host and port.
        registry: String,
        /// Its answer, in one line.
        answer: String,
    },
    /// It wants to know who asks, or does not allow it.
    #[error("registry `{registry}` refused access: {answer}")]
    Denied {
        /// Host and port.
        registry: String,
        /// Its answer, in one line.
        answer: String,
        /// Why there are no credentials, where there might be.
        complaint: Option<String>,
    },
    /// It has no such repository, tag, manifest or blob.
    #[error("registry `{registry}` has no `{wanted}`")]
    NotFound {
        /// Host and port.
        registry: String,
        /// What it was asked for.
        wanted: String,
    },
    /// It lets us not put anything there.
    #[error("registry `{registry}` refused to take `{wanted}`: {answer}")]
    PushDenied {
        /// Host and port.
        registry: String,
        /// What it was to take.
        wanted: String,
        /// Its answer, in one line.
        answer: String,
        /// Why there are no credentials, where there might be.
        complaint: Option<Box<str>>,
    },
    /// It does not take something.
    #[error("registry `{registry}` does not take `{wanted}`: {answer}")]
    NotTaken {
        /// Host and port.
        registry: String,
        /// What it was to take.
        wanted: String,
        /// Its answer, in one line.
        answer: String,
        /// What that means.
        refusal: Refusal,
    },
    /// What it sent is not what was asked for.
    #[error("registry `{registry}` sent something else than `{wanted}`: {reason}")]
    Corrupt {
        /// Host and port.
        registry: String,
        /// What it was asked for.
        wanted: String,
        /// What is wrong.
        reason: String,
    },
}

/// Why a registry does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It takes nothing, such as one that mirrors another.
    ReadOnly,
    /// It has no such repository, and makes none by itself.
    NoRepository,
    /// Somebody else was faster.
    Changed,
    /// It does not like this.
    Content,
}

impl Refusal {
    const fn hint(self) -> &'static str {
        match self {
            Self::ReadOnly => "the registry only lets read, as a mirror does; push to another one",
            Self::NoRepository => "make the repository there first: this registry makes none by itself",
            Self::Changed => "try again",
            Self::Content => "ask its owner what it takes, or push to another one",
        }
    }
}

impl Fault for RegistryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. } | Self::PlainHttp { .. } | Self::Failed { .. } => ErrorKind::Unreachable,
            Self::Denied { .. } | Self::PushDenied { .. } | Self::NotTaken { .. } => ErrorKind::Denied,
            Self::NotFound { .. } => ErrorKind::ImageNotFound,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } | Self::Failed { .. } => {
                "check the network, name a mirror with `--mirror`, or use only what is here with `--offline`".to_owned()
            }
            Self::PlainHttp { registry } => {
                format!(
                    "if you trust the network between, ask it that way with `--mirror {registry}=http://{registry}`"
                )
            }
            Self::Denied { complaint: Some(why), .. } => format!("credentials could not be read: {why}"),
            Self::PushDenied { complaint: Some(why), .. } => format!("credentials could not be read: {why}"),
            Self::PushDenied { registry, .. } => {
                format!("log in with `docker login {registry}` as a user who may push there")
            }
            Self::NotTaken { refusal, .. } => refusal.hint().to_owned(),
            Self::Denied { registry, .. } => {
                format!("check the name; if the image is private, log in with `docker login {registry}`")
            }
            Self::NotFound { .. } => "check the name and the tag".to_owned(),
            Self::Corrupt { .. } => "a proxy before the registry may be at fault; try again".to_owned(),
        })
    }
}
