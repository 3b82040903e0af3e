"""A real model in several files of the store."""

from pathlib import Path

import pytest

from llamas import GREEDY
from localai import wire
from localai.core.event import Done, Text
from localai.core.model import Model, Sizing
from localai.core.task import Generate, Raw
from splitting import split
from weights import smollm2
from workers import Worker

pytestmark = [pytest.mark.real, pytest.mark.slow]

ONCE = Generate(prompt=Raw(text="The capital of France is"), sampling=GREEDY, max_tokens=8)


def answered(folder: Path, files: dict[str, str]) -> str:
    folder.mkdir()
    worker = Worker(folder)
    try:
        model = Model(name="m", engine="llama", files=files, tasks=("complete",))
        answer = worker.load(model, Sizing(context=512, threads=1))
        assert isinstance(answer, wire.Ready), answer
        events = worker.ask(1, ONCE)
        assert isinstance(events[-1], Done)
        return "".join(event.text for event in events if isinstance(event, Text))
    finally:
        worker.close()


def test_parts_of_the_store_are_one_model(tmp_path: Path):
    """A split model whose parts are named by their hashes loads in the jail and answers as the whole one does."""
    store = tmp_path / "store"
    store.mkdir()
    paths = split(smollm2(), store, 3)
    roles = ("model", "model.2", "model.3")
    parted = answered(tmp_path / "parted", {role: str(path) for role, path in zip(roles, paths, strict=True)})
    assert parted == answered(tmp_path / "whole", {"model": str(smollm2())})
    assert len(parted) > 4
