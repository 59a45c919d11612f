//! The accounts that Azure is asked with: those that Azure's own tools would use.
//!
//! # Format
//! Variables of the environment as `az`, Azure's libraries and linuxkit have them; connection strings ("Configure Azure Storage
//! connection strings"); the files of `az` in `~/.azure`.

mod blob;
mod login;
mod manager;
mod pages;
mod shared_key;

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use serde_json::Value;

pub use self::blob::{PageBlob, PageBlobOptions};
use self::login::{Login, Principal, Tokens, is_token};
pub use self::manager::{ManagedImage, ManagedImageOptions};
use self::shared_key::StorageKey;
use super::service::address;
use super::{Error, Surroundings, ini};
use crate::base::ErrorKind;

/// Where the resource manager and the logins of the public cloud are.
const MANAGER: &str = "https://management.azure.com";
const AUTHORITY: &str = "https://login.microsoftonline.com";

/// What a user says of Azure on the command line.
#[derive(Clone, Debug, Default)]
pub struct AzureOptions {
    /// The subscription.
    pub subscription: Option<String>,
    /// The resource group.
    pub group: Option<String>,
    /// The storage account.
    pub account: Option<String>,
    /// Where its blobs are.
    pub endpoint: Option<String>,
    /// Where the resource manager is.
    pub manager: Option<String>,
}

/// A storage account, and the resource group that it is used with.
pub struct Azure {
    account: String,
    endpoint: Url,
    access: Access,
    group: Result<Group, Error>,
    surroundings: Arc<Surroundings>,
}

/// How blobs are got at.
enum Access {
    Key(StorageKey),
    /// A signature that is a part of URLs.
    Signature(String),
    /// By a key that the resource manager tells.
    Asked,
}

/// A resource group, and the login with which the resource manager is asked about it.
struct Group {
    subscription: String,
    name: String,
    url: Url,
    login: Login,
}

/// What is said of a storage account.
#[derive(Default)]
struct Said {
    account: Option<String>,
    key: Option<String>,
    signature: Option<String>,
    endpoint: Option<String>,
}

impl Azure {
    /// What the environment and the files say; `options` come first.
    ///
    /// # Errors
    /// When there is no account, or what is said of it cannot be used.
    pub fn new(options: AzureOptions, surroundings: &Arc<Surroundings>) -> Result<Self, Error> {
        let said = Said::of(options.account.clone(), surroundings)?;
        let account = said.account.ok_or_else(|| {
            Error::usage("no storage account is named")
                .hint("name it with `--storage-account`, or set `AZURE_STORAGE_ACCOUNT`")
        })?;
        let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        if !(3..=24).contains(&account.len()) || !account.bytes().all(is_name) {
            return Err(Error::usage(format!("no storage account can have the name `{account}`"))
                .hint("it is 3 to 24 lower-case letters and digits, without `.blob.core.windows.net`"));
        }
        let own = || format!("https://{account}.blob.core.windows.net");
        let endpoint = address(&options.endpoint.clone().or(said.endpoint).unwrap_or_else(own), "endpoint")?;
        let access = match (said.key, said.signature) {
            (Some(key), _) => Access::Key(StorageKey::new(&account, &key).ok_or_else(|| {
                Error::usage(format!("the key for storage account `{account}` is no key: it is not in base64"))
                    .hint("`az storage account keys list` tells it")
            })?),
            (None, Some(signature)) => Access::Signature(checked_signature(&signature)?),
            (None, None) => Access::Asked,
        };
        let group = Group::new(&options, surroundings);
        // Without a group there is nobody to ask for the key.
        let group = if matches!(access, Access::Asked) { Ok(group?) } else { group };
        Ok(Self { account, endpoint, access, group, surroundings: surroundings.clone() })
    }
}

