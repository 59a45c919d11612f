//! `lkit cache`: what is in the cache, and what can go.

use std::process::ExitCode;

use crate::base::printable;
use crate::cli::args;
use crate::cli::report::{self, Failure};
use crate::cli::settings::cache_dir;
use crate::system;

/// Lists or cleans the cache.
pub fn run(args: args::Cache) -> Result<ExitCode, Failure> {
    let store = system::store(&cache_dir(args.cache)?, &[])?;
    match args.command {
        args::CacheCommand::Ls => {
            let mut text = String::new();
            for named in store.entries()? {
                for name in &named.names {
                    text += &format!("{} {}\n", printable(name.as_bytes()), named.descriptor.digest);
                }
            }
            report::print(&text)?;
        }
        args::CacheCommand::Clean => {
            let cleaned = store.clean()?;
            report::say(&format!("removed {} files, {} bytes\n", cleaned.files, cleaned.bytes));
        }
    }
    Ok(ExitCode::SUCCESS)
}
