//! What a spec may not say although its types are right: names, references between its sections, contradictions.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::{
    Container, ContainerOptions, File, FileContent, IdRef, Located, Mount, Place, Problem, Spec, Volume,
    expand_capabilities, parse_bind, parse_rlimit, parse_tmpfs,
};

/// Longest name of a container: with its number before it, it is a file name.
const LONGEST_NAME: usize = 251;

/// Checks a whole spec; names that other parts refer to are only looked up when they are all known.
pub(super) fn check(spec: &Spec, complete: bool, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    if let Some(kernel) = spec.kernel.as_ref().filter(|kernel| kernel.image.value.is_empty()) {
        let places = [&kernel.binary, &kernel.tar, &kernel.ucode].into_iter().flatten().map(|text| text.place);
        let place = places.clone().next().unwrap_or_default();
        warnings.push(Problem::new(place, "`kernel` names no `image`, so there will be no kernel"));
    }
    problems.extend(spec.init.iter().filter(|image| image.value.is_empty()).map(|image| empty_image(image.place)));
    for container in containers(spec) {
        container_names(container, problems);
        check_options(&container.options, problems);
        odd_namespaces(container, warnings);
        useless_additions(&container.options, warnings);
    }
    unique("service", spec.services.iter().map(|service| &service.name), problems);
    unique("volume", spec.volumes.iter().map(|volume| &volume.name), problems);
    problems.extend(spec.volumes.iter().filter_map(|volume| volume_name(&volume.name)));
    if complete {
        containers(spec).for_each(|container| volumes_of(&container.options, &spec.volumes, problems));
        ids(spec, problems);
    }
    parents(&spec.files, problems);
}

/// Checks the fields of a container that mean something by themselves. What a label adds to is checked as if the
/// label were empty.
pub fn check_options(options: &ContainerOptions, problems: &mut Vec<Problem>) {
    let capabilities = options.capabilities.as_ref().or(options.capabilities_add.as_ref());
    for names in [capabilities, options.ambient.as_ref()].into_iter().flatten() {
        problems.extend(expand_capabilities(names).err().unwrap_or_default());
    }
    let mut each = |texts: Option<&Vec<Located<String>>>, check: &dyn Fn(&str) -> Option<String>| {
        let wrong = texts.into_iter().flatten().filter_map(|text| Some(Problem::new(text.place, check(&text.value)?)));
        problems.extend(wrong);
    };
    each(binds(options), &|text| parse_bind(text).err());
    each(options.tmpfs.as_ref(), &|text| parse_tmpfs(text).err());
    each(options.rlimits.as_ref(), &|text| parse_rlimit(text).err());
    for mount in options.mounts.iter().flatten() {
        problems.extend(mount.value.completed().err().map(|message| Problem::new(mount.place, message)));
    }
}

/// The binds that count: `binds.add` means nothing beside `binds`.
fn binds(options: &ContainerOptions) -> Option<&Vec<Located<String>>> {
    options.binds.as_ref().or(options.binds_add.as_ref())
}

fn containers(spec: &Spec) -> impl Iterator<Item = &Container> {
    spec.onboot.iter().chain(&spec.onshutdown).chain(&spec.services)
}

/// A value that was in the text, and not one that was refused.
fn is_known(place: Place) -> bool {
    place.line > 0
}

fn empty_image(place: Place) -> Problem {
    Problem::new(place, "the reference of an image is empty")
}

fn container_names(container: &Container, problems: &mut Vec<Problem>) {
    let Container { name: Located { value: name, place }, image, .. } = container;
    if is_known(image.place) && image.value.is_empty() {
        problems.push(empty_image(image.place));
    }
    let message = match name.as_str() {
        _ if !is_known(*place) => return,
        "" => "the name of a container is empty".to_owned(),
        "." | ".." => format!("`{name}` cannot name a container"),
        _ if name.contains('/') => format!("the name of a container cannot hold `/`: `{name}`"),
        _ if name.contains(char::is_control) => "the name of a container cannot hold control characters".to_owned(),
        _ if name.len() > LONGEST_NAME => format!("the name of a container is longer than {LONGEST_NAME} bytes"),
        _ => return,
    };
    problems.push(Problem::new(*place, message).hint("the name becomes a directory below `/containers`"));
}

/// LinuxKit takes any other word for a path, which is seldom meant.
fn odd_namespaces(container: &Container, warnings: &mut Vec<Problem>) {
    let options = &container.options;
    let words = ["host", "root", "new", "none"];
    for (key, value) in [
        ("net", &options.net),
        ("pid", &options.pid),
        ("ipc", &options.ipc),
        ("uts", &options.uts),
        ("userns", &options.userns),
    ] {
        let known = |text: &String| text.starts_with('/') || words.contains(&text.as_str());
        if let Some(text) = value.as_ref().filter(|text| !known(text)) {
            let message = format!("`{key}: {text}` of container `{}` is taken for a path", container.name.value);
            warnings.push(Problem::new(container.name.place, message));
        }
    }
}

