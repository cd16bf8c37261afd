#!/usr/bin/env bash
# gradus against PyTorch on this machine's CPU: the article's step, taking turns, three rounds. `benches/compare.sh [THREADS]`
# PyTorch is that of $PYTHON; by default /opt/torchvenv/bin/python if there is one, else python3.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
threads=${1:-2} rounds=3
if [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    [ -x /opt/torchvenv/bin/python ] && PYTHON=/opt/torchvenv/bin/python
fi
"$PYTHON" -c 'import torch' || { echo "$PYTHON has no torch: set PYTHON to one that has"; exit 1; }
cargo bench --locked --bench step --no-run || exit 1

lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds"
    cargo bench -q --locked --bench step -- --device cpu --threads "$threads" --seconds 2 --only article | tee -a "$lines" | grep '^control' || exit 1
    "$PYTHON" benches/peers/pytorch_step.py --threads "$threads" >>"$lines" || exit 1
done

"$PYTHON" - "$lines" <<'PY'
import json, statistics, sys
runs = [json.loads(line) for line in open(sys.argv[1]) if line.startswith("{")]
of = lambda peer: [r["ms_per_step"] for r in runs if r["peer"] == peer]
ours, theirs = of("gradus"), of("pytorch")
for peer, times in (("gradus", ours), ("pytorch", theirs)):
    print(f"{peer:8} {statistics.median(times):.4f} ms/step  (rounds: {', '.join(f'{t:.4f}' for t in times)})")
torch = next(r["torch"] for r in runs if r["peer"] == "pytorch")
print(f"gradus takes {statistics.median(ours) / statistics.median(theirs):.3f} of the time of PyTorch {torch}, "
      f"{runs[0]['layers']}, batch {runs[0]['batch']}, {runs[-1]['threads']} threads; medians of {len(ours)} rounds")
moved = max(r.get("control_moved", 0) for r in runs)
if moved > 0.1:
    print(f"the control moved by up to {moved:.0%}: the machine was not quiet")
PY
