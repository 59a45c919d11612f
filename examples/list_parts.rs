//! Lists what a spec is made of: images with their layers, and artifacts, all with their sizes in bytes.
//!
//! `list_parts SPEC CACHE [LAYOUT…]`: images come from the OCI layouts, then the cache, then registries.

use std::error::Error;
use std::path::PathBuf;

use lkit::base::{Silent, printable_line};
use lkit::system::{Input, Options, Origins, load};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(spec), Some(cache)) = (args.next(), args.next()) else {
        return Err("usage: list_parts SPEC CACHE [LAYOUT…]".into());
    };
    let origins = Origins { layouts: args.collect(), ..Origins::new(cache) };
    let system = load(&[Input::named(spec)], &origins, &Options::default(), &Silent)?;
    for used in &system.images {
        println!("image {} {}", used.name.reference, used.image.digest());
        for layer in used.image.layers.iter() {
            println!("  layer {} {}", layer.digest, layer.size);
        }
    }
    for image in &system.stored {
        println!("stored image {} {} of {} blobs", image.name.reference, image.root, image.blobs.len());
    }
    for artifact in system.catalog.mounted() {
        let name = printable_line(artifact.name());
        match artifact.open() {
            Ok(source) => println!("artifact {name} {}", source.size()),
            Err(error) => eprintln!("artifact {name} is impossible: {error}"),
        }
    }
    Ok(())
}
