//! Everything put together: specs in, a catalog of artifacts out.

use std::path::PathBuf;
use std::sync::Arc;

use super::boards::{device_trees, firmware};
use super::images::{Images, Merged, Sooner};
use super::lock_file::{self, LockFile};
use super::names::Names;
use super::package::find_package;
use super::stock::{Stock, with_daemon};
use super::supply::Supplies;
use super::{
    Application, Asked, Early, Error, ImageName, Input, LocalSources, Options, Origins, Prefetch, Problem, Stored,
    input,
};
use crate::base::{Digest, Event, Monitor, Platform};
use crate::extent::{ReadError, SharedSource};
use crate::layer::{Inner, Layers};
use crate::oci::{Image, Reference, expanded};
use crate::output::{self, Board, Catalog, Enclave, Gunzip};
use crate::rootfs::{self, Assembly, Part, SourceImage};
use crate::spec::{self, FileContent, MetadataFormat, Parsed};
use crate::tree::Tree;

/// A system, ready to be shown.
pub struct System {
    /// The spec with its texts.
    pub parsed: Parsed,
    /// The images whose files are laid out, each once, in the order of the spec.
    pub images: Vec<UsedImage>,
    /// The images that volumes hold as they are stored.
    pub stored: Vec<Stored>,
    /// The artifacts.
    pub catalog: Catalog,
    /// The layers that they are read from.
    pub layers: Arc<Layers>,
}

/// An image whose files are laid out.
#[derive(Clone, Debug)]
pub struct UsedImage {
    /// Its name in the spec.
    pub name: ImageName,
    /// What was found under that name.
    pub image: Image,
    /// Size of each of its layers' uncompressed tar in bytes.
    pub diff_sizes: Vec<u64>,
}

/// Reads and checks specs. Where several are given they merge in order.
///
/// # Errors
/// When a spec cannot be read or is not valid.
pub fn parse(inputs: &[Input], monitor: &dyn Monitor) -> Result<Parsed, Error> {
    let texts = inputs.iter().map(Input::read).collect::<Result<Vec<_>, _>>()?;
    let parsed = spec::parse_with(&texts, &mut |spec, directory| find_package(inputs, spec, directory))?;
    for warning in &parsed.warnings {
        let excerpt = parsed.texts.excerpt(warning.place);
        monitor.event(Event::SpecWarning { message: warning.message.clone(), excerpt });
    }
    Ok(parsed)
}

/// Makes a system of specs: images found, layers ready, the root put together. Reads no content of a layer that has an
/// index.
///
/// # Errors
/// What is wrong with specs, images or layers.
pub fn load(inputs: &[Input], origins: &Origins, options: &Options, monitor: &dyn Monitor) -> Result<System, Error> {
    load_parsed(parse(inputs, monitor)?, inputs, (origins, options), monitor)
}

/// The same of `inputs` that have been read with [`parse`], for callers that look at the spec before anything is fetched.
///
/// # Errors
/// What is wrong with their references, images or layers.
pub fn load_parsed(
    parsed: Parsed,
    inputs: &[Input],
    (origins, options): (&Origins, &Options),
    monitor: &dyn Monitor,
) -> Result<System, Error> {
    let specs = Specs::new(parsed, inputs, (origins, options), monitor)?;
    let origins = &asking_daemon(&specs, origins, monitor)?;
    load_from(&Stock::new(origins, monitor)?, specs, (origins, options), monitor)
}

/// The specs of a system.
pub(super) struct Specs<'a> {
    parsed: Parsed,
    inputs: &'a [Input],
    /// That of the application in an image for an enclave.
    application: Option<(Input, Parsed)>,
}

