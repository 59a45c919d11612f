//! Containers: an OCI bundle each, below `containers/`.

use std::sync::Arc;

use super::Error;
use super::config::config_json;
use super::filter::{ResolvConf, filtered};
use super::merge::merged;
use super::mounts::MountJson;
use super::runtime_json::runtime_json;
use super::supply::SourceImage;
use super::work::{Work, tree_error};
use crate::base::Metadata;
use crate::spec::{Container, ContainerOptions, Place, Problem, SHOWN, parse_label};
use crate::tree::Node;

const LABEL: &str = "org.mobyproject.config";
/// Most bytes of what is written for all containers together. A config of an image has some kilobytes, and comes again for
/// each container of it.
const MOST_WRITTEN: usize = 64 << 20;

impl Work<'_> {
    /// Adds the containers of all sections.
    pub(super) fn add_containers(&mut self) -> Result<(), Error> {
        let spec = self.spec;
        for (section, containers) in [("onboot", &spec.onboot), ("onshutdown", &spec.onshutdown)] {
            for (number, container) in containers.iter().enumerate() {
                self.add_container(container, format!("containers/{section}/{number:03}-{}", container.name.value))?;
            }
        }
        for container in &spec.services {
            self.add_container(container, format!("containers/services/{}", container.name.value))?;
        }
        Ok(())
    }

    fn add_container(&mut self, container: &Container, path: String) -> Result<(), Error> {
        let image = self.images.take(&container.image);
        // One label has the same problems for every container, and no more are shown.
        if self.problems.len() >= SHOWN {
            return Ok(());
        }
        let options = merged(label(&image, container)?, container.options.clone());
        let config = match config_json(&options, &image.config, &self.ids, &self.spec.volumes) {
            Ok(config) => config,
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|problem| placed(problem, container)));
                return Ok(());
            }
        };
        let bundle = Bundle { path, readonly: options.readonly.unwrap_or_default(), container };
        let files = self.lay_out_image(&bundle, image)?;
        let runtime = runtime_json(options.runtime.as_ref(), bundle.root_mounts(&files));
        self.written += config.len() + runtime.len();
        if self.written > MOST_WRITTEN {
            let what = format!("`config.json` of all containers up to `{}` is over 64 MiB", container.name.value);
            return Err(Error::TooMuch { what, place: container.name.place });
        }
        self.put(&bundle, "config.json", Node::Generated(Metadata::file(), config.as_bytes()))?;
        if !bundle.readonly {
            self.put(&bundle, "tmp", Node::Plain(Metadata::directory()))?;
        }
        if !bundle.readonly || files != bundle.below("rootfs") {
            self.put(&bundle, "rootfs", Node::Plain(Metadata::directory()))?;
        }
        self.put(&bundle, "runtime.json", Node::Generated(Metadata::file(), runtime.as_bytes()))
    }

    /// The directory that has the image's files: this bundle's, or that of an earlier one with the same image.
    fn lay_out_image(&mut self, bundle: &Bundle<'_>, image: Arc<SourceImage>) -> Result<String, Error> {
        if let Some(directory) = self.laid_out.get(&image.reference) {
            return Ok(directory.clone());
        }
        let directory = bundle.below(if bundle.readonly { "rootfs" } else { "lower" });
        let reference = image.reference.clone();
        self.note_laid(&bundle.container.image, &directory, &image.tree)?;
        let tree = filtered(image, ResolvConf::Unconfigured);
        let tree = tree.map_err(tree_error(format!("image `{reference}`"), bundle.container.image.place))?;
        self.root.graft(directory.as_bytes(), tree).map_err(bundle.error())?;
        self.laid_out.insert(reference, directory.clone());
        Ok(directory)
    }

    fn put(&mut self, bundle: &Bundle<'_>, name: &str, node: Node<'_>) -> Result<(), Error> {
        self.root.insert(bundle.below(name).as_bytes(), node).map_err(bundle.error())?;
        Ok(())
    }
}

