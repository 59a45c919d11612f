//! Arguments of what is served while it may change.

use clap::Args as Group;

#[derive(Debug, Default, Group)]
pub struct Watching {
    /// Serve what the specs mean from now on: when one of them, their lock, or a file that they name changes, or a tag
    /// moves, the new system takes the place of the old one at once; files that are open stay as they were, and a mistake
    /// leaves all as it was; with --image it follows the tag of the image [default: serve what the specs mean now]
    #[arg(long)]
    pub watch: bool,
    /// How often to ask registries whether tags have moved, such as `30s`, `5m` or `1h`, or `off`; with --locked and for
    /// images in layouts none is asked, with --offline the cache is [default: 5m]
    #[arg(long, value_name = "TIME", requires = "watch")]
    pub watch_interval: Option<String>,
}
