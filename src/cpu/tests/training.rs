//! Whole training steps: truth, halt, bits, memory, the log.

use super::harness::{Model, Planned, adam, bits, close, draw, field, floats, leaf, rates};
use crate::cpu::CpuSession;
use crate::error::Result;
use crate::graph::{Field, Value};
use crate::kernels::Target;
use crate::kernels::words::{LOG_ROWS, STATE_BATCH, STATE_CURSOR, STATE_EPOCH, STATE_HALT, STATE_SHUFFLE, STATE_UPDATE, STATE_WORDS};
use crate::plan::{Blocking, BufferId, DataId, LogLine, Session, StateSet};
use crate::reference::{Data, evaluate};
use crate::rng::Permutation;
use crate::tensor::DType;

const ROWS: usize = 640;

/// Labels are classes, or rows of weights that need not sum to 1.
fn classifier_of(soft: bool, widths: &[usize], batch: usize, target: Target) -> Planned {
    let m = Model::new();
    let x = m.b.batch(batch, field("x", DType::F32, &widths[..1]));
    let classes = &widths[widths.len() - 1..];
    let y = m.b.batch(batch, if soft { field("y", DType::F32, classes) } else { field("y", DType::U32, &[]) });
    let logits = m.mlp(x, &widths[1..]);
    m.finish(Some(logits.cross_entropy(&y)), &[logits.accuracy(&y)], batch, target).unwrap()
}

fn classifier(widths: &[usize], batch: usize, target: Target) -> Planned {
    classifier_of(false, widths, batch, target)
}

fn data(s: &mut CpuSession, width: usize) -> Result<(Vec<f32>, Vec<u32>, Vec<DataId>)> {
    let (x, y) = (draw("rows", ROWS * width), (0..ROWS as u32).map(|i| i * 31 % 10).collect::<Vec<_>>());
    let ids = vec![s.add_data(&bits(&x))?, s.add_data(&y)?];
    Ok((x, y, ids))
}

/// Everything that a step leaves, as words.
fn everything(s: &mut CpuSession, p: &Planned) -> Vec<u32> {
    let n = p.program.arena.size;
    let parts = [BufferId::Parameters, BufferId::Gradients, BufferId::Moment(0), BufferId::Moment(1)].map(|b| s.read(b, 0, n).unwrap());
    [parts.concat(), s.read(BufferId::State(StateSet::Train), 0, STATE_WORDS).unwrap()].concat()
}

/// Steps of Adam against gradients and Adam in f64; the second network's loss takes more than one workgroup.
#[test]
fn steps_match_the_reference() -> Result<()> {
    for target in [Target::Software, Target::Gpu] {
        for soft in [false, true] {
            follow(&classifier_of(soft, &[20, 17, 10], 32, target), soft, 20, 10)?;
            follow(&classifier_of(soft, &[5, 60], 320, target), soft, 5, 60)?;
        }
    }
    Ok(())
}

