"""A Spark of this machine, and a recipe that two workers learn in seconds."""

import json
import os
import signal
import sys

import pytest

os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
# JVMs that live for seconds: compiled less they take half of the CPU time (95 s and 50 s, measured on a standalone cluster's)
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
os.environ["PYTHONPATH"] = os.pathsep.join([os.path.dirname(os.path.dirname(__file__)), os.environ.get("PYTHONPATH", "")])


def recipe(epochs=4, width=None):
    """A regression from two numbers, by one linear layer, or with a hidden one."""
    hidden = [{"layer": "linear", "out_features": width}, {"layer": "activation", "function": "tanh"}] if width else []
    return json.dumps(
        {
            "version": 2,
            "data": {"source": "here"},
            "model": {"layers": [*hidden, {"layer": "linear", "out_features": 1}]},
            "compile": {"input": [2], "optimizer": {"name": "sgd", "lr": 0.05}, "loss": {"name": "mse"}},
            "fit": {"epochs": epochs, "batch_size": 32},
        }
    )


needs_program = pytest.mark.skipif(not os.environ.get("GRADUS_PROGRAM"), reason="GRADUS_PROGRAM names no program")


def estimator(**more):
    from gradus_spark import GradusEstimator

    return GradusEstimator(**{"recipe": recipe(), "featuresCols": ["a", "b"], "workers": 2, "deadline": 60.0, **more})


def kill_at(monkeypatch, epoch, find):
    """Kills the processes that are found when the server tells of this epoch, once. Gives the list of them.

    They are looked for when workers begin: to look takes longer than an epoch."""
    from gradus_spark import estimator

    found, killed, start = [], [], estimator.process.start

    def listening(command, log):
        def heard(line):
            if not found and (line.startswith("worker ") or line.startswith("epoch ")):
                found.extend(int(pid) for pid in find())
            if found and not killed and line.startswith("epoch ") and int(line[6:].split("/")[0]) >= epoch:
                for pid in found:
                    os.kill(pid, signal.SIGKILL)
                killed.extend(found)
            log(line)

        return start(command, heard)

    monkeypatch.setattr(estimator.process, "start", listening)
    return killed


def session(master, more=None):
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master(master).appName("gradus").config("spark.ui.enabled", "false")
    settings = {**(more or {}), "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.sql.shuffle.partitions": "2", "spark.sql.execution.arrow.maxRecordsPerBatch": "500"}
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


@pytest.fixture
def spark(request):
    made = session(getattr(request, "param", "local[2]"))
    yield made
    made.stop()


@pytest.fixture
def frame():
    """Rows whose label is known: `3 a - 2 b + 0.5`."""

    def make(spark, rows=4000):
        from pyspark.sql import functions as F

        data = spark.range(0, rows, 1, 2)
        data = data.select("id", F.sin(F.col("id") * 7.0).cast("float").alias("a"), F.cos(F.col("id") * 3.0).cast("float").alias("b"))
        return data.withColumn("label", (F.col("a") * 3 - F.col("b") * 2 + 0.5).cast("float"))

    return make
