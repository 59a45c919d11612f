//! What the options about the bill of materials mean.

use std::time::SystemTime;

use super::args::{Sbom, SbomFormat};
use super::report::Failure;
use crate::rootfs::BillOptions;
use crate::sbom::Format;

/// The bill that is asked for, if one is.
///
/// # Errors
/// When its path cannot be one in the root.
pub fn options(args: Sbom) -> Result<Option<BillOptions>, Failure> {
    let Sbom { sbom, no_sbom, sbom_format, sbom_output, sbom_current_time } = args;
    let is_wanted = sbom || sbom_format.is_some() || sbom_output.is_some() || sbom_current_time;
    if no_sbom || !is_wanted {
        return Ok(None);
    }
    let format = sbom_format.map_or(Format::default(), SbomFormat::into);
    let path = sbom_output.map_or_else(|| Ok(format.file_name().to_owned()), |path| checked(&path))?;
    let created = if sbom_current_time { now()? } else { BillOptions::default().created };
    Ok(Some(BillOptions { format, path, created }))
}

/// A path in the root.
fn checked(path: &str) -> Result<String, Failure> {
    let inside = path.trim_start_matches('/');
    let is_wrong = |part: &str| matches!(part, "" | "." | "..") || part.contains('\0');
    if inside.split('/').any(is_wrong) {
        let message = format!("--sbom-output: `{path}` is no path of a file in the root");
        return Err(Failure::usage(message).hint("name one such as `usr/share/sbom.spdx.json`"));
    }
    Ok(inside.to_owned())
}

fn now() -> Result<i64, Failure> {
    let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok();
    let seconds = seconds.and_then(|time| i64::try_from(time.as_secs()).ok());
    seconds.ok_or_else(|| Failure::usage("--sbom-current-time: the clock of this machine is before 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ErrorKind;

    fn path(text: &str) -> Result<String, ErrorKind> {
        let args = Sbom { sbom_output: Some(text.to_owned()), ..Sbom::default() };
        options(args).map(|options| options.unwrap().path).map_err(|failure| failure.kind)
    }

    #[test]
    fn every_option_but_one_asks_for_a_bill() {
        let asks = |args: Sbom| options(args).unwrap().map(|options| options.path);
        assert_eq!(asks(Sbom::default()), None);
        assert_eq!(asks(Sbom { sbom: true, ..Sbom::default() }).as_deref(), Some("sbom.spdx.json"));
        let format = Some(SbomFormat::Cyclonedx);
        assert_eq!(asks(Sbom { sbom_format: format, ..Sbom::default() }).as_deref(), Some("sbom.cdx.json"));
        assert_eq!(asks(Sbom { sbom: true, sbom_format: format, no_sbom: true, ..Sbom::default() }), None);
    }

    #[test]
    fn a_bill_is_a_file_in_the_root() {
        assert_eq!(path("/usr/share/x.json"), Ok("usr/share/x.json".to_owned()));
        for wrong in ["", "/", "a/", "../x", "a/../b", "./a", "a\0b"] {
            assert_eq!(path(wrong), Err(ErrorKind::Usage), "{wrong:?}");
        }
    }
}