impl<'a> Specs<'a> {
    /// These specs that have been read, and that of the application, which is read now.
    ///
    /// # Errors
    /// When one is not valid, or names files that it may not.
    pub fn new(
        parsed: Parsed,
        inputs: &'a [Input],
        (origins, options): (&Origins, &Options),
        monitor: &dyn Monitor,
    ) -> Result<Self, Error> {
        check_local_sources(&parsed, inputs, origins.local_sources)?;
        let read = |application: &Application| read_application(application.input(), origins, monitor);
        let application = options.application.as_ref().map(read).transpose()?;
        Ok(Self { parsed, inputs, application })
    }

    /// Each of them with the inputs that it was read from.
    fn each(&self) -> impl Iterator<Item = (&Parsed, &[Input])> {
        let application = self.application.iter().map(|(input, parsed)| (parsed, std::slice::from_ref(input)));
        std::iter::once((&self.parsed, self.inputs)).chain(application)
    }
}

/// These origins with the images in front that the docker daemon has, where it is to be asked first.
fn asking_daemon(specs: &Specs<'_>, origins: &Origins, monitor: &dyn Monitor) -> Result<Origins, Error> {
    if !origins.docker_first {
        return Ok(origins.clone());
    }
    let mut asked = Vec::new();
    for (parsed, inputs) in specs.each() {
        let lock = if origins.locked { Some(read_lock(inputs)?) } else { None };
        let names = Names::new(parsed, origins, lock.as_ref())?;
        asked.extend(names.laid_out.into_iter().chain(names.stored));
    }
    Ok(with_daemon(origins, asked.iter(), monitor)?)
}

/// The same with what an earlier load of the same origins has found and opened.
///
/// # Errors
/// What is wrong with their references, images or layers.
pub(super) fn load_from(
    stock: &Stock,
    Specs { parsed, inputs, application }: Specs<'_>,
    (origins, options): (&Origins, &Options),
    monitor: &dyn Monitor,
) -> Result<System, Error> {
    let images = Images::over(stock, origins, monitor);
    let from = Context { images: &images, origins, monitor };
    let name = options.name.clone().unwrap_or_else(|| input::name_of(inputs));
    let begin = options.on_early.as_ref().filter(|_| !options.kernel_image).map(|on_early| {
        let (name, layers) = (name.clone(), images.layers.clone());
        move |assembly, seed| {
            let system = boot_parts(assembly, (&layers, &origins.platform), options, seed);
            let (catalog, completion) = Catalog::early(name.clone(), system);
            on_early.call(Early { catalog, completion, layers: layers.clone() });
        }
    });
    let wanted = rootfs::Options {
        decompress_kernel: options.decompress_kernel,
        device_trees: has_boards(&origins.platform),
        bill: options.bill.clone(),
        part: if options.kernel_image { Part::Bootstrap } else { Part::Root },
    };
    let begin = begin.as_ref().map(|begin| begin as &Begin<'_>);
    let Root { assembly, images: mut used, mut stored, seed } = root((&parsed, inputs), &from, wanted, begin)?;
    let mut enclave = Enclave { signer: options.signer.clone(), ..Enclave::default() };
    if let Some(((input, parsed), application)) = application.zip(options.application.as_ref()) {
        let wanted = rootfs::Options { part: application.part(), ..rootfs::Options::default() };
        let root = root((&parsed, &[input]), &from, wanted, None)?;
        enclave.application = Some(Arc::new(root.assembly.tree));
        enclave.seed = Some(root.seed);
        used.extend(root.images);
        stored.extend(root.stored);
    }
    let parts = parts(assembly, &from, options, (enclave, seed))?;
    let catalog = Catalog::new(name, parts);
    images.make_room();
    Ok(System { parsed, images: used, stored, catalog, layers: images.layers.clone() })
}

/// Where what a spec names comes from, and who hears of it.
struct Context<'a> {
    images: &'a Images<'a>,
    origins: &'a Origins,
    monitor: &'a dyn Monitor,
}

/// The root of a spec.
struct Root {
    assembly: Assembly,
    images: Vec<UsedImage>,
    stored: Vec<Stored>,
    /// What identifiers derive from.
    seed: Digest,
}

