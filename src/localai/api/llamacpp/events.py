"""GET /models/sse: what happens to models, as llama.cpp's router tells it."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, NamedTuple

import orjson

from localai.api.openai.models import status
from localai.core.caller import Caller
from localai.service.errands import Errands, Installation
from localai.service.perform import Perform

LOOK = 0.5
"""Seconds between two looks."""

State = Mapping[str, Any]


class Seen(NamedTuple):
    """What there is at one moment: the status of each model, the state of each installation."""

    models: Mapping[str, State]
    installations: Mapping[str, tuple[str, str, State]]
    """By job: the model's name, the phase, the progress."""


async def events(
    perform: Perform, errands: Errands, caller: Caller, leaving: Callable[[], bool], every: float = LOOK
) -> AsyncGenerator[bytes, None]:
    """The status of every model at first, then whatever changes, until the server leaves."""
    before = Seen({}, {})
    while not leaving():
        now = await _look(perform, errands, caller)
        told = b"".join(map(_frame, changes(before, now)))
        if told:
            yield told
        before = now
        await asyncio.sleep(every)


async def _look(perform: Perform, errands: Errands, caller: Caller) -> Seen:
    await perform.refresh()
    models = await perform.about(perform.models(caller))
    return Seen(
        {about.model.name: status(about) for about in models},
        {each.id: _installation(each) for each in errands.installations(caller)},
    )


def _installation(each: Installation) -> tuple[str, str, State]:
    step = each.progress
    return each.name, step.phase, {each.source: {"done": step.done, "total": step.total}}


def changes(before: Seen, now: Seen) -> list[dict[str, Any]]:
    """The events that lead from one moment to the next."""
    told: list[dict[str, Any]] = [
        {"model": name, "event": "model_remove"} for name in before.models if name not in now.models
    ]
    if before.models and now.models.keys() - before.models.keys():
        told.append({"model": "*", "event": "models_reload"})
    for name, state in now.models.items():
        if before.models.get(name) != state:
            rest = {key: value for key, value in state.items() if key != "value"}
            told.append({"model": name, "event": "model_status", "data": {"status": state["value"], **rest}})
    for job, installation in now.installations.items():
        if before.installations.get(job) != installation:
            told.append(_told(*installation))
    return told


def _told(name: str, phase: str, progress: State) -> dict[str, Any]:
    match phase:
        case "installed":
            return {"model": name, "event": "download_finished", "data": progress}
        case "failed":
            return {"model": name, "event": "download_failed", "data": progress}
        case _:
            return {"model": name, "event": "download_progress", "data": progress}


def _frame(event: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(event) + b"\n\n"
