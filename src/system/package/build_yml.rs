//! `build.yml`, the description of a package, next to its Dockerfile.

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::PackageError;
use super::depends::DockerImages;
use super::text::text;
use crate::spec::parse_label;

/// The fields of `build.yml` with linuxkit's defaults.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct BuildYml {
    pub image: String,
    pub org: String,
    pub tag: String,
    pub dockerfile: String,
    pub arches: Vec<String>,
    pub extra_sources: Vec<String>,
    pub gitrepo: String,
    pub network: bool,
    pub disable_cache: bool,
    /// What the image's label `org.mobyproject.config` says.
    pub config: Option<serde_json::Value>,
    #[serde(rename = "buildArgs")]
    pub build_args: Option<Vec<String>>,
    pub depends: Option<Depends>,
    /// Of older packages: how Docker's notary signed them.
    pub trust: Option<IgnoredAny>,
    pub disable_content_trust: Option<IgnoredAny>,
}

/// What is to be there before the package is built.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Depends {
    pub docker_images: Option<DockerImages>,
}

impl Default for BuildYml {
    fn default() -> Self {
        Self {
            image: String::new(),
            org: "linuxkit".to_owned(),
            tag: "{{.Hash}}".to_owned(),
            dockerfile: "Dockerfile".to_owned(),
            arches: ["amd64", "arm64", "riscv64"].map(str::to_owned).to_vec(),
            extra_sources: Vec::new(),
            gitrepo: "https://github.com/linuxkit/linuxkit".to_owned(),
            network: false,
            disable_cache: false,
            config: None,
            build_args: None,
            depends: None,
            trust: None,
            disable_content_trust: None,
        }
    }
}

impl BuildYml {
    /// Reads a description.
    ///
    /// # Errors
    /// When it cannot be read, or what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, PackageError> {
        let text = text(path).map_err(|source| PackageError::Read { path: path.to_owned(), source })?;
        let invalid = |reason: String| format!("`{}` is not valid: {reason}", path.display());
        let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
        let description: Self =
            serde_saphyr::from_str(&text).map_err(|error| invalid(first_line(error.to_string())))?;
        if description.image.is_empty() {
            return Err(format!("`{}` has no `image`", path.display()).into());
        }
        if let Some(config) = &description.config {
            parse_label(&config.to_string()).map_err(|error| invalid(format!("`config`: {error}")))?;
        }
        Ok(description)
    }
}
