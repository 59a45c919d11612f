//! Mounts a spec on a directory until it is interrupted.
//!
//! `mount_spec SPEC DIR CACHE [LAYOUT…]`: images come from the OCI layouts, then the cache, then registries.

use std::error::Error;
use std::path::PathBuf;

use lkit::base::Silent;
use lkit::serve::{Files, Interrupts, MountOptions, mount};
use lkit::system::{Input, Options, Origins, load};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(spec), Some(dir), Some(cache)) = (args.next(), args.next(), args.next()) else {
        return Err("usage: mount_spec SPEC DIR CACHE [LAYOUT…]".into());
    };
    let origins = Origins { layouts: args.collect(), ..Origins::new(cache) };
    let system = load(&[Input::named(spec)], &origins, &Options::default(), &Silent)?;
    let interrupts = Interrupts::catch()?;
    let session = mount(Files::of(&system.catalog), &dir, MountOptions::default())?;
    println!("{} artifacts are at {}", system.catalog.mounted().len(), dir.display());
    session.wait(interrupts)?;
    Ok(())
}
