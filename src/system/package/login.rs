//! Passwords that a builder is given for its registries, in the place of those that docker has.
//!
//! # Format
//! docker's `config.json`, which `buildah` reads as well.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::text::text;
use super::{Builder, PackageError};

/// What Docker Hub is called in docker's file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// A password for a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    registry: String,
    secret: Secret,
}

#[derive(Clone, PartialEq, Eq)]
enum Secret {
    /// `USER:PASSWORD`.
    Password(String),
    Token(String),
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.registry)
    }
}

impl FromStr for Login {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (registry, secret) = text.split_once('=').ok_or("it has no `=`")?;
        let registry =
            registry.trim().trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
        let registry = registry.split('/').next().unwrap_or_default();
        let secret = match secret.trim().split_once(':') {
            Some((user, password)) if user.trim().is_empty() || password.trim().is_empty() => {
                return Err("its user or its password is empty");
            }
            Some((user, password)) => Secret::Password(format!("{}:{}", user.trim(), password.trim())),
            None if secret.trim().is_empty() => return Err("its token is empty"),
            None => Secret::Token(secret.trim().to_owned()),
        };
        if registry.is_empty() {
            return Err("it names no registry");
        }
        Ok(Self { registry: registry.to_owned(), secret })
    }
}

/// Writes the passwords for a builder into `folder`, which is made; what tells it of them in its environment.
///
/// # Errors
/// When there is no room, or the builder knows no tokens.
pub(super) fn write(
    logins: &[Login],
    builder: Builder,
    folder: &Path,
) -> Result<Vec<(&'static str, OsString)>, PackageError> {
    if logins.is_empty() {
        return Ok(Vec::new());
    }
    if builder == Builder::Buildah && logins.iter().any(|login| matches!(login.secret, Secret::Token(_))) {
        let message = "`buildah` takes no registry tokens; give it a user and a password".to_owned();
        return Err(PackageError::Invalid(message));
    }
    let own = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let own = own.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    fill(logins, own.as_deref(), folder).map_err(PackageError::Temporary)?;
    let file = folder.join("config.json").into_os_string();
    Ok(match builder {
        Builder::Buildah => vec![("REGISTRY_AUTH_FILE", file)],
        Builder::Buildctl | Builder::Docker => vec![("DOCKER_CONFIG", folder.into())],
    })
}

/// A folder as docker's own one, with these passwords and no others.
fn fill(logins: &[Login], own: Option<&Path>, folder: &Path) -> std::io::Result<()> {
    fs::create_dir(folder)?;
    let mut settings = Map::new();
    if let Some(own) = own.filter(|own| own.is_dir()) {
        for entry in fs::read_dir(own)? {
            let entry = entry?;
            if entry.file_name() != "config.json" {
                symlink(entry.path(), folder.join(entry.file_name()))?;
            }
        }
        settings = serde_json::from_str(&text(&own.join("config.json")).unwrap_or_default()).unwrap_or_default();
    }
    settings.retain(|name, _| !["auths", "credsStore", "credHelpers"].contains(&&**name));
    let auths = logins.iter().flat_map(|Login { registry, secret }| {
        let secret = match secret {
            Secret::Password(text) => json!({"auth": STANDARD.encode(text)}),
            Secret::Token(text) => json!({"registrytoken": text}),
        };
        let is_hub = ["docker.io", "index.docker.io", "registry-1.docker.io"].contains(&&**registry);
        let names = if is_hub { vec![DOCKER_HUB, "docker.io"] } else { vec![&**registry] };
        names.into_iter().map(move |name| (name.to_owned(), secret.clone()))
    });
    settings.insert("auths".to_owned(), Value::Object(auths.collect()));
    let file = fs::File::options().write(true).create_new(true).mode(0o600).open(folder.join("config.json"))?;
    Ok(serde_json::to_writer(file, &settings)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_passwords_take_the_place_of_dockers_and_all_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        fs::create_dir_all(own.join("contexts/meta")).unwrap();
        fs::write(own.join("config.json"), r#"{"credsStore":"x","auths":{"a":{}},"currentContext":"c"}"#).unwrap();
        let logins: [Login; 2] =
            ["https://index.docker.io/v1/=u:p:q", "ghcr.io= dG9r "].map(|text| text.parse().unwrap());
        fill(&logins, Some(&own), &dir.path().join("new")).unwrap();
        let text = fs::read_to_string(dir.path().join("new/config.json")).unwrap();
        let auth = json!({"auth": "dTpwOnE="});
        let expected = json!({"currentContext": "c", "auths": {
            DOCKER_HUB: auth, "docker.io": auth, "ghcr.io": {"registrytoken": "dG9r"}}});
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        assert!(dir.path().join("new/contexts/meta").is_dir());
        for text in ["x", "=u:p", "r=", "r=:p", "r=u:"] {
            assert!(text.parse::<Login>().is_err(), "{text}");
        }
        assert_eq!(format!("{:?}", logins[1]), "Login(ghcr.io)");
    }
}
