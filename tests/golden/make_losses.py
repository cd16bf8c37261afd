#!/usr/bin/env python3
"""Writes losses.json and metrics.json: what gradus' losses, their gradients and its metrics must give.

    pip install torch numpy
    python tests/golden/make_losses.py

Losses are PyTorch's in float64 where it has them; focal losses follow Lin et al. 2017 (binary: torchvision's
`sigmoid_focal_loss`), log-cosh and the weights of rows follow Keras (`sum w_i l_i / rows`). Gradients are autograd's, for
the values before the model's last layer (`head`). Metrics follow sklearn's definitions (`average`, `zero_division=0`) and Keras' AUC, by plain
loops in float64. Inputs are float32 numbers, written as the float64 of the same value.
"""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

HERE = Path(__file__).parent
rng = np.random.default_rng(11)


def f32(a):
    return np.asarray(a, np.float32).astype(np.float64)


def rows_mean(l, w):
    """The mean over rows of each row's mean, weighed as Keras' sample_weight."""
    l = l.reshape(len(l), -1).mean(1)
    return (l if w is None else l * w).sum() / len(l)


HEADS = {
    None: lambda x: x,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: x.softmax(-1),
    "log_softmax": lambda x: x.log_softmax(-1),
    # probabilities that no layer of gradus is known by
    "own_sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "own_softmax": lambda x: torch.exp(x) / torch.exp(x).sum(-1, keepdim=True),
}

cases = []


def case(loss, x, y, f, head=None, classes=False, weight=None):
    t = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    target = torch.tensor(y) if classes else torch.tensor(y, dtype=torch.float64)
    w = None if weight is None else torch.tensor(weight, dtype=torch.float64)
    value = f(HEADS[head](t), target, w)
    value.backward()
    cases.append(
        {
            "loss": loss,
            "head": head,
            "shape": list(x.shape),
            "x": x.ravel().tolist(),
            "classes": classes,
            "y_shape": list(np.shape(y)),
            "y": np.ravel(y).tolist(),
            "weight": None if weight is None else list(weight),
            "value": value.item(),
            "gradient": t.grad.numpy().ravel().tolist(),
        }
    )


ROWS = 9
weight = f32(rng.uniform(0, 3, ROWS))
weight[2] = 0.0

# regression, [9, 3], some differences above 1, one pair equal, one far away
x = f32(rng.normal(0, 1.5, (ROWS, 3)))
y = f32(rng.normal(0, 1.5, (ROWS, 3)))
x[4, 1], x[5, 0] = y[4, 1], y[5, 0] + 64.0


def elementwise(f):
    return lambda a, t, w: rows_mean(f(a, t), w)


def log_cosh(a, t):
    d = (a - t).abs()
    return d + F.softplus(-2 * d) - np.log(2)


for w in (None, weight):
    case({"name": "mse"}, x, y, elementwise(lambda a, t: F.mse_loss(a, t, reduction="none")), weight=w)
    case({"name": "mae"}, x, y, elementwise(lambda a, t: F.l1_loss(a, t, reduction="none")), weight=w)
    case({"name": "log_cosh"}, x, y, elementwise(log_cosh), weight=w)
    for d in (1.0, 0.3, 2.5):
        case({"name": "huber", "delta": d}, x, y, elementwise(lambda a, t: F.huber_loss(a, t, reduction="none", delta=d)), weight=w)

# labels 0 and 1: one output, several, integers; far logits
z = f32(rng.normal(0, 2, (ROWS, 1)))
z[0], z[1], z[2], z[3] = 60.0, -60.0, 90.0, -90.0
b = f32(rng.integers(0, 2, (ROWS, 1)))
b[0], b[1], b[2], b[3] = 0, 1, 1, 0
z3 = f32(rng.normal(0, 2, (ROWS, 3)))
b3 = f32(rng.integers(0, 2, (ROWS, 3)))
soft3 = f32(rng.uniform(0, 1, (ROWS, 3)))


