"""gradus in Spark ML's manner: an estimator that trains, and the model that it gives."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
import subprocess
import sys

import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml.base import Estimator, Model
from pyspark.ml.param.shared import HasLabelCol, HasPredictionCol, Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

from . import barrier, history, process
from .folder import folder
from .spill import spill
from .writer import Writer, connected

#: What a recipe may not do where each worker sees its own partition alone.
_OF_ALL_ROWS = {"normalize": "put Spark's StandardScaler before this stage", "balanced": "sample with Spark before this stage", "take": "use `DataFrame.limit` before `fit`"}


class _Common(HasLabelCol, HasPredictionCol):
    """The parameters that estimator and model share."""

    recipe = Param(Params._dummy(), "recipe", "the recipe, as JSON: model, optimizer, loss, epochs, batch size of each worker", TypeConverters.toString)
    featuresCols = Param(Params._dummy(), "featuresCols", "the columns of features: numbers, arrays of numbers, dense vectors; several stand side by side", TypeConverters.toListString)
    program = Param(Params._dummy(), "program", "the path of the program `gradus` on driver and executors; else GRADUS_PROGRAM, else the PATH", TypeConverters.toString)
    device = Param(Params._dummy(), "device", "where each worker computes; else the GPU that Spark gives its task, else the CPU", TypeConverters.toString)

    def __init__(self):
        super().__init__()
        self._setDefault(featuresCols=["features"], labelCol="label", predictionCol="prediction", program="", device="")

    def setFeaturesCols(self, value):
        return self._set(featuresCols=[value] if isinstance(value, str) else value)

    def setLabelCol(self, value):
        return self._set(labelCol=value)

    def setPredictionCol(self, value):
        return self._set(predictionCol=value)

    def setProgram(self, value):
        return self._set(program=value)

    def setDevice(self, value):
        return self._set(device=value)

    def getRecipe(self) -> str:
        return self.getOrDefault(self.recipe)

    def write(self) -> Writer:
        return Writer(self)


class GradusEstimator(_Common, Estimator, DefaultParamsReadable, DefaultParamsWritable):
    """Trains a recipe of gradus on the rows of a DataFrame, with one worker for each of `workers` partitions.

    `mode`: `sync` (the default), `semi-async`, `async` or `local`; `staleness` for `semi-async`, `every` for `local`, as in `gradus train`. `serverHost` is the
    address under which executors reach the driver; by default `spark.driver.host`, else this machine's name.
    """

    workers = Param(Params._dummy(), "workers", "how many workers: as many tasks must run at a time", TypeConverters.toInt)
    mode = Param(Params._dummy(), "mode", "sync, semi-async, async, local", TypeConverters.toString)
    staleness = Param(Params._dummy(), "staleness", "how many clocks a worker may be ahead of the slowest, for semi-async", TypeConverters.toInt)
    every = Param(Params._dummy(), "every", "updates of a worker between two averages, for local", TypeConverters.toInt)
    deadline = Param(Params._dummy(), "deadline", "seconds after which a worker that owes gradients is given up", TypeConverters.toFloat)
    serverHost = Param(Params._dummy(), "serverHost", "the address under which executors reach the driver", TypeConverters.toString)
    checkpoint = Param(Params._dummy(), "checkpoint", "a file of the driver to which the server writes its state, and from which it goes on", TypeConverters.toString)

    @keyword_only
    def __init__(self, *, recipe=None, featuresCols=None, labelCol=None, predictionCol=None, workers=None, mode=None, staleness=None, every=None, deadline=None, program=None, device=None, serverHost=None, checkpoint=None):
        super().__init__()
        self._setDefault(workers=2, mode="sync", staleness=2, every=16, deadline=600.0, serverHost="", checkpoint="")
        given = {k: v for k, v in self._input_kwargs.items() if v is not None}
        if "recipe" in given:
            given["recipe"] = _recipe(given["recipe"])
        if isinstance(given.get("featuresCols"), str):
            given["featuresCols"] = [given["featuresCols"]]
        self._set(**given)

    def setRecipe(self, value):
        """A recipe: JSON, or the path of a file of JSON or TOML."""
        return self._set(recipe=_recipe(value))

    def setWorkers(self, value):
        return self._set(workers=value)

    def setMode(self, value):
        return self._set(mode=value)

    def _fit(self, dataset) -> "GradusModel":
        recipe, workers = _for_partitions(self.getRecipe()), self.getOrDefault(self.workers)
        if workers < 1:
            raise ValueError(f"workers is {workers}: give at least 1")
        from pyspark.sql import functions as F

        columns = [*self.getOrDefault(self.featuresCols), self.getLabelCol()]
        # one order of the rows whenever a partition is made, on whatever executor: a worker that comes again goes on in the middle of an epoch
        frame = dataset.select(*columns).repartition(workers).sortWithinPartitions(F.xxhash64(*columns))
        secret = secrets.token_hex(16)
        losses: dict[int, float] = {}
        with folder() as within:
            files = {name: os.path.join(within, name) for name in ("recipe.json", "secret", "weights.safetensors")}
            with open(files["recipe.json"], "w") as out:
                out.write(_aloud(recipe))
            with open(os.open(files["secret"], os.O_WRONLY | os.O_CREAT, 0o600), "w") as out:
                out.write(secret)
            server, address = self._server(dataset, files, workers, _listener(recipe, losses))
            settings = {
                "recipe": recipe, "features": self.getOrDefault(self.featuresCols), "label": self.getLabelCol(), "workers": workers, "secret": secret,
                "server": address, "program": self.getOrDefault(self.program) or None, "device": self.getOrDefault(self.device) or None,
            }
            try:
                reports = _reports(frame, settings, server)
                process.finish(server, "the server")
                with open(files["weights.safetensors"], "rb") as read:
                    weights = read.read()
            except Exception as e:
                if server.poll() not in (None, 0):
                    raise RuntimeError("the server has ended:\n" + "\n".join(server.last_lines)) from e
                raise
            finally:
                process.kill(server)
        if self.getOrDefault(self.checkpoint):
            # it is of this run, which is over
            if os.path.exists(self.getOrDefault(self.checkpoint)):
                os.remove(self.getOrDefault(self.checkpoint))
        model = self._copyValues(GradusModel(weights=weights, reports=reports, losses=losses))
        return model._set(recipe=recipe)

    def _server(self, dataset, files, workers, log):
        """Starts the server on the driver: the process, and the address under which executors reach it."""
        host = self.getOrDefault(self.serverHost) or _driver_host(dataset.sparkSession)
        # what executors know this machine by need not be an address of it
        listen = host if host in ("127.0.0.1", "localhost") else "0.0.0.0"
        command = [process.program(self.getOrDefault(self.program) or None), "ps", files["recipe.json"], "--workers", str(workers), "--listen", f"{listen}:0"]
        command += ["--secret-file", files["secret"], "--save", files["weights.safetensors"], "--no-data", "--deadline", str(self.getOrDefault(self.deadline)), "--die-with-parent"]
        command += ["--mode", self.getOrDefault(self.mode)]
        for name, mode in (("staleness", "semi-async"), ("every", "local")):
            if self.getOrDefault(self.mode) == mode:
                command += [f"--{name}", str(self.getOrDefault(name))]
        if self.getOrDefault(self.checkpoint):
            command += ["--checkpoint", self.getOrDefault(self.checkpoint), "--resume"]
        server = process.start(command, log)
        line = server.stdout.readline().split()
        if line[:2] != ["listening", "on"]:
            process.finish(server, "the server")
            raise RuntimeError("the server has not said where it listens")
        return server, f"{host}:{line[2].rsplit(':', 1)[1]}"


class GradusModel(_Common, Model, DefaultParamsReadable, DefaultParamsWritable):
    """A trained recipe. `transform` adds what the network's last layer gives, an array of floats for each row.

    `history` has loss and metrics by epoch, over the rows of all workers; `reports` what each worker has done.
    """

    weights = Param(Params._dummy(), "weights", "the weights: a safetensors file, in base64", TypeConverters.toString)
    reports = Param(Params._dummy(), "reports", "what each worker has done, as JSON", TypeConverters.toString)
    losses = Param(Params._dummy(), "losses", "the server's loss by epoch, as JSON", TypeConverters.toString)

    def __init__(self, weights: bytes = b"", reports: list | None = None, recipe: str | None = None, losses: dict | None = None):
        super().__init__()
        self._setDefault(reports="[]", losses="{}")
        if weights:
            self._set(weights=base64.b64encode(weights).decode())
        if reports is not None:
            self._set(reports=json.dumps(reports))
        if losses is not None:
            self._set(losses=json.dumps(losses))
        if recipe is not None:
            self._set(recipe=recipe)

    @property
    def history(self) -> dict[str, list[float]]:
        """Loss and metrics by epoch: means over the rows of all workers. What was lost with a worker: the loss is the server's there, metrics `nan`."""
        losses = {int(epoch): loss for epoch, loss in json.loads(self.getOrDefault(self.losses)).items()}
        return history.joined(json.loads(self.getOrDefault(self.reports)), losses)

    def save_weights(self, path: str) -> None:
        """Writes the weights, for `Model::load_weights` of gradus or any reader of safetensors."""
        with open(path, "wb") as out:
            out.write(base64.b64decode(self.getOrDefault(self.weights)))

    def _transform(self, dataset):
        features, name = self.getOrDefault(self.featuresCols), self.getPredictionCol()
        if name in dataset.columns:
            raise ValueError(f"there is a column `{name}` already: set another `predictionCol`")
        schema = StructType([*dataset.schema.fields, StructField(name, ArrayType(FloatType()))])
        settings = {"recipe": self.getRecipe(), "weights": self.getOrDefault(self.weights), "features": features, "program": self.getOrDefault(self.program) or None, "device": self.getOrDefault(self.device) or "cpu"}
        return dataset.mapInArrow(_predict(settings, name), schema)


