//! The readers, each with files that it reads well: damage starts from those.

use crate::packed;
use gradus::data::{Csv, ImageFolder, Parquet};
use gradus::prelude::*;
use gradus::tensor::HostTensor;
use gradus::train::callbacks::{CsvLogger, ModelCheckpoint, ReduceLROnPlateau, TensorBoard};
use gradus::train::{DataSpec, Recipe};
use std::io::Write;
use std::path::Path;

/// Reads a file; what comes out is dropped.
type Read = Box<dyn FnMut(&Path) -> gradus::Result<()>>;

/// A way to read a file.
pub struct Reader {
    pub name: &'static str,
    /// The file's name, where the reader cares.
    pub file: &'static str,
    /// Whole files.
    pub seeds: Vec<Vec<u8>>,
    /// Bytes of memory that it may take whatever its file.
    pub constant: usize,
    pub read: Read,
}

/// What most take for nothing.
const PLAIN: usize = 1 << 20;
/// A picture is decoded if its header promises no more than 2,048 bytes for each of its file's, and a page of Parquet is unpacked if it promises no more than 4 MiB.
pub const PACKED: usize = 16 << 20;

pub fn all() -> Vec<Reader> {
    let mut target = network(1);
    let weights = vec![written(|p| network(0).save_weights(p)), written(|p| network(2).save_weights(p))];
    let models = vec![written(|p| network(0).save(p)), written(|p| trained().save(p))];
    // a sum finds nearly all damage: without one it comes to what stands behind
    let (weights, models) = (with_and_without_sums(weights), with_and_without_sums(models));
    let runs = with_and_without_sums(vec![checkpoint(3), checkpoint(2), checkpoint(0)]);
    vec![
        reader("idx", "x-idx3-ubyte", idx_seeds(), |p| gradus::data::read_idx(p).map(drop)),
        reader("idx in gzip", "x-idx3-ubyte.gz", idx_seeds().iter().map(|b| gzip(b)).collect(), |p| gradus::data::read_idx(p).map(drop)),
        reader("idx on disk", "x-idx1-ubyte", idx_seeds(), |p| gradus::data::open_idx(p, p).map(drop)),
        reader("safetensors on disk", "d.safetensors", vec![fields()], |p| gradus::data::open_safetensors(p).map(drop)),
        reader("csv", "t.csv", csv_seeds(), |p| gradus::data::csv(p, Csv::new()).map(drop)),
        reader("csv, chosen", "t.csv", csv_seeds(), |p| {
            let csv = Csv::new().target("kind").categories("kind").one_hot("town").fill_missing(1.0).fill_missing_in("town", "Ulm");
            csv.header(true).read(p).map(drop)
        }),
        reader("npy", "x.npy", npy_seeds(), |p| gradus::data::read_npy(p).map(drop)),
        reader("npz", "x.npz", vec![npz(&npy_seeds()), npz(&npy_seeds()[..1])], |p| gradus::data::npz(p).map(drop)),
        reader("npy on disk", "x.npy", npy_seeds(), |p| gradus::data::open_npy(p, p).map(drop)),
        Reader { constant: PACKED, ..reader("pictures", "pictures/class/a.png", packed::pictures(), seen()) },
        Reader {
            constant: PACKED,
            ..reader("png, sums mended", "pictures/class/a.png", packed::pngs(), {
                let mut seen = seen();
                move |p| {
                    let bytes = std::fs::read(p).unwrap_or_default();
                    let _ = std::fs::write(p, packed::mended(bytes));
                    seen(p)
                }
            })
        },
        Reader {
            constant: PACKED,
            ..reader("parquet", "t.parquet", packed::parquets(), |p| {
                let how = Parquet::new().target("price").one_hot("town").fill_missing(0.0).fill_missing_in("town", "Ulm");
                how.memory(1 << 18).disk(1 << 20).dir(p.parent().unwrap_or(p)).read(p).map(drop)
            })
        },
        reader("weights", "w.safetensors", weights.clone(), move |p| target.load_weights(p, Load::new()).map(drop)),
        reader("weights, loosely", "w.safetensors", weights, {
            let mut target = network(1);
            move |p| target.load_weights(p, Load::new().rename("0", "2").allow_missing("*").ignore("2.*")).map(drop)
        }),
        reader("models", "m.safetensors", models, |p| Model::load_on(p, Device::cpu_threads(1)).map(drop)),
        reader("checkpoints", "run.gradus", runs.clone(), {
            let (mut target, data) = (network(3), rows());
            written(|p| resumed(&mut target, &data, p, Resume::IfPresent)); // plans are made once
            move |p| resumed(&mut target, &data, p, Resume::Required)
        }),
        reader("checkpoints as models", "run.gradus", runs, |p| Model::load_on(p, Device::cpu_threads(1)).map(drop)),
        reader("recipes", "recipe.json", vec![recipe(false), recipe(true)], |p| {
            let text = String::from_utf8_lossy(&std::fs::read(p).unwrap_or_default()).into_owned();
            Recipe::from_json(&text).map(drop)
        }),
    ]
}

