//! What `docker login` and `podman login` left: user names, passwords and tokens by registry, from docker's `config.json`,
//! podman's `auth.json`, or a credential helper that one of them names.

use std::fmt;
use std::io::Read as _;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use docker_credential::{CredentialRetrievalError, DockerCredential};

use super::reference::DOCKER_HUB;
use crate::blob::open_regular;

/// Where credentials are looked for, the first place first. The first that has some for a registry is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    places: Vec<CredentialPlace>,
}

/// A place that may hold credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum CredentialPlace {
    /// A `config.json` of docker or an `auth.json` of podman; one that is missing holds none.
    File(PathBuf),
    /// The text of such a file, and what messages call it.
    Text(&'static str, String),
}

/// Most bytes of a file of credentials that are read.
const MAX_CONFIG: u64 = 8 << 20;

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Login {
    /// Anybody.
    Anonymous,
    /// A user with a password.
    Password(String, String),
    /// Somebody with a token for the token server.
    IdentityToken(String),
}

impl Login {
    /// The `Authorization` header of the scheme Basic.
    pub fn basic(&self) -> Option<String> {
        let (user, password) = match self {
            Self::Anonymous => return None,
            Self::Password(user, password) => (user.as_str(), password),
            // The user that stands for a token where a password is wanted, by the convention of Azure.
            Self::IdentityToken(token) => ("00000000-0000-0000-0000-000000000000", token),
        };
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    /// `text` without the password: a server may send back what it was sent.
    pub fn hidden_in(&self, text: &str) -> String {
        let (Self::Password(_, secret) | Self::IdentityToken(secret)) = self else { return text.to_owned() };
        match self.basic() {
            Some(header) if !secret.is_empty() => {
                text.replace(secret, "***").replace(header.trim_start_matches("Basic "), "***")
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
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
        }
    }
}

impl fmt::Debug for CredentialPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name())
    }
}

