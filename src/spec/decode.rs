//! Tree → sections of a spec. What does not conform to the schema is left out here; it was told about already.

use super::fields::{id, located, mode, texts};
use super::node::{Node, Value};
use super::{
    Container, ContainerOptions, File, FileContent, Kernel, Located, MetadataFormat, Problem, Spec, Volume,
    VolumeFormat,
};
use crate::base::Platform;

/// Adds one text to a spec: fields of the kernel override, lists append.
pub(super) fn append(spec: &mut Spec, root: &Node, problems: &mut Vec<Problem>) {
    if let Some(node) = root.field("kernel").filter(|node| node.value != Value::Null) {
        override_kernel(spec.kernel.get_or_insert_default(), node);
    }
    let init = root.field("init").into_iter().flat_map(Node::items);
    spec.init.extend(init.filter_map(|node| located(node)));
    for (key, containers) in
        [("onboot", &mut spec.onboot), ("onshutdown", &mut spec.onshutdown), ("services", &mut spec.services)]
    {
        let items = root.field(key).into_iter().flat_map(Node::items);
        containers.extend(items.map(|node| container(node, problems)));
    }
    let volumes = root.field("volumes").into_iter().flat_map(Node::items);
    spec.volumes.extend(volumes.map(|node| volume(node, problems)));
    let files = root.field("files").into_iter().flat_map(Node::items);
    spec.files.extend(files.filter_map(|node| file(node, problems)));
    let outputs = root.field("outputs").into_iter().flat_map(Node::items);
    spec.outputs.extend(outputs.filter_map(|node| located(node.field("format")?)));
    spec.document.append(root);
}

/// What the older `outputs` said of pushing: nothing is pushed when something is built.
pub(super) fn idle_outputs(root: &Node) -> impl Iterator<Item = Problem> {
    let outputs = root.field("outputs").into_iter().flat_map(Node::items).flat_map(|output| output.entries());
    outputs.filter(|(key, _)| key.text != "format").map(|(key, _)| {
        let problem = Problem::new(key.place, format!("`{}` of `outputs` has no effect", key.text));
        problem.hint("hand the file that is written to the tools of the cloud")
    })
}

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

fn filled(node: Option<Located<String>>) -> Option<Located<String>> {
    node.filter(|text| !text.value.is_empty())
}

fn override_kernel(kernel: &mut Kernel, node: &Node) {
    let text = |key| node.field(key).and_then(located);
    if let Some(image) = filled(node.field("image").and_then(located)) {
        kernel.image = image;
    }
    if let Some(cmdline) = filled(text("cmdline")) {
        kernel.cmdline = cmdline.value;
    }
    kernel.binary = filled(text("binary")).or(kernel.binary.take());
    kernel.tar = text("tar").or(kernel.tar.take());
    kernel.ucode = text("ucode").or(kernel.ucode.take());
}

fn container(node: &Node, problems: &mut Vec<Problem>) -> Container {
    Container {
        name: node.field("name").and_then(located).unwrap_or_default(),
        image: node.field("image").and_then(located).unwrap_or_default(),
        options: ContainerOptions::of(node, problems),
    }
}

fn volume(node: &Node, problems: &mut Vec<Problem>) -> Volume {
    let name = node.field("name");
    if matches!(node.value, Value::Map(_)) && name.is_none() {
        problems.push(Problem::new(node.place, "a volume has no `name`"));
    }
    let format = match node.field("format").and_then(Node::text) {
        Some("oci") => VolumeFormat::Oci,
        _ => VolumeFormat::Filesystem,
    };
    let image = filled(node.field("image").and_then(located));
    if format == VolumeFormat::Oci && image.is_none() {
        let place = node.field("format").map_or(node.place, |node| node.place);
        problems.push(Problem::new(place, "a volume of format `oci` has no `image`"));
    }
    let platforms = texts(node, "platforms").unwrap_or_default();
    Volume {
        name: name.and_then(located).unwrap_or_default(),
        image,
        readonly: node.field("readonly").and_then(Node::boolean).unwrap_or_default(),
        format,
        platforms: platforms.iter().filter_map(|text| platform(text, problems)).collect(),
    }
}

fn platform(text: &Located<String>, problems: &mut Vec<Problem>) -> Option<Platform> {
    text.value.parse().map_err(|error| problems.push(Problem::new(text.place, format!("{error}")))).ok()
}

fn file(node: &Node, problems: &mut Vec<Problem>) -> Option<File> {
    if !matches!(node.value, Value::Map(_)) {
        return None;
    }
    let path = match (node.field("path"), node.field("path").and_then(located)) {
        (None, _) => Err(Problem::new(node.place, "a file has no `path`")),
        (Some(_), None) => return None,
        (Some(_), Some(path)) => root_path(&path),
    };
    let mode_text = filled(node.field("mode").and_then(located));
    let permissions = |text: Located<String>| match mode(&text.value) {
        Ok(mode) => Ok(mode & PERMISSIONS),
        Err(message) => Err(Problem::new(text.place, message)),
    };
    let mode = mode_text.map(permissions).transpose();
    // What is not of its type was told about already.
    let content = content(node).map_err(|problem| Some(problem).filter(|_| !has_odd_content(node)));
    let mut tell = |problem| problems.push(problem);
    match (path, mode, content) {
        (Ok(path), Ok(mode), Ok(content)) => {
            let [uid, gid] = ["uid", "gid"].map(|key| node.field(key).and_then(id));
            Some(File { path, content, mode, uid, gid })
        }
        (path, mode, content) => {
            path.err().into_iter().chain(mode.err()).chain(content.err().flatten()).for_each(&mut tell);
            None
        }
    }
}

