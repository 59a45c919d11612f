//! Tokens that Google Cloud is shown, exchanged for credentials and kept in memory while they live.
//!
//! # Format
//! A service account's key signs an assertion (RFC 7523, RS256), a user has a refresh token (RFC 6749, section 6); both are
//! exchanged for a token that lives an hour. A machine of Google's asks its metadata server ("About VM metadata").

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::{Method, Url};
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::credentials::{Account, Key, unknown};
use crate::base::ErrorKind;
use crate::push::service::{Call, Reply, Sent, Service, address};
use crate::push::sigv4::escaped;
use crate::push::{Error, Surroundings, now};

/// What is asked for: objects, and images of machines.
const SCOPES: &str = "https://www.googleapis.com/auth/devstorage.read_write https://www.googleapis.com/auth/compute";
/// Where tokens are exchanged, unless a key says otherwise.
const EXCHANGE: &str = "https://oauth2.googleapis.com/token";
/// The metadata server's address in every network of Google's, which needs no DNS.
const METADATA: &str = "169.254.169.254";
/// How long a metadata server may take that may not be there: as long as Google's libraries wait.
const METADATA_WAIT: Duration = Duration::from_secs(3);
/// How long before its end a token is not used any more, in seconds.
const MARGIN: i64 = 300;
/// How long an assertion may be exchanged, in seconds: the longest that is taken.
const ASSERTED: i64 = 3600;

/// Tokens of an account.
pub(super) struct Tokens {
    account: Account,
    /// Where they come from.
    url: Url,
    service: Service,
    /// The one that lives, and when it ends in seconds since 1970.
    kept: Mutex<Option<(String, i64)>>,
}

/// A token.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    expires_in: Option<i64>,
}

impl Tokens {
    /// Nobody has been asked yet.
    ///
    /// # Errors
    /// When credentials name a place for their exchange that they must not be sent to.
    pub fn new(account: Account, surroundings: &Arc<Surroundings>) -> Result<Self, Error> {
        let url = match &account {
            Account::Key(Key { token_uri: Some(uri), .. }) => exchange(uri)?,
            Account::Machine => {
                let host = surroundings.variable("GCE_METADATA_HOST").unwrap_or_else(|| METADATA.to_owned());
                let path = "computeMetadata/v1/instance/service-accounts/default/token";
                address(&format!("http://{host}/{path}"), "GCE_METADATA_HOST")?
            }
            _ => exchange(EXCHANGE)?,
        };
        let service = Service::new(&url, surroundings, account.secrets())?;
        Ok(Self { account, url, service, kept: Mutex::default() })
    }

    /// What must not be told.
    pub fn secrets(&self) -> Vec<String> {
        self.account.secrets()
    }

    /// The project that pays for what is asked, where a login says so.
    pub fn payer(&self) -> Option<&str> {
        match &self.account {
            Account::Login(login) => login.quota_project_id.as_deref(),
            _ => None,
        }
    }

