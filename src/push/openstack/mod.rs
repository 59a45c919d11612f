//! The cloud that OpenStack is asked in: the one that OpenStack's own tools would use.
//!
//! # Format
//! "Configuring OpenStack SDK Applications": `clouds.yaml` with `secure.yaml` beside it, and the variables `OS_…`.

mod glance;
mod identity;
mod keystone;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use serde_json::Value;

pub use self::glance::{Glance, GlanceImage, GlanceImageOptions};
use super::service::address;
use super::{Error, Surroundings, ini};
use crate::base::ErrorKind;
use crate::oci::Trust;

/// What a user says of OpenStack on the command line.
#[derive(Clone, Debug, Default)]
pub struct OpenStackOptions {
    /// The cloud of `clouds.yaml`.
    pub cloud: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Where the image service is.
    pub endpoint: Option<String>,
}

/// A cloud, and the login with which it is asked.
pub struct OpenStack {
    /// Keystone, with its version.
    auth: Url,
    /// What Keystone is asked with.
    login: Value,
    /// What must not be told.
    secrets: Vec<String>,
    region: Option<String>,
    /// Such as `public`.
    interface: String,
    endpoint: Option<Url>,
    trust: Trust,
    surroundings: Arc<Surroundings>,
}

/// What is said of a cloud: in files if it has a name there, else by variables.
struct Said<'a> {
    /// Null when variables say it all.
    cloud: Value,
    surroundings: &'a Surroundings,
}

/// What variables say also of a cloud that has a name: what should not stand in files, and what changes.
const ALWAYS: [&str; 3] = ["password", "application_credential_secret", "region_name"];

impl OpenStack {
    /// What the environment and the files say; `options` come first.
    ///
    /// # Errors
    /// When there is no cloud, or what is said of it cannot be used.
    pub fn new(options: OpenStackOptions, surroundings: &Arc<Surroundings>) -> Result<Self, Error> {
        let said = Said { cloud: cloud(options.cloud, surroundings)?, surroundings };
        let auth = said.value("auth_url").ok_or_else(|| {
            Error::usage("no cloud of OpenStack is known")
                .hint("name one of clouds.yaml with `--cloud`, or set `OS_AUTH_URL` and what belongs to it")
        })?;
        let mut trust = surroundings.trust.clone();
        trust.files.extend(said.value("cacert").map(PathBuf::from));
        let is_insecure = said.cloud["verify"] == false || said.value("insecure").is_some_and(|text| is_true(&text));
        if is_insecure {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the cloud wants TLS not to be verified, which lkit does not do",
            )
            .hint("name the certificate of its authority with `--ca FILE`, `cacert` or `OS_CACERT`"));
        }
        let interface = said.value("interface").or_else(|| said.value("endpoint_type"));
        let interface = interface.unwrap_or_else(|| "public".to_owned());
        let endpoint = options.endpoint.or_else(|| said.value("image_endpoint_override"));
        let (login, secrets) = identity::login(&said)?;
        Ok(Self {
            auth: versioned(&auth)?,
            login,
            secrets,
            region: options.region.or_else(|| said.value("region_name")),
            interface: interface.trim_end_matches("URL").to_owned(),
            endpoint: endpoint.map(|text| address(&text, "endpoint")).transpose()?,
            trust,
            surroundings: surroundings.clone(),
        })
    }
}

impl Said<'_> {
    /// A value, such as that of `auth_url` or `OS_AUTH_URL`.
    fn value(&self, name: &str) -> Option<String> {
        let (of_auth, of_cloud) = (text(&self.cloud["auth"][name]), text(&self.cloud[name]));
        let is_of_variables = self.cloud.is_null() || ALWAYS.contains(&name);
        let variable = || self.surroundings.variable(&format!("OS_{}", name.to_uppercase()));
        of_auth.or(of_cloud).or_else(|| is_of_variables.then(variable).flatten())
    }

    /// The first of several values.
    fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.value(name))
    }
}

/// A scalar as text; numbers are written without quotes, too.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn is_true(text: &str) -> bool {
    ["1", "true", "yes"].iter().any(|yes| text.eq_ignore_ascii_case(yes))
}

/// Keystone's address with the version that is spoken.
fn versioned(text: &str) -> Result<Url, Error> {
    let mut url = address(text, "auth_url")?;
    let path = url.path().trim_end_matches('/').to_owned();
    if path.ends_with("/v2.0") {
        return Err(Error::new(ErrorKind::Unsupported, "auth_url: version 2 of Keystone is not spoken")
            .hint("write it with `/v3` at its end"));
    }
    url.set_path(&if path.ends_with("/v3") { path } else { format!("{path}/v3") });
    Ok(url)
}

/// What files say of the cloud that is named; null where variables say it all.
fn cloud(named: Option<String>, surroundings: &Surroundings) -> Result<Value, Error> {
    let named = named.or_else(|| surroundings.variable("OS_CLOUD"));
    if named.is_none() && surroundings.variable("OS_AUTH_URL").is_some() {
        return Ok(Value::Null);
    }
    let mut clouds = file("clouds.yaml", surroundings)?;
    let Some(name) = named else {
        // Where there is one, it is meant.
        let only =
            clouds.as_object().filter(|clouds| clouds.len() == 1).and_then(|clouds| clouds.keys().next().cloned());
        return Ok(only.map(|name| clouds[name].take()).unwrap_or_default());
    };
    let mut cloud = clouds.get_mut(&name).map(Value::take).ok_or_else(|| {
        let known: Vec<_> =
            clouds.as_object().into_iter().flat_map(|clouds| clouds.keys().map(String::as_str)).collect();
        let hint = match known[..] {
            [] => {
                "write it in `~/.config/openstack/clouds.yaml`, which the dashboard of the cloud gives out".to_owned()
            }
            _ => format!("there are {}", known.join(", ")),
        };
        Error::usage(format!("no `clouds.yaml` has a cloud `{name}`")).hint(hint)
    })?;
    let mut secure = file("secure.yaml", surroundings)?;
    if let Some(secure) = secure.get_mut(&name).map(Value::take) {
        merge(&mut cloud, secure);
    }
    if cloud["profile"].is_string() && text(&cloud["auth"]["auth_url"]).is_none() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!("cloud `{name}` is told by a profile, which lkit does not have"),
        )
        .hint("write `auth_url` of the profile to its `auth`"));
    }
    Ok(cloud)
}

/// The clouds of the first file of this name that there is.
fn file(name: &str, surroundings: &Surroundings) -> Result<Value, Error> {
    let own = surroundings.variable("OS_CLIENT_CONFIG_FILE").map(PathBuf::from);
    let own = own.map(|path| if name == "clouds.yaml" { path } else { path.with_file_name(name) });
    let home = surroundings.home.as_ref().map(|home| home.join(".config/openstack").join(name));
    let paths = [own, Some(PathBuf::from(name)), home, Some(PathBuf::from("/etc/openstack").join(name))];
    for path in paths.into_iter().flatten() {
        let Some(text) = ini::text(&path)? else { continue };
        let document: Value = serde_saphyr::from_str(&text).map_err(|error| {
            let line = error.to_string().lines().next().unwrap_or_default().to_owned();
            Error::usage(format!("`{}` is no YAML", path.display())).because(line)
        })?;
        return Ok(document["clouds"].clone());
    }
    Ok(Value::Null)
}

/// Adds what another document says; what it says counts.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}