impl CredentialPlace {
    fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(name, _) => (*name).to_owned(),
        }
    }

    /// The text; empty where there is no such file.
    fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        match self {
            Self::File(path) => {
                let read = open_regular(path).and_then(|file| file.take(MAX_CONFIG).read_to_end(&mut text));
                // One that cannot be read holds none.
                if read.is_err() { Vec::new() } else { text }
            }
            Self::Text(_, text) => text.clone().into_bytes(),
        }
    }

    /// What it has for a registry; `None` when it has nothing.
    fn lookup(&self, keys: &[&str]) -> Result<Option<Login>, CredentialRetrievalError> {
        let text = self.text();
        if text.trim_ascii().is_empty() {
            return Ok(None);
        }
        for key in keys {
            match docker_credential::get_credential_from_reader(text.as_slice(), key) {
                Ok(DockerCredential::UsernamePassword(user, password)) => {
                    return Ok(Some(Login::Password(user, password)));
                }
                Ok(DockerCredential::IdentityToken(token)) => return Ok(Some(Login::IdentityToken(token))),
                Err(error) if is_missing(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

impl Credentials {
    /// Credentials of these places.
    pub fn of(places: Vec<CredentialPlace>) -> Self {
        Self { places }
    }

    /// Who asks the registry `host`, nobody in particular without a login; else what is wrong with the credentials.
    ///
    /// # Errors
    /// One line, when they cannot be read.
    pub fn user(&self, host: &str) -> Result<Option<String>, String> {
        match self.lookup(host, "") {
            (_, Some(complaint)) => Err(complaint),
            (Login::Password(user, _), None) => Ok(Some(user)),
            (Login::IdentityToken(_), None) => Ok(Some("a token".to_owned())),
            (Login::Anonymous, None) => Ok(None),
        }
    }

    /// What to tell the registry `host` when it is asked for `repository`; where credentials cannot be read, why not, and
    /// anonymous: most images are public, and a registry that is not satisfied says so.
    pub(super) fn lookup(&self, host: &str, repository: &str) -> (Login, Option<String>) {
        let full = format!("{host}/{repository}");
        let keys = keys(&full, host);
        let mut complaint = None;
        for place in &self.places {
            match place.lookup(&keys) {
                Ok(Some(login)) => return (login, None),
                Ok(None) => {}
                Err(error) => complaint = complaint.or_else(|| Some(complaint_of(&error, &place.name()))),
            }
        }
        (Login::Anonymous, complaint)
    }
}

/// The names under which credentials for a repository may be kept, the narrowest first (containers-auth.json(5)); docker
/// keeps its own registry under a name of its own.
fn keys<'a>(full: &'a str, host: &str) -> Vec<&'a str> {
    let ends = full.char_indices().rev().filter(|(at, c)| *c == '/' && *at >= host.len()).map(|(at, _)| at);
    let mut keys: Vec<&str> = std::iter::once(full.len()).chain(ends).map(|end| &full[..end]).collect();
    if host == DOCKER_HUB {
        keys.push("https://index.docker.io/v1/");
    }
    keys
}

fn is_missing(error: &CredentialRetrievalError) -> bool {
    match error {
        CredentialRetrievalError::NoCredentialConfigured => true,
        CredentialRetrievalError::HelperFailure { stdout, .. } => stdout.contains("credentials not found"),
        _ => false,
    }
}

/// One line about an error.
fn complaint_of(error: &CredentialRetrievalError, place: &str) -> String {
    match error {
        // Its output is not repeated: it may hold what it should not.
        CredentialRetrievalError::HelperFailure { helper, .. } => format!("`{helper}` named in `{place}` failed"),
        other => format!("`{place}`: {}", other.to_string().to_lowercase()),
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
        let credentials = Credentials::of(vec![CredentialPlace::File(path)]);
        let basic = |user: &str, password: &str| Login::Password(user.to_owned(), password.to_owned());
        assert_eq!(credentials.lookup("127.0.0.1:5000", "a/b"), (basic("user", "secret"), None));
        assert_eq!(credentials.lookup("docker.io", "library/b"), (basic("hub", "word"), None));
        assert_eq!(credentials.lookup("quay.io", "b"), (Login::Anonymous, None));
    }

    #[test]
    fn a_helper_that_is_missing_is_told_and_the_registry_asked_as_anybody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, r#"{"credsStore":"there-is-no-such-helper"}"#).unwrap();
        let (auth, why) = Credentials::of(vec![CredentialPlace::File(path)]).lookup("quay.io", "b");
        assert_eq!(auth, Login::Anonymous);
        assert!(why.unwrap().contains("credential helper"));
    }

    #[test]
    fn the_narrowest_name_in_the_first_place_that_has_one_is_believed() {
        let auth =
            |name: &str, user: &str| format!(r#""{name}":{{"auth":"{}"}}"#, STANDARD.encode(format!("{user}:p")));
        let text = |rows: &[(&str, &str)]| {
            let rows: Vec<String> = rows.iter().map(|(name, user)| auth(name, user)).collect();
            CredentialPlace::Text("X", format!(r#"{{"auths":{{{}}}}}"#, rows.join(",")))
        };
        let places = vec![
            text(&[]),
            CredentialPlace::Text("Y", String::new()),
            text(&[("q.io/a", "a"), ("q.io/a/b", "ab"), ("docker.io", "hub")]),
            text(&[("q.io", "q"), ("q.io/a/b/c", "late")]),
        ];
        let credentials = Credentials::of(places);
        let rows =
            [("q.io", "a/b/c", "ab"), ("q.io", "a/x", "a"), ("q.io", "ab", "q"), ("docker.io", "library/x", "hub")];
        for (host, repository, user) in rows {
            let login = Login::Password(user.to_owned(), "p".to_owned());
            assert_eq!(credentials.lookup(host, repository), (login, None), "{host}/{repository}");
        }
        assert_eq!(credentials.lookup("io", "a"), (Login::Anonymous, None));
    }

    #[test]
    fn an_identity_token_is_no_password() {
        let text = r#"{"auths":{"q.io":{"identitytoken":"t0ken"}}}"#.to_owned();
        let (login, _) = Credentials::of(vec![CredentialPlace::Text("X", text)]).lookup("q.io", "a");
        assert_eq!(login, Login::IdentityToken("t0ken".to_owned()));
        assert_eq!(login.hidden_in("a t0ken!"), "a ***!");
    }
}
