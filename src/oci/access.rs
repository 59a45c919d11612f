//! How lkit proves to a registry who it is: a challenge is answered with a password, or with a token that another server
//! gives.
//!
//! # Format
//! RFC 9110 section 11 (challenges), RFC 7617 (Basic); docker's token authentication
//! (<https://distribution.github.io/distribution/spec/auth/token/>, and `oauth` beside it for identity tokens).

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;

use super::credentials::Login;
use super::transport::{Setback, Transport};

/// Largest answer of a token server, in bytes: a token must fit into a header.
const MAX_TOKEN_ANSWER: u64 = 1 << 20;

/// What a repository is asked with.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing.
    Anybody,
    /// The `Authorization` header, which is a secret.
    Header(HeaderValue),
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Anybody { "Anybody" } else { "Header(…)" })
    }
}

/// What a token server answers; both names are in use, and one may have both.
#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
    /// Its life in seconds.
    expires_in: Option<serde_json::Value>,
}

/// What to ask with; a token with its life.
pub(super) type Given = (Access, Option<Duration>);

impl Access {
    /// The request with it.
    pub fn furnish(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Anybody => request,
            Self::Header(value) => request.header(AUTHORIZATION, value.clone()),
        }
    }

    /// The answer to the challenges of the registry at `origin`, for what `scope` allows; `Anybody` when there is none.
    ///
    /// # Errors
    /// When the token server gives no token.
    pub async fn answer(
        challenges: &[String],
        login: &Login,
        transport: &Transport,
        (origin, scope): (&Url, &str),
    ) -> Result<Given, Setback> {
        let challenges: Vec<Cow<'_, str>> = challenges.iter().map(|text| well_formed(text)).collect();
        let challenges: Vec<ChallengeRef<'_>> =
            challenges.iter().flat_map(|text| ChallengeParser::new(text).map_while(Result::ok)).collect();
        let of_scheme =
            |scheme: &str| challenges.iter().find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme));
        if let Some(challenge) = of_scheme("Bearer") {
            let server = TokenServer::named_by(challenge, scope)?;
            if origin.scheme() == "https" && server.url.scheme() != "https" && *login != Login::Anonymous {
                let reason = "its token server speaks plain http, over which no password is sent".to_owned();
                return Err(Setback::Denied(reason));
            }
            return server.token(login, transport).await;
        }
        match (of_scheme("Basic"), login.basic()) {
            (Some(_), Some(text)) => Ok((header(&text)?, None)),
            _ => Ok((Self::Anybody, None)),
        }
    }

    /// Whether it is anything but nothing.
    pub fn is_something(&self) -> bool {
        *self != Self::Anybody
    }

    /// `text` without what must not be told: a server may send back what it was sent.
    pub fn hidden_in(&self, text: &str) -> String {
        match self {
            Self::Anybody => text.to_owned(),
            Self::Header(value) => {
                let value = String::from_utf8_lossy(value.as_bytes());
                let secret = value.split_once(' ').map_or(&*value, |(_, secret)| secret);
                if secret.is_empty() { text.to_owned() } else { text.replace(secret, "***") }
            }
        }
    }
}

/// Where a token for some scope is to be had, and what is to be asked.
struct TokenServer {
    url: Url,
    /// What is asked for, separated by spaces, and the `service` that is to be named.
    scope: String,
    service: Option<String>,
}

