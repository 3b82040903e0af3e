"""What the machine has, by the machine and by made-up control groups."""

import os
from pathlib import Path

import pytest

from localai.fleet import device


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "cgroup"
    root.mkdir()
    monkeypatch.setattr(device, "_GROUPS", root)
    monkeypatch.setattr(device, "_OWN", tmp_path / "own")
    return root


def test_real_machine():
    """On this machine the figures are sane."""
    assert 1 <= device.threads() <= len(os.sched_getaffinity(0))
    assert 0 < device.available() <= device.total()
    assert 0 < device.held(os.getpid()) < device.total()


def test_held_by_nobody():
    """A process that is gone holds nothing."""
    assert device.held(2**22 + 1) == 0


def test_version_2(groups: Path):
    """The tightest memory limit and quota on the way up count, and cached files count as free."""
    (groups.parent / "own").write_text("0::/outer/inner\n")
    inner = groups / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("1000000\n")
    (inner.parent / "memory.current").write_text("700000\n")
    (inner.parent / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    (inner / "cpu.max").write_text("150000 100000\n")
    assert device.total() == 1_000_000
    assert device.available() == 400_000
    assert device.threads() == 1


def test_version_1(groups: Path):
    """Limits of the old kind count too; its way of saying "no limit" does not."""
    (groups.parent / "own").write_text("4:memory:/a\n3:cpu,cpuacct:/a\n")
    memory = groups / "memory"
    (memory / "a").mkdir(parents=True)
    (memory / "memory.limit_in_bytes").write_text("9223372036854771712")
    (memory / "memory.usage_in_bytes").write_text("5")
    (memory / "a" / "memory.limit_in_bytes").write_text("2000000")
    (memory / "a" / "memory.usage_in_bytes").write_text("500000")
    (memory / "a" / "memory.stat").write_text("total_inactive_file 0\n")
    (groups / "cpu" / "a").mkdir(parents=True)
    (groups / "cpu" / "a" / "cpu.cfs_quota_us").write_text("100000")
    (groups / "cpu" / "a" / "cpu.cfs_period_us").write_text("100000")
    assert device.available() == 1_500_000
    assert device.threads() == 1


def test_container_that_hides_its_path(groups: Path):
    """When the group's own path is not there, the root that is there counts."""
    (groups.parent / "own").write_text("0::/docker/abc\n")
    (groups / "memory.max").write_text("3000000")
    (groups / "memory.current").write_text("0")
    assert device.total() == 3_000_000
