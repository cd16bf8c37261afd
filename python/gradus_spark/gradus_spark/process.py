"""Processes of gradus."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading


class Failed(RuntimeError):
    """A process has said what is wrong and ended: it would again."""


def program(given: str | None) -> str:
    """The program `gradus`: the one that was named, else `GRADUS_PROGRAM`, else the one on the path."""
    found = given or os.environ.get("GRADUS_PROGRAM") or shutil.which("gradus")
    if not found:
        raise FileNotFoundError("there is no program `gradus`: build it with `cargo build --release --features cli,dist --bin gradus`, and name it with `program=` or GRADUS_PROGRAM; executors need it at the same path")
    return found


def start(command: list[str], log) -> subprocess.Popen:
    """Starts a process whose lines on stderr go to `log`, one after another."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, text=True, errors="replace", **pipes)
    process.last_lines = []

    def pump():
        for line in process.stderr:
            process.last_lines = (process.last_lines + [line.rstrip()])[-20:]
            try:
                log(line.rstrip())
            except Exception:  # nobody listens any more: the pipe must be read all the same
                pass

    process.pump = threading.Thread(target=pump, daemon=True)
    process.pump.start()
    return process


def finish(process: subprocess.Popen, what: str) -> str:
    """What a process says on stdout, once it has ended well."""
    out = process.stdout.read()
    code = process.wait()
    process.pump.join(timeout=5)
    if code != 0:
        last = "\n".join(process.last_lines)
        if code > 0:
            raise Failed(f"{what} has failed:\n{last}")
        raise RuntimeError(f"{what} was killed by signal {-code}:\n{last}")
    return out


def kill(process: subprocess.Popen) -> None:
    """Ends a process that may still run."""
    if process.poll() is None:
        process.kill()
        process.wait()