impl TokenServer {
    fn named_by(challenge: &ChallengeRef<'_>, scope: &str) -> Result<Self, Setback> {
        let parameter = |wanted: &str| {
            let found = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.to_unescaped())
        };
        let url = parameter("realm").and_then(|realm| Url::parse(&realm).ok());
        let url = url
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| Setback::Unusable("it does not say where its token server is".to_owned()))?;
        Ok(Self { url, scope: scope.to_owned(), service: parameter("service") })
    }

    async fn token(self, login: &Login, transport: &Transport) -> Result<Given, Setback> {
        if let Login::IdentityToken(identity) = login {
            match self.exchanged(identity, transport).await {
                // It takes no forms, so perhaps passwords.
                Err(Setback::Status(complaint)) if matches!(complaint.status.as_u16(), 404 | 405) => {}
                body => return token_in(body, login),
            }
        }
        let furnished = login.basic().map(|text| header(&text)).transpose()?.unwrap_or(Access::Anybody);
        // A query has one `scope` for each, a form all in one.
        let scopes = self.scope.split(' ').map(|scope| ("scope", scope.to_owned()));
        let question: Vec<_> = scopes.chain(self.service.map(|service| ("service", service))).collect();
        let question = transport.get(with_query(self.url, &question), |request| furnished.furnish(request));
        token_in(transport.document(question, MAX_TOKEN_ANSWER).await.map(|(body, _)| body), login)
    }

    /// What it answers to an identity token, which is a refresh token to OAuth (RFC 6749, section 6).
    async fn exchanged(&self, identity: &str, transport: &Transport) -> Result<Vec<u8>, Setback> {
        let mut form = vec![("scope", self.scope.clone())];
        form.extend(self.service.clone().map(|service| ("service", service)));
        form.extend([("grant_type", "refresh_token".to_owned()), ("client_id", "lkit".to_owned())]);
        form.push(("refresh_token", identity.to_owned()));
        let mut form_url = self.url.clone();
        form_url.set_query(None);
        // A form is written as a query is.
        let form = with_query(form_url, &form).query().unwrap_or_default().to_owned();
        let question = transport.send_form(self.url.clone(), form);
        Ok(transport.document(question, MAX_TOKEN_ANSWER).await?.0)
    }
}

/// A header of challenges as the grammar wants it: some servers leave out the quotes around a URL.
fn well_formed(text: &str) -> Cow<'_, str> {
    let is_well_formed = ChallengeParser::new(text).all(|challenge| challenge.is_ok());
    if is_well_formed { text.into() } else { quoted(text).into() }
}

/// The same with quotes around each value.
fn quoted(text: &str) -> String {
    let (mut quoted, mut rest) = (String::new(), text);
    while let Some((name, value)) = rest.split_once('=') {
        let is_bare = !value.starts_with('"');
        let end = if is_bare { value.find([',', ' ']) } else { end_of_quoted(value) };
        let (value, behind) = value.split_at(end.unwrap_or(value.len()));
        let mark = if is_bare { "\"" } else { "" };
        quoted.extend([name, "=", mark, value, mark]);
        rest = behind;
    }
    quoted + rest
}

/// Offset behind the quoted text that a text begins with.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn with_query(mut url: Url, pairs: &[(&str, String)]) -> Url {
    url.query_pairs_mut().extend_pairs(pairs);
    url
}

/// The token in an answer of a token server.
fn token_in(answer: Result<Vec<u8>, Setback>, login: &Login) -> Result<Given, Setback> {
    let body = answer.map_err(|setback| match setback {
        // To try again may help. Else it is we who are not let in.
        Setback::Status(complaint)
            if complaint.status.is_client_error() && complaint.status != StatusCode::TOO_MANY_REQUESTS =>
        {
            Setback::Denied(format!(
                "its token server answered: {} {}",
                complaint.status,
                login.hidden_in(&complaint.text)
            ))
        }
        Setback::Wrong(reason) => Setback::Unusable(format!("its token server sent no token: {reason}")),
        other => other,
    })?;
    let answer: Option<Answer> = serde_json::from_slice(&body).ok();
    let life = answer.as_ref().and_then(|answer| answer.expires_in.as_ref()?.as_u64()).map(Duration::from_secs);
    let token = answer.and_then(|answer| answer.token.or(answer.access_token)).filter(|token| !token.is_empty());
    // What came is not told: it may be a token after all.
    let token = token.ok_or_else(|| Setback::Unusable("its token server sent no token".to_owned()))?;
    Ok((header(&format!("Bearer {token}"))?, Some(life.unwrap_or_default())))
}

fn header(text: &str) -> Result<Access, Setback> {
    let value = HeaderValue::from_str(text);
    let mut value =
        value.map_err(|_| Setback::Unusable("a token or password cannot be part of a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(Access::Header(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_quotes_is_quoted() {
        let rows = [
            ("Bearer realm=https://h/token?a=b,service=s", "Bearer realm=\"https://h/token?a=b\",service=\"s\""),
            ("Bearer realm=https://h/t, service=\"a=b, c\"", "Bearer realm=\"https://h/t\", service=\"a=b, c\""),
            ("Bearer realm=\"a\\\"=b", "Bearer realm=\"a\\\"=b"),
            ("Bearer realm=", "Bearer realm=\"\""),
            ("nonsense \"", "nonsense \""),
            ("Basic realm=\"é=\"", "Basic realm=\"é=\""),
        ];
        for (text, expected) in rows {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(well_formed("Bearer realm=\"https://h\",service=s"), "Bearer realm=\"https://h\",service=s");
    }
}
