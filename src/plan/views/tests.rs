use super::*;
use crate::graph::{Builder, Precision, Var};
use crate::kernels::merged;

/// The groups of a step that reads parameters, `f` of one of this shape.
fn groups(shape: &[usize], f: impl Fn(&Builder, Var) -> Var) -> Vec<String> {
    let b = Builder::new();
    let y = f(&b, b.parameter("x", shape.into())).value().unwrap();
    let graph = b.finish().unwrap();
    let none = Vec::new;
    let step = Step {
        graph,
        loss: None,
        gradients: vec![],
        weight: None,
        metrics: none(),
        outputs: vec![("y".into(), y)],
        updates: none(),
        precision: Precision::F32,
    };
    let step = step.rewritten().unwrap();
    let groups = crate::plan::fuse::fuse(&step).unwrap();
    let name = |n: NodeId| step.graph.nodes[n].op.name().to_string();
    groups.groups.iter().map(|g| g.nodes().map(name).collect::<Vec<_>>().join(" ")).collect()
}

/// What reads by steps costs no copy: products, reductions, formulas, through slices, orders of axes and reshapes.
#[test]
fn views_cost_no_launch() {
    // queries, keys and values of [B, T, 3, H, D] by two axes of a batch
    let attention = groups(&[2, 5, 3, 4, 8], |_, x| {
        let part = |i: usize| x.slice(2, i..i + 1).reshape([2, 5, 4, 8]).permute(&[0, 2, 1, 3]);
        part(0).matmul_with(&part(1), false, true).matmul(&part(2))
    });
    assert_eq!(attention, ["matmul", "matmul"]);
    // columns and rows of a larger matrix, turned round
    assert_eq!(groups(&[9, 20], |b, x| x.slice(1, 3..16).t().matmul(&b.parameter("w", [9, 4].into()))), ["matmul"]);
    assert_eq!(groups(&[3, 5, 7], |_, x| x.permute(&[1, 0, 2]).sum_axes(&[1])), ["sum"]);
    assert_eq!(groups(&[3, 5, 8], |_, x| x.slice(2, 0..6).permute(&[1, 0, 2]).reshape([5, 3, 2, 3]).tanh()).len(), 1);
    // what rides on a product
    let riding = groups(&[6, 5], |b, x| b.parameter("a", [5, 7].into()).matmul(&b.parameter("b", [7, 6].into())) + x.t());
    assert_eq!(riding.len(), 1, "{riding:?}");
}

/// What no steps lead through is moved by a launch, and then read as it lies.
#[test]
fn others_are_copied() {
    // neither axis has its elements side by side
    assert_eq!(groups(&[5, 7, 6], |b, x| x.permute(&[2, 0, 1]).matmul(&b.parameter("w", [1, 7, 4].into()))), ["permute", "matmul"]);
    assert_eq!(groups(&[5, 7, 2], |b, x| x.slice(2, 0..1).reshape([5, 7]).matmul(&b.parameter("w", [7, 4].into()))), ["slice", "matmul"]);
    // axes that are not even together, padding, a softmax
    assert_eq!(groups(&[3, 5], |b, x| x.t().reshape([15]).matmul(&b.parameter("w", [15, 4].into()))).len(), 2);
    assert_eq!(groups(&[3, 5], |b, x| x.pad(&[(0, 1), (0, 0)], 0.0).matmul(&b.parameter("w", [5, 4].into()))), ["pad", "matmul"]);
    assert_eq!(groups(&[3, 5], |_, x| x.t().softmax()), ["permute", "softmax"]);
    // a view of what had to be copied
    assert_eq!(
        groups(&[3, 5], |_, x| {
            let y = x.t();
            (y.softmax() + y.t().reshape([5, 3])).tanh()
        })[0],
        "permute"
    );
}

/// Seven tensors of four axes are put together by one launch, of which none is a view; four are read where they lie.
#[test]
fn many_are_put_together_at_once() {
    let parts = |n: usize, turned: usize| {
        groups(&[2, 3, 4, 5], move |b, x| {
            let own = |i: usize, shape: [usize; 4]| b.parameter(&i.to_string(), shape.into());
            let turn = |x: Var| x.permute(&[0, 1, 3, 2]);
            let all: Vec<Var> = (1..n).map(|i| if i <= turned { turn(own(i, [2, 3, 5, 4])) } else { own(i, [2, 3, 4, 5]) }).collect();
            x.concat(&all.iter().collect::<Vec<_>>(), 1).reshape([2, 3 * n * 4, 5]).max_axes(&[1])
        })
    };
    assert_eq!(parts(7, 0), ["concat", "max"]);
    assert_eq!(parts(8, 0), ["concat", "concat", "max"]);
    // views are read where they lie, by fours
    assert_eq!(parts(4, 3), ["concat", "max"]);
    assert_eq!(parts(7, 3), ["concat", "concat", "concat", "max"]);
    // of so many axes that a launch has no room for the steps of four
    let turned = |n: usize| {
        groups(&[2, 3, 2, 2, 2], move |_, x| {
            let t = x.permute(&[0, 1, 4, 2, 3]);
            x.concat(&vec![&t; n], 1).tanh()
        })
    };
    assert_eq!(turned(1), ["concat tanh"]);
    assert_eq!(turned(3), ["permute", "concat", "tanh"]);
}

/// Steps of views lead to the elements that the movement puts there.
#[test]
fn views_find_their_elements() {
    let g = {
        let b = Builder::new();
        let x = b.parameter("x", [4, 3, 8].into());
        let y = x.slice(2, 2..8).permute(&[1, 0, 2]).reshape([3, 4, 2, 3]);
        (y.value().unwrap(), b.finish().unwrap())
    };
    let (y, g) = g;
    let views = Views((0..g.nodes.len()).filter(|&n| g.kind(n) == Kind::Move).collect());
    let read = views.resolve(&g, y).unwrap();
    assert_eq!((read.offset, &read.strides[..]), (2, &[8, 24, 3, 1][..]));
    assert_eq!(g.shape(views.source(&g, y)).dims(), [4, 3, 8]);
    assert_eq!(merged(g.shape(y).dims(), &[&read.strides], |_| false).len(), 3);
}
