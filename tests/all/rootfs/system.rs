//! Specs put together from an OCI layout, without the command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lkit::base::{Platform, Silent};
use lkit::blob::{Record, Store};
use lkit::extent::{Bytes, SharedSource};
use lkit::layer::{Inner, Layers, Options as LayerOptions, Wanted};
use lkit::oci::{Options, Pull, Reference, Resolver};
use lkit::rootfs::{self, Assembly, Cause, HostFile, SourceImage, StoredImage, Supply};
use lkit::spec::{Input, Located, MetadataFormat, Spec, parse};
use lkit::tree::{Content, TreeBuilder};

/// Images of one layout, with a cache of their own.
pub struct Machine {
    store: Arc<Store>,
    layers: Arc<Layers>,
    resolver: Resolver,
    platform: Platform,
    /// What is read of any blob.
    pub record: Arc<Record>,
    /// Where relative sources and `~/` are.
    pub home: PathBuf,
}

impl Machine {
    pub fn new(cache: &Path, layout: &Path, home: &Path) -> Self {
        let record = Arc::new(Record::default());
        let store = Arc::new(Store::open(cache, &[layout.to_owned()]).unwrap().recording(record.clone()));
        let layers = Arc::new(Layers::new(store.clone(), LayerOptions::default()));
        let resolver = Resolver::new(store.clone(), Options { pull: Pull::Never, ..Options::default() });
        Self { store, layers, resolver, platform: Platform::linux("amd64"), record, home: home.to_owned() }
    }

    pub fn assemble(&self, spec: &Spec) -> Result<Assembly, rootfs::Error> {
        let image = |name: &Located<String>| {
            let error = |source| rootfs::Error::Image { reference: name.value.clone(), place: name.place, source };
            self.image(&name.value).map_err(error)
        };
        let images = rootfs::references(spec).into_iter().map(image).collect::<Result<_, _>>()?;
        rootfs::assemble(spec, images, &mut Supplies { machine: self, spec }, rootfs::Options::default())
    }

    fn image(&self, reference: &str) -> Result<SourceImage, Cause> {
        let reference: Reference = reference.parse().map_err(Cause::new)?;
        let image = self.resolver.resolve(&reference, &self.platform, &Silent).map_err(Cause::new)?;
        let fetch = self.resolver.fetcher(&reference);
        let mut tree = TreeBuilder::new();
        for layer in image.layers.iter() {
            let wanted = Wanted { digest: layer.digest, size: layer.size, diff_id: layer.diff_id };
            let layer = self.layers.open(&wanted, &fetch, &Silent).map_err(Cause::new)?;
            tree.merge_layer(layer.toc(), layer.diff()).map_err(Cause::new)?;
        }
        Ok(SourceImage { reference: reference.to_string(), config: image.config, tree: Arc::new(tree) })
    }

    fn stored(&self, reference: &str, platforms: &[Platform]) -> Result<StoredImage, Cause> {
        let reference: Reference = reference.parse().map_err(Cause::new)?;
        let closure = self.resolver.closure(&reference, platforms, &Silent).map_err(Cause::new)?;
        let mut blobs: Vec<(_, SharedSource)> = Vec::new();
        for (descriptor, bytes) in closure.documents {
            blobs.push((descriptor.digest, Arc::new(Bytes(bytes.into_boxed_slice()))));
        }
        for layer in closure.layers {
            let blob = self.store.lookup(&layer.digest, layer.size).unwrap().unwrap();
            blobs.push((layer.digest, Arc::new(blob)));
        }
        Ok(StoredImage { reference: reference.to_string(), root: closure.root, blobs })
    }

    fn archive_of(&self, content: &Content) -> Result<TreeBuilder, Cause> {
        let layer = self.layers.open_nested(&inner(content)).map_err(Cause::new)?;
        let mut tree = TreeBuilder::new();
        tree.merge_layer(layer.toc(), layer.diff()).map_err(Cause::new)?;
        Ok(tree)
    }
}

/// What one spec asks a machine for.
struct Supplies<'a> {
    machine: &'a Machine,
    spec: &'a Spec,
}

impl Supply for Supplies<'_> {
    fn stored(&mut self, number: usize, platforms: &[Platform]) -> Result<StoredImage, Cause> {
        self.machine.stored(&rootfs::stored_references(self.spec)[number].value, platforms)
    }

    fn statements(&mut self, _: usize) -> Result<Vec<Vec<u8>>, Cause> {
        Ok(Vec::new())
    }

    fn archive(&self, content: &Content) -> Result<TreeBuilder, Cause> {
        self.machine.archive_of(content)
    }

    fn unpack(&self, content: &Content) -> Result<SharedSource, Cause> {
        self.machine.layers.open_packed(&inner(content)).map_err(Cause::new)
    }

    fn host_file(&self, path: &str) -> std::io::Result<SharedSource> {
        HostFile::open(&self.machine.home.join(path.strip_prefix("~/").unwrap_or(path)))
    }

    fn metadata(&self, format: MetadataFormat) -> String {
        self.spec.to_text(format, &expanded)
    }
}

fn inner(content: &Content) -> Inner {
    Inner { source: content.source.clone(), offset: content.offset, size: content.size }
}

fn expanded(reference: &str) -> String {
    reference.parse::<Reference>().map_or_else(|_| reference.to_owned(), |reference| reference.to_string())
}

/// The spec of these files, or what is wrong with it.
pub fn read_spec(files: &[PathBuf]) -> Result<Spec, String> {
    let input = |path: &PathBuf| Input { name: path.display().to_string(), text: std::fs::read(path).unwrap() };
    let inputs: Vec<Input> = files.iter().map(input).collect();
    parse(&inputs).map(|parsed| parsed.spec).map_err(|error| error.to_string())
}

/// All bytes of a source.
pub fn bytes_of(source: &SharedSource) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(source.size()).unwrap()];
    source.read_at(&mut bytes, 0).unwrap();
    bytes
}
