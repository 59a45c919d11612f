//! `lkit serve`: the artifacts of a system at addresses, without a file system, or the files of a directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::Digest;
use crate::cli::early::{Beginning, Begun};
use crate::cli::log::Loudness;
use crate::cli::progress::Progress;
use crate::cli::report::Failure;
use crate::cli::settings::Settings;
use crate::cli::{args, server, specs};
use crate::output::{Catalog, RootFs};
use crate::serve::background::Ready;
use crate::serve::{
    Address, Door, DoorRules, Exports, Generation, Interrupts, ParseAddressError, RemoteRoot, Serving, TlsFiles,
};

/// Serves in the foreground, or starts the server and waits until it serves.
pub fn run(args: args::Serve, loudness: Loudness) -> Result<ExitCode, Failure> {
    server::start(args.background, |ready| serve(args, loudness, ready))
}

fn serve(args: args::Serve, loudness: Loudness, ready: Option<Ready>) -> Result<ExitCode, Failure> {
    let addresses = addresses(&args.listen)?;
    let rules = rules(&args)?;
    let progress = if args.no_wait { Progress::without_bars(loudness) } else { Progress::new(loudness) };
    if let Some(directory) = &args.directory {
        let door = |address| Door::directory(address, directory, &rules);
        let doors = addresses.iter().map(door).collect::<Result<Vec<_>, _>>()?;
        let (urls, interrupts) = (urls(&doors), Interrupts::catch()?);
        let nothing = Exports::new(Generation::new(Vec::new(), Digest::of(b"")));
        let serving = Serving::start(doors, &nothing, &rules)?;
        tell(&progress, &directory.display().to_string(), &urls, (ready, args.log.as_deref()))?;
        serving.wait(interrupts);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(directory) = args.specs.iter().find(|spec| spec.is_dir()) {
        let message = format!("`{}` is a directory, and no spec", directory.display());
        return Err(Failure::usage(message).hint("`--directory DIR` serves the files of one"));
    }
    let mut settings = Settings::new(args.system)?.with_root(args.root);
    let recording = args.reads.apply(&mut settings)?;
    // Before anything is fetched: what cannot be served need not be there.
    let mut doors = addresses.iter().map(|address| Door::open(address, &rules)).collect::<Result<Vec<_>, _>>()?;
    for disk in &args.vhost_user {
        doors.push(vhost_user(disk)?);
    }
    let urls = urls(&doors);
    let name = settings.name(&specs::inputs(&args.specs));
    let root = args.root.and_then(|root| remote_root(root.into(), &name, &doors));
    let (ready, doors) = (Mutex::new(ready), Mutex::new(doors));
    let opening = Arc::new(Opening { name, urls, root, doors, rules, log: args.log.clone(), ready });
    let beginning = Beginning::new();
    let (begin, no_wait) = (opening.clone(), args.no_wait);
    settings.options.on_early = Some(beginning.with(move |early| {
        let served = begin.open(&early.catalog)?;
        if no_wait { begin.tell(&Progress::new(loudness)).map(|()| served) } else { Ok(served) }
    }));
    let (system, watched) = args.watching.load(specs::inputs(&args.specs), &settings, &progress, args.log.is_some())?;
    let begun = beginning.take()?;
    let is_told = no_wait && begun.is_some();
    let Served { serving, exports, interrupts } = match begun {
        None => opening.open(&system.catalog)?,
        Some(Begun { completion, serving }) => {
            serving.exports.replace(opening.generation(&system.catalog));
            completion.complete(system.catalog);
            serving
        }
    };
    if let Some(watched) = watched {
        let opening = opening.clone();
        watched.follow(move |system| exports.replace(opening.generation(&system.catalog)))?;
    }
    if !is_told {
        opening.tell(&progress)?;
    }
    serving.wait(interrupts);
    recording.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// What a system is served by.
struct Opening {
    name: String,
    urls: String,
    root: Option<RemoteRoot>,
    doors: Mutex<Vec<Door>>,
    rules: DoorRules,
    log: Option<PathBuf>,
    /// Set in the background until the doors answer: then lkit tells the process that started this one, and that process
    /// exits.
    ready: Mutex<Option<Ready>>,
}

/// A system that is served, with the signals that end it.
struct Served {
    serving: Serving,
    exports: Exports,
    interrupts: Interrupts,
}

impl Opening {
    fn generation(&self, catalog: &Catalog) -> Generation {
        Generation::of(catalog).with_root(self.root.clone())
    }

    /// Serves a catalog at all doors; once.
    fn open(&self, catalog: &Catalog) -> Result<Served, Failure> {
        // Before, a signal just ends us: the next server takes over the socket that is left.
        let interrupts = Interrupts::catch()?;
        let exports = Exports::new(self.generation(catalog));
        let doors = std::mem::take(&mut *self.doors.lock().unwrap_or_else(PoisonError::into_inner));
        let serving = Serving::start(doors, &exports, &self.rules)?;
        Ok(Served { serving, exports, interrupts })
    }

    fn tell(&self, progress: &Progress) -> Result<(), Failure> {
        let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner).take();
        tell(progress, &self.name, &self.urls, (ready, self.log.as_deref()))
    }
}

/// What machines boot from when the root is served where their small initrd looks: by NBD over IPv4, without TLS.
fn remote_root(root: RootFs, name: &str, doors: &[Door]) -> Option<RemoteRoot> {
    let server = doors.iter().find_map(|door| door.url().strip_prefix("nbd://")?.parse().ok())?;
    let [disk, initrd] = [root.disk_suffix(), root.initrd_suffix()].map(|suffix| format!("{name}{suffix}"));
    Some(RemoteRoot { disk, initrd, server })
}

/// Where clients find all of it.
fn urls(doors: &[Door]) -> String {
    doors.iter().map(|door| format!("`{}`", door.url())).collect::<Vec<_>>().join(", ")
}

/// Tells that it is served, and leaves the terminal if it is served in the background.
fn tell(
    progress: &Progress,
    what: &str,
    urls: &str,
    (ready, log): (Option<Ready>, Option<&Path>),
) -> Result<(), Failure> {
    let end = if ready.is_some() { format!("`kill {}`", std::process::id()) } else { "Ctrl-C".to_owned() };
    progress.ready(&format!("`{what}` is served at {urls}; {end} ends it"));
    if let Some(ready) = ready {
        ready.announce(log)?;
    }
    server::tell_supervisor();
    Ok(())
}

fn addresses(texts: &[String]) -> Result<Vec<Address>, Failure> {
    let address = |text: &String| text.parse().map_err(|error: ParseAddressError| Failure::from(error));
    texts.iter().map(address).collect()
}

/// The door of `SOCKET=ARTIFACT`; no artifact has a `=` in what its format adds to the name of the system, but that may.
fn vhost_user(text: &OsStr) -> Result<Door, Failure> {
    let bytes = text.as_encoded_bytes();
    let parts = bytes.iter().position(|byte| *byte == b'=').map(|at| (&bytes[..at], &bytes[at + 1..]));
    let parts = parts.filter(|(socket, artifact)| !socket.is_empty() && !artifact.is_empty());
    let named = parts.and_then(|(socket, artifact)| Some((socket, std::str::from_utf8(artifact).ok()?)));
    let (socket, artifact) = named.ok_or_else(|| {
        let message = format!("--vhost-user: `{}` is no socket and artifact", text.to_string_lossy());
        Failure::usage(message).hint("write them as `SOCKET=ARTIFACT`, such as `/run/disk.sock=linuxkit-efi.img`")
    })?;
    Ok(Door::vhost_user(Path::new(OsStr::from_bytes(socket)), artifact)?)
}

fn rules(args: &args::Serve) -> Result<DoorRules, Failure> {
    let files = args.tls_cert.clone().zip(args.tls_key.clone()).map(|(certificate, key)| TlsFiles {
        certificate,
        key,
        client_authorities: args.tls_client_ca.clone(),
    });
    let tls = files.map(|files| files.load()).transpose()?;
    Ok(DoorRules { tls, insecure: args.insecure_listen, connections: args.max_connections })
}
