"""The operator's own key."""

import multiprocessing
import os
from pathlib import Path

import pytest

from localai.auth.admin import admin_secret
from localai.core.errors import StorageFailed


def test_made_once(tmp_path: Path):
    """The first start makes the key for its owner only; later ones read it."""
    path = tmp_path / "home" / "admin.key"
    secret = admin_secret(path)
    assert len(secret.removeprefix("sk-admin-")) == 43
    assert path.stat().st_mode & 0o777 == 0o600
    assert admin_secret(path) == secret
    assert [file.name for file in path.parent.iterdir()] == ["admin.key"]


def test_at_the_same_time(tmp_path: Path):
    """Many processes that start at the same time have the same key."""
    with multiprocessing.get_context("spawn").Pool(4) as workers:
        found = workers.map(admin_secret, [tmp_path / "admin.key"] * 8)
    assert len(set(found)) == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o660, 0o604, 0o666])
def test_readable_by_others(tmp_path: Path, mode: int):
    """A key that others can read is refused, with the remedy."""
    path = tmp_path / "admin.key"
    admin_secret(path)
    path.chmod(mode)
    with pytest.raises(StorageFailed, match="chmod 600"):
        admin_secret(path)
    path.chmod(0o600)
    admin_secret(path)


@pytest.mark.parametrize("text", ["", "short", "a" * 31, "a" * 513, "with blank " * 5, "é" * 40, "\x00" * 40])
def test_unusable(tmp_path: Path, text: str):
    """A file without a usable key is refused, not replaced."""
    path = tmp_path / "admin.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(StorageFailed, match="no usable key"):
        admin_secret(path)
    assert path.read_text() == text


def test_own_key(tmp_path: Path):
    """An operator may write a key of their own."""
    path = tmp_path / "admin.key"
    path.write_text("my-own-key-of-thirty-two-letters\n")
    path.chmod(0o600)
    assert admin_secret(path) == "my-own-key-of-thirty-two-letters"


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_planted(tmp_path: Path, kind: str):
    """A link, folder or pipe in the place of the key is refused without waiting."""
    path = tmp_path / "admin.key"
    if kind == "link":
        real = tmp_path / "real"
        admin_secret(real)
        path.symlink_to(real)
    elif kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(StorageFailed):
        admin_secret(path)


def test_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """When the disk refuses, there is no half key and no litter."""

    def refuse(_: int) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageFailed):
        admin_secret(tmp_path / "admin.key")
    assert list(tmp_path.iterdir()) == []