fn checked_signature(text: &str) -> Result<String, Error> {
    let text = text.trim_start_matches('?');
    let is_query = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if is_query && text.split('&').any(|field| field.starts_with("sig=")) {
        return Ok(text.to_owned());
    }
    Err(Error::usage("the shared access signature is none: it has no `sig=`").hint("look at `AZURE_STORAGE_SAS_TOKEN`"))
}

impl Said {
    fn of(account: Option<String>, surroundings: &Surroundings) -> Result<Self, Error> {
        let variable = |name: &str| surroundings.variable(name);
        if let Some(text) = variable("AZURE_STORAGE_CONNECTION_STRING") {
            let said = Self::of_connection(&text)?;
            if let (Some(named), Some(other)) = (&account, &said.account)
                && named != other
            {
                let message =
                    format!("`AZURE_STORAGE_CONNECTION_STRING` is of storage account `{other}`, not `{named}`");
                return Err(Error::usage(message).hint("leave out one of the two"));
            }
            return Ok(Self { account: account.or(said.account), ..said });
        }
        let (key, signature) = (variable("AZURE_STORAGE_KEY"), variable("AZURE_STORAGE_SAS_TOKEN"));
        Ok(Self { account: account.or_else(|| variable("AZURE_STORAGE_ACCOUNT")), key, signature, endpoint: None })
    }

    fn of_connection(text: &str) -> Result<Self, Error> {
        let value = |name: &str| {
            let mut fields = text.split(';').filter_map(|field| field.trim().split_once('='));
            let found = fields.find(|(key, value)| key.eq_ignore_ascii_case(name) && !value.is_empty());
            found.map(|(_, value)| value.to_owned())
        };
        let (account, key, signature) = (value("AccountName"), value("AccountKey"), value("SharedAccessSignature"));
        if key.is_none() && signature.is_none() {
            return Err(Error::usage(
                "`AZURE_STORAGE_CONNECTION_STRING` has neither `AccountKey` nor `SharedAccessSignature`",
            )
            .hint("`az storage account show-connection-string` tells it"));
        }
        let protocol = value("DefaultEndpointsProtocol").unwrap_or_else(|| "https".to_owned());
        let suffix = value("EndpointSuffix");
        let of_suffix = || Some(format!("{protocol}://{}.blob.{}", account.as_ref()?, suffix?));
        let endpoint = value("BlobEndpoint").or_else(of_suffix);
        Ok(Self { account, key, signature, endpoint })
    }
}

impl Group {
    fn new(options: &AzureOptions, surroundings: &Arc<Surroundings>) -> Result<Self, Error> {
        let variable = |name: &str| surroundings.variable(name);
        let name = options.group.clone().ok_or_else(|| {
            Error::usage("no resource group is named")
                .hint("name it with `--resource-group`; with `AZURE_STORAGE_KEY` and `--blob-only` none is needed")
        })?;
        let is_name = |c: char| c.is_alphanumeric() || "-_.()".contains(c);
        if name.chars().count() > 90 || name.ends_with('.') || name.is_empty() || !name.chars().all(is_name) {
            return Err(Error::usage(format!("no resource group can have the name `{name}`"))
                .hint("`az group list` tells those that there are"));
        }
        let files = Files::read(surroundings)?;
        let subscription = options.subscription.clone().or_else(|| variable("AZURE_SUBSCRIPTION_ID"));
        let subscription = subscription.or_else(|| files.subscription.clone()).ok_or_else(|| {
            Error::usage("no subscription of Azure is known")
                .hint("name it with `--subscription`, or set `AZURE_SUBSCRIPTION_ID`")
        })?;
        if subscription.is_empty() || !subscription.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
            return Err(Error::usage(format!("`{subscription}` is no subscription of Azure"))
                .hint("its identifier is needed, which `az account show` tells as `id`"));
        }
        let url = address(options.manager.as_deref().unwrap_or(MANAGER), "resource manager")?;
        Ok(Self { login: login(&files, &url, surroundings)?, subscription, name, url })
    }
}

