//! What goes wrong with a registry.

use std::error::Error as StdError;
use std::path::PathBuf;

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
    /// It cannot prove that it is who it should be.
    #[error("registry `{registry}` is not trusted: {reason}")]
    Untrusted {
        /// Host and port.
        registry: String,
        /// What is wrong with its certificate.
        reason: String,
    },
    /// It wants a certificate of its client.
    #[error("registry `{registry}` wants a certificate of its client: {reason}")]
    Uncertified {
        /// Host and port.
        registry: String,
        /// What it says.
        reason: String,
    },
    /// Certificates of this machine cannot be used.
    #[error("cannot use `{}` for TLS: {reason}", path.display())]
    Certificates {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It failed.
    #[error("registry `{registry}` answered: {answer}")]
    Failed {
        /// Host and port.
        registry: String,
        /// Its answer, in one line.
        answer: String,
    },
    /// It answers in a way that no second try mends.
    #[error("registry `{registry}` answered: {answer}")]
    Unusable {
        /// Host and port.
        registry: String,
        /// Its answer, in one line.
        answer: String,
    },
    /// It wants a login, or does not allow what is asked for.
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
    /// The program is to end.
    #[error("interrupted while registry `{registry}` was waited for")]
    Interrupted {
        /// Host and port.
        registry: String,
    },
}

impl RegistryError {
    /// Whether the same question may have a better answer later.
    pub(super) const fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Failed { .. })
    }
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
            Self::Unreachable { .. } | Self::PlainHttp { .. } | Self::Failed { .. } | Self::Unusable { .. } => {
                ErrorKind::Unreachable
            }
            Self::Interrupted { .. } => ErrorKind::Interrupted,
            Self::Untrusted { .. } => ErrorKind::Unreachable,
            Self::Denied { .. } | Self::PushDenied { .. } | Self::NotTaken { .. } | Self::Uncertified { .. } => {
                ErrorKind::Denied
            }
            Self::Certificates { .. } => ErrorKind::Io,
            Self::NotFound { .. } => ErrorKind::ImageNotFound,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Interrupted { .. } => return None,
            Self::Unreachable { .. } | Self::Failed { .. } | Self::Unusable { .. } => {
                "check the network, name a mirror with `--mirror`, or use only what is here with `--offline`".to_owned()
            }
            Self::Untrusted { registry, .. } => format!(
                "if you trust it, name the certificate of its authority with `--ca FILE`, or put it into \
                 `/etc/containers/certs.d/{registry}/ca.crt`"
            ),
            Self::Uncertified { registry, .. } => {
                format!("put `client.cert` and `client.key` into `/etc/containers/certs.d/{registry}`")
            }
            Self::Certificates { .. } => "certificates are text that begins with `-----BEGIN CERTIFICATE`".to_owned(),
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
