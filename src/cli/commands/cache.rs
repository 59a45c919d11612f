//! `lkit cache`: what is in the cache, and what can go.

use std::process::ExitCode;

use crate::blob::Store;
use crate::cli::args;
use crate::cli::report::Failure;
use crate::cli::settings::cache_dir;

/// Lists or cleans the cache.
pub fn run(args: args::Cache) -> Result<ExitCode, Failure> {
    let store = Store::open(&cache_dir(args.cache)?, &[])?;
    match args.command {
        args::CacheCommand::Ls => {
            for named in store.cache().entries()? {
                for name in &named.names {
                    println!("{name} {}", named.descriptor.digest);
                }
            }
        }
        args::CacheCommand::Clean => {
            let cleaned = store.clean()?;
            eprintln!("removed {} files, {} bytes", cleaned.files, cleaned.bytes);
        }
    }
    Ok(ExitCode::SUCCESS)
}
