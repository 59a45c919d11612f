//! Who asks Google Cloud: what its own tools keep of the user, found where they look for it.
//!
//! # Format
//! "How Application Default Credentials works": the file that `GOOGLE_APPLICATION_CREDENTIALS` names, else the one that
//! `gcloud auth application-default login` writes, else the metadata server of one of Google's machines. The project is in
//! gcloud's configuration, an INI file.

use std::path::PathBuf;

use serde::Deserialize;

use crate::base::ErrorKind;
use crate::push::{Error, Surroundings, ini};

/// Who asks.
pub(super) enum Account {
    /// A service account, by its key.
    Key(Key),
    /// A user, by the token of a login.
    Login(Login),
    /// Somebody who has a token already.
    Token(String),
    /// The service account of this machine, if it is one of Google's.
    Machine,
    /// Nobody: an emulator is asked.
    Nobody,
}

/// The key of a service account.
#[derive(Deserialize)]
pub(super) struct Key {
    pub client_email: String,
    /// In PEM.
    pub private_key: String,
    pub token_uri: Option<String>,
    project_id: Option<String>,
}

/// What a login left.
#[derive(Deserialize)]
pub(super) struct Login {
    pub client_id: String,
    pub client_secret: String,
    pub refresh_token: String,
    /// The project that pays for what is asked.
    pub quota_project_id: Option<String>,
}

/// A file with credentials.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum File {
    ServiceAccount(Key),
    AuthorizedUser(Login),
    #[serde(other)]
    Other,
}

impl Account {
    /// Who is known here; `keys` is a file that the user names, and `is_emulated` says that nobody needs to be known.
    ///
    /// # Errors
    /// When a file cannot be read, or holds no credentials that lkit can use, or nobody is known.
    pub fn find(keys: Option<PathBuf>, is_emulated: bool, surroundings: &Surroundings) -> Result<Self, Error> {
        let named = keys.or_else(|| surroundings.variable("GOOGLE_APPLICATION_CREDENTIALS").map(PathBuf::from));
        if let Some(path) = named {
            return Self::of_file(&path)?.ok_or_else(|| {
                Error::new(ErrorKind::Io, format!("there is no `{}`", path.display()))
                    .hint("name the key of a service account with `--keys FILE`")
            });
        }
        if let Some(path) = surroundings.variable("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE").map(PathBuf::from) {
            let token = ini::text(&path)?.unwrap_or_default().trim().to_owned();
            let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
            let none = || Error::new(ErrorKind::Io, format!("`{}` holds no token", path.display()));
            return is_token.then_some(Self::Token(token)).ok_or_else(|| {
                none()
                    .hint("write one with `gcloud auth print-access-token`, or unset `CLOUDSDK_AUTH_ACCESS_TOKEN_FILE`")
            });
        }
        let usual = folder(surroundings).map(|dir| dir.join("application_default_credentials.json"));
        match usual.map(|path| Self::of_file(&path)).transpose()?.flatten() {
            Some(found) => Ok(found),
            None if is_emulated => Ok(Self::Nobody),
            None if surroundings.variable("NO_GCE_CHECK").is_some_and(|value| value == "true") => Err(unknown()),
            None => Ok(Self::Machine),
        }
    }

    /// Nothing where there is no file.
    fn of_file(path: &std::path::Path) -> Result<Option<Self>, Error> {
        let Some(text) = ini::text(path)? else { return Ok(None) };
        let wrong = |what: &str| Error::new(ErrorKind::Unsupported, format!("`{}` {what}", path.display()));
        // What is wrong with it is not told: it may be a secret that stands in a wrong place.
        let file = serde_json::from_str(&text).map_err(|_| {
            wrong("is neither the key of a service account nor what a login left").hint(
                "make a key with `gcloud iam service-accounts keys create`, or log in with \
                 `gcloud auth application-default login`",
            )
        })?;
        match file {
            File::ServiceAccount(key) => Ok(Some(Self::Key(key))),
            File::AuthorizedUser(login) => Ok(Some(Self::Login(login))),
            File::Other => Err(wrong("has credentials of a kind that lkit does not use").hint(
                "let gcloud use them: `gcloud auth print-access-token > FILE`, and set \
                 `CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=FILE`",
            )),
        }
    }

    /// The project that what is asked is a part of: that of the environment, of the key, or of gcloud's configuration.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub fn project(&self, surroundings: &Surroundings) -> Result<Option<String>, Error> {
        let of_key = || match self {
            Self::Key(key) => key.project_id.clone(),
            _ => None,
        };
        let found = surroundings.variable("GOOGLE_CLOUD_PROJECT").or_else(of_key);
        found.map_or_else(|| configured(surroundings), |found| Ok(Some(found)))
    }

    /// What must not be told.
    pub fn secrets(&self) -> Vec<String> {
        match self {
            Self::Key(key) => vec![key.private_key.clone()],
            Self::Login(login) => vec![login.client_secret.clone(), login.refresh_token.clone()],
            Self::Token(token) => vec![token.clone()],
            Self::Machine | Self::Nobody => Vec::new(),
        }
    }
}

/// Nobody is known.
pub(super) fn unknown() -> Error {
    Error::new(ErrorKind::Denied, "no credentials for Google Cloud are known").hint(
        "log in with `gcloud auth application-default login`, or name the key of a service account with `--keys FILE`",
    )
}