#: Bytes of Arrow batches that one run of the program is given.
_AT_ONCE = 64 << 20


def _predict(settings: dict, name: str):
    """Adds what the network gives to the rows of a partition: one process for as many of its batches as go into some memory."""

    def run(batches):
        kept, size = [], 0
        for batch in batches:
            if batch.num_rows:
                kept.append(batch)
                size += batch.nbytes
            if size >= _AT_ONCE:
                yield from _predicted(settings, name, kept)
                kept, size = [], 0
        if kept:
            yield from _predicted(settings, name, kept)

    return run


def _predicted(settings: dict, name: str, kept: list):
    with folder() as within:
        source, _ = spill(kept, within, settings["features"], None)
        recipe, weights, out = (os.path.join(within, n) for n in ("recipe.json", "weights.safetensors", "out.safetensors"))
        with open(recipe, "w") as file:
            file.write(settings["recipe"])
        with open(weights, "wb") as file:
            file.write(base64.b64decode(settings["weights"]))
        command = [process.program(settings["program"]), "predict", recipe, "--weights", weights, "--source", source, "--out", out, "--device", settings["device"]]
        run = process.start(command, lambda line: None)
        try:
            process.finish(run, "gradus predict")
        finally:
            process.kill(run)
        values, at = _outputs(out), 0
    for batch in kept:
        part = values[at : at + batch.num_rows]
        at += batch.num_rows
        flat = pa.array(part.reshape(-1), pa.float32())
        offsets = pa.array(range(0, len(flat) + 1, part.shape[1]), pa.int32())
        column = pa.ListArray.from_arrays(offsets, flat)
        yield pa.RecordBatch.from_arrays([*batch.columns, column], names=[*batch.schema.names, name])