/// Takes what a system is booted with, while the rest of its root is still to come.
type Begin<'a> = dyn Fn(Assembly, Digest) + Sync + 'a;

/// Puts the root of a spec together. Where more than indexes have to be read for that, `begin` is called as soon as there is
/// what it takes.
fn root(
    (parsed, inputs): (&Parsed, &[Input]),
    from: &Context<'_>,
    wanted: rootfs::Options,
    begin: Option<&Begin<'_>>,
) -> Result<Root, Error> {
    let Context { images, origins, monitor } = *from;
    let lock = if origins.locked { Some(read_lock(inputs)?) } else { None };
    let names = Names::new(parsed, origins, lock.as_ref())?;
    let found = names.resolve(images)?;
    images.take_published(&found, lock.as_ref());
    let seed = seed(parsed, &found);
    let first = rootfs::boot_images(&parsed.spec);
    let begin =
        begin.filter(|_| !names.stored.is_empty() || !found[first..].iter().all(|image| images.is_indexed(image)));
    let begin = begin.map(|begin| {
        let boot = rootfs::Options { part: Part::Boot, bill: None, device_trees: false, ..wanted.clone() };
        let (names, found) = (&names, &found[..first]);
        move || {
            let sources = sources(names, found, images, None).map(|(sources, _)| sources);
            let mut supplies = Supplies::new(&parsed.spec, images, (found, &names.stored), origins.home.as_deref());
            // What fails here fails again below, where it is told.
            let assembly =
                sources.ok().map(|sources| rootfs::assemble(&parsed.spec, sources, &mut supplies, boot.clone()));
            assembly.into_iter().flatten().for_each(|assembly| begin(assembly, seed));
        }
    });
    let sooner = begin.as_ref().map(|then| Sooner { images: first, then });
    let (sources, diff_sizes) = sources(&names, &found, images, sooner)?;
    images.prefetch(&found, lock.as_ref());
    let mut supplies = Supplies::new(&parsed.spec, images, (&found, &names.stored), origins.home.as_deref());
    let assembly = rootfs::assemble(&parsed.spec, sources, &mut supplies, wanted);
    let assembly = assembly.map_err(|error| Error::at(error.place(), &parsed.texts, error))?;
    let stored = supplies.stored;
    assembly.warnings.iter().for_each(|warning| monitor.event(Event::Warning(warning.clone())));
    let images = names.laid_out.into_iter().zip(found).zip(diff_sizes);
    let images = images.map(|((name, image), diff_sizes)| UsedImage { name, image, diff_sizes }).collect();
    Ok(Root { assembly, images, stored, seed })
}

/// Reads and checks the spec of the application in an image for an enclave.
fn read_application(input: Input, origins: &Origins, monitor: &dyn Monitor) -> Result<(Input, Parsed), Error> {
    let inputs = std::slice::from_ref(&input);
    let parsed = parse(inputs, monitor)?;
    check_local_sources(&parsed, inputs, origins.local_sources)?;
    Ok((input, parsed))
}

/// One image with its files, as they are in a container, apart from what a runtime mounts over them.
///
/// # Errors
/// When it cannot be found, or a layer cannot be had or is corrupt.
pub fn load_image(reference: &Reference, origins: &Origins, monitor: &dyn Monitor) -> Result<(Image, Tree), Error> {
    image_of(&Stock::new(origins, monitor)?, reference, origins, monitor)
}

/// The same with what an earlier load of the same origins has found and opened.
///
/// # Errors
/// As [`load_image`].
pub(super) fn image_of(
    stock: &Stock,
    reference: &Reference,
    origins: &Origins,
    monitor: &dyn Monitor,
) -> Result<(Image, Tree), Error> {
    let images = Images::over(stock, origins, monitor);
    let (image, tree) = images.tree(reference)?;
    images.prefetch(std::slice::from_ref(&image), None);
    images.make_room();
    Ok((image, tree.finish()))
}