/// Where gcloud keeps what it knows.
fn folder(surroundings: &Surroundings) -> Option<PathBuf> {
    let named = surroundings.variable("CLOUDSDK_CONFIG").map(PathBuf::from);
    named.or_else(|| surroundings.home.as_ref().map(|home| home.join(".config/gcloud")))
}

/// The project of gcloud's active configuration.
fn configured(surroundings: &Surroundings) -> Result<Option<String>, Error> {
    let Some(folder) = folder(surroundings) else { return Ok(None) };
    let active = match surroundings.variable("CLOUDSDK_ACTIVE_CONFIG_NAME") {
        Some(name) => name,
        None => ini::text(&folder.join("active_config"))?.unwrap_or_else(|| "default".to_owned()),
    };
    let name = active.trim();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Ok(None);
    }
    let text = ini::text(&folder.join("configurations").join(format!("config_{name}")))?.unwrap_or_default();
    Ok(ini::value(&text, "core", "project").map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use super::*;
    use crate::base::Fault as _;

    fn surroundings(home: &Path, variables: &[(&str, &str)]) -> Surroundings {
        let variables: HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Surroundings {
            variable: Box::new(move |name| variables.get(name).cloned()),
            home: Some(home.to_owned()),
            ..Surroundings::default()
        }
    }

    /// Who is found, in a word, and the project.
    fn found(home: &Path, variables: &[(&str, &str)]) -> Result<(String, Option<String>), String> {
        let surroundings = surroundings(home, variables);
        let account = Account::find(None, false, &surroundings).map_err(|error| error.to_string())?;
        let who = match &account {
            Account::Key(key) => key.client_email.clone(),
            Account::Login(login) => login.client_id.clone(),
            Account::Token(token) => token.clone(),
            Account::Machine => "machine".to_owned(),
            Account::Nobody => "nobody".to_owned(),
        };
        Ok((who, account.project(&surroundings).map_err(|error| error.to_string())?))
    }

    #[test]
    fn credentials_and_project_are_found_where_googles_tools_keep_them() {
        let home = tempfile::tempdir().unwrap();
        let is = |who: &str, project: Option<&str>| Ok((who.to_owned(), project.map(str::to_owned)));
        assert_eq!(found(home.path(), &[]), is("machine", None));
        assert_eq!(
            found(home.path(), &[("NO_GCE_CHECK", "true")]).unwrap_err(),
            "no credentials for Google Cloud are known"
        );
        let gcloud = home.path().join(".config/gcloud");
        std::fs::create_dir_all(gcloud.join("configurations")).unwrap();
        let login = r#"{"type":"authorized_user","client_id":"U","client_secret":"S","refresh_token":"R"}"#;
        std::fs::write(gcloud.join("application_default_credentials.json"), login).unwrap();
        std::fs::write(gcloud.join("configurations/config_default"), "[core]\nproject = p-d\n").unwrap();
        std::fs::write(gcloud.join("configurations/config_b"), "[compute]\nproject=x\n[core]\nproject = p-b\n")
            .unwrap();
        assert_eq!(found(home.path(), &[]), is("U", Some("p-d")));
        std::fs::write(gcloud.join("active_config"), "b\n").unwrap();
        assert_eq!(found(home.path(), &[]), is("U", Some("p-b")));
        assert_eq!(found(home.path(), &[("GOOGLE_CLOUD_PROJECT", "p-e")]), is("U", Some("p-e")));
        assert_eq!(found(home.path(), &[("CLOUDSDK_ACTIVE_CONFIG_NAME", "../b")]), is("U", None));
        let key = home.path().join("key.json");
        let text = r#"{"type":"service_account","client_email":"K","private_key":"x","project_id":"p-k"}"#;
        std::fs::write(&key, text).unwrap();
        let named = [("GOOGLE_APPLICATION_CREDENTIALS", key.to_str().unwrap())];
        assert_eq!(found(home.path(), &named), is("K", Some("p-k")));
        let token = home.path().join("token");
        std::fs::write(&token, "tok-1\n").unwrap();
        let named = [("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", token.to_str().unwrap())];
        assert_eq!(found(home.path(), &named), is("tok-1", Some("p-b")));
    }

    #[test]
    fn files_that_are_none_are_refused_without_telling_what_is_in_them() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key.json");
        let rows = [
            ("{\"private_key\": \"hunter22\"}", "is neither the key of a service account nor what a login left"),
            ("hunter22", "is neither the key of a service account nor what a login left"),
            ("{\"type\": \"service_account\", \"client_email\": \"hunter22\"}", "is neither the key"),
            (
                "{\"type\": \"external_account\", \"x\": \"hunter22\"}",
                "has credentials of a kind that lkit does not use",
            ),
        ];
        for (text, told) in rows {
            std::fs::write(&path, text).unwrap();
            let found = Account::find(Some(path.clone()), false, &surroundings(home.path(), &[]));
            let error = found.err().unwrap();
            assert!(error.to_string().contains(told) && !error.to_string().contains("hunter22"), "{error}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
        std::fs::remove_file(&path).unwrap();
        let error = Account::find(Some(path), true, &surroundings(home.path(), &[])).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Io);
    }
}
