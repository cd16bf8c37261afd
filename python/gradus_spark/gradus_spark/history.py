"""Loss and metrics by epoch, of what workers and server tell."""

from __future__ import annotations

import math
import re

_LINE = re.compile(r"epoch (\d+)(?:/\d+)?  loss (\S+)")


def heard(line: str, losses: dict[int, float]) -> bool:
    """Notes the loss that a line of the server tells, by epoch from 0. Whether it is such a line."""
    found = _LINE.match(line)
    if found:
        losses[int(found[1]) - 1] = float(found[2])
    return bool(found)


def joined(reports: list[dict], losses: dict[int, float]) -> dict[str, list[float]]:
    """By epoch: means over the rows of all workers.

    A worker that began again has told nothing of the epochs before, and one whose executor is lost nothing at all: there the loss is the server's, a mean
    over updates, and metrics are `nan`.
    """
    sums: dict[str, dict[int, tuple[float, int]]] = {}
    for r in reports:
        for name, values in r["history"].items():
            for epoch, value in enumerate(values, r["first_epoch"]):
                total, rows = sums.setdefault(name, {}).get(epoch, (0.0, 0))
                sums[name][epoch] = (total + value * r["rows"], rows + r["rows"])
    means = {name: {epoch: total / rows for epoch, (total, rows) in epochs.items()} for name, epochs in sums.items()}
    means["loss"] = {**losses, **means.get("loss", {})}
    all_epochs = sorted({epoch for epochs in means.values() for epoch in epochs})
    return {name: [epochs.get(epoch, math.nan) for epoch in all_epochs] for name, epochs in means.items()}
