//! What Keystone is asked for a token with: a password, an application credential, or another token.
//!
//! # Format
//! "Identity API v3": Password authentication with scoped authorization, Authenticating with an Application Credential, Token
//! authentication.

use serde_json::{Value, json};

use super::Said;
use crate::base::ErrorKind;
use crate::push::Error;

/// The body of the question for a token, and what of it must not be told.
///
/// # Errors
/// When what is said is not enough.
pub(super) fn login(said: &Said<'_>) -> Result<(Value, Vec<String>), Error> {
    let kind = said.value("auth_type").unwrap_or_default();
    let kind = kind.trim_start_matches("v3").to_owned();
    let secret = said.value("application_credential_secret");
    let token = said.first(&["token", "auth_token"]);
    match kind.as_str() {
        "applicationcredential" => of_credential(said, secret),
        "token" => of_token(said, token),
        "password" => of_password(said),
        "" if secret.is_some() => of_credential(said, secret),
        "" if token.is_some() && said.value("password").is_none() => of_token(said, token),
        "" => of_password(said),
        other => {
            let message = format!("logging in to OpenStack by `{other}` is not what lkit does");
            Err(Error::new(ErrorKind::Unsupported, message)
                .hint("let OpenStack's tool do it: `export OS_AUTH_TYPE=token OS_TOKEN=$(openstack token issue -f value -c id)`"))
        }
    }
}

fn missing(what: &str, variable: &str) -> Error {
    Error::new(ErrorKind::Denied, format!("no {what} for OpenStack is known"))
        .hint(format!("set `{variable}`, or write it to `clouds.yaml`"))
}

fn of_password(said: &Said<'_>) -> Result<(Value, Vec<String>), Error> {
    let password = said.value("password").ok_or_else(|| missing("password", "OS_PASSWORD"))?;
    let mut user = user(said).ok_or_else(|| missing("user", "OS_USERNAME"))?;
    user["password"] = password.clone().into();
    let identity = json!({"methods": ["password"], "password": {"user": user}});
    Ok((with_scope(said, identity), vec![password]))
}

fn of_credential(said: &Said<'_>, secret: Option<String>) -> Result<(Value, Vec<String>), Error> {
    let secret = secret.ok_or_else(|| missing("application credential", "OS_APPLICATION_CREDENTIAL_SECRET"))?;
    let credential = match (said.value("application_credential_id"), said.value("application_credential_name")) {
        (Some(id), _) => json!({"id": id, "secret": secret}),
        (None, Some(name)) => {
            let user = user(said).ok_or_else(|| missing("user", "OS_USERNAME"))?;
            json!({"name": name, "secret": secret, "user": user})
        }
        (None, None) => return Err(missing("application credential", "OS_APPLICATION_CREDENTIAL_ID")),
    };
    let identity = json!({"methods": ["application_credential"], "application_credential": credential});
    // It is for one project, and none may be named.
    Ok((json!({"auth": {"identity": identity}}), vec![secret]))
}

fn of_token(said: &Said<'_>, token: Option<String>) -> Result<(Value, Vec<String>), Error> {
    let token = token.ok_or_else(|| missing("token", "OS_TOKEN"))?;
    let identity = json!({"methods": ["token"], "token": {"id": token}});
    Ok((with_scope(said, identity), vec![token]))
}

/// The user, by identifier or by name and domain.
fn user(said: &Said<'_>) -> Option<Value> {
    if let Some(id) = said.value("user_id") {
        return Some(json!({"id": id}));
    }
    let name = said.first(&["username", "user_name"])?;
    Some(json!({"name": name, "domain": domain(said, "user")}))
}

/// The domain of the user or the project.
fn domain(said: &Said<'_>, of: &str) -> Value {
    let id = said.first(&[&format!("{of}_domain_id"), "domain_id", "default_domain_id"]);
    match (said.value(&format!("{of}_domain_name")), id) {
        (Some(name), _) => json!({"name": name}),
        (None, Some(id)) => json!({"id": id}),
        (None, None) => match said.first(&["domain_name", "default_domain_name"]) {
            Some(name) => json!({"name": name}),
            None => json!({"id": said.value("default_domain").unwrap_or_else(|| "default".to_owned())}),
        },
    }
}

/// The question with the project or domain that the token is to be for.
fn with_scope(said: &Said<'_>, identity: Value) -> Value {
    let project = match (said.first(&["project_id", "tenant_id"]), said.first(&["project_name", "tenant_name"])) {
        (Some(id), _) => json!({"project": {"id": id}}),
        (None, Some(name)) => json!({"project": {"name": name, "domain": domain(said, "project")}}),
        (None, None) => match (said.value("domain_id"), said.value("domain_name")) {
            (Some(id), _) => json!({"domain": {"id": id}}),
            (None, Some(name)) => json!({"domain": {"name": name}}),
            (None, None) => return json!({"auth": {"identity": identity}}),
        },
    };
    json!({"auth": {"identity": identity, "scope": project}})
}
