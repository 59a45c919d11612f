//! `lkit diff`: what differs between two systems, or two locks.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::shown::{kind_name, path_json, shown};
use crate::base::{Digest, Metadata, printable, shown_size};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::{self, Failure};
use crate::cli::settings::Settings;
use crate::cli::{args, exit_code, specs};
use crate::extent::{Compared, Likeness};
use crate::system::{self, Changed, ChangedArtifact, Differences, Input, Side};
use crate::tree::{Aspect, Difference, InodeId, Tree};

/// Exit code where something differs, or may differ.
const DIFFERENT: u8 = 1;

/// Compares and prints. The exit code is that of diff(1): 0 the same for sure, 1 something differs or may differ; what fails
/// has a code above.
///
/// # Errors
/// None: a failure is printed here, since its exit code is another one than elsewhere.
pub fn run(args: args::Diff, loudness: Loudness) -> Result<ExitCode, Failure> {
    let exit_code = compare(args, loudness).map(|same| if same { ExitCode::SUCCESS } else { DIFFERENT.into() });
    Ok(exit_code.unwrap_or_else(|failure| {
        failure.print();
        exit_code::of_trouble(failure.kind)
    }))
}

/// Whether both are the same for sure.
fn compare(args: args::Diff, loudness: Loudness) -> Result<bool, Failure> {
    let output = match (loudness, args.json) {
        (Loudness::Quiet, _) => Output::Nothing,
        (_, true) => Output::Json,
        (_, false) => Output::Text,
    };
    let is_lock = |path: &PathBuf| path.extension() == Some(OsStr::new("lock")) && !path.is_dir();
    match (is_lock(&args.before), is_lock(&args.after)) {
        (true, true) => {
            let changed = system::lock_differences(&args.before, &args.after)?;
            output.print(|text| print_locks(&changed, text), || locks_json(&changed))?;
            Ok(changed.is_empty())
        }
        (false, false) => {
            let compared = if args.content { Compared::ByContent } else { Compared::ByOrigin };
            let [before, after] = sides(args, loudness)?;
            let found = system::differences(&before, &after, compared)?;
            let found = Found { trees: [&before.tree, &after.tree], found };
            output.print(|text| found.print(text), || found.json())?;
            Ok(found.is_empty())
        }
        _ => Err(Failure::usage("a lock can be compared with another lock alone")
            .hint("name two locks, or two specs or mounted directories")),
    }
}

/// How differences are printed.
#[derive(Clone, Copy)]
enum Output {
    Nothing,
    Text,
    Json,
}

impl Output {
    fn print(
        self,
        text: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let mut output = io::BufWriter::new(io::stdout().lock());
        let printed = match self {
            Self::Nothing => Ok(()),
            Self::Text => text(&mut output),
            Self::Json => writeln!(output, "{:#}", json()),
        };
        report::printed(printed.and_then(|()| output.flush()))
    }
}

/// Both sides. Specs are made under the name of the other side, so that names alone make no difference.
fn sides(args: args::Diff, loudness: Loudness) -> Result<[Side; 2], Failure> {
    let mut settings = Settings::new(args.system)?;
    let progress = Progress::new(loudness);
    let directory = |path: &Path| path.is_dir().then(|| Side::shown(path)).transpose();
    let mut sides = [directory(&args.before)?, directory(&args.after)?];
    let inputs = [args.before, args.after].map(Input::named);
    // Both specs are read before anything is fetched for one of them.
    let parse = |place: usize| system::parse(&inputs[place..=place], &progress);
    let parsed = [0, 1].map(|place| if sides[place].is_none() { parse(place).map(Some) } else { Ok(None) });
    for (place, parsed) in parsed.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().enumerate() {
        if let Some(parsed) = parsed {
            let other = sides[1 - place].as_ref().map(|side| side.name.clone()).filter(|name| !name.is_empty());
            settings.options.name = settings.options.name.or(other);
            let system = specs::load_parsed(parsed, &inputs[place..=place], &settings, &progress)?;
            sides[place] = Some(Side::of(&system));
        }
    }
    Ok(sides.map(|side| side.expect("each side was a directory, or was loaded")))
}

fn print_changed<T>(changed: &Changed<T>, show: impl Fn(&T) -> String, text: &mut dyn io::Write) -> io::Result<()> {
    let name = shown(&changed.name);
    match (&changed.before, &changed.after) {
        (Some(before), Some(after)) => writeln!(text, "  ~ {name}  {} -> {}", show(before), show(after)),
        (None, Some(after)) => writeln!(text, "  + {name}  {}", show(after)),
        (Some(before), None) => writeln!(text, "  - {name}  {}", show(before)),
        (None, None) => Ok(()),
    }
}