fn follow(p: &Planned, soft: bool, width: usize, classes: usize) -> Result<()> {
    let batch = p.program.batch;
    let mut s = p.session(2, ROWS)?;
    let (x, y, mut ids) = data(&mut s, width)?;
    let weights: Vec<f32> = draw("weights", ROWS * classes).iter().map(|v| v.abs()).collect();
    if soft {
        ids[1] = s.add_data(&bits(&weights))?;
    }
    let h = s.prepare(&p.program, &ids)?;
    let order = Permutation::new(ROWS as u32, 42, 0);
    let n = p.program.arena.size;
    let mut moments = [vec![0.0f64; n], vec![0.0f64; n]];
    for step in 0..2 {
        let before = floats(&s.read(BufferId::Parameters, 0, n)?);
        let parameters = p.parameters(&mut s)?;
        let rows: Vec<usize> = (0..batch).map(|i| order.at((batch * step + i) as u32) as usize).collect();
        let pick = |v: &[f32], w: usize| Data::Real(rows.iter().flat_map(|r| &v[r * w..][..w]).map(|&v| v.into()).collect());
        let feed = |f: &Field| match f.name.as_str() {
            "x" => pick(&x, width),
            _ if soft => pick(&weights, classes),
            _ => Data::Integer(rows.iter().map(|&r| y[r]).collect()),
        };
        let wanted: Vec<Value> = p.step.roots();
        let truth = evaluate::<f64>(&p.step.graph, &|op| leaf(op, &parameters, &feed), &wanted)?;
        s.queue(h, 1, step as u32)?;
        let lines = s.next_log(StateSet::Train)?.unwrap();
        let [line] = &lines[..] else { panic!("{lines:?}") };
        let got = floats(&s.read(BufferId::Gradients, 0, n)?);
        let mut gradient = vec![0.0f64; n];
        for ((name, _), g) in p.step.gradients.iter().zip(&truth[1..]) {
            let (at, g) = (p.program.arena.find(name).unwrap().offset, g.to_f64());
            gradient[at..at + g.len()].copy_from_slice(&g);
        }
        close("gradients", &got, &gradient, 1e-6 * (batch as f64).sqrt());
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        let log = [line.loss, line.metrics[0], line.grad_norm];
        close("log", &log, &[truth[0].to_f64()[0], truth[truth.len() - 1].to_f64()[0], norm], 1e-5);
        assert_eq!((line.batch, line.halted), (step as u32, false));
        let mut after = Vec::new();
        for i in 0..n {
            let all = [f64::from(before[i]), f64::from(got[i]), moments[0][i], moments[1][i]];
            let out = adam().f.eval::<f64>(&all, &rates(step));
            after.push(out[0]);
            (moments[0][i], moments[1][i]) = (out[1], out[2]);
        }
        close("parameters", &floats(&s.read(BufferId::Parameters, 0, n)?), &after, 1e-6);
    }
    Ok(())
}

/// A NaN in the data: that step and all later ones change nothing, until the host has seen it.
#[test]
fn a_bad_loss_halts() -> Result<()> {
    let p = classifier(&[6, 5, 10], 32, Target::Software);
    let mut s = p.session(1, ROWS)?;
    let mut x = draw("rows", ROWS * 6);
    let mut state = s.read(BufferId::State(StateSet::Train), 0, STATE_WORDS)?;
    state[STATE_SHUFFLE] = 0;
    s.write(BufferId::State(StateSet::Train), 0, &state)?;
    x[3 * 32 * 6 + 11] = f32::NAN;
    let ids = [s.add_data(&bits(&x))?, s.add_data(&[1; ROWS])?];
    let h = s.prepare(&p.program, &ids)?;
    s.queue(h, 3, 0)?;
    let before = everything(&mut s, &p);
    s.queue(h, 4, 3)?;
    s.queue(h, 4, 7)?;
    assert_eq!(s.in_flight(), 3);
    assert_eq!(s.next_log(StateSet::Train)?.unwrap().len(), 3);
    let lines = s.next_log(StateSet::Train)?.unwrap();
    let [LogLine { batch: 3, halted: true, loss, .. }] = lines[..] else { panic!("{lines:?}") };
    assert!(loss.is_nan());
    assert_eq!(s.next_log(StateSet::Train)?.unwrap(), []);
    assert_eq!(s.next_log(StateSet::Train)?, None);
    let mut after = everything(&mut s, &p);
    let (n, halt) = (p.program.arena.size, after.len() - STATE_WORDS + STATE_HALT);
    assert_eq!(std::mem::take(&mut after[halt]), 1);
    // the bad gradient may be looked at; nothing else moved
    after[n..2 * n].copy_from_slice(&before[n..2 * n]);
    assert_eq!(before, after);
    // past the bad batch
    let mut state = s.read(BufferId::State(StateSet::Train), 0, STATE_WORDS)?;
    (state[STATE_HALT], state[STATE_CURSOR]) = (0, 4 * 32);
    s.write(BufferId::State(StateSet::Train), 0, &state)?;
    s.queue(h, 2, 3)?;
    let lines = s.next_log(StateSet::Train)?.unwrap();
    assert!(lines.len() == 2 && lines.iter().all(|l| !l.halted && l.loss.is_finite()), "{lines:?}");
    Ok(())
}