def _outputs(path: str):
    """The tensor `y` of a safetensors file, one row for each row of the input."""
    import numpy as np

    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size))["y"]
        values = np.frombuffer(file.read(), np.float32)
    return values.reshape(entry["shape"][0], -1)


def _recipe(given: str) -> str:
    """The JSON of a recipe that is given as JSON, or as the path of a file."""
    if given.lstrip().startswith("{"):
        return given
    with open(given) as file:
        text = file.read()
    if given.endswith(".toml"):
        import tomllib

        return json.dumps(tomllib.loads(text))
    return text


def _for_partitions(recipe: str) -> str:
    """A recipe as a worker with rows of its own may have it."""
    parsed = json.loads(recipe)
    data = parsed.setdefault("data", {})
    for op in data.get("pipeline", []):
        name = op.get("op")
        if name in _OF_ALL_ROWS:
            raise ValueError(f"the recipe's pipeline has `{name}`, and each worker sees its own partition alone: {_OF_ALL_ROWS[name]}")
    # rows and tests are Spark's
    data["source"] = "partition.safetensors"
    for key in ("validation", "test"):
        data.pop(key, None)
    return json.dumps(parsed)


def _aloud(recipe: str) -> str:
    """A recipe whose server tells of each epoch."""
    parsed = json.loads(recipe)
    parsed["fit"] = {**parsed.get("fit", {}), "verbose": 1}
    return json.dumps(parsed)


def _listener(recipe: str, losses: dict[int, float]):
    """Hears the server: its lines are printed, those of epochs unless the recipe is silent, whose losses are noted."""
    quiet = json.loads(recipe).get("fit", {}).get("verbose") == 0

    def log(line: str):
        if not (history.heard(line, losses) and quiet):
            print(f"gradus: {line}", flush=True)

    return log


def _reports(frame, settings: dict, server) -> list[dict]:
    """What the workers have done. A run that is over stays so when what its workers have told of it is lost, as with an executor at the very end."""
    try:
        return barrier.collect(frame, settings)
    except barrier.Gone as e:
        try:
            over = server.wait(timeout=10) == 0
        except subprocess.TimeoutExpired:
            over = False
        if not over:
            raise
        print("gradus: the run was over when Spark began its stage again: the model is whole, reports of workers are missing", file=sys.stderr, flush=True)
        return e.reports


def _driver_host(session) -> str:
    """Where executors find this process: beside Spark's driver, but where that is another machine's, behind Spark Connect."""
    if connected(session):
        host = session.client.host.strip("[]")
        if host not in ("localhost", "127.0.0.1", "::1"):
            return _way_to(host)
    return session.conf.get("spark.driver.host", None) or socket.getfqdn()


def _way_to(host: str) -> str:
    """The address of this machine on the way to another."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        way.connect((host, 9))  # sends nothing
        return way.getsockname()[0]