/// A plain field replaces the label's list, so there is nothing left to add to.
fn useless_additions(options: &ContainerOptions, warnings: &mut Vec<Problem>) {
    for (key, plain, more) in [
        ("capabilities", &options.capabilities, &options.capabilities_add),
        ("binds", &options.binds, &options.binds_add),
    ] {
        if let (Some(_), Some([first, ..])) = (plain, more.as_deref()) {
            let message = format!("`{key}.add` means nothing beside `{key}`");
            warnings.push(Problem::new(first.place, message).hint(format!("move its entries to `{key}`")));
        }
    }
}

fn unique<'a>(what: &str, names: impl Iterator<Item = &'a Located<String>>, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<&str, Place> = HashMap::new();
    for name in names.filter(|name| is_known(name.place)) {
        match seen.get(name.value.as_str()) {
            Some(first) => {
                let same = first.file == name.place.file;
                let at = if same { format!("on line {}", first.line) } else { "in an earlier file".to_owned() };
                let message = format!("{what} `{}` is there twice; the first is {at}", name.value);
                problems.push(Problem::new(name.place, message));
            }
            None => drop(seen.insert(&name.value, name.place)),
        }
    }
}

fn volume_name(name: &Located<String>) -> Option<Problem> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    let fits = !name.value.is_empty() && name.value.len() <= LONGEST_NAME && name.value.bytes().all(allowed);
    let problem = || Problem::new(name.place, format!("`{}` cannot name a volume", name.value));
    (is_known(name.place) && !fits).then(|| problem().hint("use lower-case letters, digits, `_` and `-`"))
}

fn volumes_of(options: &ContainerOptions, volumes: &[Volume], problems: &mut Vec<Problem>) {
    for bind in binds(options).into_iter().flatten() {
        let mount = parse_bind(&bind.value).ok();
        problems.extend(mount.and_then(|mount| check_volume(&mount, bind.place, volumes)));
    }
    for mount in options.mounts.iter().flatten() {
        problems.extend(check_volume(&mount.value, mount.place, volumes));
    }
}

/// Checks that the volume a bind takes its source from is declared, and not written to when it is read-only.
pub fn check_volume(mount: &Mount, place: Place, volumes: &[Volume]) -> Option<Problem> {
    let name = mount.volume()?;
    match volumes.iter().find(|volume| volume.name.value == name) {
        None => {
            let problem = Problem::new(place, format!("no volume is named `{name}`"));
            Some(problem.hint("a source is a path that begins with `/`, or the name of an entry of `volumes`"))
        }
        Some(volume) if volume.readonly && !mount.is_read_only() => {
            let problem = Problem::new(place, format!("volume `{name}` is read-only, but mounted for writing"));
            Some(problem.hint("add the option `ro`"))
        }
        Some(_) => None,
    }
}

fn ids(spec: &Spec, problems: &mut Vec<Problem>) {
    let names: Vec<&str> = containers(spec).map(|container| container.name.value.as_str()).collect();
    let of_containers = containers(spec).flat_map(|container| {
        let ContainerOptions { uid, gid, additional_gids, .. } = &container.options;
        uid.iter().chain(gid).chain(additional_gids.iter().flatten())
    });
    let of_files = spec.files.iter().flat_map(|file| file.uid.iter().chain(&file.gid));
    problems.extend(of_containers.chain(of_files).filter_map(|id| unknown_id(id, &names)));
}

/// The problem of an id that names none of these containers.
fn unknown_id(id: &Located<IdRef>, names: &[&str]) -> Option<Problem> {
    let IdRef::Name(name) = &id.value else { return None };
    if name.is_empty() || name == "root" || names.contains(&name.as_str()) {
        return None;
    }
    let problem = Problem::new(id.place, format!("no container is named `{name}`"));
    Some(match name.parse::<u32>() {
        Ok(number) => problem.hint(format!("write the number {number} without quotes")),
        Err(_) => problem.hint("an id is a number, `root`, or the name of a container"),
    })
}

/// A file cannot be the directory of another one. A symbolic link can, and a source may be missing.
fn parents(files: &[File], problems: &mut Vec<Problem>) {
    let keys = RandomState::new();
    let mut plain: HashMap<u64, (&str, bool)> = HashMap::new();
    for File { path, content, .. } in files {
        let is_plain = match content {
            FileContent::Contents(_) | FileContent::Metadata(_) => true,
            FileContent::Source { optional, .. } => !optional,
            FileContent::Directory | FileContent::Symlink(_) => false,
        };
        let text = path.value.as_str();
        let prefixes = prefixes(text, &keys);
        let Some(((_, hash), above)) = prefixes.split_last() else { continue };
        let is_file =
            |(parent, hash): &&(&str, u64)| plain.get(hash).is_some_and(|(path, plain)| *plain && path == parent);
        if let Some((parent, _)) = above.iter().find(is_file) {
            problems.push(Problem::new(path.place, format!("`{parent}` is a file, so it cannot hold `{text}`")));
        }
        plain.insert(*hash, (text, is_plain));
    }
}

/// The directories above a path, then the path itself, each with a hash: those of all cost as much as that of the path.
fn prefixes<'t>(path: &'t str, keys: &RandomState) -> Vec<(&'t str, u64)> {
    let mut hasher = keys.build_hasher();
    let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
    let mut start = 0;
    let prefix = |end| {
        hasher.write(&path.as_bytes()[start..end]);
        start = end;
        (&path[..end], hasher.finish())
    };
    ends.map(prefix).collect()
}
