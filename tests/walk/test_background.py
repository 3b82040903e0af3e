"""Requests in the background on real workers: they stop while their prompt is read, and no answer is told twice."""

import asyncio
from pathlib import Path

from fleets import fleet, generate, until
from localai.core.event import Done, Event, Progress, Text
from localai.core.model import Model
from localai.fleet import fleet as module
from localai.fleet import process
from localai.fleet.fleet import Fleet


def slow(**options: float) -> Model:
    """A model that takes its time for prompts or words."""
    return Model(name="a", engine="echo", tasks=("complete",), slots=3, keep_alive=-1, context=4096, options=options)


async def told(running: Fleet, asked: Model, text: str, events: list[Event], *, background: bool = False) -> float:
    """Collect the events of an answer; gives the time of the first of its words."""
    first = 0.0
    async for batch in running.run(asked, generate(text), background=background):
        events += batch
        if not first and any(isinstance(event, Text) for event in batch):
            first = asyncio.get_running_loop().time()
    return first


def words(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def readings(events: list[Event]) -> int:
    """How often the prompt was begun."""
    return sum(isinstance(event, Progress) and event.stage == "prefill" for event in events)


async def test_a_prompt_in_the_background_gives_way(tmp_path: Path):
    """A live request stops one in the background that reads its prompt; it is read anew afterwards, and told once."""
    async with fleet(tmp_path, command=process.worker) as running:
        behind: list[Event] = []
        live: list[Event] = []
        waiting = asyncio.create_task(told(running, slow(prefill=0.4), "one two", behind, background=True))
        await until(lambda: readings(behind) == 1)
        first = await told(running, slow(prefill=0.4), "now", live)
        assert await waiting > first
        assert (words(live), words(behind)) == ("now", "one two")
        assert readings(behind) == 2
        assert sum(isinstance(event, Done) for event in behind) == 1


async def test_an_answer_in_the_background_that_has_begun_goes_on(tmp_path: Path):
    """A request in the background whose answer has begun is not stopped: nothing of it would be told twice."""
    async with fleet(tmp_path, command=process.worker) as running:
        behind: list[Event] = []
        text = "word " * 40
        waiting = asyncio.create_task(told(running, slow(delay=0.02), text, behind, background=True))
        await until(lambda: words(behind) != "")
        live: list[Event] = []
        await told(running, slow(delay=0.02), "now", live)
        await waiting
        assert (words(live), words(behind), readings(behind)) == ("now", text, 1)


async def test_it_does_not_give_way_for_ever(tmp_path: Path, monkeypatch):
    """After so many times a request in the background is read to its end, however many others come."""
    monkeypatch.setattr(module, "_POLITE", 2)
    monkeypatch.setattr(module, "_CALM", 0.01)
    async with fleet(tmp_path, command=process.worker) as running:
        behind: list[Event] = []
        model = slow(prefill=0.3)
        waiting = asyncio.create_task(told(running, model, "one", behind, background=True))
        others: list[asyncio.Task[float]] = []
        for number in range(1, 4):
            await until(lambda number=number: readings(behind) == number)
            others.append(asyncio.create_task(told(running, model, "now", [])))
        await waiting
        await asyncio.gather(*others)
        assert readings(behind) == 3
        assert words(behind) == "one"
