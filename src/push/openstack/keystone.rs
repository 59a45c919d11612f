//! Keystone: a token, and where the catalog says that services are.
//!
//! # Format
//! "Identity API v3": `POST /v3/auth/tokens`; the token is a header of the answer, the catalog its body.

use reqwest::{Method, Url};
use serde_json::Value;

use super::OpenStack;
use crate::base::ErrorKind;
use crate::push::Error;
use crate::push::service::{Call, Reply, Sent, Service, address};

/// Longest token, in bytes.
const LONGEST: usize = 16 << 10;

/// A token, and where the image service is.
pub(super) struct Session {
    pub token: String,
    /// Without the version of its protocol.
    pub images: Url,
}

impl OpenStack {
    /// Keystone; nothing is connected to yet.
    pub(super) fn keystone(&self) -> Result<Service, Error> {
        Service::trusting(&self.auth, &self.trust, &self.surroundings, self.secrets.clone())
    }

    /// Logs in.
    pub(super) async fn session(&self, keystone: &Service) -> Result<Session, Error> {
        let mut url = self.auth.clone();
        url.set_path(&format!("{}/auth/tokens", self.auth.path()));
        let call = Call::new(Method::POST, url).header("content-type", "application/json").body(self.login.to_string());
        let reply = keystone.call(&|| call.clone(), &Sent::default()).await?;
        let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if reply.status.as_u16() != 201 {
            return Err(refusal(keystone, &reply, &answer));
        }
        let is_token = |token: &&str| token.len() <= LONGEST && token.bytes().all(|byte| byte.is_ascii_graphic());
        let token = reply.header("x-subject-token").filter(|token| !token.is_empty()).filter(is_token);
        let token = token.ok_or_else(|| keystone.answered("it gives no token"))?.to_owned();
        keystone.hide(&token);
        let images = match &self.endpoint {
            Some(url) => url.clone(),
            None => self.image_service(keystone, &answer["token"]["catalog"])?,
        };
        Ok(Session { token, images })
    }

    /// The address of the image service in a catalog.
    fn image_service(&self, keystone: &Service, catalog: &Value) -> Result<Url, Error> {
        let services = catalog.as_array().into_iter().flatten().filter(|service| service["type"] == "image");
        let all: Vec<&Value> = services.flat_map(|service| service["endpoints"].as_array()).flatten().collect();
        if all.is_empty() {
            let message = format!("`{}` knows no image service", keystone.name());
            return Err(Error::new(ErrorKind::Unreachable, message)
                .hint("name a project, as with `OS_PROJECT_NAME`, or the service with `--endpoint URL`"));
        }
        let region = |endpoint: &Value| {
            let region = endpoint["region_id"].as_str().or_else(|| endpoint["region"].as_str());
            keystone.told(region.unwrap_or_default())
        };
        let is_wanted = |endpoint: &&&Value| self.region.as_ref().is_none_or(|wanted| *wanted == region(endpoint));
        let found = all.iter().filter(is_wanted).find(|endpoint| endpoint["interface"] == self.interface.as_str());
        let found = found.ok_or_else(|| {
            let (interface, mut regions) =
                (&self.interface, all.iter().map(|endpoint| region(endpoint)).collect::<Vec<_>>());
            regions.sort_unstable();
            regions.dedup();
            let wanted = self.region.as_ref().map(|region| format!(" in region `{region}`")).unwrap_or_default();
            Error::new(ErrorKind::Unreachable, format!("the cloud has no {interface} image service{wanted}"))
                .hint(format!("`--region` names one of {}", regions.join(", ")))
        })?;
        let url = address(found["url"].as_str().unwrap_or_default(), "image service")
            .map_err(|_| keystone.answered("the address of the image service is none"))?;
        // The token would be seen by all between, and nobody wrote that address out.
        if self.auth.scheme() == "https" && url.scheme() != "https" {
            let message = format!("the image service at `{}` does not speak https", url.host_str().unwrap_or_default());
            return Err(Error::new(ErrorKind::Unreachable, message)
                .hint(format!("if you trust the network between, name it with `--endpoint {url}`")));
        }
        Ok(url)
    }
}

/// The error of an answer that says no.
pub(super) fn refusal(service: &Service, reply: &Reply, answer: &Value) -> Error {
    let said = answer["error"]["message"].as_str().map(str::to_owned);
    // Glance answers in HTML.
    let said = said.unwrap_or_else(|| without_tags(&reply.text()));
    let told = format!("{} {said}", reply.status.as_u16());
    match reply.status.as_u16() {
        401 | 403 => {
            Error::new(ErrorKind::Denied, format!("`{}` refused access: {}", service.name(), service.told(&told)))
                .hint("check the login with `openstack token issue`, and what it may do")
        }
        413 => Error::new(ErrorKind::Denied, format!("`{}` takes no more: {}", service.name(), service.told(&told)))
            .hint("a quota may be used up: delete images, or ask who runs the cloud"),
        _ => service.answered(&told),
    }
}

/// A page as text.
fn without_tags(page: &str) -> String {
    let body = page.split_once("</h1>").map_or(page, |(_, body)| body);
    let mut is_inside = false;
    let text = body.chars().filter(|c| {
        let is_text = !is_inside && *c != '<';
        is_inside = *c == '<' || (is_inside && *c != '>');
        is_text
    });
    text.collect()
}
