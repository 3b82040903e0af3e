"""Shared fixtures: a gateway with the echo engine, and one with the real models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import Gateway, gateway, write_echo, write_model


@pytest.fixture(scope="session")
def echo_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A real gateway that serves the echo engine as `echo` (and a slow one as `slow`)."""
    home = tmp_path_factory.mktemp("home")
    write_echo(home, aliases=["parrot"], context=4096, slots=8)
    write_echo(home, "slow", options={"delay": 0.02}, context=100000, slots=8)
    with gateway(home) as running:
        yield running


@pytest.fixture(scope="session")
def real_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A real gateway that serves SmolLM2 as `smollm2-135m` and all-MiniLM as `minilm`."""
    import weights

    home = tmp_path_factory.mktemp("home")
    (home / "models").mkdir(mode=0o700)
    for path in (weights.smollm2(), weights.minilm()):
        _link(path, home / "models" / path.name)
    write_model(home, "smollm2-135m", engine="llama", files={"model": weights.smollm2().name}, context=2048, slots=4)
    write_model(home, "minilm", engine="llama", files={"model": weights.minilm().name}, tasks=["embed"])
    with gateway(home) as running:
        yield running


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        target.write_bytes(source.read_bytes())
