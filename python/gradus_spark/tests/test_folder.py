"""Folders of processes that were killed."""

import os
import signal
import subprocess
import sys

from gradus_spark.folder import folder

HOLD = "import sys; from gradus_spark.folder import folder\nwith folder(sys.argv[1]) as f: print(f, flush=True); sys.stdin.read()"


def hold(within):
    """A process that holds a folder, and the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, within], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


def test_what_a_killed_process_left_goes_and_what_is_held_stays(tmp_path):
    within = str(tmp_path)
    (tmp_path / "gradus-of-others").mkdir()
    killed, left = hold(within)
    living, held = hold(within)
    assert os.path.isdir(left), "a folder was taken from the process that holds it"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert os.path.isdir(left)
    with folder(within) as mine:
        assert not os.path.exists(left)
        assert os.path.isdir(held) and os.path.isdir(mine)
    living.communicate("")
    assert sorted(os.listdir(within)) == ["gradus-of-others"]