def bce(pos=None, smooth=0.0):
    def f(a, t, w):
        t = t.reshape(a.shape).double() * (1 - smooth) + smooth / 2
        p = None if pos is None else torch.tensor(pos, dtype=torch.float64)
        return rows_mean(F.binary_cross_entropy_with_logits(a, t, pos_weight=p, reduction="none"), w)

    return f


def through_probabilities(q, t, w):
    e = 1e-7
    return rows_mean(-(t * torch.log(q + e) + (1 - t) * torch.log(1 - q + e)), w)


NAME = {"name": "binary_cross_entropy"}
for w in (None, weight):
    case(NAME, z, b, bce(), weight=w)
    case(NAME, z3, soft3, bce(), weight=w)
    case({**NAME, "pos_weight": [3.0]}, z, b, bce([3.0]), weight=w)
    case({**NAME, "pos_weight": [3.0, 0.5, 1.0]}, z3, b3, bce([3.0, 0.5, 1.0]), weight=w)
    case({**NAME, "from_probabilities": True}, z3, b3, through_probabilities, head="own_sigmoid", weight=w)
case(NAME, z, b.ravel().astype(int), bce(), classes=True)
case({**NAME, "label_smoothing": 0.2}, z3, b3, bce(smooth=0.2))


def focal_binary(gamma, alpha):
    def f(a, t, w):
        t = t.reshape(a.shape).double()
        ce = F.binary_cross_entropy_with_logits(a, t, reduction="none")
        p = torch.sigmoid(a)
        pt = p * t + (1 - p) * (1 - t)
        l = ce * (1 - pt) ** gamma
        if alpha is not None:
            l = (alpha * t + (1 - alpha) * (1 - t)) * l
        return rows_mean(l, w)

    return f


zf = f32(rng.normal(0, 3, (ROWS, 2)))
bf = f32(rng.integers(0, 2, (ROWS, 2)))
for w in (None, weight):
    for gamma, alpha in ((2.0, 0.25), (0.5, None), (0.0, 0.75), (3.5, 0.9)):
        loss = {"name": "focal_loss", "binary": True, "gamma": gamma, "alpha": [] if alpha is None else [alpha]}
        case(loss, zf, bf, focal_binary(gamma, alpha), weight=w)
case({"name": "focal_loss", "binary": True, "gamma": 2.0, "alpha": [0.25]}, zf[:, :1], bf[:, 0].astype(int), focal_binary(2.0, 0.25), classes=True)

# classes
C = 5
s = f32(rng.normal(0, 2, (ROWS, C)))
c = rng.integers(0, C, ROWS)
p = rng.uniform(0.05, 1, (ROWS, C))
p = f32(p / p.sum(1, keepdims=True))
p0 = p.copy()
p0[3] = [0, 1, 0, 0, 0]
cw = [0.5, 2.0, 1.0, 0.0, 3.0]


def weighed_classes(nll, w, t):
    """PyTorch's weighted mean over class labels, with weights of rows in the numerator."""
    v = torch.tensor(cw, dtype=torch.float64)[t]
    return (v * nll * (1 if w is None else w)).sum() / v.sum()


def ce(smooth=0.0, weights=None, logits=True):
    v = None if weights is None else torch.tensor(weights, dtype=torch.float64)

    def f(a, t, w):
        if w is None:
            return F.cross_entropy(a, t, weight=v, label_smoothing=smooth)
        l = F.cross_entropy(a, t, weight=v, label_smoothing=smooth, reduction="none")
        return (l * w).sum() / (len(l) if v is None or t.is_floating_point() else v[t].sum())

    return f


def nll(weights=None):
    v = None if weights is None else torch.tensor(weights, dtype=torch.float64)

    def f(a, t, w):
        if t.is_floating_point():
            l = -(a * t * (1 if v is None else v)).sum(-1)
            return rows_mean(l, w)
        if w is None:
            return F.nll_loss(a, t, weight=v)
        l = F.nll_loss(a, t, weight=v, reduction="none")
        return (l * w).sum() / (len(l) if v is None else v[t].sum())

    return f


