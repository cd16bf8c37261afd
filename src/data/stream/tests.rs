use super::*;
use crate::data::{RowsMut, Source, SourceError};
use crate::rng::Permutation;
use crate::tensor::{DType, HostTensor, Shape};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Row `i` is `i`. Counts what was read; fails or panics at a row.
#[derive(Default)]
struct Counting {
    rows: usize,
    read: AtomicUsize,
    fails: Option<u32>,
    panics: Option<u32>,
}

impl Source for Counting {
    fn len(&self) -> usize {
        self.rows
    }
    fn dtype(&self) -> DType {
        DType::U32
    }
    fn row(&self) -> Shape {
        [1].into()
    }
    fn read(&self, rows: &[u32], out: RowsMut<'_>) -> std::result::Result<(), SourceError> {
        let RowsMut::U32(out) = out else { return Err("u32".into()) };
        if rows.iter().any(|r| Some(*r) == self.fails) {
            return Err("no such page".into());
        }
        assert!(rows.iter().all(|r| Some(*r) != self.panics), "page fault");
        out.copy_from_slice(rows);
        self.read.fetch_add(rows.len(), SeqCst);
        Ok(())
    }
}

fn plan(source: &Arc<Counting>, rows: usize) -> Plan {
    let data = Dataset::from_sources([("x", source.clone() as Arc<dyn Source>)]).unwrap();
    Plan { data, fields: vec![0], rows, shuffle: None, epoch: 0, row: 0, epochs: 1, limits: vec![] }
}

fn counting(rows: usize) -> Arc<Counting> {
    Arc::new(Counting { rows, ..Default::default() })
}

fn all(mut blocks: Blocks) -> Result<Vec<(u32, Vec<u32>)>> {
    let mut out = Vec::new();
    while let Some(b) = blocks.next()? {
        assert!(b.words.iter().all(|w| w.len() == b.rows));
        out.push((b.epoch, b.words[0].clone()));
        blocks.give_back(b);
    }
    Ok(out)
}

#[test]
fn the_order_is_the_device_s() -> Result<()> {
    let source = counting(103);
    let ahead = Plan { shuffle: Some(7), epoch: 3, epochs: 2, row: 40, ..plan(&source, 40) };
    let here = all(Blocks::without_thread(ahead.clone()))?;
    assert_eq!(all(Blocks::start(ahead))?, here);
    let sizes: Vec<(u32, usize)> = here.iter().map(|(e, w)| (*e, w.len())).collect();
    assert_eq!(sizes, [(3, 40), (3, 23), (4, 40), (4, 40), (4, 23)]);
    let seen: Vec<u32> = here.into_iter().flat_map(|(_, w)| w).collect();
    let order = |e| (0..103).map(move |i| Permutation::new(103, 7, e).at(i));
    assert_eq!(seen, order(3).skip(40).chain(order(4)).collect::<Vec<_>>());
    Ok(())
}

#[test]
fn slices_keep_their_rows() -> Result<()> {
    let mut p = plan(&counting(50), 8);
    p.data = p.data.split_at(30)?.1.take(10);
    assert_eq!(all(Blocks::start(p.clone()))?, [(0, (30..38).collect()), (0, vec![38, 39])]);
    p.shuffle = Some(1);
    let mut seen: Vec<u32> = all(Blocks::start(p))?.into_iter().flat_map(|(_, w)| w).collect();
    seen.sort_unstable();
    assert_eq!(seen, (30..40).collect::<Vec<_>>());
    Ok(())
}

/// Never more than one block that waits and one being read, whatever time it is given.
#[test]
fn it_reads_two_blocks_ahead_and_no_more() -> Result<()> {
    let source = counting(1000);
    let mut blocks = Blocks::start(plan(&source, 10));
    for taken in 0..5 {
        let since = Instant::now();
        let ahead = 10 * (taken + 2);
        while source.read.load(SeqCst) < ahead && since.elapsed() < Duration::from_secs(10) {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(source.read.load(SeqCst), ahead, "after {taken} blocks");
        let block = blocks.next()?.unwrap();
        blocks.give_back(block);
    }
    // dropped in the middle: the thread ends, and its hold on the source with it
    drop(blocks);
    assert_eq!(Arc::strong_count(&source), 1);
    assert!(source.read.load(SeqCst) <= 10 * 7);
    Ok(())
}

#[test]
fn errors_come_through_and_end_it() {
    for (fails, panics, says) in [(Some(25), None, "no such page"), (None, Some(25), "it panicked: page fault")] {
        let source = Arc::new(Counting { rows: 100, fails, panics, ..Default::default() });
        for threads in [true, false] {
            let p = Plan { epochs: usize::MAX, ..plan(&source, 10) };
            let mut blocks = if threads { Blocks::start(p) } else { Blocks::without_thread(p) };
            for _ in 0..2 {
                assert!(blocks.next().unwrap().is_some());
            }
            let e = blocks.next().unwrap_err();
            assert!(e.code() == "data-source" && e.to_string().contains(says) && e.to_string().contains("rows, 20 to 29"), "{e}");
            assert!(!threads || blocks.next().unwrap().is_none());
        }
        assert_eq!(Arc::strong_count(&source), 1);
    }
}

#[test]
fn labels_are_checked_in_every_block() -> Result<()> {
    let y: Vec<u8> = (0..100).map(|i| if i == 73 { 9 } else { i % 4 }).collect();
    let data = Dataset::new(HostTensor::f32([100, 1], vec![0.0; 100])?, HostTensor::u8([100], y)?)?.split_at(50)?.1;
    let labels = |below| Limit { field: 1, below, except: None, ignored: None, table: None };
    for shuffle in [None, Some(5)] {
        let p = Plan { data: data.clone(), fields: vec![0, 1], rows: 16, shuffle, epoch: 0, row: 0, epochs: 1, limits: vec![labels(4)] };
        let e = all(Blocks::start(p.clone())).unwrap_err();
        assert!(e.code() == "label-out-of-range" && e.to_string().contains("label 9 of row 23 "), "{e}");
        all(Blocks::start(Plan { limits: vec![labels(10)], ..p.clone() }))?;
        all(Blocks::start(Plan { limits: vec![], ..p }))?;
    }
    Ok(())
}