    /// A token that lives for some minutes; none for nobody.
    ///
    /// # Errors
    /// When credentials are not taken, or there are none after all.
    pub async fn current(&self) -> Result<Option<String>, Error> {
        match &self.account {
            Account::Nobody => return Ok(None),
            Account::Token(token) => return Ok(Some(token.clone())),
            _ => {}
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((token, _)) = kept.filter(|(_, end)| *end > now() + MARGIN) {
            return Ok(Some(token));
        }
        let Granted { access_token, expires_in } = self.granted().await?;
        let end = now() + expires_in.unwrap_or(0).clamp(0, 86_400);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((access_token.clone(), end));
        Ok(Some(access_token))
    }

    /// Forgets the token that a server does not take; whether there may be another one.
    pub fn forget(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }

    async fn granted(&self) -> Result<Granted, Error> {
        let form = match &self.account {
            Account::Key(key) => vec![
                ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer".to_owned()),
                ("assertion", assertion(key, self.url.as_str(), now())?),
            ],
            Account::Login(login) => vec![
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", login.client_id.clone()),
                ("client_secret", login.client_secret.clone()),
                ("refresh_token", login.refresh_token.clone()),
            ],
            Account::Machine | Account::Token(_) | Account::Nobody => return self.of_machine().await,
        };
        let form: Vec<_> = form.iter().map(|(key, value)| format!("{key}={}", escaped(value))).collect();
        let call = Call::new(Method::POST, self.url.clone()).body(form.join("&"));
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        let reply = self.service.call(&|| call.clone(), &Sent::default()).await?;
        granted(&reply).ok_or_else(|| {
            let json = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
            let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
            let answer = format!("{} {} {}", reply.status.as_u16(), text("error"), text("error_description"));
            let message = format!("`{}` refused the credentials: {}", self.service.name(), self.service.told(&answer));
            Error::new(ErrorKind::Denied, message).hint(
                "log in again with `gcloud auth application-default login` or take another key, and see that the clock is right",
            )
        })
    }

    /// The token of this machine's own account. Whatever answers at that address elsewhere is no metadata server.
    async fn of_machine(&self) -> Result<Granted, Error> {
        let call = Call::new(Method::GET, self.url.clone()).header("metadata-flavor", "Google");
        let sent = Sent::default();
        let make = || call.clone();
        let asked = tokio::time::timeout(METADATA_WAIT, self.service.call(&make, &sent)).await;
        let reply = asked.ok().and_then(Result::ok).filter(|reply| reply.header("metadata-flavor") == Some("Google"));
        let reply = reply.ok_or_else(unknown)?;
        granted(&reply).ok_or_else(|| {
            Error::new(ErrorKind::Denied, "this machine of Google Cloud has no service account whose token it may use")
                .hint("give it one with the scope `cloud-platform`, or name a key with `--keys FILE`")
        })
    }
}

/// A token that can stand in a header.
fn granted(reply: &Reply) -> Option<Granted> {
    let granted: Granted = serde_json::from_slice(&reply.body).ok().filter(|_| reply.status.is_success())?;
    let is_token = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    Some(granted).filter(|granted| is_token(&granted.access_token))
}

/// Where credentials are exchanged: over TLS, or on this machine.
fn exchange(text: &str) -> Result<Url, Error> {
    let url = address(text, "token_uri")?;
    let is_near = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    if url.scheme() == "https" || is_near {
        return Ok(url);
    }
    let message = format!("the credentials are to be sent to `{}` without TLS", crate::base::shown_url(text));
    Err(Error::usage(message).hint("the key's `token_uri` begins with `https://`"))
}

/// What a service account signs (RFC 7519) at a time in seconds since 1970.
fn assertion(key: &Key, audience: &str, time: i64) -> Result<String, Error> {
    let unusable = || {
        Error::usage("the private key of the service account is no RSA key in PEM")
            .hint("make another one with `gcloud iam service-accounts keys create`")
    };
    let der = PrivateKeyDer::from_pem_slice(key.private_key.as_bytes()).map_err(|_| unusable())?;
    let signer = any_supported_type(&der).map_err(|_| unusable())?;
    let signer = signer.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]).ok_or_else(unusable)?;
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims =
        json!({"iss": key.client_email, "scope": SCOPES, "aud": audience, "iat": time, "exp": time + ASSERTED});
    let text = format!("{}.{}", encode(&json!({"alg": "RS256", "typ": "JWT"})), encode(&claims));
    let signature = signer.sign(text.as_bytes()).map_err(|_| unusable())?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_sent_over_tls_or_to_this_machine_alone() {
        for text in ["https://x/token", "http://127.0.0.1:1/token", "http://[::1]/t", "http://localhost/t"] {
            assert_eq!(exchange(text).unwrap().as_str(), text);
        }
        for text in ["http://x/token", "http://127.0.0.1.evil/token", "ftp://x/token", "file:///etc/passwd"] {
            assert!(exchange(text).is_err(), "{text}");
        }
    }
}
