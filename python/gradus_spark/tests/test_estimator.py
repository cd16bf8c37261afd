"""Whole runs on Sparks of this machine. They need the program: `GRADUS_PROGRAM=target/release/gradus pytest`."""

import json
import subprocess

import numpy as np
import pytest
from conftest import estimator, kill_at, needs_program, recipe

from gradus_spark import GradusModel

pytestmark = needs_program


def error_of(model, data):
    rows = model.transform(data).select("label", "prediction").collect()
    return float(np.mean([(r.label - r.prediction[0]) ** 2 for r in rows]))


@pytest.mark.parametrize("mode", ["sync", "semi-async", "async", "local"])
def test_every_mode_learns(spark, frame, mode):
    data = frame(spark)
    model = estimator(mode=mode).fit(data)
    assert error_of(model, data) < 1e-3
    assert len(model.history["loss"]) == 4 and model.history["loss"][-1] < model.history["loss"][0]


def test_a_model_in_a_pipeline_comes_back_from_disk(spark, frame, tmp_path):
    from pyspark.ml import Pipeline, PipelineModel
    from pyspark.ml.feature import VectorAssembler

    data = frame(spark)
    stages = [VectorAssembler(inputCols=["a", "b"], outputCol="features"), estimator(featuresCols=["features"])]
    fitted = Pipeline(stages=stages).fit(data)
    fitted.write().overwrite().save(str(tmp_path / "model"))
    again = PipelineModel.load(str(tmp_path / "model"))
    of = lambda m: [r.prediction for r in m.transform(data).orderBy("id").collect()]
    assert of(fitted) == of(again)
    assert again.stages[1].history == fitted.stages[1].history


def test_in_step_it_repeats_to_the_bit(spark, frame):
    data = frame(spark).cache()
    weights = [estimator(recipe=recipe(width=8)).fit(data).getOrDefault("weights") for _ in range(2)]
    assert weights[0] == weights[1]


def test_what_cannot_be_is_an_error_at_once(spark, frame):
    from pyspark.sql import functions as F

    data = frame(spark)
    with pytest.raises(Exception, match="missing values"):
        estimator().fit(data.withColumn("a", F.when(F.col("id") == 7, None).otherwise(F.col("a"))))
    with pytest.raises(ValueError, match="StandardScaler"):
        parsed = json.loads(recipe())
        parsed["data"]["pipeline"] = [{"op": "normalize"}]
        estimator(recipe=json.dumps(parsed)).fit(data)
    with pytest.raises(Exception, match="input"):
        estimator(featuresCols=["a"]).fit(data)
    model = GradusModel(weights=b"no weights", recipe=recipe())
    with pytest.raises(Exception):
        model.setFeaturesCols(["a", "b"]).transform(data).collect()


def a_worker():
    """One of those of the executors below this very process."""
    found = subprocess.run(["pgrep", "-f", " worker .* --server 127.0.0.1:[0-9]+ "], capture_output=True, text=True)
    return found.stdout.split()[:1]


@pytest.mark.parametrize("spark", ["local-cluster[2,1,1024]"], indirect=True)
def test_a_killed_worker_is_started_again(spark, frame, monkeypatch):
    data = frame(spark, rows=10_000)
    long = estimator(recipe=recipe(epochs=40, width=64))
    plain = long.fit(data).getOrDefault("weights")
    killed = kill_at(monkeypatch, 3, a_worker)
    model = long.fit(data)
    assert killed, "no worker was there to be killed"
    assert any(r["began_at"] > 0 for r in json.loads(model.getOrDefault("reports"))), "the stage was not retried, or from the start"
    assert model.getOrDefault("weights") == plain


@pytest.mark.parametrize("spark", ["local-cluster[2,1,1024]"], indirect=True)
def test_without_the_shuffle_spark_gives_up(spark, frame, monkeypatch):
    from gradus_spark import barrier

    data, collect = frame(spark, rows=10_000), barrier.collect
    monkeypatch.setattr(barrier, "collect", lambda f, s: collect(f, s, retried=False))
    killed = kill_at(monkeypatch, 3, a_worker)
    with pytest.raises(Exception, match="barrier ResultStage"):
        estimator(recipe=recipe(epochs=40, width=64)).fit(data)
    assert killed
