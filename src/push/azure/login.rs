//! Logins for Azure's resource manager: a token that the user gives, or a service principal, whose secret lkit exchanges for
//! one.
//!
//! # Format
//! "Microsoft identity platform and the OAuth 2.0 client credentials flow".

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::{Method, Url};
use serde_json::Value;

use crate::base::ErrorKind;
use crate::push::service::{Call, Sent, Service};
use crate::push::sigv4::escaped;
use crate::push::{Error, Surroundings};

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(300);
/// Longest token, in bytes: as much as servers take in a header.
const LONGEST: usize = 32 << 10;

/// An application that Azure knows.
pub struct Principal {
    pub tenant: String,
    pub client: String,
    pub secret: String,
}

/// Gives out tokens.
pub enum Login {
    /// One that the user has got.
    Token(String),
    /// New ones for a service principal.
    Principal(Box<Tokens>),
}

/// Gets tokens for a principal.
pub struct Tokens {
    service: Service,
    url: Url,
    form: String,
    /// The last one, and until when it is used.
    last: Mutex<Option<(String, Instant)>>,
}

impl Tokens {
    /// Of the server at `authority`, for the resource manager at `manager`.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        principal: &Principal,
        authority: &Url,
        manager: &Url,
        surroundings: &Arc<Surroundings>,
    ) -> Result<Self, Error> {
        let Principal { tenant, client, secret } = principal;
        let mut url = authority.clone();
        url.set_path(&format!("{}/{}/oauth2/v2.0/token", authority.path().trim_end_matches('/'), escaped(tenant)));
        let scope = format!("{}/.default", manager.as_str().trim_end_matches('/'));
        let fields = [("client_id", client.as_str()), ("client_secret", secret), ("scope", &scope)];
        let fields = fields.map(|(name, value)| format!("&{name}={}", escaped(value)));
        let form = format!("grant_type=client_credentials{}", fields.concat());
        let service = Service::new(&url, surroundings, vec![secret.clone()])?;
        Ok(Self { service, url, form, last: Mutex::default() })
    }

    async fn token(&self) -> Result<String, Error> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((token, end)) = last
            && Instant::now() < end
        {
            return Ok(token);
        }
        let call = Call::new(Method::POST, self.url.clone()).body(self.form.clone());
        let call = call.header("content-type", "application/x-www-form-urlencoded");
        let reply = self.service.call(&|| call.clone(), &Sent::default()).await?;
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if !reply.status.is_success() {
            let said = answer["error_description"].as_str().map_or_else(|| reply.status.to_string(), str::to_owned);
            let message = format!("`{}` did not let the service principal in", self.service.name());
            return Err(Error::new(ErrorKind::Denied, message)
                .because(self.service.told(&said))
                .hint("check `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`"));
        }
        let token = answer["access_token"].as_str().filter(|token| is_token(token));
        let token = token.ok_or_else(|| self.service.answered("it gives no token"))?.to_owned();
        let life = Duration::from_secs(answer["expires_in"].as_u64().unwrap_or(0).min(86_400));
        let end = Instant::now() + life.saturating_sub(MARGIN);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((token.clone(), end));
        Ok(token)
    }
}

impl Login {
    /// A token that can be used now.
    ///
    /// # Errors
    /// When there is none.
    pub async fn token(&self) -> Result<String, Error> {
        match self {
            Self::Token(token) => Ok(token.clone()),
            Self::Principal(tokens) => tokens.token().await,
        }
    }
}

/// Whether a text can be sent as a token.
pub fn is_token(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic())
}