/// A lock that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its file.
    pub path: PathBuf,
    /// How many references of the specs it records.
    pub references: usize,
    /// For how many images it says where their layer indexes are.
    pub indexes: usize,
}

/// The images that these specs lay out; no layer is opened.
///
/// # Errors
/// When a spec is not valid, or an image cannot be found.
pub(super) fn resolve(
    inputs: &[Input],
    origins: &Origins,
    images: &Images<'_>,
    monitor: &dyn Monitor,
) -> Result<Vec<Image>, Error> {
    let parsed = parse(inputs, monitor)?;
    let lock = if origins.locked { Some(read_lock(inputs)?) } else { None };
    Names::new(&parsed, origins, lock.as_ref())?.resolve(images)
}

impl Asked {
    /// The images that specs name, for these platforms, or for those that a volume holds its image for. Where several
    /// specs are given they merge in order.
    ///
    /// # Errors
    /// When a spec cannot be read or is not valid, or a lock that is asked for does not record a name.
    pub fn of_specs(
        inputs: &[Input],
        platforms: &[Platform],
        origins: &Origins,
        monitor: &dyn Monitor,
    ) -> Result<Vec<Self>, Error> {
        let parsed = parse(inputs, monitor)?;
        let lock = if origins.locked { Some(read_lock(inputs)?) } else { None };
        let names = Names::new(&parsed, origins, lock.as_ref())?;
        let laid_out =
            names.laid_out.iter().map(|name| Self { reference: name.asked(), platforms: platforms.to_vec() });
        let stored = names.stored.iter().map(|name| {
            let volumes = parsed.spec.volumes.iter();
            let mut of_image =
                volumes.filter(|volume| volume.image.as_ref().is_some_and(|image| image.value == name.written.value));
            let platforms = of_image.next().map(|volume| volume.platforms.clone()).unwrap_or_default();
            Self { reference: name.asked(), platforms }
        });
        Ok(laid_out.chain(stored).collect())
    }
}

/// Records what every reference of the specs means now in the lock next to the last of them. What the lock records for other
/// platforms stays.
///
/// # Errors
/// When an image cannot be found, or the lock cannot be written.
pub fn lock(inputs: &[Input], origins: &Origins, monitor: &dyn Monitor) -> Result<Recorded, Error> {
    let path = lock_file::path_of(inputs)?;
    let parsed = parse(inputs, monitor)?;
    let images = Images::new(origins, monitor)?;
    let names = Names::new(&parsed, origins, None)?;
    let found = names.resolve(&images)?;
    let digests = names.digests(&found, &images)?;
    let references = digests.len();
    let mut lock = LockFile::read(&path)?.unwrap_or_default();
    lock.record(&origins.platform, digests);
    let published = images.published_at(&found);
    found.iter().zip(&published).for_each(|(image, published)| lock.record_index(image.digest(), published.as_ref()));
    if let Prefetch::Listed(list) = &origins.prefetch {
        let layers: Vec<Digest> = found.iter().flat_map(Image::layer_digests).collect();
        lock.record_reads(&origins.platform, list.of_layers(&layers));
    }
    lock.write(&path)?;
    let indexes = published.iter().flatten().count();
    Ok(Recorded { path, references, indexes })
}

/// The spec with its references expanded.
pub fn resolved_text(parsed: &Parsed, format: MetadataFormat) -> String {
    parsed.spec.to_text(format, &expanded)
}

/// The lock next to the specs.
fn read_lock(inputs: &[Input]) -> Result<LockFile, Problem> {
    let path = lock_file::path_of(inputs)?;
    LockFile::read(&path)?.ok_or(Problem::NoLock(path))
}