fn reader(name: &'static str, file: &'static str, seeds: Vec<Vec<u8>>, read: impl FnMut(&Path) -> gradus::Result<()> + 'static) -> Reader {
    Reader { name, file, seeds, constant: PLAIN, read: Box::new(read) }
}

/// Decodes a picture as training does: a model is shown it.
fn seen() -> impl FnMut(&Path) -> gradus::Result<()> {
    let net = Sequential::new().add(Flatten).add(Linear::new(2));
    let compile = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([3, 4, 4]).device(Device::cpu_threads(1));
    let model = net.compile(compile).expect("a small network");
    move |p| {
        let folder = p.parent().and_then(Path::parent).unwrap_or(p);
        let set = gradus::data::image_folder(folder, ImageFolder::new().size(4, 4))?;
        model.predict(&set, 1).map(drop)
    }
}

fn network(seed: u64) -> Model {
    let net = Sequential::new().add(Linear::new(4)).add(Relu).add(Linear::new(3)).add(Softmax);
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([5]).device(Device::cpu_threads(1)).seed(seed);
    net.compile(settings).expect("a small network")
}

fn rows() -> Dataset {
    let x = HostTensor::f32([6, 5], (0..30).map(|i| i as f32 / 30.0).collect()).expect("features");
    let y = HostTensor::u8([6], vec![0, 1, 2, 0, 1, 2]).expect("labels");
    Dataset::new(x, y).expect("a data set")
}

fn trained() -> Model {
    let mut model = network(3);
    model.fit(&rows(), Fit::new().batch_size(3).verbose(0)).expect("two steps");
    model
}

/// What reads a checkpoint: a run that goes on from it, with the callbacks that it has the state of.
fn resumed(model: &mut Model, data: &Dataset, path: &Path, resume: Resume) -> gradus::Result<()> {
    let fit = Fit::new().epochs(3).batch_size(3).verbose(0).checkpoint(Checkpoint::new(path).every_epochs(0)).resume(resume);
    let early = EarlyStopping::new("loss").patience(9).restore_best_weights(true);
    model.fit(data, fit.callback(early).callback(ReduceLROnPlateau::new("loss"))).map(drop)
}

/// The file of a run after so many epochs; 0 for one in the middle of its first.
fn checkpoint(epochs: usize) -> Vec<u8> {
    written(|path| {
        let (mut model, data) = (network(3), rows());
        let fit = Fit::new().epochs(epochs.max(1)).batch_size(3).verbose(0);
        if epochs > 0 {
            let early = EarlyStopping::new("loss").patience(9).restore_best_weights(true);
            let fit = fit.callback(early).callback(ReduceLROnPlateau::new("loss")).checkpoint(Checkpoint::new(path));
            return model.fit(&data, fit).map(drop);
        }
        let mut run = model.trainer(&data, fit)?;
        run.steps(1)?;
        run.checkpoint(path)
    })
}

/// A recipe in JSON; with callbacks and a checkpoint, or plain.
fn recipe(rich: bool) -> Vec<u8> {
    let net = Sequential::new().add(Linear::new(4)).add(Relu).add(Linear::new(3));
    let compile =
        Compile::new(AdamW::new(1e-3).group("*.bias", Group::new().frozen()), CrossEntropy::new()).input([5]).metric(Accuracy::new());
    let mut fit = Fit::new().epochs(3);
    if rich {
        fit = fit
            .callback(EarlyStopping::new("loss").patience(3).baseline(0.5))
            .callback(ModelCheckpoint::new("runs/{epoch:02d}-{loss:.3f}.gradus").keep_last(2))
            .callback(CsvLogger::new("run.csv"))
            .callback(TensorBoard::new("board"))
            .checkpoint(Checkpoint::new("run.gradus").every_steps(5))
            .resume(Resume::IfPresent);
    }
    Recipe::new(&net, &compile, &fit, DataSpec::new("mnist")).expect("a recipe").to_json().into_bytes()
}

