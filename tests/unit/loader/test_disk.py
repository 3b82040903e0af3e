import os
import stat

import pytest

from localai.core.errors import InvalidModel, StorageFailed
from localai.loader import disk


def test_replace_is_whole_and_private(tmp_path):
    """A replaced file has its new contents, is readable by its owner only, and nothing else is left."""
    path = tmp_path / "a.yaml"
    disk.replace(path, b"one")
    disk.replace(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_replace_keeps_the_old_file(tmp_path, monkeypatch, step):
    """When the disk refuses, the old file stands and no temporary one stays."""
    path = tmp_path / "a.yaml"
    disk.replace(path, b"one")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(StorageFailed, match="disk full"):
        disk.replace(path, b"two")
    assert path.read_bytes() == b"one"
    assert [each.name for each in tmp_path.iterdir()] == ["a.yaml"]


def test_the_bytes_are_synced_before_the_name(tmp_path, monkeypatch):
    """The contents are on the disk before the name is, and the folder after."""
    happened = []
    sync, swap = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (happened.append(stat.S_ISDIR(os.fstat(fd).st_mode)), sync(fd)))
    monkeypatch.setattr(os, "replace", lambda *given: (happened.append("rename"), swap(*given)))
    disk.replace(tmp_path / "a", b"x")
    assert happened == [False, "rename", True]


def test_inside(tmp_path):
    """A relative path to a regular file in the folder is taken."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.gguf").touch()
    assert disk.inside(tmp_path, "sub/a.gguf") == tmp_path / "sub" / "a.gguf"
    assert disk.inside(tmp_path, "./sub/a.gguf") == tmp_path / "sub" / "a.gguf"
    with pytest.raises(InvalidModel):
        disk.inside(tmp_path, "sub")


def test_stamps_tell_regular_files(tmp_path):
    """Only a regular file has a stamp, and it changes with the file."""
    path = tmp_path / "a"
    assert disk.stamp(path) is None
    assert disk.stamp(tmp_path) is None
    path.write_bytes(b"x")
    first = disk.stamp(path)
    path.write_bytes(b"xy")
    assert first is not None
    assert disk.stamp(path) != first
    (tmp_path / "link").symlink_to(path)
    assert disk.stamp(tmp_path / "link") is None
