"""Loss and metrics by epoch, of what is told."""

import math

from gradus_spark.history import heard, joined


def report(rows, first, **history):
    return {"rows": rows, "first_epoch": first, "history": history}


def test_means_are_over_all_rows():
    assert joined([report(1, 0, loss=[4.0, 2.0]), report(3, 0, loss=[8.0, 2.0])], {0: 9.0, 1: 9.0}) == {"loss": [7.0, 2.0]}


def test_what_workers_have_not_told_is_the_servers():
    losses = {}
    for line in ("worker 0 begins with push 0", "epoch 1  loss 4.5000", "epoch 2/3  loss 3e-5  val_loss 2", "epoch 3  loss NaN"):
        heard(line, losses)
    assert losses[0] == 4.5 and losses[1] == 3e-5 and math.isnan(losses[2])
    found = joined([report(1, 2, loss=[1.0], accuracy=[0.5])], losses)
    assert found["loss"] == [4.5, 3e-5, 1.0]
    assert math.isnan(found["accuracy"][0]) and math.isnan(found["accuracy"][1]) and found["accuracy"][2] == 0.5
    assert joined([], {0: 2.0}) == {"loss": [2.0]}