fn print_locks(changed: &BTreeMap<String, Vec<Changed<Digest>>>, text: &mut dyn io::Write) -> io::Result<()> {
    for (platform, references) in changed {
        writeln!(text, "{}", shown(platform))?;
        references.iter().try_for_each(|changed| print_changed(changed, Digest::to_string, text))?;
    }
    Ok(())
}

fn digests_json(changed: &[Changed<Digest>]) -> Vec<Value> {
    let digest = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
    let row = |changed: &Changed<Digest>| json!({"reference": changed.name, "before": digest(changed.before), "after": digest(changed.after)});
    changed.iter().map(row).collect()
}

fn locks_json(changed: &BTreeMap<String, Vec<Changed<Digest>>>) -> Value {
    let platforms = changed.iter().map(|(platform, changed)| (platform.clone(), digests_json(changed).into()));
    json!({"same": changed.is_empty(), "platforms": platforms.collect::<serde_json::Map<_, _>>()})
}

/// Two sizes for people; exact where they would look the same.
fn sizes(before: u64, after: u64) -> String {
    let shown = [before, after].map(shown_size);
    if shown[0] == shown[1] { format!("{before} B -> {after} B") } else { shown.join(" -> ") }
}

/// What differs, with the trees it is in.
struct Found<'a> {
    trees: [&'a Tree; 2],
    found: Differences,
}

/// Paths of one sort: how many, and bytes of files in the first and in the second system.
#[derive(Default)]
struct Total {
    paths: u64,
    before: u64,
    after: u64,
}

impl Found<'_> {
    fn is_empty(&self) -> bool {
        self.found.images.is_empty() && self.found.paths.is_empty() && self.found.artifacts.is_empty()
    }

    /// Bytes of a file; nothing else has any.
    fn size(&self, side: usize, inode: Option<InodeId>) -> u64 {
        let file = inode.filter(|inode| self.trees[side].extent(*inode).is_some());
        file.map_or(0, |file| self.trees[side].inode(file).size)
    }

    /// Paths that are added, removed, changed for sure, and those that may differ.
    fn totals(&self) -> [Total; 4] {
        let mut totals: [Total; 4] = Default::default();
        for difference in &self.found.paths {
            let total = &mut totals[Change::of(difference) as usize];
            total.paths += 1;
            total.before += self.size(0, difference.before);
            total.after += self.size(1, difference.after);
        }
        totals
    }

    fn print(&self, text: &mut dyn io::Write) -> io::Result<()> {
        if !self.found.images.is_empty() {
            writeln!(text, "images")?;
            self.found.images.iter().try_for_each(|changed| print_changed(changed, Digest::to_string, text))?;
        }
        if self.found.paths.iter().any(Difference::is_certain) {
            writeln!(text, "root")?;
            let certain = self.found.paths.iter().filter(|difference| difference.is_certain());
            certain.map(|difference| self.line(difference)).try_for_each(|line| writeln!(text, "  {line}"))?;
        }
        if !self.found.artifacts.is_empty() {
            writeln!(text, "artifacts")?;
            self.found.artifacts.iter().try_for_each(|artifact| print_artifact(artifact, text))?;
        }
        if self.found.paths.is_empty() { Ok(()) } else { self.print_totals(text) }
    }

    fn print_totals(&self, text: &mut dyn io::Write) -> io::Result<()> {
        let [added, removed, changed, unread] = self.totals();
        writeln!(text, "{} paths added ({})", added.paths, shown_size(added.after))?;
        writeln!(text, "{} paths removed ({})", removed.paths, shown_size(removed.before))?;
        writeln!(text, "{} paths changed ({})", changed.paths, sizes(changed.before, changed.after))?;
        if unread.paths > 0 {
            let (paths, size) = (unread.paths, shown_size(unread.after));
            writeln!(
                text,
                "{paths} files may differ ({size}): same size, but from other places; --content reads them"
            )?;
        }
        Ok(())
    }

    fn line(&self, difference: &Difference) -> String {
        let path = if difference.path.is_empty() { ".".to_owned() } else { printable(&difference.path).to_string() };
        let one = |sign: &str, side: usize, inode: InodeId| {
            let kind = self.trees[side].inode(inode).metadata.kind;
            let size =
                self.trees[side].extent(inode).map(|_| format!("  {}", shown_size(self.size(side, Some(inode)))));
            format!("{sign} {path}  {}{}", kind_name(kind), size.unwrap_or_default())
        };
        match (difference.before, difference.after) {
            (None, Some(after)) => one("+", 1, after),
            (Some(before), None) => one("-", 0, before),
            (Some(before), Some(after)) => {
                let aspects = difference.aspects.iter().map(|aspect| self.aspect(*aspect, before, after));
                format!("~ {path}  {}", aspects.collect::<Vec<_>>().join(", "))
            }
            (None, None) => path,
        }
    }

    fn aspect(&self, aspect: Aspect, before: InodeId, after: InodeId) -> String {
        let [was, is] = [self.trees[0].inode(before), self.trees[1].inode(after)];
        let both = |show: &dyn Fn(&Metadata) -> String| {
            format!("{} {} -> {}", aspect_name(aspect), show(&was.metadata), show(&is.metadata))
        };
        match aspect {
            Aspect::Kind => both(&|metadata| kind_name(metadata.kind).to_owned()),
            Aspect::Mode => both(&|metadata| format!("{:04o}", metadata.mode)),
            Aspect::Owner => both(&|metadata| format!("{}/{}", metadata.uid, metadata.gid)),
            Aspect::Device => both(&|metadata| format!("{},{}", metadata.rdev.0, metadata.rdev.1)),
            Aspect::Time => both(&|metadata| metadata.mtime.to_string()),
            Aspect::Size => format!("size {}", sizes(was.size, is.size)),
            Aspect::Links => format!("links {} -> {}", was.nlink, is.nlink),
            Aspect::Target => {
                let targets = [self.trees[0].link_target(before), self.trees[1].link_target(after)];
                format!("target {} -> {}", printable(targets[0]), printable(targets[1]))
            }
            Aspect::Content | Aspect::Unread | Aspect::Xattrs => aspect_name(aspect).to_owned(),
        }
    }

    fn json(&self) -> Value {
        let total = |total: &Total| json!({"paths": total.paths, "before": total.before, "after": total.after});
        let [added, removed, changed, unread] = self.totals();
        let artifact = |artifact: &ChangedArtifact| {
            let Changed { name, before, after } = &artifact.sizes;
            json!({"name": name, "before": before, "after": after, "certain": artifact.likeness == Likeness::Different})
        };
        json!({
            "same": self.is_empty(),
            "images": digests_json(&self.found.images),
            "paths": self.found.paths.iter().map(|path| self.path_json(path)).collect::<Vec<_>>(),
            "artifacts": self.found.artifacts.iter().map(artifact).collect::<Vec<_>>(),
            "totals": {"added": total(&added), "removed": total(&removed), "changed": total(&changed),
                       "mayDiffer": total(&unread)},
        })
    }

    fn path_json(&self, difference: &Difference) -> Value {
        let mut row = path_json(&difference.path);
        let inode = |side: usize, inode: Option<InodeId>| {
            inode.map(|inode| {
                let Metadata { kind, mode, uid, gid, mtime, .. } = self.trees[side].inode(inode).metadata;
                json!({"type": kind_name(kind), "mode": mode, "uid": uid, "gid": gid, "mtime": mtime,
                       "size": self.trees[side].inode(inode).size})
            })
        };
        row.insert("change".to_owned(), Change::of(difference).name().into());
        row.insert("what".to_owned(), difference.aspects.iter().map(|aspect| aspect_name(*aspect)).collect());
        row.insert("before".to_owned(), inode(0, difference.before).into());
        row.insert("after".to_owned(), inode(1, difference.after).into());
        row.into()
    }
}