def focal(gamma, alpha):
    def f(a, t, w):
        x = a.log_softmax(-1)
        t = t if t.is_floating_point() else F.one_hot(t, C).double()
        l = -(t * x * (1 - x.exp()) ** gamma * (1 if alpha is None else torch.tensor(alpha, dtype=torch.float64))).sum(-1)
        return rows_mean(l, w)

    return f


def kl(a, t, w):
    l = F.kl_div(a, t, reduction="none").sum(-1)
    return F.kl_div(a, t, reduction="batchmean") if w is None else (l * w).sum() / len(l)


for w in (None, weight):
    for labels, is_classes in ((c, True), (p, False)):
        for smooth in (0.0, 0.1):
            for v in (None, cw):
                loss = {"name": "cross_entropy", "label_smoothing": smooth, "class_weights": v or []}
                case(loss, s, labels, ce(smooth, v), classes=is_classes, weight=w)
        for v in (None, cw):
            loss = {"name": "nll", "class_weights": v or []}
            case(loss, s, labels, nll(v), head="log_softmax", classes=is_classes, weight=w)
            case(loss, s, labels, nll(v), head=None, classes=is_classes, weight=w)
        for gamma, alpha in ((2.0, None), (0.0, None), (0.5, cw), (3.0, [0.25])):
            a = [0.25] * C if alpha == [0.25] else alpha
            loss = {"name": "focal_loss", "gamma": gamma, "alpha": alpha or []}
            case(loss, s, labels, focal(gamma, a), classes=is_classes, weight=w)
    case({"name": "kl_divergence"}, s, p0, kl, head="log_softmax", weight=w)
    case({"name": "kl_divergence"}, s, p0, kl, head=None, weight=w)
    case({"name": "kl_divergence"}, s, p0, lambda q, t, w: kl(torch.log(q), t, w), head="softmax", weight=w)
    case(
        {"name": "cross_entropy", "from_probabilities": True, "class_weights": cw},
        s,
        p,
        lambda q, t, w: rows_mean(-(t * torch.tensor(cw, dtype=torch.float64) * torch.log(q + 1e-7)).sum(-1), w),
        head="own_softmax",
        weight=w,
    )
    # on a layer that the loss looks behind
    case({"name": "cross_entropy", "class_weights": cw}, s, c, lambda q, t, w: nll(cw)(torch.log(q), t, w), head="softmax", classes=True, weight=w)
    case({"name": "focal_loss"}, s, c, lambda q, t, w: focal(2.0, None)(torch.log(q), t, w), head="softmax", classes=True, weight=w)
    case(NAME, z3, b3, lambda q, t, w: bce()(torch.log(q / (1 - q)), t, w), head="sigmoid", weight=w)
    case({"name": "focal_loss", "binary": True, "alpha": [0.25]}, zf, bf, lambda q, t, w: focal_binary(2.0, 0.25)(torch.log(q / (1 - q)), t, w), head="sigmoid", weight=w)

# a label that does not count, be it a class or none; rows of sequences
own = np.random.default_rng(12)
s3, c3 = f32(own.normal(0, 2, (4, 3, C))), own.integers(0, C, (4, 3))
for ignored in (1, 77):
    labels = np.where(own.uniform(0, 1, c3.shape) < 0.3, ignored, c3)
    for v in (None, cw):
        t = None if v is None else torch.tensor(v, dtype=torch.float64)
        for smooth in (0.0, 0.1):
            loss = {"name": "cross_entropy", "label_smoothing": smooth, "class_weights": v or [], "ignore_index": ignored}
            f = lambda a, y, w: F.cross_entropy(a.reshape(-1, C), y.reshape(-1), weight=t, label_smoothing=smooth, ignore_index=ignored)
            case(loss, s3, labels, f, classes=True)
        loss = {"name": "nll", "class_weights": v or [], "ignore_index": ignored}
        f = lambda a, y, w: F.nll_loss(a.reshape(-1, C), y.reshape(-1), weight=t, ignore_index=ignored)
        case(loss, s3, labels, f, head="log_softmax", classes=True)
        case(loss, s3, labels, f, head=None, classes=True)
    # weights of rows in the numerator, as above
    for w in (f32(own.uniform(0, 3, 4)),):

        def rows(a, y, w):
            l = F.cross_entropy(a.reshape(-1, C), y.reshape(-1), reduction="none", ignore_index=ignored).reshape(y.shape)
            return (l * w[:, None]).sum() / (y != ignored).sum()

        case({"name": "cross_entropy", "ignore_index": ignored}, s3, labels, rows, classes=True, weight=w)
