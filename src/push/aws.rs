//! The account and region that AWS is asked with: those that AWS's own tools would use.
//!
//! # Format
//! "Configuration and credential file settings in the AWS CLI" and "AWS SDKs and Tools Reference Guide": variables of the
//! environment first, then `~/.aws/credentials` and `~/.aws/config` with the profile that is named.

use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;

use super::ini;
use super::service::address;
use super::sigv4::{Keys, Signer};
use super::{Error, Surroundings};
use crate::base::ErrorKind;

/// What a user says of AWS on the command line.
#[derive(Clone, Debug, Default)]
pub struct AwsOptions {
    /// The region.
    pub region: Option<String>,
    /// The profile in the files of AWS's tools.
    pub profile: Option<String>,
    /// Another server than Amazon's, for all services.
    pub endpoint: Option<String>,
}

/// An account of AWS in a region.
pub struct Aws {
    keys: Keys,
    /// The region.
    pub region: String,
    endpoint: Option<String>,
    pub(super) surroundings: Arc<Surroundings>,
}

/// Ways to keys that a profile may name, and lkit does not go.
const NOT_DONE: [&str; 5] = ["sso_session", "sso_start_url", "role_arn", "credential_process", "login_session"];

impl Aws {
    /// What the environment and the files say; `options` come first.
    ///
    /// # Errors
    /// When there are no keys or no region, or what is said of them cannot be used.
    pub fn new(options: AwsOptions, surroundings: &Arc<Surroundings>) -> Result<Self, Error> {
        let files = Files::read(options.profile, surroundings)?;
        let variable = |name: &str| surroundings.variable(name);
        let region = options.region.or_else(|| variable("AWS_REGION")).or_else(|| variable("AWS_DEFAULT_REGION"));
        let region = region.or_else(|| files.value("region"));
        // Other servers have no regions, but are asked with the name of one.
        let region = region.or_else(|| options.endpoint.as_ref().map(|_| "us-east-1".to_owned())).ok_or_else(|| {
            Error::usage("no region of AWS is known").hint("name one with `--region`, or set `AWS_REGION`")
        })?;
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Error::usage(format!("`{region}` is no region of AWS")).hint("write it as `eu-central-1`"));
        }
        let keys = files.keys(surroundings)?;
        Ok(Self { keys, region, endpoint: options.endpoint, surroundings: surroundings.clone() })
    }

    /// The address of a service where it is not Amazon's: `AWS_ENDPOINT_URL_S3` and the like, `AWS_ENDPOINT_URL`.
    ///
    /// # Errors
    /// When it is no URL.
    pub(super) fn endpoint(&self, service: &str) -> Result<Option<Url>, Error> {
        let own = || self.surroundings.variable(&format!("AWS_ENDPOINT_URL_{}", service.to_uppercase()));
        let endpoint = self.endpoint.clone().or_else(own).or_else(|| self.surroundings.variable("AWS_ENDPOINT_URL"));
        endpoint.map(|text| address(&text, "endpoint")).transpose()
    }

    /// The domain that services of the region are below.
    pub(super) fn domain(&self) -> &'static str {
        if self.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
    }

    pub(super) fn signer(&self, service: &'static str) -> Signer {
        Signer { keys: self.keys.clone(), region: self.region.clone(), service }
    }

    /// What must not be told.
    pub(super) fn secrets(&self) -> Vec<String> {
        [Some(self.keys.secret.clone()), self.keys.token.clone()].into_iter().flatten().collect()
    }
}

/// The files of AWS's tools, and the profile in them.
struct Files {
    profile: String,
    /// Whether the user named the profile, so that it must be there.
    is_named: bool,
    /// Whether an option did, which is meant more than variables with keys are.
    is_meant: bool,
    credentials: String,
    config: String,
}