fn print_artifact(
    ChangedArtifact { sizes: changed, likeness }: &ChangedArtifact,
    text: &mut dyn io::Write,
) -> io::Result<()> {
    match (likeness, changed.before, changed.after) {
        (Likeness::Unknown, ..) => writeln!(text, "  ? {}  may differ", shown(&changed.name)),
        (_, Some(before), Some(after)) if before == after => writeln!(text, "  ~ {}  content", shown(&changed.name)),
        (_, Some(before), Some(after)) => writeln!(text, "  ~ {}  size {}", shown(&changed.name), sizes(before, after)),
        _ => print_changed(changed, |size| shown_size(*size), text),
    }
}

/// What happened to a path.
#[derive(Clone, Copy)]
enum Change {
    Added,
    Removed,
    Changed,
    MayDiffer,
}

impl Change {
    fn of(difference: &Difference) -> Self {
        match (difference.before, difference.after) {
            (None, _) => Self::Added,
            (_, None) => Self::Removed,
            _ if difference.is_certain() => Self::Changed,
            _ => Self::MayDiffer,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::MayDiffer => "may differ",
        }
    }
}

const fn aspect_name(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Kind => "type",
        Aspect::Mode => "mode",
        Aspect::Owner => "owner",
        Aspect::Size => "size",
        Aspect::Content => "content",
        Aspect::Unread => "content not read",
        Aspect::Target => "target",
        Aspect::Device => "device",
        Aspect::Xattrs => "xattrs",
        Aspect::Links => "links",
        Aspect::Time => "time",
    }
}
