"""The workers of a run as one barrier stage of Spark."""

from __future__ import annotations

import json
import os
import socket
import time


def task(settings: dict):
    """The function of each barrier task: spills its partition, and runs a worker of gradus over it. `settings` is plain data."""

    def run(batches):
        import pyarrow as pa
        from pyspark import BarrierTaskContext

        from gradus_spark import spill
        from gradus_spark.folder import folder as kept

        context = BarrierTaskContext.get()
        rank = context.partitionId()
        with kept() as folder:
            # what would fail again is told as a result: Spark would begin the stage again for an exception
            failed = None
            try:
                path, rows = spill.spill(batches, folder, settings["features"], settings["label"])
                if rows == 0:
                    failed = f"partition {rank} has no rows: give fewer workers, or more rows"
            except ValueError as e:
                failed = str(e)
            # all partitions are told together: else the others would wait for a worker that never comes
            told = [json.loads(t) for t in context.allGather(json.dumps({"rank": rank, "failed": failed}))]
            report = next((t for t in told if t["failed"]), None) or _work(settings, context, folder, path, rows)
        yield pa.RecordBatch.from_pydict({"report": [json.dumps({**report, "rank": rank})]})

    return run


def _work(settings: dict, context, folder: str, path: str, rows: int) -> dict:
    """Runs a worker over the rows of a file: its report, or why it has failed."""
    from gradus_spark import process

    # as in a stage that is begun again after the last push, for a result that was lost
    if not _listens(settings["server"]):
        return {"failed": f"nobody listens at {settings['server']}: the server has ended, or a firewall refuses workers", "gone": True}
    rank, names = context.partitionId(), ("recipe.json", "secret", "report.json")
    recipe, secret, told_to = (os.path.join(folder, n) for n in names)
    with open(recipe, "w") as out:
        out.write(settings["recipe"])
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
        out.write(settings["secret"])
    command = [
        process.program(settings["program"]),
        "worker", recipe, "--server", settings["server"], "--secret-file", secret,
        "--rank", str(rank), "--world", str(settings["workers"]), "--own-rows", "--source", path, "--report", told_to, "--die-with-parent",
        "--connect-deadline", "30", *_device(settings, context),
    ]
    worker = process.start(command, lambda line: print(f"gradus worker {rank}: {line}", flush=True))
    try:
        process.finish(worker, f"worker {rank}")
    except process.Failed as e:
        return {"failed": str(e), "gone": not _listens(settings["server"])}
    finally:
        process.kill(worker)
    with open(told_to) as read:
        return {**json.load(read), "rows": rows}


def _listens(address: str) -> bool:
    """Whether somebody listens there; where only the network is in doubt a worker may try, and say what is wrong."""
    host, port = address.rsplit(":", 1)
    for pause in (0.0, 0.2, 0.5):
        time.sleep(pause)
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
            return True
        except ConnectionRefusedError:
            continue
        except OSError:
            return True
    return False


def _device(settings: dict, context) -> list[str]:
    """What was asked for; else the adapter that Spark gave this task, if it hands out GPUs; else the CPU, with the task's part of the threads."""
    gpu = context.resources().get("gpu")
    if settings["device"]:
        return ["--device", settings["device"]]
    if gpu and gpu.addresses:
        return ["--device", f"gpu:{gpu.addresses[0]}"]
    return ["--threads", str(max(1, context.cpus()))]


class Gone(RuntimeError):
    """Workers found no server. `reports`: of those that did."""

    def __init__(self, why: str, reports: list[dict]):
        super().__init__(why)
        self.reports = reports


def collect(frame, settings: dict, retried: bool = True) -> list[dict]:
    """Runs the workers, and gives their reports in the order of their ranks.

    Spark never retries a barrier stage whose results the driver takes: it aborts the job. Behind a shuffle it is no such stage, and all of it
    is begun again when a worker or an executor dies; each worker then asks the server where its rank stands. `retried=False` leaves the shuffle out:
    a test holds that Spark still needs it.
    """
    reports = frame.mapInArrow(task(settings), "report string", barrier=True)
    if retried:
        reports = reports.repartition(1)
    found = sorted((json.loads(row.report) for row in reports.collect()), key=lambda r: r["rank"])
    if any(r.get("gone") for r in found) and all(r.get("gone") or not r.get("failed") for r in found):
        raise Gone(next(r["failed"] for r in found if r.get("gone")), [r for r in found if not r.get("gone")])
    failed = list(dict.fromkeys(r["failed"] for r in found if r.get("failed")))
    if failed:
        # the cause first: the others have only heard of it
        failed.sort(key=lambda text: "the run has failed" in text)
        raise RuntimeError("\n".join(failed[:3]))
    return found