impl Files {
    fn read(profile: Option<String>, surroundings: &Surroundings) -> Result<Self, Error> {
        let is_meant = profile.is_some();
        let named = profile.or_else(|| surroundings.variable("AWS_PROFILE"));
        let path = |variable: &str, below: &str| {
            let file = surroundings.variable(variable).map(PathBuf::from);
            file.or_else(|| surroundings.home.as_ref().map(|home| home.join(below)))
        };
        let text = |path: Option<PathBuf>| {
            let text = path.map(|path| ini::text(&path)).transpose();
            text.map(|text| text.flatten().unwrap_or_default())
        };
        Ok(Self {
            is_named: named.is_some(),
            is_meant,
            profile: named.unwrap_or_else(|| "default".to_owned()),
            credentials: text(path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"))?,
            config: text(path("AWS_CONFIG_FILE", ".aws/config"))?,
        })
    }

    /// The section of the profile in the file `config`.
    fn section(&self) -> String {
        if self.profile == "default" { self.profile.clone() } else { format!("profile {}", self.profile) }
    }

    fn value(&self, key: &str) -> Option<String> {
        let found = ini::value(&self.credentials, &self.profile, key);
        found.or_else(|| ini::value(&self.config, &self.section(), key)).map(str::to_owned)
    }

    /// Keys: of the environment, unless an option names a profile; else of the profile.
    fn keys(&self, surroundings: &Surroundings) -> Result<Keys, Error> {
        let variable = |name: &str| surroundings.variable(name);
        let of_environment = || {
            let keys = variable("AWS_ACCESS_KEY_ID").zip(variable("AWS_SECRET_ACCESS_KEY"));
            keys.map(|(id, secret)| Keys { id, secret, token: variable("AWS_SESSION_TOKEN") })
        };
        let of_profile = || {
            let keys = self.value("aws_access_key_id").zip(self.value("aws_secret_access_key"));
            keys.map(|(id, secret)| Keys { id, secret, token: self.value("aws_session_token") })
        };
        let keys = if self.is_meant { of_profile() } else { of_environment().or_else(of_profile) };
        let keys = keys.ok_or_else(|| self.no_keys())?;
        let is_line = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
        if [Some(&keys.id), Some(&keys.secret), keys.token.as_ref()].into_iter().flatten().all(is_line) {
            return Ok(keys);
        }
        Err(Error::usage("the keys for AWS are no keys: they have spaces or unusual characters")
            .hint("look at `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or `~/.aws/credentials`"))
    }

    fn no_keys(&self) -> Error {
        let profile = &self.profile;
        if let Some(way) = NOT_DONE.iter().find(|way| self.value(way).is_some()) {
            let message = format!("profile `{profile}` gets its keys by `{way}`, which lkit does not do");
            return Error::new(ErrorKind::Unsupported, message).hint(format!(
                "let AWS's tool do it: `eval \"$(aws configure export-credentials --profile {profile} --format env)\"`"
            ));
        }
        if self.is_named && !ini::has(&self.credentials, profile) && !ini::has(&self.config, &self.section()) {
            return Error::usage(format!("there is no profile `{profile}` of AWS"))
                .hint("`aws configure list-profiles` tells those that there are");
        }
        Error::new(ErrorKind::Denied, "no keys for AWS are known")
            .hint("set `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or log in with `aws configure`")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use super::*;
    use crate::base::Fault as _;

    fn aws(home: &Path, options: AwsOptions, variables: &[(&str, &str)]) -> Result<Aws, Error> {
        let variables: HashMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let surroundings = Surroundings {
            variable: Box::new(move |name| variables.get(name).cloned()),
            home: Some(home.to_owned()),
            ..Surroundings::default()
        };
        Aws::new(options, &Arc::new(surroundings))
    }

    #[test]
    fn keys_and_region_are_found_where_awss_tools_keep_them() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(".aws")).unwrap();
        let credentials = "[default]\naws_access_key_id = A\naws_secret_access_key = S\n\n[b]\naws_access_key_id=B\n\
                           aws_secret_access_key=T\naws_session_token=K\n";
        std::fs::write(home.path().join(".aws/credentials"), credentials).unwrap();
        let config = "[default]\nregion = eu-west-1\n[profile b]\nregion=us-west-2\n[profile c]\nsso_session = x\n\
                      region = us-west-2\n";
        std::fs::write(home.path().join(".aws/config"), config).unwrap();
        let found = |profile: Option<&str>, variables: &[(&str, &str)]| {
            let options = AwsOptions { profile: profile.map(str::to_owned), ..AwsOptions::default() };
            let aws = aws(home.path(), options, variables).map_err(|error| error.to_string())?;
            Ok::<_, String>((aws.keys.id.clone(), aws.keys.token.clone(), aws.region.clone()))
        };
        let is = |id: &str, token: Option<&str>, region: &str| {
            Ok((id.to_owned(), token.map(str::to_owned), region.to_owned()))
        };
        assert_eq!(found(None, &[]), is("A", None, "eu-west-1"));
        assert_eq!(found(Some("b"), &[]), is("B", Some("K"), "us-west-2"));
        assert_eq!(found(None, &[("AWS_PROFILE", "b"), ("AWS_REGION", "sa-east-1")]), is("B", Some("K"), "sa-east-1"));
        let variables = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "F")];
        assert_eq!(found(None, &variables), is("E", None, "eu-west-1"));
        assert_eq!(found(Some("b"), &variables), is("B", Some("K"), "us-west-2"));
        assert_eq!(
            found(Some("c"), &[]).unwrap_err(),
            "profile `c` gets its keys by `sso_session`, which lkit does not do"
        );
        assert_eq!(found(Some("d"), &[("AWS_REGION", "x")]).unwrap_err(), "there is no profile `d` of AWS");
    }

    #[test]
    fn what_is_missing_is_told_with_what_to_do() {
        let home = tempfile::tempdir().unwrap();
        let error = aws(home.path(), AwsOptions::default(), &[]).err().unwrap();
        assert_eq!((error.to_string().as_str(), error.kind()), ("no region of AWS is known", ErrorKind::Usage));
        let error = aws(home.path(), AwsOptions::default(), &[("AWS_REGION", "x")]).err().unwrap();
        assert_eq!((error.to_string().as_str(), error.kind()), ("no keys for AWS are known", ErrorKind::Denied));
        let error = aws(home.path(), AwsOptions::default(), &[("AWS_REGION", "x.evil/")]).err().unwrap();
        assert_eq!(error.to_string(), "`x.evil/` is no region of AWS");
        let broken = [("AWS_REGION", "x"), ("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "hunter 2")];
        let error = aws(home.path(), AwsOptions::default(), &broken).err().unwrap();
        assert!(!error.to_string().contains("hunter"), "{error}");
    }
}
