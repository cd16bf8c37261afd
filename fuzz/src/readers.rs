//! The readers, each with files that it reads well: damage starts from those.

use gradus::prelude::*;
use gradus::tensor::HostTensor;
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
    pub read: Read,
}

pub fn all() -> Vec<Reader> {
    let mut target = network(1);
    let weights = vec![written(|p| network(0).save_weights(p)), written(|p| network(2).save_weights(p))];
    let models = vec![written(|p| network(0).save(p)), written(|p| trained().save(p))];
    vec![
        reader("idx", "x-idx3-ubyte", idx_seeds(), |p| gradus::data::read_idx(p).map(drop)),
        reader("idx in gzip", "x-idx3-ubyte.gz", idx_seeds().iter().map(|b| gzip(b)).collect(), |p| gradus::data::read_idx(p).map(drop)),
        reader("idx on disk", "x-idx1-ubyte", idx_seeds(), |p| gradus::data::open_idx(p, p).map(drop)),
        reader("safetensors on disk", "d.safetensors", vec![fields()], |p| gradus::data::open_safetensors(p).map(drop)),
        reader("weights", "w.safetensors", weights.clone(), move |p| target.load_weights(p, Load::new()).map(drop)),
        reader("weights, loosely", "w.safetensors", weights, {
            let mut target = network(1);
            move |p| target.load_weights(p, Load::new().rename("0", "2").allow_missing("*").ignore("2.*")).map(drop)
        }),
        reader("models", "m.safetensors", models, |p| Model::load_on(p, Device::cpu_threads(1)).map(drop)),
    ]
}

fn reader(name: &'static str, file: &'static str, seeds: Vec<Vec<u8>>, read: impl FnMut(&Path) -> gradus::Result<()> + 'static) -> Reader {
    Reader { name, file, seeds, read: Box::new(read) }
}

fn network(seed: u64) -> Model {
    let net = Sequential::new().add(Linear::new(4)).add(Relu).add(Linear::new(3)).add(Softmax);
    let settings = Compile::new(Adam::default(), CrossEntropy::new()).input([5]).device(Device::cpu_threads(1)).seed(seed);
    net.compile(settings).expect("a small network")
}

fn trained() -> Model {
    let mut model = network(3);
    let x = HostTensor::f32([6, 5], (0..30).map(|i| i as f32 / 30.0).collect()).expect("features");
    let y = HostTensor::u8([6], vec![0, 1, 2, 0, 1, 2]).expect("labels");
    let data = Dataset::new(x, y).expect("a data set");
    model.fit(&data, Fit::new().batch_size(3).verbose(0)).expect("two steps");
    model
}

fn written(save: impl Fn(&Path) -> gradus::Result<()>) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("seed.safetensors");
    save(&path).expect("a whole file");
    std::fs::read(path).expect("what was written")
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
