"""What `doctor` looks at on this machine."""

import os
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from localai.cli import checks
from localai.config import Settings

X86 = "processor\t: 0\nflags\t\t: fpu sse2 avx2 avx512f\n"
ARM = "processor\t: 0\nFeatures\t: fp asimd\n"
MEMINFO = "MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:   {} kB\n"


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings()


def reading(monkeypatch, **texts: str) -> None:
    monkeypatch.setattr(checks, "_read", lambda path: texts.get(Path(path).name, ""))


def test_features_are_read_on_x86_and_arm():
    """The feature flags of a CPU are found on both kinds, and none where there is no such text."""
    assert checks.cpu_flags(X86) == {"fpu", "sse2", "avx2", "avx512f"}
    assert checks.cpu_flags(ARM) == {"fp", "asimd"}
    assert checks.cpu_flags("") == set()


@pytest.mark.parametrize(
    ("text", "state", "word"),
    [(X86, "ok", "AVX2, AVX-512"), (X86.replace("avx", "no"), "warn", "no vector extension"), ("", "ok", "not listed")],
)
def test_a_slow_processor_is_a_warning(monkeypatch, settings, text: str, state: str, word: str):
    """A PC without AVX2 works slowly, and is told so; a system that lists nothing is no reason to warn."""
    reading(monkeypatch, cpuinfo=text)
    monkeypatch.setattr(checks.platform, "machine", lambda: "x86_64")
    (check,) = checks.processor(settings)
    assert (check.state, word in check.detail) == (state, True)


@pytest.mark.parametrize(("free", "state"), [(8_000_000, "ok"), (500_000, "warn")])
def test_little_memory_is_a_warning(monkeypatch, settings, free: int, state: str):
    """Less than a gigabyte of free memory is a warning."""
    reading(monkeypatch, meminfo=MEMINFO.format(free))
    (check,) = checks.memory(settings)
    assert (check.state, "of 16.4 GB" in check.detail) == (state, True)


def test_memory_without_proc(monkeypatch, settings):
    """Where the system lists no free memory, the total is told."""
    reading(monkeypatch)
    (check,) = checks.memory(settings)
    assert check.state == "ok"
    assert "not listed" in check.detail


@pytest.mark.parametrize(("free", "state"), [(10**11, "ok"), (10**9, "warn")])
def test_a_full_disk_is_a_warning(monkeypatch, settings, free: int, state: str):
    """Less than two gigabytes where the home is, or will be, is a warning."""
    usage = namedtuple("usage", "total used free")(0, 0, free)  # noqa: PYI024 - the shape of shutil's answer
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda _: usage)
    (check,) = checks.disk(settings)
    assert check.state == state
    assert str(settings.home.parent) in check.detail


def test_a_home_that_is_not_there_yet_is_fine(settings):
    """Before the first start there is nothing to find fault with."""
    (check,) = checks.home(settings)
    assert (check.state, "first start" in check.detail) == ("ok", True)


def test_a_private_home_is_fine(settings, home: Path):
    """A home that only its owner can use is in order."""
    home.mkdir(mode=0o700)
    (home / "admin.key").touch(mode=0o600)
    assert [check.state for check in checks.home(settings)] == ["ok"]


def test_a_key_that_others_can_read_is_a_warning(settings, home: Path):
    """A file or folder with rights for others is named, with the command that mends it."""
    home.mkdir(mode=0o700)
    (home / "admin.key").touch(mode=0o600)
    (home / "admin.key").chmod(0o644)
    (home / "run").mkdir()
    (home / "run").chmod(0o755)
    found = list(checks.home(settings))
    assert [check.state for check in found] == ["warn", "warn"]
    assert {check.fix for check in found} == {f"`chmod 600 '{home}/admin.key'`", f"`chmod 700 '{home}/run'`"}


def test_a_home_that_cannot_be_written_is_a_failure(settings, home: Path, monkeypatch):
    """A folder of the home that this user cannot write to fails the check."""
    home.mkdir(mode=0o700)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert [check.state for check in checks.home(settings)] == ["fail", "ok"]


def test_the_echo_engine_is_in_order(settings):
    """An engine whose module loads is fine, and shows what it is for."""
    found = {check.name: check for check in checks.engines(settings)}
    assert found["engine echo"].state == "ok"
    assert found["engine echo"].detail


def test_trial_tells_what_is_wrong():
    """A module that loads is silent, one that is missing or kills its process is told apart."""
    assert checks.trial("json") == ""
    assert "not installed" in checks.trial("localai_no_such_module")


def test_a_module_that_dies_is_told_by_its_signal(monkeypatch, tmp_path: Path):
    """A library made for another CPU dies by a signal, which is said."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -ILL $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert "signal 4" in checks.trial("json")


def test_a_module_that_never_loads_is_given_up(monkeypatch, tmp_path: Path):
    """Loading is given up after its time."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(checks, "IMPORT", 0.2)
    assert "does not load within" in checks.trial("json")


@pytest.mark.parametrize(("version", "state"), [(7, "ok"), (0, "warn")])
def test_no_landlock_is_a_warning(monkeypatch, settings, version: int, state: str):
    """Without Landlock models run with less of a lock, which is said."""
    monkeypatch.setattr(checks, "landlock", lambda: version)
    (check,) = checks.jail(settings)
    assert check.state == state


def test_landlock_is_linux_only(monkeypatch):
    """On another system the version is 0."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert checks.landlock() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="Landlock is a part of Linux")
def test_landlock_has_a_version_on_linux():
    """On Linux the kernel's answer is a number that is not negative."""
    assert checks.landlock() >= 0
