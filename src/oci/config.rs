//! The image config: what runs in an image, and the diff ids of its layers.
//!
//! # Format
//! OCI image specification 1.1, config.md; docker's configs have the same fields.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::manifest::Flaw;
use crate::base::{Digest, ParseDigestError, Platform};

/// The parts of an image config that a bundle is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    /// First part of the command line.
    pub entrypoint: Vec<String>,
    /// Rest of the command line.
    pub cmd: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory; empty for the root.
    pub working_dir: String,
    /// User and group as in the image; empty for root.
    pub user: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// What it runs on; empty names where the config does not say.
    pub platform: Platform,
    /// Digests of the uncompressed layers, lowest first.
    pub diff_ids: Vec<Digest>,
}

#[derive(Deserialize)]
struct Json {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
    config: Option<Process>,
    rootfs: Option<RootFs>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Process {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<String>>,
}

impl ImageConfig {
    /// Parses the JSON of an image config.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Flaw> {
        let json: Json = serde_json::from_slice(bytes).map_err(|error| Flaw::Malformed(error.to_string()))?;
        let process = json.config.unwrap_or_default();
        let diff_ids = json.rootfs.and_then(|rootfs| rootfs.diff_ids).unwrap_or_default();
        let platform = Platform {
            os: json.os.unwrap_or_default(),
            architecture: json.architecture.unwrap_or_default(),
            variant: json.variant.filter(|variant| !variant.is_empty()),
        };
        Ok(Self {
            entrypoint: process.entrypoint.unwrap_or_default(),
            cmd: process.cmd.unwrap_or_default(),
            env: process.env.unwrap_or_default(),
            working_dir: process.working_dir.unwrap_or_default(),
            user: process.user.unwrap_or_default(),
            labels: process.labels.unwrap_or_default(),
            platform,
            diff_ids: diff_ids
                .iter()
                .map(|id| id.parse::<Digest>().map_err(|error| flaw(&error)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether an image with this config may be meant by `wanted`; one that does not say what it is for may.
    pub(super) fn suits(&self, wanted: &Platform) -> bool {
        self.platform.architecture.is_empty()
            || wanted.accepts(&Platform {
                os: if self.platform.os.is_empty() { wanted.os.clone() } else { self.platform.os.clone() },
                ..self.platform.clone()
            })
    }
}

fn flaw(error: &ParseDigestError) -> Flaw {
    Flaw::of_algorithm(error.clone()).unwrap_or_else(|| Flaw::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_missing_fields_are_empty() {
        let config = ImageConfig::parse(
            br#"{"architecture":"arm64","os":"linux","variant":"v8",
                 "config":{"Cmd":["sh"],"Entrypoint":null,"Labels":{"a":"b"},"ExposedPorts":{}},
                 "rootfs":{"type":"layers","diff_ids":null}}"#,
        );
        let config = config.unwrap();
        assert_eq!((config.cmd, config.entrypoint), (vec!["sh".to_owned()], vec![]));
        assert_eq!(config.platform.to_string(), "linux/arm64/v8");
        assert_eq!(config.labels["a"], "b");
        assert!(ImageConfig::parse(b"{}").unwrap().suits(&Platform::linux("amd64")));
    }

    #[test]
    fn wrong_types_are_refused() {
        for text in ["", "[]", "7", r#"{"config":{"Env":"A=b"}}"#, r#"{"rootfs":{"diff_ids":["md5:0"]}}"#] {
            assert!(ImageConfig::parse(text.as_bytes()).is_err(), "{text}");
        }
        let other = ImageConfig::parse(br#"{"rootfs":{"diff_ids":["sha512:00"]}}"#);
        let reason = "digest algorithm `sha512` is not supported, only `sha256`";
        assert_eq!(other, Err(Flaw::Unsupported(reason.to_owned())));
    }
}
