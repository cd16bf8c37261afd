use super::*;
use crate::optim::{Adam, Lamb, Optimizer};
use crate::plan::memory::{ALIGN, ArenaId, Layout, Piece};

/// Parameters of so many elements; those with `true` are frozen.
fn arena(sizes: &[(usize, bool)], rule: &Rule, binding_bytes: usize) -> Result<Arena> {
    let named = sizes.iter().enumerate().map(|(i, (n, frozen))| (format!("p{i}"), [*n].into(), *frozen));
    Arena::with_frozen(named)
        .with_buffers([("b0".into(), [200].into()), ("b1".into(), [300].into())])
        .with_half_copies()
        .in_shards(rule, binding_bytes)
}

fn adam() -> Rule {
    Optimizer::from(Adam::default()).rule()
}

#[test]
fn what_fits_is_not_cut() -> Result<()> {
    let sizes = [(1000, false), (24, false), (500, true)];
    let whole = arena(&sizes, &adam(), 4 * 1152)?;
    assert_eq!(whole.cuts, Cuts::default());
    assert_eq!(whole.shards(), std::slice::from_ref(&(0..1152)));
    assert_eq!(whole.place(BufferId::Gradients, 1024), (BufferId::Gradients, 1024));
    assert_eq!(whole.place(BufferId::HalfCopy, 1152), (BufferId::HalfCopy, 1152));
    assert_eq!(arena(&sizes, &adam(), 4 * 1152 - 1)?.shards(), [0..1024, 1024..1152]);
    Ok(())
}

#[test]
fn shards_end_between_tensors() -> Result<()> {
    // 384, 256, 128, 640 and, frozen, 512, 512
    let sizes = [(300, false), (400, true), (256, false), (1, false), (512, true), (600, false)];
    let all = arena(&sizes, &adam(), 4 * 640)?;
    assert_eq!(all.shards(), [0..640, 640..768, 768..1408]);
    assert_eq!([BufferId::Frozen, BufferId::Buffers, BufferId::HalfCopy, BufferId::Rates].map(|id| all.shard_count(id)), [2, 1, 5, 1]);
    assert_eq!(all.largest_shard(), 640);
    let third = |id: ArenaId| BufferId::Shard(id, 2);
    assert_eq!(all.place(BufferId::Parameters, 768), (third(ArenaId::Parameters), 0));
    assert_eq!(all.place(BufferId::Moment(1), 1000), (third(ArenaId::Moment(1)), 232));
    assert_eq!(all.place(BufferId::Frozen, 512), (BufferId::Shard(ArenaId::Frozen, 1), 0));
    // of the copies a shard each
    for e in &all.entries {
        let (own, copy) = (all.place(e.buffer(), e.offset), all.place(BufferId::HalfCopy, all.half_copy_offset(e)));
        let (BufferId::Shard(_, n), BufferId::Shard(ArenaId::HalfCopy, m)) = (own.0, copy.0) else { panic!("{own:?} {copy:?}") };
        assert_eq!((own.1, n + if e.frozen { 3 } else { 0 }), (copy.1, m), "{}", e.name);
        assert_eq!(own.1 % ALIGN, 0);
    }
    Ok(())
}

#[test]
fn a_range_is_cut_where_its_buffers_end() -> Result<()> {
    let sizes = [(300, false), (256, false), (1, false), (600, false)];
    let cuts = arena(&sizes, &adam(), 4 * 640)?.cuts;
    let piece = |n, offset, len| Piece { buffer: BufferId::Shard(ArenaId::Sums, n), offset, len };
    assert_eq!(cuts.pieces(BufferId::Sums, 0, 1408), [piece(0, 0, 640), piece(1, 0, 128), piece(2, 0, 640)]);
    assert_eq!(cuts.pieces(BufferId::Sums, 630, 20), [piece(0, 630, 10), piece(1, 0, 10)]);
    assert_eq!(cuts.pieces(BufferId::Sums, 640, 128), [piece(1, 0, 128)]);
    // what is not there is asked of the last, which says so
    assert_eq!(cuts.pieces(BufferId::Sums, 1400, 20), [piece(2, 632, 20)]);
    assert_eq!(cuts.pieces(BufferId::Rates, 7, 3), [Piece { buffer: BufferId::Rates, offset: 7, len: 3 }]);
    let one = BufferId::Shard(ArenaId::Sums, 1);
    assert_eq!(cuts.pieces(one, 7, 3), [Piece { buffer: one, offset: 7, len: 3 }]);
    Ok(())
}

/// Whatever the cut, a model's buffers come to the same bytes, and files hold the same.
#[test]
fn buffers_come_to_the_same_bytes() -> Result<()> {
    let sizes = [(300, false), (400, true), (256, false), (1, false), (512, true), (600, false)];
    let of = |bytes: usize| Ok::<_, Error>(Layout { sums: 1408, ..Layout::under(&arena(&sizes, &adam(), bytes)?, &adam()) });
    let (whole, cut) = (of(usize::MAX)?, of(4 * 640)?);
    let words = |l: &Layout, id: BufferId| l.buffers().iter().filter(|b| b.id.whole() == id).map(|b| b.words).sum::<usize>();
    for id in whole.buffers().iter().map(|b| b.id) {
        assert_eq!(words(&whole, id), words(&cut, id), "{id:?}");
    }
    assert!(cut.buffers().iter().all(|b| b.id.as_arena().is_none() || b.words <= 640));
    assert_eq!((whole.bytes(), whole.lasting()), (cut.bytes(), cut.lasting()));
    assert_eq!(cut.buffers().iter().filter(|b| b.id.grows()).count(), 3 + 2);
    assert_eq!(whole.clone().join(cut.clone()).cuts, cut.cuts);
    Ok(())
}

#[test]
fn a_tensor_lies_in_one_buffer() -> Result<()> {
    let sizes = [(10, false), (1024, false), (10, true)];
    arena(&sizes, &adam(), 4096)?;
    let e = arena(&sizes, &adam(), 4095).unwrap_err();
    let text = e.to_string();
    assert!(["`p1` [1024]", "4096", "4095", "help:"].iter().all(|part| text.contains(part)), "{text}");
    // the norms between its directions take room
    let lamb = Optimizer::from(Lamb::default()).rule();
    assert!(arena(&sizes, &lamb, 4096).is_err());
    assert!(arena(&sizes, &lamb, 4 * 8 * 132).is_err(), "slots end at whole grains");
    assert_eq!(arena(&sizes, &lamb, 4352)?.shards(), [0..128, 128..1152]);
    let frozen = arena(&[(10, false), (1024, true)], &lamb, 4096)?;
    assert_eq!(frozen.shards(), std::slice::from_ref(&(0..128)));
    assert_eq!(frozen.shard_count(BufferId::Frozen), 1);
    assert!(arena(&[(10, false)], &adam(), 1100).unwrap_err().to_string().contains("the buffer `b1` [300]"));
    Ok(())
}
