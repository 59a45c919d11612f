//! `--compress`: which formats are compressed while they are written, and how.

use super::report::Failure;
use crate::format::Codec;
use crate::output::{Format, FormatFile, Product, RootFs};
use crate::serve::Compression;

/// What all the `--compress` of a command line mean together.
#[derive(Default)]
pub struct Compressions {
    /// Of every format that has none of its own.
    general: Option<String>,
    named: Vec<(&'static Format, String)>,
    /// Whether what linuxkit compresses with gzip is, where nothing else is said.
    as_linuxkit: bool,
}

/// How a file is compressed.
#[derive(Clone, Copy)]
pub enum Compressed {
    /// As one stream.
    Stream(Compression),
    /// As a file system of compressed blocks.
    Root(Codec),
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
            if Compression::parse(algorithm).is_none() && Codec::parse(algorithm).is_none() {
                let hint = "use `gzip`, `lz4`, `xz` or `zstd`, with a level such as `xz:9` (1 to 9; of `lz4` to 12, of `zstd` to 19)";
                return Err(Failure::usage(format!("--compress: `{text}` is no compression")).hint(hint));
            }
            let is_second = match format.map(Format::named).transpose()? {
                None => all.general.replace(algorithm.to_owned()).is_some(),
                Some(format) => {
                    all.named.push((format, algorithm.to_owned()));
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

    /// The same with gzip for initrds and squashfs of which nothing else is said, where that is wanted.
    pub fn with_those_of_linuxkit(self, as_linuxkit: bool) -> Self {
        Self { as_linuxkit, ..self }
    }

    /// Looks whether each is for what these formats write: an initrd of its own, a raw disk, an ISO, or a root.
    ///
    /// # Errors
    /// When one is for a format that is not written, that stays as it is, or that is compressed in other ways.
    pub fn check(&self, formats: &[&Format]) -> Result<(), Failure> {
        let is_written = |named: &&Format| formats.iter().any(|format| format.name == named.name);
        if let Some((format, _)) = self.named.iter().find(|(format, _)| !is_written(format)) {
            return Err(Failure::usage(format!("`--compress` is for `{}`, which is not written", format.name))
                .hint(format!("add `-f {}`", format.name)));
        }
        formats.iter().try_for_each(|format| self.check_format(format))
    }

    fn check_format(&self, format: &Format) -> Result<(), Failure> {
        let Some(text) = self.asked(format) else { return Ok(()) };
        let name = format.name;
        let Some(product) = format.files.iter().map(|file| file.product).find(|product| is_compressible(*product))
        else {
            let message = format!("`--compress` is for initrds, raw disks, ISOs, squashfs and EROFS, not for `{name}`");
            return Err(Failure::usage(message).hint(format!("build `{name}` without `--compress`")));
        };
        if compressed(product, text).is_none() {
            let hint = format!("use {}", codecs(product));
            return Err(Failure::usage(format!("`{name}` cannot be compressed with `{text}`")).hint(hint));
        }
        Ok(())
    }

    /// How a file of a format is compressed; `None` where it stays as it is.
    pub fn of(&self, format: &Format, product: Product) -> Option<Compressed> {
        let is_gzip = self.as_linuxkit && matches!(product, Product::Initrd | Product::Squashfs);
        self.asked(format).or(is_gzip.then_some("gzip")).and_then(|text| compressed(product, text))
    }

    /// Whether files of a format can be written out of order alone, since they are compressed roots.
    pub fn needs_file(&self, format: &Format) -> bool {
        format.files.iter().any(|file| matches!(self.of(format, file.product), Some(Compressed::Root(_))))
    }

    fn asked(&self, format: &Format) -> Option<&str> {
        let own = self.named.iter().find(|(named, _)| named.name == format.name);
        own.map(|(_, text)| text).or(self.general.as_ref()).map(String::as_str)
    }

    /// What is put behind the name of a file of a format. A kernel finds out by itself how an initrd or a root is compressed,
    /// so these keep their names.
    pub fn suffix(&self, format: &Format, file: &FormatFile) -> &'static str {
        match self.of(format, file.product).filter(|_| file.product != Product::Initrd) {
            None | Some(Compressed::Root(_)) => "",
            Some(Compressed::Stream(Compression::Gzip(_))) => ".gz",
            Some(Compressed::Stream(Compression::Xz(_))) => ".xz",
            Some(Compressed::Stream(Compression::Zstd(_))) => ".zst",
        }
    }
}

fn compressed(product: Product, text: &str) -> Option<Compressed> {
    match RootFs::of(product) {
        Some(root) => root.codec(text).map(Compressed::Root),
        None => Compression::parse(text).filter(|found| takes(product, *found)).map(Compressed::Stream),
    }
}

/// Whether a file may be a stream of this compression. An initrd in xz is left out: no kernel was started with one here.
fn takes(product: Product, compression: Compression) -> bool {
    is_compressible(product) && (product != Product::Initrd || !matches!(compression, Compression::Xz(_)))
}

/// What a product can be compressed with, in words.
fn codecs(product: Product) -> &'static str {
    match (RootFs::of(product), product) {
        (Some(root), _) => root.codecs(),
        (None, Product::Initrd) => "`gzip` or `zstd`",
        _ => "`gzip`, `xz` or `zstd`",
    }
}

fn is_compressible(product: Product) -> bool {
    let is_stream = matches!(product, Product::Initrd | Product::Disk | Product::CloudDisk | Product::BootIso);
    is_stream || RootFs::of(product).is_some()
}
