"""Spark Connect: no JVM in the client. A process of its own, since a session of the other kind may be there."""

import os
import pathlib
import subprocess
import sys

import pytest
from conftest import needs_program

pytestmark = needs_program

README = pathlib.Path(__file__).parent.parent / "README.md"

MORE = """
from gradus_spark import GradusModel
assert type(spark).__module__.startswith("pyspark.sql.connect"), type(spark)
assert model.history["loss"][-1] < 1e-3
for _ in range(2):
    model.write().overwrite().save({path!r})
again = GradusModel.load({path!r})
assert again.history == model.history
predicted = [m.transform(rows).selectExpr("prediction[0] - label d").agg({{"d": "max"}}).collect() for m in (model, again)]
assert predicted[0] == predicted[1] and abs(predicted[0][0][0]) < 0.1, predicted
print("all of it")
"""


def test_the_readmes_program_runs_on_spark_connect(tmp_path):
    for package in ("grpc", "grpc_status", "google.rpc.error_details_pb2"):
        pytest.importorskip(package, reason="pyspark[connect] is not installed")
    program = README.read_text().split("```python\n")[1].split("```")[0]
    remote = program.replace('.master("local[2]")', '.remote("local[2]")')
    assert remote != program
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SPARK_CONNECT")}
    command = [sys.executable, "-c", remote + MORE.format(path=str(tmp_path / "model"))]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert run.returncode == 0 and "all of it" in run.stdout, run.stdout + run.stderr


def test_the_way_to_another_machine_is_an_address_of_this_one():
    from gradus_spark.estimator import _driver_host

    class Session:
        """One that is connected to a machine."""

        client = type("Client", (), {"host": "127.0.0.2"})
        conf = {"spark.driver.host": "where that machine's driver is"}

    Session.__module__ = "pyspark.sql.connect.session"
    # on the loopback the way to any is from itself, or from the first
    assert _driver_host(Session()) in ("127.0.0.1", "127.0.0.2")
    Session.client.host = "localhost"
    assert _driver_host(Session()) == "where that machine's driver is"
