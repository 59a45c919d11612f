//! What `docker login` left: user names and passwords by registry, from docker's `config.json` or its helpers.

use std::fmt;
use std::io::{BufReader, Read as _};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError, DockerCredential};

use super::reference::DOCKER_HUB;
use crate::blob::open_regular;

/// Where credentials come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nowhere: registries are asked as anybody.
    #[default]
    None,
    /// A docker `config.json`; one that is missing holds none.
    DockerConfig(PathBuf),
}

/// Most bytes of a `config.json` that are read.
const MAX_CONFIG: u64 = 8 << 20;

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// Anybody.
    Anonymous,
    /// A user with a password.
    Password(String, String),
}

impl Login {
    /// The `Authorization` header of the scheme Basic.
    pub fn basic(&self) -> Option<String> {
        let Self::Password(user, password) = self else { return None };
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// `text` without the password: a server may send back what it was sent.
    pub fn hidden_in(&self, text: &str) -> String {
        match (self, self.basic()) {
            (Self::Password(_, password), Some(header)) if !password.is_empty() => {
                text.replace(password, "***").replace(header.trim_start_matches("Basic "), "***")
            }
            _ => text.to_owned(),
        }
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Password(user, _) => write!(f, "Password({user}, …)"),
        }
    }
}

impl Credentials {
    /// What to tell the registry `host`; where credentials cannot be read, why not, and anonymous: most images are
    /// public, and a registry that is not satisfied says so.
    pub(super) fn lookup(&self, host: &str) -> (Login, Option<String>) {
        let Self::DockerConfig(path) = self else { return (Login::Anonymous, None) };
        let Ok(file) = open_regular(path) else { return (Login::Anonymous, None) };
        // The name that docker keeps its own registry under.
        let server = if host == DOCKER_HUB { "https://index.docker.io/v1/" } else { host };
        match docker_credential::get_credential_from_reader(BufReader::new(file.take(MAX_CONFIG)), server) {
            Ok(DockerCredential::UsernamePassword(user, password)) => (Login::Password(user, password), None),
            // A registry's refresh token stands for the password of this user (Azure's convention, the one that has them).
            Ok(DockerCredential::IdentityToken(token)) => {
                (Login::Password("00000000-0000-0000-0000-000000000000".to_owned(), token), None)
            }
            Err(error) => (Login::Anonymous, complaint(&error, &path.display().to_string())),
        }
    }
}

/// One line about an error, unless it only says that there are no credentials.
fn complaint(error: &CredentialRetrievalError, path: &str) -> Option<String> {
    match error {
        CredentialRetrievalError::NoCredentialConfigured => None,
        CredentialRetrievalError::HelperFailure { stdout, .. } if stdout.contains("credentials not found") => None,
        // Its output is not repeated: it may hold what it should not.
        CredentialRetrievalError::HelperFailure { helper, .. } => Some(format!("`{helper}` named in `{path}` failed")),
        other => Some(format!("`{path}`: {}", other.to_string().to_lowercase())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found_under_dockers_names() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        // user:secret, hub:word
        let text = r#"{"auths":{"127.0.0.1:5000":{"auth":"dXNlcjpzZWNyZXQ="},
                      "https://index.docker.io/v1/":{"auth":"aHViOndvcmQ="}}}"#;
        std::fs::write(&path, text).unwrap();
        let credentials = Credentials::DockerConfig(path);
        let basic = |user: &str, password: &str| Login::Password(user.to_owned(), password.to_owned());
        assert_eq!(credentials.lookup("127.0.0.1:5000"), (basic("user", "secret"), None));
        assert_eq!(credentials.lookup("docker.io"), (basic("hub", "word"), None));
        assert_eq!(credentials.lookup("quay.io"), (Login::Anonymous, None));
    }

    #[test]
    fn a_helper_that_is_missing_is_told_and_the_registry_asked_as_anybody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, r#"{"credsStore":"there-is-no-such-helper"}"#).unwrap();
        let (auth, why) = Credentials::DockerConfig(path).lookup("quay.io");
        assert_eq!(auth, Login::Anonymous);
        assert!(why.unwrap().contains("credential helper"));
    }
}