/// The same bits on 1, 2 and 5 threads, and where submits are cut elsewhere.
#[test]
fn threads_never_change_a_bit() -> Result<()> {
    for (widths, batch) in [(&[784, 64, 32, 10][..], 32), (&[784, 512, 10], 128)] {
        let p = classifier(widths, batch, Target::Software);
        let mut first: Option<(Vec<u32>, Vec<LogLine>)> = None;
        for (threads, cut) in [(1, 50), (2, 10), (5, 25)] {
            let mut s = p.session(threads, ROWS)?;
            let (_, _, ids) = data(&mut s, widths[0])?;
            let h = s.prepare(&p.program, &ids)?;
            (0..50).step_by(cut).try_for_each(|b| s.queue(h, cut, b as u32).map(drop))?;
            let mut lines = Vec::new();
            while let Some(more) = s.next_log(StateSet::Train)? {
                lines.extend(more);
            }
            assert!(lines.len() == 50 && lines[49].loss < lines[0].loss, "{:?}", lines.last());
            let now = (everything(&mut s, &p), lines);
            match &first {
                None => first = Some(now),
                Some(f) => assert!(*f == now, "{widths:?} on {threads} threads"),
            }
        }
    }
    Ok(())
}

/// Kernels that the networks above do not have, large enough for several threads.
#[test]
fn threads_never_change_a_bit_of_other_kernels() -> Result<()> {
    let m = Model::new();
    let (x, y) = (m.parameter(&[600, 700]), m.parameter(&[600, 1]));
    let z = (&x - &y).gelu();
    let all = [
        z.sum_axes(&[0]),
        z.mean_axes(&[1]),
        z.mean(),
        z.softmax(),
        z.reshape([10, 60, 700]).matmul_with(&x.reshape([10, 60, 700]), false, true),
        // columns so narrow that several rows lie side by side, cut within a row
        z.reshape([8750, 48]).sum_axes(&[0]),
        z.reshape([13_125, 32]).variance_keep(&[0]),
        z.reshape([25, 700, 24]).max_axes(&[1]),
    ];
    let p = m.finish(None, &all, 1, Target::Software)?;
    let mut first = None;
    for threads in [1, 2, 5, 0] {
        let mut s = p.session(threads, 1)?;
        let h = s.prepare(&p.program, &[])?;
        s.queue(h, 1, 0)?;
        let all: Vec<Vec<u32>> = p.program.outputs.iter().map(|o| s.read(o.buffer, o.offset, o.shape.size()).unwrap()).collect();
        assert!(*first.get_or_insert_with(|| all.clone()) == all, "{threads} threads");
    }
    Ok(())
}

/// A submit longer than the log's ring loses no line; counters, cursor and epoch move as they should; memory stays.
#[test]
fn many_steps() -> Result<()> {
    let p = classifier(&[4, 10], 64, Target::Software);
    let mut s = p.session(1, ROWS)?;
    let (_, _, ids) = data(&mut s, 4)?;
    let h = s.prepare(&p.program, &ids)?;
    let bytes = s.bytes();
    let steps = LOG_ROWS + 905;
    s.queue(h, steps, 0)?;
    let lines = s.next_log(StateSet::Train)?.unwrap();
    assert!(lines.len() == steps && lines.iter().enumerate().all(|(i, l)| l.batch == i as u32));
    let state = s.read(BufferId::State(StateSet::Train), 0, STATE_WORDS)?;
    let want = [steps as u32, steps as u32, (steps % 10 * 64) as u32, (steps / 10) as u32];
    assert_eq!([STATE_BATCH, STATE_UPDATE, STATE_CURSOR, STATE_EPOCH].map(|i| state[i]), want);
    assert_eq!(s.prepare(&p.program, &ids)?, h);
    assert_eq!(s.bytes(), bytes);
    Ok(())
}