for smooth in (0.0, 0.1):
    f = lambda a, y, w: F.cross_entropy(a.reshape(-1, C), y.reshape(-1), label_smoothing=smooth)
    case({"name": "cross_entropy", "label_smoothing": smooth}, s3, c3, f, classes=True)

(HERE / "losses.json").write_text(json.dumps(cases))

# ---- metrics ----


def ratio(a, b):
    return a / b if b else 0.0


def auc(prob, truth, n=200, eps=1e-7):
    """Keras: trapezoids between the points of n thresholds."""
    th = [-eps] + [(i + 1) / (n - 1) for i in range(n - 2)] + [1 + eps]
    tpr, fpr = [], []
    for t in th:
        tp = sum(1 for q, r in zip(prob, truth) if r and q > t)
        fp = sum(1 for q, r in zip(prob, truth) if not r and q > t)
        tpr.append(ratio(tp, sum(truth)))
        fpr.append(ratio(fp, len(truth) - sum(truth)))
    return sum((fpr[i] - fpr[i + 1]) * (tpr[i] + tpr[i + 1]) / 2 for i in range(n - 1))


def prf(said, told, kind):
    tp = sum(1 for a, b in zip(said, told) if a and b)
    fp = sum(1 for a, b in zip(said, told) if a and not b)
    fn = sum(1 for a, b in zip(said, told) if b and not a)
    return {"precision": ratio(tp, tp + fp), "recall": ratio(tp, tp + fn), "f1": ratio(2 * tp, 2 * tp + fp + fn)}[kind]


def averaged(said, told, n, kind, how):
    """sklearn's precision_recall_fscore_support: classes are those of labels or predictions."""
    present = sorted(set(said) | set(told))
    if how == "micro":
        flat = lambda v: [int(a == k) for a in v for k in range(n)]
        return prf(flat(said), flat(told), kind)
    each = [prf([a == k for a in said], [b == k for b in told], kind) for k in present]
    support = [sum(b == k for b in told) for k in present]
    w = [1] * len(present) if how == "macro" else support
    return sum(a * b for a, b in zip(each, w)) / sum(w)


def clear(p):
    """Probabilities that lie beside the thresholds, on whichever machine."""
    near = np.abs(p * 199 - np.round(p * 199)) < 0.01
    return f32(np.where(near, p + 0.03 / 199, p))


groups = []


def group(x, y, classes, metrics):
    groups.append({"shape": list(x.shape), "x": x.ravel().tolist(), "classes": classes, "y_shape": list(np.shape(y)), "y": np.ravel(y).tolist(), "metrics": metrics})


# labels 0 and 1
N = 53
truth = rng.integers(0, 2, N)
prob = clear(np.clip(0.5 + 0.25 * (truth - 0.5) + rng.normal(0, 0.25, N), 0.003, 0.997))
assert min(abs(prob - 0.5)) > 1e-4
prob[7], prob[8] = 0.0, 1.0


def binary_metrics(prob, truth, logits):
    out, more = [], {"from_logits": True} if logits else {}
    for t in (0.5, 0.3, 0.9):
        said = [int(q > t) for q in prob]
        tag = f"_{t}"
        out.append(({"name": "binary_accuracy", "threshold": t, "label": "binary_accuracy" + tag, **more}, float(np.mean([a == b for a, b in zip(said, truth)]))))
        for k in ("precision", "recall", "f1"):
            out.append(({"name": k, "threshold": t, "label": k + tag, **more}, prf(said, truth, k)))
    for n in (200, 5, 2):
        out.append(({"name": "auc", "num_thresholds": n, "label": f"auc_{n}", **more}, auc(prob, truth, n)))
    return out


