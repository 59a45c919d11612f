//! Writes one artifact of a spec to standard output, such as `initrd.img` or `minimal-efi.iso`.
//!
//! `stream_artifact SPEC NAME CACHE [LAYOUT…]`: images come from the OCI layouts, then the cache, then registries.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;

use lkit::base::Silent;
use lkit::serve::{Export, export_to_stdout};
use lkit::system::{Input, Options, Origins, load};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(spec), Some(name), Some(cache)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: stream_artifact SPEC NAME CACHE [LAYOUT…]".into());
    };
    let origins = Origins { layouts: args.collect(), ..Origins::new(cache) };
    let system = load(&[Input::named(spec)], &origins, &Options::default(), &Silent)?;
    let artifacts = system.catalog.mounted();
    let Some(artifact) = artifacts.iter().find(|artifact| name.as_os_str() == artifact.name()) else {
        return Err(format!("there is no artifact `{}`", name.display()).into());
    };
    export_to_stdout(&Export::plain(artifact, "-"), &mut |_| ControlFlow::Continue(()))?;
    Ok(())
}
