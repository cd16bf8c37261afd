"""What Spark can lose: an executor of a cluster, and what a worker says last. They need the program, as test_estimator.py does."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import time

import pytest
from conftest import estimator, kill_at, needs_program, recipe, session

pytestmark = needs_program


@pytest.fixture
def cluster(tmp_path):
    """A standalone cluster of this machine: its address, and the process whose children are its executors."""
    import pyspark

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"spark://127.0.0.1:{port}"
    program = os.path.join(os.path.dirname(pyspark.__file__), "bin", "spark-class")
    where = ["--host", "127.0.0.1", "--webui-port", "0"]
    environment = {**os.environ, "SPARK_DAEMON_MEMORY": "256m", "SPARK_WORKER_DIR": str(tmp_path / "work")}
    running = []

    def start(what, *flags):
        with open(tmp_path / f"{what.split('.')[0]}.log", "w") as log:
            # `spark-class` becomes the JVM: its process is this one
            running.append(subprocess.Popen([program, f"org.apache.spark.deploy.{what}", *where, *flags], env=environment, stdout=log, stderr=log))
        return running[-1]

    try:
        start("master.Master", "--port", str(port))
        until = time.time() + 60
        while time.time() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.1)
        yield address, start("worker.Worker", "--cores", "2", "--memory", "2g", address)
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(timeout=30)


def test_a_lost_executor_of_a_cluster_is_replaced(cluster, frame, monkeypatch):
    address, worker = cluster
    spark = session(address, {"spark.executor.cores": "1", "spark.executor.memory": "512m", "spark.cores.max": "2"})
    try:
        data = frame(spark, rows=10_000)
        # until a new one is there and its Python is up
        long = estimator(recipe=recipe(epochs=40, width=64), deadline=600.0)
        plain = long.fit(data)

        def executor():
            found = subprocess.run(["pgrep", "-P", str(worker.pid), "-f", "CoarseGrainedExecutorBackend"], capture_output=True, text=True)
            return found.stdout.split()[:1]

        killed = kill_at(monkeypatch, 3, executor)
        model = long.fit(data)
    finally:
        spark.stop()
    assert killed, "no executor was there to be killed"
    assert all(r["began_at"] > 0 for r in json.loads(model.getOrDefault("reports"))), "the stage was not retried, or from the start"
    assert model.getOrDefault("weights") == plain.getOrDefault("weights")
    assert len(model.history["loss"]) == 40


def test_a_run_that_is_over_outlives_the_last_words_of_its_workers(spark, frame, tmp_path, capfd):
    """A worker's Python process dies when all have left, and the server has ended: its stage is begun again for nothing."""
    program, told = tmp_path / "gradus", tmp_path / "folder"
    kill = f'[ "$1" != worker ] || ! mkdir {tmp_path}/once 2>/dev/null || {{ dirname "$2" >{told}; sleep 2; kill -{signal.SIGKILL.value} $PPID; }}'
    program.write_text(f'#!/bin/sh\n"{os.environ["GRADUS_PROGRAM"]}" "$@"\ncode=$?\n{kill}\nexit $code\n')
    program.chmod(0o755)
    data = frame(spark)
    model = estimator(program=str(program)).fit(data)
    assert "reports of workers are missing" in capfd.readouterr().err
    assert model.getOrDefault("weights") == estimator().fit(data).getOrDefault("weights")
    assert len(model.history["loss"]) == 4 and model.history["loss"][-1] < model.history["loss"][0]
    left = told.read_text().strip()
    assert "gradus-" in left and not os.path.exists(left), "the folder of the process that was killed is still there"