/// Longest path in bytes: the kernel passes over a longer one when it unpacks an initrd (`PATH_MAX` with its NUL).
const LONGEST_PATH: usize = 4095;

/// Longest name in a path in bytes (`NAME_MAX`).
const LONGEST_PART: usize = 255;

/// A path below the root, without `.` and doubled slashes.
fn root_path(path: &Located<String>) -> Result<Located<String>, Problem> {
    let problem = |message: String| Err(Problem::new(path.place, message));
    let mut value = String::new();
    for part in path.value.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => {
                return problem(format!("path `{}` climbs with `..`", path.value))
                    .map_err(|problem| problem.hint("write the path from the root"));
            }
            part if part.len() > LONGEST_PART => {
                return problem(format!("a name in the path is longer than {LONGEST_PART} bytes"));
            }
            part if value.is_empty() => value.push_str(part),
            part => value.extend(["/", part]),
        }
        if value.len() > LONGEST_PATH {
            return problem(format!("the path is longer than {LONGEST_PATH} bytes"));
        }
    }
    match (path.value.as_str(), value.as_str()) {
        ("", _) => problem("a file has an empty `path`".to_owned()),
        (text, "") => problem(format!("path `{text}` is the root itself")),
        _ => Ok(Located { value, place: path.place }),
    }
}

/// Which of the fields that say what a file is, is filled.
fn content(node: &Node) -> Result<FileContent, Problem> {
    let is_directory = node.field("directory").and_then(Node::boolean).unwrap_or_default();
    let [symlink, source, metadata] =
        ["symlink", "source", "metadata"].map(|key| filled(node.field(key).and_then(located)));
    let contents = node.field("contents").and_then(bytes);
    let given = [
        ("directory", is_directory.then_some(node.place)),
        ("symlink", symlink.as_ref().map(|s| s.place).filter(|_| !is_directory)),
        ("contents", contents.as_ref().map(|c| c.place)),
        ("source", source.as_ref().map(|s| s.place)),
        ("metadata", metadata.as_ref().map(|m| m.place)),
    ];
    let mut given = given.into_iter().filter_map(|(name, place)| Some((name, place?)));
    if let (Some((first, _)), Some((second, place))) = (given.next(), given.next()) {
        let problem = Problem::new(place, format!("a file has both `{first}` and `{second}`"));
        return Err(problem.hint("keep the one that says what the file is"));
    }
    let optional = node.field("optional").and_then(Node::boolean).unwrap_or_default();
    match (is_directory, symlink, contents, source, metadata) {
        (true, ..) => Ok(FileContent::Directory),
        (_, Some(symlink), ..) => Ok(FileContent::Symlink(symlink.value)),
        (.., Some(contents), _, _) => Ok(FileContent::Contents(contents.value)),
        (.., Some(path), _) => Ok(FileContent::Source { path, optional }),
        (.., Some(metadata)) => metadata_format(&metadata).map(FileContent::Metadata),
        _ => {
            let place = node.field("path").map_or(node.place, |node| node.place);
            let hint = "give `contents`, `source`, `metadata`, `symlink` or `directory: true`";
            Err(Problem::new(place, "nothing says what the file holds").hint(hint))
        }
    }
}

/// Whether a field that says what a file is has a value of another type.
fn has_odd_content(node: &Node) -> bool {
    let is_odd = |key: &&str| match (*key, node.field(key)) {
        (_, None) => false,
        ("directory", Some(value)) => value.boolean().is_none(),
        ("contents", Some(value)) => bytes(value).is_none(),
        (_, Some(value)) => value.text().is_none(),
    };
    ["directory", "symlink", "contents", "source", "metadata"].iter().any(is_odd)
}

fn bytes(node: &Node) -> Option<Located<Vec<u8>>> {
    let value = match &node.value {
        Value::Text(text) => text.clone().into_bytes(),
        Value::Bytes(bytes) => bytes.clone(),
        _ => return None,
    };
    Some(Located { value, place: node.place })
}

fn metadata_format(format: &Located<String>) -> Result<MetadataFormat, Problem> {
    match format.value.as_str() {
        "yaml" => Ok(MetadataFormat::Yaml),
        "json" => Ok(MetadataFormat::Json),
        other => {
            let problem = Problem::new(format.place, format!("unknown metadata format `{other}`"));
            Err(problem.hint("use `yaml` or `json`"))
        }
    }
}
