//! The platform an image is for: operating system, architecture and variant, in the OCI image index's words.

use std::fmt;
use std::str::FromStr;

/// An operating system and processor architecture.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    /// Always `linux` for what LinuxKit boots.
    pub os: String,
    /// GOARCH name: `amd64`, `arm64`, `riscv64`.
    pub architecture: String,
    /// Such as `v8`; compared only where both sides have one.
    pub variant: Option<String>,
}

/// A text that names no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform, such as `amd64` or `linux/arm64`")]
pub struct ParsePlatformError(String);

impl Platform {
    /// Linux on `architecture`, under its usual or its Go name.
    pub fn linux(architecture: &str) -> Self {
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// The platform lkit itself runs on, with Linux as its system.
    pub fn host() -> Self {
        Self::linux(std::env::consts::ARCH)
    }

    /// Whether an image made for `other` runs here.
    pub fn accepts(&self, other: &Self) -> bool {
        self.os == other.os
            && self.architecture == other.architecture
            && (self.variant.is_none() || other.variant.is_none() || self.variant == other.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|v| write!(f, "/{v}"))
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    /// Takes `ARCH`, `OS/ARCH` and `OS/ARCH/VARIANT`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParsePlatformError(text.to_owned());
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|p| p.is_empty() || !p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
            return Err(error());
        }
        match parts[..] {
            [arch] => Ok(Self::linux(arch)),
            [os, arch] => Ok(Self { os: os.to_owned(), ..Self::linux(arch) }),
            [os, arch, variant] => {
                Ok(Self { os: os.to_owned(), variant: Some(variant.to_owned()), ..Self::linux(arch) })
            }
            _ => Err(error()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_and_go_names_are_one_platform() {
        assert_eq!("x86_64".parse(), Ok(Platform::linux("amd64")));
        assert_eq!("linux/aarch64".parse(), Ok(Platform::linux("arm64")));
        assert!("a/b/c/d".parse::<Platform>().is_err() && "".parse::<Platform>().is_err());
    }

    #[test]
    fn a_variant_counts_only_where_both_have_one() {
        let v8: Platform = "linux/arm64/v8".parse().unwrap();
        let v7: Platform = "linux/arm64/v7".parse().unwrap();
        assert!(Platform::linux("arm64").accepts(&v8) && v8.accepts(&Platform::linux("arm64")) && !v8.accepts(&v7));
    }
}