/// Who asks the resource manager.
fn login(files: &Files, manager: &Url, surroundings: &Arc<Surroundings>) -> Result<Login, Error> {
    let variable = |name: &str| surroundings.variable(name);
    if let Some(token) = variable("AZURE_ACCESS_TOKEN") {
        if is_token(&token) {
            return Ok(Login::Token(token));
        }
        return Err(Error::usage("`AZURE_ACCESS_TOKEN` is no token: it has spaces or unusual characters")
            .hint("`az account get-access-token --query accessToken -o tsv` prints one"));
    }
    let [tenant, client, secret] = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"].map(variable);
    let principal = match (tenant, client, secret) {
        (Some(tenant), Some(client), Some(secret)) => Some(Principal { tenant, client, secret }),
        _ => files.principal()?,
    };
    let principal = principal.ok_or_else(|| {
        Error::new(ErrorKind::Denied, "no login for Azure's resource manager is known").hint(
            "set `AZURE_TENANT_ID`, `AZURE_CLIENT_ID` and `AZURE_CLIENT_SECRET`, or let az do it: `export \
             AZURE_ACCESS_TOKEN=\"$(az account get-access-token --query accessToken -o tsv)\"`",
        )
    })?;
    let authority = variable("AZURE_AUTHORITY_HOST").unwrap_or_else(|| AUTHORITY.to_owned());
    // Azure's libraries take it with and without a scheme.
    let authority = if authority.contains("://") { authority } else { format!("https://{authority}") };
    let authority = address(&authority, "AZURE_AUTHORITY_HOST")?;
    Ok(Login::Principal(Box::new(Tokens::new(&principal, &authority, manager, surroundings)?)))
}

/// What `az` keeps of the user.
#[derive(Default)]
struct Files {
    subscription: Option<String>,
    /// The service principal that is logged in.
    client: Option<String>,
    principals: Value,
}

impl Files {
    fn read(surroundings: &Surroundings) -> Result<Self, Error> {
        let dir = surroundings.variable("AZURE_CONFIG_DIR").map(PathBuf::from);
        let Some(dir) = dir.or_else(|| surroundings.home.as_ref().map(|home| home.join(".azure"))) else {
            return Ok(Self::default());
        };
        let json = |name: &str| {
            let path = dir.join(name);
            let text = ini::text(&path)?.unwrap_or_else(|| "null".to_owned());
            // az writes a byte order mark.
            serde_json::from_str::<Value>(text.trim_start_matches('\u{feff}')).map_err(|_| {
                Error::new(ErrorKind::Io, format!("`{}` is no JSON", path.display()))
                    .hint("log in anew with `az login`")
            })
        };
        let (profile, principals) = (json("azureProfile.json")?, json("service_principal_entries.json")?);
        let mut subscriptions = profile["subscriptions"].as_array().into_iter().flatten();
        let used = subscriptions.find(|subscription| subscription["isDefault"] == true).unwrap_or(&Value::Null);
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let client = text(&used["user"]["name"]).filter(|_| used["user"]["type"] == "servicePrincipal");
        Ok(Self { subscription: text(&used["id"]), client, principals })
    }

    /// The service principal that is logged in, with its secret.
    fn principal(&self) -> Result<Option<Principal>, Error> {
        let Some(client) = &self.client else { return Ok(None) };
        let mut entries = self.principals.as_array().into_iter().flatten();
        let Some(entry) = entries.find(|entry| entry["client_id"] == client.as_str()) else { return Ok(None) };
        let text = |name: &str| entry[name].as_str().map(str::to_owned);
        match (text("tenant"), text("client_secret")) {
            (Some(tenant), Some(secret)) => Ok(Some(Principal { tenant, client: client.clone(), secret })),
            _ => {
                let message = format!("service principal `{client}` of `az` has no secret, but a certificate");
                Err(Error::new(ErrorKind::Unsupported, message).hint(
                    "let az do it: `export AZURE_ACCESS_TOKEN=\"$(az account get-access-token --query accessToken -o tsv)\"`",
                ))
            }
        }
    }
}
