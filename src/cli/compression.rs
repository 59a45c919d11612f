//! `--compress`: which formats are compressed while they are written, and how.

use super::report::Failure;
use crate::output::{Format, FormatFile, Product};
use crate::serve::Compression;

/// What all the `--compress` of a command line mean together.
#[derive(Default)]
pub struct Compressions {
    /// Of every format that has none of its own.
    general: Option<Compression>,
    named: Vec<(&'static Format, Compression)>,
    /// Of initrds that have none at all.
    initrds: Option<Compression>,
}

impl Compressions {
    /// Reads each `[FORMAT=]ALGORITHM[:LEVEL]`.
    ///
    /// # Errors
    /// When one is no compression or names no format, or two are for the same.
    pub fn parse(texts: &[String]) -> Result<Self, Failure> {
        let mut all = Self::default();
        for text in texts {
            let (format, algorithm) = text.split_once('=').map_or((None, text.as_str()), |(f, a)| (Some(f), a));
            let unknown = || Failure::usage(format!("--compress: `{text}` is no compression"));
            let hint = "use `gzip` or `zstd`, with a level such as `gzip:9` (1 to 9) or `zstd:19` (1 to 19)";
            let compression = Compression::parse(algorithm).ok_or_else(|| unknown().hint(hint))?;
            let is_second = match format.map(Format::named).transpose()? {
                None => all.general.replace(compression).is_some(),
                Some(format) => {
                    all.named.push((format, compression));
                    all.named.iter().filter(|(named, _)| named.name == format.name).count() > 1
                }
            };
            if is_second {
                return Err(Failure::usage(format!("--compress: `{text}` is the second one for the same format"))
                    .hint("leave out one of them"));
            }
        }
        Ok(all)
    }

    /// The same with gzip for initrds of which nothing else is said, where that is wanted.
    pub fn with_gzip_initrds(self, wanted: bool) -> Self {
        Self { initrds: Compression::parse("gzip").filter(|_| wanted), ..self }
    }

    /// Looks whether each is for what these formats write: an initrd of its own, a raw disk or an ISO.
    ///
    /// # Errors
    /// When one is for a format that is not written or stays as it is.
    pub fn check(&self, formats: &[&Format]) -> Result<(), Failure> {
        let is_written = |named: &&Format| formats.iter().any(|format| format.name == named.name);
        if let Some((format, _)) = self.named.iter().find(|(format, _)| !is_written(format)) {
            return Err(Failure::usage(format!("`--compress` is for `{}`, which is not written", format.name))
                .hint(format!("add `-f {}`", format.name)));
        }
        let stays = |format: &&&Format| self.of(format).is_some() && !format.files.iter().any(is_compressible);
        match formats.iter().find(stays) {
            Some(Format { name, .. }) => {
                let message = format!("`--compress` is for initrds, raw disks and ISOs, not for `{name}`");
                Err(Failure::usage(message).hint(format!("build `{name}` without `--compress`")))
            }
            None => Ok(()),
        }
    }

    /// How a format is compressed, as far as it can be.
    pub fn of(&self, format: &Format) -> Option<Compression> {
        let own = self.named.iter().find(|(named, _)| named.name == format.name);
        let initrds = self.initrds.filter(|_| format.files.iter().any(|file| file.product == Product::Initrd));
        own.map(|(_, compression)| *compression).or(self.general).or(initrds)
    }

    /// What is put behind the name of a file of a format. A kernel finds out by itself how an initrd is compressed, so that
    /// keeps its name.
    pub fn suffix(&self, format: &Format, file: &FormatFile) -> &'static str {
        match self.of(format).filter(|_| is_compressible(file) && file.product != Product::Initrd) {
            None => "",
            Some(Compression::Gzip(_)) => ".gz",
            Some(Compression::Zstd(_)) => ".zst",
        }
    }
}

fn is_compressible(file: &FormatFile) -> bool {
    matches!(file.product, Product::Initrd | Product::Disk | Product::CloudDisk | Product::BootIso)
}