/// Refuses specs from URLs that name files of this machine: who wrote them is not who runs lkit.
fn check_local_sources(parsed: &Parsed, inputs: &[Input], allowed: LocalSources) -> Result<(), Error> {
    let mut sources = parsed.spec.files.iter().filter_map(|file| match &file.content {
        FileContent::Source { path, .. } => Some(path),
        _ => None,
    });
    let is_remote = |file: u16| inputs.get(usize::from(file)).is_none_or(Input::is_remote);
    match sources.find(|path| allowed == LocalSources::OfLocalSpecs && is_remote(path.place.file)) {
        None => Ok(()),
        Some(path) => {
            let problem = Problem::LocalSource { path: path.value.clone() };
            Err(Error::at(Some(path.place), &parsed.texts, problem))
        }
    }
}

/// The images by number, each with its layers merged, and the sizes of their uncompressed layers.
fn sources(
    names: &Names<'_>,
    found: &[Image],
    images: &Images<'_>,
    sooner: Option<Sooner<'_>>,
) -> Result<(Vec<SourceImage>, Vec<Vec<u64>>), Error> {
    let trees =
        images.trees(found, sooner).map_err(|(number, problem)| names.error(&names.laid_out[number], problem))?;
    let sources = names.laid_out.iter().zip(found).zip(trees).map(|((name, image), Merged { tree, diff_sizes })| {
        (SourceImage { reference: name.completed(), config: image.config.clone(), tree }, diff_sizes)
    });
    Ok(sources.unzip())
}

/// What artifacts are laid out from.
fn parts(
    mut assembly: Assembly,
    from: &Context<'_>,
    options: &Options,
    (enclave, seed): (Enclave, Digest),
) -> Result<output::System, Problem> {
    let Context { images, origins, .. } = *from;
    let found = std::mem::take(&mut assembly.device_trees);
    let board = || {
        let trees = device_trees(found, &options.device_trees)?;
        Ok::<_, Problem>(Board { trees, firmware: firmware(&options.firmware, images)? })
    };
    let board = has_boards(&origins.platform).then(board).transpose()?;
    Ok(output::System {
        systemd_boot: options.loaders.systemd_boot(images, &origins.platform)?,
        isolinux: options.loaders.isolinux(images)?,
        board,
        enclave,
        ..boot_parts(assembly, (&images.layers, &origins.platform), options, seed)
    })
}

/// The same without what takes more than the root: files of loaders, boards and enclaves.
fn boot_parts(
    assembly: Assembly,
    (layers, platform): (&Arc<Layers>, &Platform),
    options: &Options,
    seed: Digest,
) -> output::System {
    output::System {
        systemd_boot: None,
        isolinux: None,
        gunzip: assembly.kernel.clone().map(|kernel| gunzip(layers.clone(), kernel)),
        kernel: assembly.kernel,
        cmdline: assembly.cmdline,
        microcode: assembly.ucode,
        board: has_boards(platform).then(Board::default),
        tree: Arc::new(assembly.tree),
        root: options.root,
        enclave: Enclave::default(),
        disk_size: options.disk_size.unwrap_or(0),
        data_size: options.data_size.unwrap_or(0),
        seed,
    }
}

/// Whether there are boards that artifacts for this platform start on.
fn has_boards(platform: &Platform) -> bool {
    platform.architecture == "arm64"
}

fn gunzip(layers: Arc<Layers>, kernel: SharedSource) -> Gunzip {
    Box::new(move || {
        let size = kernel.size();
        let opened = layers.open_gzip(&Inner { source: kernel.clone(), offset: 0, size });
        opened.map_err(|error| ReadError::wrap("cannot decompress the kernel", error))
    })
}

/// What identifiers derive from: the spec as resolved, and the digests of its images.
fn seed(parsed: &Parsed, found: &[Image]) -> Digest {
    let mut text = resolved_text(parsed, MetadataFormat::Json);
    for image in found {
        text.push_str(&image.digest().to_string());
    }
    Digest::of(text.as_bytes())
}
