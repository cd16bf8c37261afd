//! Errors in what a kernel is given: sizes, strides, offsets, formulas. The CPU's twins read the same values as the shaders do.

use super::{Edit, Spec};
use gradus::expr::{Expr, Scalar};
use gradus::graph::augment::{Augmentation, Chance};
use gradus::kernels::{Halves, Join, Kernel, Row, Scaling, Shard};

/// What a gather draws for the rows of each of its fields.
fn drawn(k: &mut gradus::kernels::Gather) -> impl Iterator<Item = &mut Augmentation> {
    k.fields.iter_mut().filter_map(|f| f.field.augmented.as_mut()).map(|a| std::sync::Arc::make_mut(&mut a.by))
}

type Line = (&'static str, &'static str, Edit, &'static [&'static str]);

/// An edit of one kind of kernel; the block is the change, over `$k`.
macro_rules! edit {
    ($kind:ident, $k:ident => $change:expr) => {
        |kernel: &mut Kernel| {
            let Kernel::$kind($k) = kernel else { return false };
            $change;
            true
        }
    };
}

const LINES: &[Line] = &[
    ("gemm_join", "a piece too few", edit!(GemmJoin, k => k.pieces = k.pieces.max(2) - 1), &["a product of 66000 terms with an ending"]),
    ("gemm", "a dropped last term", edit!(Gemm, k => k.k = k.k.max(2) - 1), &["nn 3 x 7 x 5", "nt 33 x 65 x 31"]),
    ("gemm", "the operands' transposition", edit!(Gemm, k => (k.spec.ta, k.a.pitch) = (!k.spec.ta, k.m)), &["nn 3 x 7 x 5"]),
    ("gemm", "a wrong batch offset of A", edit!(Gemm, k => k.a.batch = [0, 0]), &["nn of rank 3"]),
    ("gemm", "a wrong batch offset of B", edit!(Gemm, k => k.b.batch = [0, 0]), &["tn of rank 4"]),
    (
        "gemm",
        "a bias of one column",
        |k| if let Kernel::Gemm(g) = k { g.extras.first_mut().map(|e| e.column = 0).is_some() } else { false },
        &["a product with one row"],
    ),
    (
        "gemm",
        "an epilogue of one row",
        |k| if let Kernel::Gemm(g) = k { g.extras.first_mut().map(|e| e.row = 0).is_some() } else { false },
        &["a product with one element"],
    ),
    (
        "gemm",
        "no epilogue",
        edit!(Gemm, k => k.spec.epilogue = Expr::of(k.spec.epilogue.arity(), |x| vec![x[0].clone(); k.outputs.len()])),
        &["a product with one row"],
    ),
    (
        "gemm",
        "images closer together",
        |k| if let Kernel::Gemm(g) = k { g.patches.as_mut().map(|p| p.image -= p.channels).is_some() } else { false },
        &["a convolution colours"],
    ),
    (
        "gemm",
        "results where another's are",
        |k| if let Kernel::Gemm(g) = k { g.outputs[0].scattered.as_mut().map(|s| s.positions -= 1).is_some() } else { false },
        &["a convolution strided"],
    ),
    (
        "map",
        "a wrong formula",
        |kernel| {
            let Kernel::Map(k) = kernel else { return false };
            let outputs = k.spec.f.outputs().len();
            if k.spec.f.arity() > 0 {
                k.spec.f = Expr::of(k.spec.f.arity(), |x| vec![&x[0] * Scalar::from(1.001); outputs]);
            }
            k.spec.f.arity() > 0
        },
        &["tanh [*"],
    ),
    ("map", "a wrong stride", edit!(Map, k => k.inputs.iter_mut().flat_map(|i| &mut i.strides).for_each(|s| *s = 0)), &["[7, 33] * [33]"]),
    ("gemm", "f16 read and stored as f32", edit!(Gemm, k => k.spec.halves = Halves::default()), &["f16 nn 9 x 37 x 15"]),
    (
        "map",
        "f16 read and stored as f32",
        edit!(Map, k => k.spec.halves = Halves::default()),
        &["f16 turned round [7, 33]", "f16 seen in part [7, 33]"],
    ),
    ("reduce", "f16 read as f32", edit!(Reduce, k => k.spec.halves = Halves::default()), &["f16 sums over rows [70, 33]"]),
    ("row", "f16 read as f32", edit!(Row, k => k.spec.halves = Halves::default()), &["f16 softmax [7, 33]"]),
    ("cross_entropy", "f16 read as f32", edit!(CrossEntropy, k => k.half = false), &["f16 cross_entropy [32, 10]"]),
    ("cross_entropy", "a gradient stored as f32", edit!(CrossEntropy, k => k.half_gradient = false), &["f16 slopes of a loss [32, 10]"]),
    ("accuracy", "f16 read as f32", edit!(Accuracy, k => k.half = false), &["f16 accuracy [32, 10]"]),
    ("gather", "f16 stored as f32", edit!(Gather, k => k.fields.iter_mut().for_each(|f| f.half = false)), &["f16 floats"]),
    ("optimizer", "f16 copies a quarter short", edit!(Optimizer, k => k.size -= k.size / 4), &["f16 copies, sgd, clipped [257] [300]"]),
    ("gemm", "another stream", edit!(Gemm, k => k.draws.iter_mut().for_each(|d| d.stream ^= 1)), &["uniform on a product of 32 columns"]),
    ("gemm", "a wrong step of A along the outer axis", edit!(Gemm, k => k.a.batch[0] = 0), &["products of parts of one packed tensor"]),
    (
        "gemm",
        "an epilogue of one matrix of the outer axis",
        edit!(Gemm, k => k.extras.iter_mut().for_each(|e| e.batch[0] = 0)),
        &["a product with one mask of the outer batch axis"],
    ),
    ("map", "another stream", edit!(Map, k => k.draws.iter_mut().for_each(|d| d.stream ^= 1)), &["uniform [257]"]),
    ("map", "a dropped last row", edit!(Map, k => if let Some(n) = k.shape.first_mut() { *n -= 1 }), &["relu [33]", "[7, 33] * [33]"]),
    (
        "gemm",
        "a second result where the first is",
        |k| if let Kernel::Gemm(g) = k { second(&g.spec.via, &mut g.outputs) } else { false },
        &["two gradients of one product"],
    ),
    (
        "map",
        "a second result where the first is",
        |k| if let Kernel::Map(m) = k { second(&m.spec.via, &mut m.outputs) } else { false },
        &["two gradients of one map"],
    ),
    ("reduce", "a dropped last term", edit!(Reduce, k => k.length = k.length.max(2) - 1), &["Sum of [7, 33] over [1]"]),
    (
        "reduce",
        "the division dropped",
        edit!(Reduce, k => k.spec.joins.iter_mut().for_each(|j| *j = Join::Sum)),
        &["Mean of [7, 33] over [0]"],
    ),
    ("reduce", "a wrong stride", edit!(Reduce, k => k.inputs[0].along = 1), &["Sum of [7, 33] over [0]"]),
    ("reduce", "a dropped last row", edit!(Reduce, k => k.rows = k.rows.max(2) - 1), &["Sum of [7, 33] over [1]"]),
    ("gather", "no shift", edit!(Gather, k => drawn(k).for_each(|a| a.corner.ways = [1; 2])), &["shift: bytes"]),
    ("gather", "a wider turn", edit!(Gather, k => drawn(k).for_each(|a| a.rotate.high *= 1.1)), &["rotation: bytes"]),
    ("gather", "flips in all rows", edit!(Gather, k => drawn(k).for_each(|a| a.mirrors[0] = Chance::ALWAYS)), &["flips: bytes"]),
    ("gather", "no hole", edit!(Gather, k => drawn(k).for_each(|a| a.erase = Chance::NEVER)), &["holes: bytes"]),
    ("gather", "another mean", edit!(Gather, k => drawn(k).for_each(|a| a.mean += 10.0)), &["brightness and contrast: bytes"]),
    ("gather", "noise twice as strong", edit!(Gather, k => drawn(k).for_each(|a| a.noise.low *= 2.0)), &["noise: bytes"]),
    ("gather", "rows not mixed", edit!(Gather, k => drawn(k).for_each(|a| a.mixup = Chance::NEVER)), &["mixup: bytes"]),
    (
        "gather",
        "channels passed over",
        edit!(Gather, k => k.fields.iter_mut().for_each(|f| f.field.channels = None)),
        &["normalised planes"],
    ),
    (
        "gather",
        "windows closer together",
        edit!(Gather, k => k.fields.iter_mut().for_each(|f| f.field.step = f.field.step.map(|s| s - 1))),
        &["windows"],
    ),
    ("gather", "the list passed over", edit!(Gather, k => k.listed = false), &["floats by a list, shuffled"]),
    ("gather", "a wrong scale", edit!(Gather, k => k.fields[0].field.scale *= 1.001), &["floats, shuffled"]),
    ("gather", "a shift too many", edit!(Gather, k => k.fields[0].field.shift += 0.125), &["bytes, scaled and shifted, shuffled"]),
    ("gather", "a dropped last row", edit!(Gather, k => k.batch -= 1), &["floats, shuffled"]),
    ("gather", "the fields' places swapped", edit!(Gather, k => k.fields[0].output += 1), &["floats, shuffled"]),
    (
        "take",
        "a neighbour's row",
        edit!(Take, k => (k.offsets[0], k.rows) = (k.offsets[0] + k.width, k.rows - 1)),
        &["255 rows of [1000, 4]"],
    ),
    ("scatter_links", "an index too few", edit!(ScatterLinks, k => k.count -= 1), &["255 rows of [1000, 4]"]),
    ("scatter_add", "another stride", edit!(ScatterAdd, k => k.width -= 1), &["255 rows of [1000, 4]"]),
    ("custom", "an operand that begins elsewhere", edit!(Custom, k => k.inputs[0].1 += 1), &["a running sum of [7, 33]"]),
    ("custom", "a result without its bounds", edit!(Custom, k => k.outputs[0].0.shape = [4096].into()), &["a kernel that reaches beyond"]),
    (
        "row",
        "a second result where the first is",
        |k| if let Kernel::Row(k) = k { second(&k.spec.via, &mut k.outputs) } else { false },
        &["two gradients along rows"],
    ),
    ("row", "a narrower row", edit!(Row, k => k.width -= 1), &["softmax [65, 10]"]),
    ("row", "a dropped last row", edit!(Row, k => k.rows -= 1), &["softmax [65, 10]"]),
    ("row", "rows that all read the first", edit!(Row, k => k.inputs.iter_mut().for_each(|i| i.step = 0)), &["softmax [65, 10]"]),
    ("row", "a sum for the largest", edit!(Row, k => joins(k).for_each(|j| *j = Join::Sum)), &["softmax of large scores"]),
    ("row", "a sum for the mean", edit!(Row, k => joins(k).for_each(|j| *j = Join::Sum)), &["normalised rows [17, 257]"]),
    ("row", "another number stored", edit!(Row, k => k.spec.stored.iter_mut().for_each(|s| *s -= 1)), &["log-sum-exp of rows [3, 255]"]),
    ("window", "images closer together", edit!(Window, k => k.x.rows -= 1), &["a max pool of 2 x 2"]),
    ("window", "f16 read and stored as f32", edit!(Window, k => k.spec.halves = Halves::default()), &["f16 means, 8 channels"]),
    ("window", "an operand that begins elsewhere", edit!(Window, k => k.x.offset += 4), &["a max pool of 2 x 2"]),
    ("window", "a last image left out", edit!(Window, k => k.images = k.images.max(2) - 1), &["a max pool of 2 x 2"]),
    ("cross_entropy", "a class too few", edit!(CrossEntropy, k => k.classes -= 1), &["cross_entropy [32, 10], classes"]),
    ("cross_entropy", "a dropped last row", edit!(CrossEntropy, k => k.rows -= 1), &["cross_entropy [32, 10], classes"]),
    (
        "cross_entropy",
        "no epilogue",
        edit!(CrossEntropy, k => k.epilogue.iter_mut().for_each(|e| e.0 = Expr::of(2, |x| vec![x[0].clone()]))),
        &["cross_entropy [31, 7], scaled"],
    ),
    (
        "cross_entropy",
        "another's number",
        edit!(CrossEntropy, k => k.epilogue.iter_mut().for_each(|e| e.1 += 1)),
        &["cross_entropy [31, 7], scaled"],
    ),
    ("accuracy", "a class too few", edit!(Accuracy, k => k.classes -= 1), &["accuracy [257, 10], classes"]),
    (
        "accuracy",
        "a dropped last row",
        edit!(Accuracy, k => k.rows -= 1),
        &["accuracy [3, 7], classes", "accuracy [3, 7], probabilities", "accuracy [1, 2], classes"],
    ),
    ("commit", "a last buffer dropped", edit!(Commit, k => k.parts.pop()), &["buffers of [33]"]),
    ("commit", "a neighbour's place", edit!(Commit, k => k.parts[0].to += 1), &["buffers of [33]"]),
    ("optimizer", "a short arena", edit!(Optimizer, k => k.size -= 4), &["adam [128]"]),
    ("optimizer", "a wrong rule", edit!(Optimizer, k => k.rule = Expr::of(2, |x| vec![&x[0] - Scalar::rate(1) * &x[1]])), &["sgd [128]"]),
    (
        "optimizer",
        "a norm of nothing",
        edit!(Optimizer, k => k.guard.partials = 0),
        &["a loss of NaN halts", "a norm that is infinite halts"],
    ),
    ("optimizer", "parameters all alike", edit!(Optimizer, k => k.rates.blocks = 0), &["adamw in groups [257] [300]"]),
    ("accumulate", "a short arena", edit!(Accumulate, k => k.size -= 128), &["3 batches an update [257]"]),
    ("accumulate", "a row too many", edit!(Accumulate, k => k.rows += 1), &["3 batches an update [257]"]),
    ("squares", "a short arena", edit!(Squares, k => k.size -= 128), &["sgd, clipped [257] [300]"]),
    (
        "squares",
        "another's loss",
        edit!(Squares, k => k.loss = k.loss.map(|at| at + 1)),
        &["a loss of NaN with good gradients halts where norms are clipped"],
    ),
    ("direction", "a short arena", edit!(Direction, k => k.size -= 128), &["lamb [257] [300]"]),
    ("direction", "a wrong rule", edit!(Direction, k => k.rule = Expr::of(4, |x| x[1..].to_vec())), &["lamb [257] [300]"]),
    ("ratios", "a tensor too few", edit!(Ratios, k => k.tensors.end -= 1), &["lamb [257] [300]"]),
    (
        "ratios",
        "another shard",
        |k| if let Kernel::Ratios(k) = k { moved(&mut k.shard) } else { false },
        &["in shards, lamb with all [257] [300]"],
    ),
    (
        "direction",
        "another shard",
        |k| if let Kernel::Direction(k) = k { moved(&mut k.shard) } else { false },
        &["in shards, lamb with all [257] [300]"],
    ),
    (
        "optimizer",
        "another shard",
        |k| if let Kernel::Optimizer(k) = k { moved(&mut k.shard) } else { false },
        &["in shards, adamw with all [257] [300]"],
    ),
    ("tick", "a bad update that halts", edit!(Tick, k => k.scaling = None), &["a scale that moves"]),
    ("tick", "a scale that stays", edit!(Tick, k => k.scaling = k.scaling.map(|_| Scaling::Fixed)), &["a scale that moves"]),
    ("tick", "a batch of another size", edit!(Tick, k => k.batch += 1), &["3 epochs of 7 rows by 3, shuffled"]),
    ("tick", "an update alone that takes rows", edit!(Tick, k => k.batch += 1), &["a worker by hand, momentum"]),
    ("tick", "partial sums dropped", edit!(Tick, k => k.partials = 1), &["sgd [5000]"]),
    ("tick", "an update that is not counted", edit!(Tick, k => k.updates = false), &["sgd [128]"]),
    ("tick", "an evaluation for a training step", edit!(Tick, k => k.train = false), &["a loss of NaN halts"]),
];

/// All joins of a row kernel.
fn joins(k: &mut Row) -> impl Iterator<Item = &mut Join> {
    k.spec.stages.iter_mut().flat_map(|s| &mut s.joins)
}

/// The place of the first shard in the place of the second's; false where it is no other.
fn moved(shard: &mut Option<Shard>) -> bool {
    let first = shard.as_mut().filter(|s| s.first > 0).map(|s| s.first = 0);
    first.is_some()
}

/// A result in the place of an earlier one of its buffer; false where no two share a buffer.
fn second<T: Copy>(via: &[usize], outputs: &mut [T]) -> bool {
    let Some(o) = (0..outputs.len()).find(|&o| via[o] != o) else { return false };
    outputs[o] = outputs[via[o]];
    true
}

pub fn all() -> Vec<Spec> {
    LINES.iter().map(|&(kernel, error, edit, rows)| Spec { kernel, error, edit, rows }).collect()
}
