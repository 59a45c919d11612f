//! `--loader`: where the boot loaders come from that take the place of lkit's own.

use super::report::Failure;
use crate::base::ErrorKind;
use crate::system::{LoaderOrigin, Loaders};

/// What all the `--loader` of a command line mean together.
///
/// # Errors
/// When one is no loader.
pub fn parse(texts: &[String]) -> Result<Loaders, Failure> {
    let mut loaders = Loaders::default();
    for text in texts {
        match text.split_once('=') {
            None if text == "lkit" => loaders = Loaders::default(),
            Some(("systemd-boot", from)) if !from.is_empty() => loaders.systemd_boot = Some(origin("--loader", from)?),
            Some(("isolinux", from)) if !from.is_empty() => loaders.isolinux = Some(origin("--loader", from)?),
            _ => {
                let hint = "use `lkit`, `systemd-boot=FROM` or `isolinux=FROM`; FROM is a directory or an image";
                return Err(Failure::usage(format!("--loader: `{text}` is no boot loader")).hint(hint));
            }
        }
    }
    Ok(loaders)
}

/// A directory or an image that an option names.
///
/// # Errors
/// When the text is neither.
pub fn origin(option: &str, from: &str) -> Result<LoaderOrigin, Failure> {
    if from.starts_with(['/', '.']) {
        return Ok(LoaderOrigin::Directory(from.into()));
    }
    from.parse().map(|reference| LoaderOrigin::Image(Box::new(reference))).map_err(|error| {
        Failure::caused(ErrorKind::Usage, format!("{option}: `{from}` is no image reference"), &error)
            .hint("let the name of a directory begin with `/` or `./`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaders(texts: &[&str]) -> Result<Loaders, Failure> {
        parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_loader_is_ours_or_comes_from_a_directory_or_an_image() {
        let both = loaders(&["systemd-boot=/usr/lib", "isolinux=linuxkit/mkimage-iso-bios:1"]).unwrap();
        let origins = (both.systemd_boot, both.isolinux);
        assert!(matches!(origins, (Some(LoaderOrigin::Directory(_)), Some(LoaderOrigin::Image(_)))));
        assert!(matches!(loaders(&["isolinux=./x"]).unwrap().isolinux, Some(LoaderOrigin::Directory(_))));
        assert!(loaders(&["isolinux=./x", "lkit"]).unwrap().isolinux.is_none());
        for text in ["", "grub", "systemd-boot", "isolinux=", "systemd-boot=A B", "lkit=x"] {
            assert!(loaders(&[text]).is_err(), "{text}");
        }
    }
}
