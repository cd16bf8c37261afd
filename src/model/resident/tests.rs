use super::*;
use crate::device::Device;
use crate::model::compile::Compile;
use crate::model::make::ModuleExt;
use crate::model::shared::Model;
use crate::nn::{CrossEntropy, Linear, Sequential};
use crate::optim::Sgd;
use crate::tensor::HostTensor;
use crate::train::Fit;

fn data(rows: usize) -> Dataset {
    let x = HostTensor::u8([rows, 6], (0..rows * 6).map(|i| (i % 250) as u8).collect()).unwrap();
    let y = HostTensor::u8([rows], (0..rows).map(|i| (i % 3) as u8).collect()).unwrap();
    Dataset::new(x, y).unwrap().scale(1.0 / 255.0)
}

fn model() -> Model {
    let settings = Compile::new(Sgd::new(0.1), CrossEntropy::new()).input([6]).device(Device::cpu_threads(1));
    Sequential::new().add(Linear::new(3)).compile(settings).unwrap()
}

fn weights(m: &mut Model) -> Vec<u32> {
    m.parameter("0.weight").unwrap().as_f32().unwrap().iter().map(|x| x.to_bits()).collect()
}

#[test]
fn what_goes_where() {
    let mut m = model();
    let set = data(100);
    assert_eq!(row_bytes(&set), 12);
    assert_eq!(m.core().engine.place(&set, Lane::Train), Placement::Whole);
    assert_eq!(m.core().engine.place(&set.clone().memory_budget(1200), Lane::Train), Placement::Whole);
    assert_eq!(m.core().engine.place(&set.clone().memory_budget(1199), Lane::Look), Placement::Blocks(Lane::Look));
    // a part of a set is as large as its rows
    assert_eq!(m.core().engine.place(&set.clone().take(99).memory_budget(1199), Lane::Look), Placement::Whole);
    // 2 words a row of x: above what the device takes
    m.core().engine.data.limit = 199;
    assert_eq!(m.core().engine.place(&set, Lane::Train), Placement::Blocks(Lane::Train));
    // rows: a quarter of the budget, no more than the device takes, at least a batch, at most all
    let room =
        |m: &Model, budget: u64, batch| m.lock().engine.room(Placement::Blocks(Lane::Train), &set.clone().memory_budget(budget), batch);
    assert_eq!((room(&m, 4 * 36 * 10, 4), room(&m, 4 * 36 * 10, 16), room(&m, 1, 3)), (10, 16, 3));
    assert_eq!(room(&m, 1 << 30, 4), 99);
    m.core().engine.data.limit = usize::MAX;
    assert_eq!(room(&m, 1 << 30, 4), 100);
}

/// A set in memory that no buffer of the device takes is streamed, and nothing else changes.
#[test]
fn above_the_device_s_limit() {
    let fit = || Fit::new().epochs(2).batch_size(8).verbose(0);
    let mut whole = model();
    whole.fit(&data(100), fit()).unwrap();
    let mut limited = model();
    limited.core().engine.data.limit = 100;
    limited.fit(&data(100), fit()).unwrap();
    assert_eq!(limited.core().engine.data.sets[0].place, Placement::Blocks(Lane::Train));
    assert_eq!(limited.core().engine.data.sets[0].rows, 50);
    assert_eq!(weights(&mut limited), weights(&mut whole));
    assert_eq!(limited.evaluate(&data(100), 16).unwrap(), whole.evaluate(&data(100), 16).unwrap());
}

/// However many other sets are looked at in mid-training, what the loop runs over stays.
#[test]
fn a_loop_keeps_its_data() {
    for budget in [None, Some(200)] {
        let train = || budget.map_or(data(40), |b| data(40).memory_budget(b));
        let (mut m, mut alone) = (model(), model());
        alone.fit(&train(), Fit::new().batch_size(8).verbose(0)).unwrap();
        let mut run = m.trainer(&train(), Fit::new().batch_size(8)).unwrap();
        while run.steps(1).unwrap().is_some() {
            for rows in 0..RESIDENT {
                run.evaluate(&data(10 + rows), 4).unwrap();
            }
        }
        assert!(m.core().engine.data.sets.len() <= RESIDENT);
        assert_eq!(weights(&mut m), weights(&mut alone), "{budget:?}");
    }
}

/// Batches by hand of one layout share their buffers, whatever their sizes.
#[test]
fn room_for_batches_by_hand() {
    let mut m = model();
    for rows in [5, 3, 8, 1, 8] {
        m.train_on_batch(data(rows)).unwrap();
        m.test_on_batch(data(rows)).unwrap();
    }
    let held: Vec<(Placement, usize)> = m.core().engine.data.sets.iter().map(|r| (r.place, r.rows)).collect();
    assert_eq!(held, [(Placement::ByHand(Lane::Train), 8), (Placement::ByHand(Lane::Look), 8)]);
}
