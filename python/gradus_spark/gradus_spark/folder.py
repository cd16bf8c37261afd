"""Folders for a while, which whoever comes next removes where their process was killed."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import tempfile

_LOCK = "in-use"


def local() -> str:
    """Where Spark has this process keep files; else where the system has."""
    path = os.environ.get("SPARK_LOCAL_DIRS", "").split(",")[0] or tempfile.gettempdir()
    os.makedirs(path, exist_ok=True)
    return path


@contextlib.contextmanager
def folder(within: str | None = None):
    """A folder that is removed at the end. The system lets go of its lock when the process dies, however it does."""
    within = within or local()
    _sweep(within)
    made, lock = _made(within)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _made(within: str) -> tuple[str, int | None]:
    while True:
        made = tempfile.mkdtemp(prefix="gradus-", dir=within)
        path = os.path.join(made, _LOCK)
        try:
            lock = _lock(path, os.O_CREAT)
        except FileNotFoundError:
            continue
        except OSError:  # a file system without locks: nobody sweeps there
            return made, None
        if lock is not None:
            return made, lock
        # somebody has swept between the file and its lock


def _sweep(within: str) -> None:
    """Removes the folders that nobody holds. Those without a file to lock are not this module's, or are about to have one."""
    for left in glob.glob(os.path.join(glob.escape(within), "gradus-*")):
        with contextlib.suppress(OSError):
            lock = _lock(os.path.join(left, _LOCK))
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)


def _lock(path: str, flags: int = 0) -> int | None:
    """The lock on a file; none where somebody has it, or the file is no longer there."""
    file = os.open(path, os.O_RDWR | flags, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(file), os.stat(path)):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(file)
        raise
    os.close(file)
    return None
