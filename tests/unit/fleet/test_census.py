"""Who runs, and to whom it belongs."""

import os
import subprocess
import sys
from pathlib import Path

from localai.fleet import census


def test_look():
    """A living process is found with its parent and birth; none of that for one that does not exist."""
    person = census.look(os.getpid())
    assert person is not None
    assert (person.pid, person.parent) == (os.getpid(), os.getppid())
    assert census.lives(person.pid, person.born)
    assert not census.lives(person.pid, person.born + 1)
    assert census.look(2**22 + 1) is None


def test_belonging(tmp_path: Path):
    """A process belongs to a worker by its session, by its mark, or by living in its folder; others do not."""
    sleep = [sys.executable, "-I", "-c", "import time; print(flush=True); time.sleep(100)"]
    started = [
        subprocess.Popen(sleep, env={census.TOKEN: "mine"}, stdout=subprocess.PIPE),
        subprocess.Popen(sleep, cwd=tmp_path, env={}, stdout=subprocess.PIPE),
        subprocess.Popen(sleep, env={census.TOKEN: "other"}, start_new_session=True, stdout=subprocess.PIPE),
    ]
    try:
        for child in started:
            assert child.stdout
            child.stdout.readline()
        by_mark_or_folder = {person.pid for person in census.belonging(2**22 + 1, "mine", tmp_path)}
        assert by_mark_or_folder == {started[0].pid, started[1].pid}
        assert started[2].pid not in {person.pid for person in census.belonging(started[2].pid, "x", tmp_path / "x")}
    finally:
        for child in started:
            child.kill()
            child.communicate()