/// A container's directory.
struct Bundle<'a> {
    path: String,
    readonly: bool,
    container: &'a Container,
}

impl Bundle<'_> {
    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    fn error(&self) -> impl FnOnce(crate::tree::Error) -> Error + use<> {
        let name = &self.container.name;
        tree_error(format!("container `{}`", name.value), name.place)
    }

    /// What init mounts so that `rootfs` shows the image's files, which are in `files`.
    fn root_mounts(&self, files: &str) -> Vec<MountJson> {
        let texts = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
        let rootfs = format!("/{}", self.below("rootfs"));
        if self.readonly {
            // A bind on itself, too: runc wants its root to be a mount point.
            let bind = texts(&["bind"]);
            return vec![MountJson {
                destination: rootfs,
                source: format!("/{files}"),
                options: bind,
                ..Default::default()
            }];
        }
        let mount = |kind: &str, destination: &str, options| MountJson {
            destination: destination.to_owned(),
            kind: kind.to_owned(),
            source: kind.to_owned(),
            options,
            ..Default::default()
        };
        let tmp = format!("/{}", self.below("tmp"));
        let overlay = [format!("lowerdir=/{files}"), format!("upperdir={tmp}/upper"), format!("workdir={tmp}/work")];
        vec![
            mount("tmpfs", &tmp, Vec::new()),
            // Nothing else is to see the layers that are thrown away.
            mount("", &tmp, texts(&["remount", "private"])),
            mount("overlay", &rootfs, overlay.to_vec()),
        ]
    }
}

/// The options that the image's label gives.
fn label(image: &SourceImage, container: &Container) -> Result<ContainerOptions, Error> {
    let Some(text) = image.config.labels.get(LABEL).filter(|text| !text.is_empty()) else {
        return Ok(ContainerOptions::default());
    };
    let options = parse_label(text).map_err(|source| Error::Label {
        reference: container.image.value.clone(),
        place: container.image.place,
        source,
    })?;
    Ok(options.without_places())
}

