//! What `benches/run` measures with the library itself; each subcommand prints its figures on one line.
//!
//! | arguments | does | prints |
//! |---|---|---|
//! | `plain BLOB` | decodes a blob with zlib-rs or zstd on one thread, and does nothing else | bytes, seconds |
//! | `best BLOB` | the same with libdeflate, which wants the whole output in memory | bytes, seconds |
//! | `engine BLOB` | the same with the inflater of lkit, 256 KiB at a time | bytes, seconds |
//! | `index LAYOUT CACHE LAYER` | the pass over a layer | seconds, bytes of index, entries |
//! | `diff LAYOUT CACHE LAYER WORKERS DIR` | mounts the uncompressed tar until its input ends | bytes decoded |
//! | `readers LAYOUT CACHE LAYER COUNT` | reads the diff with COUNT threads at once | MB/s of own parts, the same, warm, random |
//! | `empty DIR FOLDERS FILES` | mounts a file system that answers from nothing | – |
//!
//! LAYER is `DIGEST,SIZE,DIFF_ID`.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use lkit::base::{Digest, Silent};
use lkit::blob::{self, Fetch, Store};
use lkit::layer::{Gunzip, Layer, Layers, Options, Wanted};
use lkit::serve::{Artifact, Files, MountOptions, mount};

mod empty;
mod readers;

type Outcome = Result<String, Box<dyn Error>>;

/// As much as the pass hands its decoder at once.
const CHUNK: usize = 256 << 10;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["plain", blob] => plain(Path::new(blob)),
        ["best", blob] => best(Path::new(blob)),
        ["engine", blob] => engine(Path::new(blob)),
        ["index", layout, cache, layer] => index(layout, cache, layer),
        ["diff", layout, cache, layer, workers, dir] => diff(layout, cache, layer, workers, dir),
        ["readers", layout, cache, layer, count] => read_together(layout, cache, layer, count),
        ["empty", dir, folders, files] => empty::serve(dir, folders, files),
        _ => Err("usage: see benches/run".into()),
    };
    match outcome {
        Ok(line) => println!("{line}"),
        Err(error) => {
            eprintln!("probe: {error}");
            std::process::exit(1);
        }
    }
}

/// P: everything is compared with this. The blob is in memory, its content goes nowhere.
fn plain(blob: &Path) -> Outcome {
    let bytes = fs::read(blob)?;
    let mut decoder: Box<dyn Read> = if bytes.starts_with(&[0x1f, 0x8b]) {
        Box::new(flate2::bufread::MultiGzDecoder::new(&bytes[..]))
    } else {
        Box::new(zstd::stream::read::Decoder::with_buffer(&bytes[..])?)
    };
    let (mut buf, mut total) = (vec![0; CHUNK], 0);
    let start = Instant::now();
    loop {
        match decoder.read(&mut buf)? {
            0 => return Ok(format!("{total} {}", start.elapsed().as_secs_f64())),
            count => total += count,
        }
    }
}

/// P*: the fastest inflate there is. Its output has been touched before.
fn best(blob: &Path) -> Outcome {
    let bytes = fs::read(blob)?;
    let tail = bytes.last_chunk::<4>().ok_or("an empty blob")?;
    let mut content = vec![1; usize::try_from(u32::from_le_bytes(*tail))?];
    let mut decoder = libdeflater::Decompressor::new();
    let start = Instant::now();
    let total = decoder.gzip_decompress(&bytes, &mut content)?;
    Ok(format!("{total} {}", start.elapsed().as_secs_f64()))
}

fn engine(blob: &Path) -> Outcome {
    let bytes = fs::read(blob)?;
    // Both compare the checksum of what comes out.
    let mut reader = Gunzip::new(&bytes[..]);
    let (start, mut total) = (Instant::now(), 0);
    loop {
        match reader.fill_buf()?.len() {
            0 => return Ok(format!("{total} {}", start.elapsed().as_secs_f64())),
            count => {
                total += count;
                reader.consume(count);
            }
        }
    }
}

fn index(layout: &str, cache: &str, layer: &str) -> Outcome {
    let wanted = parse(layer)?;
    let layers = layers(layout, cache, Options::default())?;
    let start = Instant::now();
    let layer = open(&layers, &wanted)?;
    let seconds = start.elapsed().as_secs_f64();
    let file: PathBuf = [cache, "lkit/index", &wanted.digest.hex()].iter().collect();
    Ok(format!("{seconds} {} {}", fs::metadata(file)?.len(), layer.toc().len()))
}

fn diff(layout: &str, cache: &str, layer: &str, workers: &str, dir: &str) -> Outcome {
    let layers = layers(layout, cache, Options { workers: workers.parse()?, ..Options::default() })?;
    let diff = open(&layers, &parse(layer)?)?.diff().clone();
    let files = Files::new(vec![Artifact::ready("diff", diff)], None, (0, 0));
    let session = mount(files, Path::new(dir), MountOptions::default())?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    session.unmount()?;
    Ok(layers.decoded().to_string())
}

/// Each load starts with nothing decoded.
fn read_together(layout: &str, cache: &str, layer: &str, count: &str) -> Outcome {
    let (wanted, count) = (parse(layer)?, count.parse()?);
    let mut figures = Vec::new();
    for load in readers::LOADS {
        let layers = layers(layout, cache, Options::default())?;
        let layer = open(&layers, &wanted)?;
        figures.push(format!("{:.0}", readers::throughput(&**layer.diff(), load, count)?));
    }
    Ok(figures.join(" "))
}

fn layers(layout: &str, cache: &str, options: Options) -> Result<Layers, Box<dyn Error>> {
    let store = Store::open(Path::new(cache), &[PathBuf::from(layout)])?;
    Ok(Layers::new(Arc::new(store), options))
}

fn open(layers: &Layers, wanted: &Wanted) -> Result<Layer, Box<dyn Error>> {
    Ok(layers.open(wanted, &(Arc::new(Nowhere) as Arc<dyn Fetch>), &Silent)?)
}

fn parse(layer: &str) -> Result<Wanted, Box<dyn Error>> {
    let parts: Vec<&str> = layer.split(',').collect();
    let [digest, size, diff_id] = parts[..] else { return Err("a layer is DIGEST,SIZE,DIFF_ID".into()) };
    Ok(Wanted { digest: digest.parse()?, size: size.parse()?, diff_id: diff_id.parse()? })
}

/// All blobs are in the layout.
struct Nowhere;

impl Fetch for Nowhere {
    fn fetch(&self, digest: &Digest, _: Range<u64>) -> Result<Box<dyn Read + Send>, blob::Error> {
        Err(blob::Error::Key(format!("{digest} is not in the layout")))
    }
}