two = lambda prob, truth: [[sum(1 for q, r in zip(prob, truth) if r == i and (q > 0.5) == bool(j)) for j in (0, 1)] for i in (0, 1)]
confusion = [({"name": "confusion_matrix", "classes": 2}, two(prob, truth))]
group(prob.reshape(N, 1), truth.astype(float).reshape(N, 1), False, binary_metrics(prob, truth, False) + confusion)
group(prob.reshape(N, 1), truth, True, binary_metrics(prob, truth, False) + confusion)
q = clear(1 / (1 + np.exp(-rng.normal(0, 2, N))))
z = f32(np.log(q / (1 - q)))
group(z.reshape(N, 1), truth.astype(float), False, binary_metrics(q, truth, True))
group(prob.reshape(N, 1), np.zeros(N), False, binary_metrics(prob, np.zeros(N, int), False))
many = clear(rng.uniform(0.01, 0.99, (N, 3)))
labels = rng.integers(0, 2, (N, 3))
group(many, labels.astype(float), False, binary_metrics(many.ravel(), labels.ravel(), False))

# classes: one that no row has, one that is never said, one that is neither
C = 7
s = f32(rng.normal(0, 1, (N, C)))
s[:, 5] -= 100
s[:, 6] -= 100
told = rng.choice([0, 1, 2, 3, 5], N)
s[np.arange(N), told] += 1.0
s[4, 0], s[4, 1], s[4, 2] = 2.0, 2.0, 2.0
told[4] = 2
said = s.argmax(1)


def class_metrics(said, told, s):
    out = [({"name": "accuracy"}, float(np.mean(said == told)))]
    for k in (1, 2, 3, 7):
        above = (s > s[np.arange(N), told][:, None]).sum(1)
        out.append(({"name": "top_k_accuracy", "k": k}, float(np.mean(above < k))))
    for how in ("macro", "micro", "weighted"):
        for kind in ("precision", "recall", "f1"):
            out.append(({"name": kind, "average": how, "label": f"{kind}_{how}"}, averaged(list(said), list(told), C, kind, how)))
    m = np.zeros((C, C))
    for a, b in zip(told, said):
        m[a, b] += 1
    out.append(({"name": "confusion_matrix", "classes": C}, m.tolist()))
    return out


group(s, told, True, class_metrics(said, told, s))
group(s, np.eye(C)[told], False, class_metrics(said, told, s))


# numbers, the labels of one output far from 0, those of another all equal
def numbers(y, t):
    d = y - t
    r2 = []
    for j in range(y.shape[1]):
        tot = ((t[:, j] - t[:, j].mean()) ** 2).sum()
        r2.append(1 - (d[:, j] ** 2).sum() / tot if tot else float((d[:, j] == 0).all()))
    return [({"name": "mae"}, float(np.abs(d).mean())), ({"name": "mse"}, float((d**2).mean())), ({"name": "rmse"}, float(np.sqrt((d**2).mean()))), ({"name": "r2"}, float(np.mean(r2)))]


t = f32(rng.normal(0, 1, (N, 3)) * [1, 3, 20] + [0, 5, 2000])
y = f32(t + rng.normal(0, 1, (N, 3)) * [0.5, 1, 9])
group(y, t, False, numbers(y, t))
group(y[:, :1], t[:, 0], False, numbers(y[:, :1], t[:, :1]))
flat = np.full((N, 1), 3.25)
group(y[:, :1], flat, False, numbers(y[:, :1], flat))
group(flat, flat, False, numbers(flat, flat))
(HERE / "metrics.json").write_text(json.dumps(groups))
print(len(cases), "losses;", sum(len(g["metrics"]) for g in groups), "metrics")
