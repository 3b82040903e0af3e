"""A fleet of misbehaving (or echo) workers for tests, and a look at what it leaves behind."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from localai.config import Settings
from localai.core.event import Done, Event, Text
from localai.core.model import Model
from localai.core.task import Generate, Raw
from localai.fleet.fleet import Fleet
from localai.fleet.snapshot import Row
from localai.fleet.state import Limits
from localai.fleet.worker import Patience
from localai.loader.catalog import Catalog
from localai.observe.metrics import Metrics
from localai.storage.blobs import Blobs

GIB = 2**30
_SCRIPT = str(Path(__file__).with_name("misbehave.py"))


def misbehaving(descriptor: int) -> Sequence[str]:
    return [sys.executable, "-I", _SCRIPT, str(descriptor)]


def model(name: str = "a", *, slots: int = 4, keep_alive: float | None = -1, **options: object) -> Model:
    return Model(
        name=name, engine="echo", tasks=("complete",), slots=slots, keep_alive=keep_alive, context=4096, options=options
    )


def generate(text: str) -> Generate:
    return Generate(prompt=Raw(text=text))


@asynccontextmanager
async def fleet(
    home: Path,
    *,
    command: Callable[[int], Sequence[str]] = misbehaving,
    limits: Limits | None = None,
    patience: Patience | None = None,
    **settings: object,
) -> AsyncIterator[Fleet]:
    """A started fleet that is stopped afterwards and must leave neither process nor folder."""
    chosen = Settings(home=home, **({"memory": 8 * GIB} | settings))  # type: ignore[arg-type]
    catalog = Catalog(chosen.models, Blobs(chosen.blobs))
    running = Fleet(
        settings=chosen, catalog=catalog, metrics=Metrics(), command=command, limits=limits, patience=patience
    )
    before = set(children())
    await running.start()
    try:
        yield running
    finally:
        await running.stop(0.0)
    assert not list(chosen.run.iterdir()) if chosen.run.exists() else True, "a run folder was left"
    assert not set(children()) - before, "a process was left"


def children() -> list[int]:
    """Children of this process, zombies included."""
    found: list[int] = []
    for task in Path("/proc/self/task").iterdir():
        found += [int(pid) for pid in (task / "children").read_text().split()]
    return found


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def answer(running: Fleet, asked: Model, text: str) -> str:
    """The whole text of an answer; raises what the fleet raises, and AssertionError for an answer without an end."""
    events: list[Event] = []
    async for batch in running.run(asked, generate(text)):
        events += batch
    assert isinstance(events[-1], Done)
    return "".join(event.text for event in events if isinstance(event, Text))


async def outcome(running: Fleet, asked: Model, text: str) -> str:
    """The code of the error an answer ended with, or "ok"."""
    from localai.core.errors import LocalAIError

    try:
        await answer(running, asked, text)
    except LocalAIError as error:
        return error.code
    return "ok"


async def begun(running: Fleet, asked: Model, text: str) -> tuple[str, "asyncio.Task[str]"]:
    """Start an answer and wait for its first word; the task ends with the code of its error, or "ok"."""
    first: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read() -> str:
        from localai.core.errors import LocalAIError

        try:
            async for batch in running.run(asked, generate(text)):
                for event in batch:
                    if isinstance(event, Text) and not first.done():
                        first.set_result(event.text)
        except LocalAIError as error:
            if not first.done():
                first.set_result("")
            return error.code
        return "ok"

    task = asyncio.create_task(read())
    return await first, task


def row(running: Fleet, name: str = "a") -> Row:
    return next(row for row in running.snapshot().models if row.name == name)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead is collected, as some process here may have become its parent."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def until(condition, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