/// A problem without a place is one of the label's.
fn placed(problem: Problem, container: &Container) -> Problem {
    if problem.place != Place::default() {
        return problem;
    }
    let message = format!("the label `{LABEL}` of this image says: {}", problem.message);
    Problem { message, place: container.image.place, ..problem }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::base::Fault as _;
    use crate::rootfs::sample::{assemble_with, image, text_in, tree};
    use crate::tree::Tree;

    fn root(text: &str) -> Tree {
        assemble_with(text, &|reference| image(reference, tree(&["bin/x=1"]))).unwrap().tree
    }

    fn mounts(root: &Tree, bundle: &str) -> Value {
        let text = text_in(root, &format!("containers/{bundle}/runtime.json"));
        serde_json::from_str::<Value>(&text).unwrap()["mounts"].clone()
    }

    #[test]
    fn a_writable_bundle_is_an_overlay() {
        let root = root("onboot: [{name: a, image: q.io/a}]");
        for path in ["lower/bin/x", "lower/etc/hosts", "config.json", "tmp", "rootfs"] {
            assert!(root.find(format!("containers/onboot/000-a/{path}").as_bytes()).is_some(), "{path}");
        }
        let at = "/containers/onboot/000-a";
        let options =
            [format!("lowerdir={at}/lower"), format!("upperdir={at}/tmp/upper"), format!("workdir={at}/tmp/work")];
        let expected = json!([
            {"destination": format!("{at}/tmp"), "type": "tmpfs", "source": "tmpfs"},
            {"destination": format!("{at}/tmp"), "options": ["remount", "private"]},
            {"destination": format!("{at}/rootfs"), "type": "overlay", "source": "overlay", "options": options},
        ]);
        assert_eq!(mounts(&root, "onboot/000-a"), expected);
    }

    #[test]
    fn what_an_image_says_is_bounded_over_all_its_containers() {
        let services = |count: usize| {
            let services: Vec<String> = (0..count).map(|at| format!("{{name: s{at}, image: q.io/a}}")).collect();
            format!("services: [{}]", services.join(", "))
        };
        let wrong = |reference: &str| {
            let mut image = image(reference, tree(&["bin/x=1"]));
            let names = vec!["nobody-knows-this"; 7];
            Arc::make_mut(&mut image.config)
                .labels
                .insert(LABEL.to_owned(), json!({ "additionalGids": names }).to_string());
            image
        };
        let Some(Error::Values { problems }) = assemble_with(&services(50), &wrong).err() else {
            panic!("no problems")
        };
        assert_eq!(problems.len(), 21, "those of three containers");
        let long = |reference: &str| {
            let mut image = image(reference, tree(&["bin/x=1"]));
            Arc::make_mut(&mut image.config).env = vec!["x".repeat(1000); 5000];
            image
        };
        let error = assemble_with(&services(20), &long).err().unwrap();
        assert_eq!((error.kind(), error.place().is_some()), (crate::base::ErrorKind::Unsupported, true), "{error}");
        assert!(assemble_with(&services(10), &long).is_ok());
    }

    #[test]
    fn a_read_only_bundle_is_bound_on_itself() {
        let root = root("services: [{name: a, image: q.io/a, readonly: true}]");
        assert!(root.find(b"containers/services/a/rootfs/bin/x").is_some());
        for path in ["tmp", "lower"] {
            assert!(root.find(format!("containers/services/a/{path}").as_bytes()).is_none(), "{path}");
        }
        let at = "/containers/services/a/rootfs";
        assert_eq!(mounts(&root, "services/a"), json!([{"destination": at, "source": at, "options": ["bind"]}]));
    }

    #[test]
    fn an_image_is_laid_out_once_over_all_sections() {
        let text = "onshutdown: [{name: a, image: q.io/a}]\n\
                    services: [{name: b, image: q.io/a, readonly: true}, {name: c, image: 'q.io/a:1'}]";
        let root = root(text);
        let source = "/containers/onshutdown/000-a/lower";
        assert_eq!(mounts(&root, "services/b")[0]["source"], source);
        let rootfs = root.find(b"containers/services/b/rootfs").unwrap();
        assert_eq!(root.children(rootfs).len(), 0);
        assert!(root.find(b"containers/services/c/lower/bin/x").is_some());
    }

    #[test]
    fn a_label_speaks_where_the_spec_is_silent() {
        let labelled = |label: &'static str| {
            move |reference: &str| {
                let mut image = image(reference, tree(&["bin/x=1"]));
                Arc::make_mut(&mut image.config).labels.insert(LABEL.to_owned(), label.to_owned());
                image
            }
        };
        let text = "services: [{name: a, image: q.io/a, command: [spec], uid: b}, {name: b, image: q.io/a}]";
        let label = r#"{"command": ["label"], "readonly": true, "binds": ["rel:/x"]}"#;
        let root = assemble_with(text, &labelled(label)).unwrap().tree;
        let config: Value = serde_json::from_str(&text_in(&root, "containers/services/a/config.json")).unwrap();
        assert_eq!((&config["process"]["args"], &config["root"]["readonly"]), (&json!(["spec"]), &json!(true)));
        assert_eq!(config["process"]["user"], json!({"uid": 101, "gid": 0}));
        let error = assemble_with(text, &labelled("uid: nobody")).err().unwrap();
        let message = "the label `org.mobyproject.config` of this image says: `nobody` is not the name of a container";
        assert_eq!((error.to_string().as_str(), error.place().unwrap().column), (message, 80));
        let error = assemble_with(text, &labelled("bogus: 1")).err().unwrap();
        assert_eq!(error.to_string(), "the label `org.mobyproject.config` of image `q.io/a` is not valid");
        assert_eq!(error.kind(), crate::base::ErrorKind::Spec);
    }
}