fn written(mut save: impl FnMut(&Path) -> gradus::Result<()>) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("seed.safetensors");
    save(&path).expect("a whole file");
    std::fs::read(path).expect("what was written")
}

/// Each file twice: as it is written, and as an older gradus wrote it.
fn with_and_without_sums(files: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let without: Vec<Vec<u8>> = files.iter().map(|f| without_sum(f)).collect();
    [without, files].concat()
}

fn without_sum(bytes: &[u8]) -> Vec<u8> {
    let n = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")) as usize;
    let mut header = String::from_utf8(bytes[8..8 + n].to_vec()).expect("a header");
    let (inside, alone) = (r#",\"sum\":\""#, r#""__metadata__":{"gradus.sum":""#);
    if let Some(at) = header.find(inside) {
        header.replace_range(at..at + inside.len() + 16 + 2, "");
    } else {
        let at = header.find(alone).expect("a sum");
        header.replace_range(at..at + alone.len() + 16 + 3, "");
    }
    let header = format!("{:<width$}", header.trim_end(), width = header.trim_end().len().next_multiple_of(8));
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + n..]].concat()
}

fn idx_seeds() -> Vec<Vec<u8>> {
    let file = |kind: u8, dims: &[u32], value: usize| {
        let mut b = vec![0, 0, kind, dims.len() as u8];
        dims.iter().for_each(|d| b.extend(d.to_be_bytes()));
        let bytes = dims.iter().product::<u32>() as usize * value;
        b.extend((0..bytes).map(|i| (i * 37) as u8 & 0x3f));
        b
    };
    vec![file(8, &[3, 28, 28], 1), file(8, &[10], 1), file(0x0d, &[4, 5], 4), file(0x0c, &[7], 4), file(8, &[2, 3, 2, 2, 1], 1)]
}

fn csv_seeds() -> Vec<Vec<u8>> {
    let mixed = "size,town,kind\n1.5,Ulm,a\n-2e3,\"Bonn, West\",b\nNA,,a\n4, Ulm ,c\n";
    let numbers = "a,b,c\r\n1,2,3\r\n4,5,6\r\n";
    [mixed, numbers, "size,town,kind\n3,\u{c4}lm,a\n"].map(|t| t.as_bytes().to_vec()).to_vec()
}

fn npy_seeds() -> Vec<Vec<u8>> {
    let file = |descr: &str, fortran: &str, shape: &str, bytes: usize| {
        let dict = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
        let text = format!("{dict:<117}\n");
        let values = (0..bytes).map(|i| (i * 37) as u8 & 0x3f);
        [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat().into_iter().chain(values).collect()
    };
    vec![
        file("|u1", "False", "(3, 4)", 12),
        file("<f4", "True", "(3, 2, 2)", 48),
        file(">f8", "False", "(3,)", 24),
        file("<i8", "False", "(3, 1)", 24),
    ]
}

/// These arrays, stored.
fn npz(arrays: &[Vec<u8>]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in ["x.npy", "y.npy", "z.npy", "w.npy"].iter().zip(arrays) {
        let (at, size) = ((out.len() as u32).to_le_bytes(), (content.len() as u32).to_le_bytes());
        let bit = |c: u32| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 };
        let crc = !content.iter().fold(u32::MAX, |c, &b| (0..8).fold(c ^ u32::from(b), |c, _| bit(c)));
        let common = [&[20, 0, 0, 0, 0, 0, 0, 0, 33, 0], &crc.to_le_bytes()[..], &size, &size, &[5, 0, 0, 0]].concat();
        out.extend([&b"PK\x03\x04"[..], &common, name.as_bytes(), content].concat());
        directory.extend([&b"PK\x01\x02\x14\x03"[..], &common, &[0; 10], &at, name.as_bytes()].concat());
    }
    let (at, n) = ((out.len() as u32).to_le_bytes(), (arrays.len() as u16).to_le_bytes());
    let size = (directory.len() as u32).to_le_bytes();
    out.extend([directory, [&b"PK\x05\x06\0\0\0\0"[..], &n, &n, &size, &at, &[0, 0]].concat()].concat());
    out
}

/// A data set of three rows as safetensors.
fn fields() -> Vec<u8> {
    let header = r#"{"x":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},"y":{"dtype":"I64","shape":[3],"data_offsets":[24,48]}}"#;
    let mut b = (header.len() as u64).to_le_bytes().to_vec();
    b.extend(header.bytes());
    b.extend([0; 48]);
    b
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut w = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    w.write_all(bytes).expect("packing in memory");
    w.finish().expect("packing in memory")
}
