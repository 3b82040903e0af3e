"""Running lines: bounded, tried again where that can help, and written once whatever happens."""

import asyncio
import json
from pathlib import Path

import pytest

from localai.core.caller import Caller
from localai.core.errors import InvalidRequest, Overloaded, ShuttingDown, StorageFailed
from localai.service.runner import TRIES, Runner
from localai.storage.database import Database
from localai.storage.lines import Lines

ANN = Caller(id="k", owner="ann", models=("echo",))


@pytest.fixture
async def lines(tmp_path: Path):
    database = await Database.open(tmp_path / "state.db")
    yield Lines(database)
    await database.close()


def numbered(count: int) -> list[tuple[int, str, str]]:
    return [(number, f"n{number}", json.dumps({"n": number})) for number in range(1, count + 1)]


async def no_pause(_seconds: float) -> None:
    await asyncio.sleep(0)


async def states(lines: Lines) -> list[str]:
    return [line.state for line in await lines.page("ann", "b")]


async def test_lines_run_a_few_at_a_time(lines: Lines):
    """No more lines than the bound are under way, all of them are answered as who made the batch, in order begun."""
    running = most = 0
    seen: list[int] = []

    async def perform(caller: Caller, body: bytes) -> bytes:
        nonlocal running, most
        assert caller == ANN
        running += 1
        most = max(most, running)
        seen.append(json.loads(body)["n"])
        await asyncio.sleep(0)
        running -= 1
        return body

    await lines.add("ann", "b", numbered(50))
    await Runner(lines, {"/x": perform}, at_once=3).run(ANN, "b", "/x")
    assert (most, seen) == (3, list(range(1, 51)))
    results = [json.loads(line.result or "") for line in await lines.page("ann", "b")]
    assert [result["body"] for result in results] == [{"n": number} for number in range(1, 51)]
    assert {result["status"] for result in results} == {200}
    assert len({result["request"] for result in results}) == 50


async def test_what_may_pass_is_tried_again(lines: Lines):
    """An error that a retry may mend is retried so many times and no more; any other is a result at once."""
    tries: dict[int, int] = {}
    pauses: list[float] = []

    async def perform(_caller: Caller, body: bytes) -> bytes:
        number = json.loads(body)["n"]
        tries[number] = tries.get(number, 0) + 1
        match number:
            case 1 if tries[1] < 3:
                raise Overloaded(retry_after=7)
            case 2:
                raise Overloaded("never")
            case 3:
                raise InvalidRequest("wrong", param="x")
            case 4:
                raise ZeroDivisionError("secret")
            case _:
                return b"{}"

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    await lines.add("ann", "b", numbered(4))
    await Runner(lines, {"/x": perform}, at_once=1, pause=pause).run(ANN, "b", "/x")
    assert tries == {1: 3, 2: TRIES, 3: 1, 4: 1}
    assert pauses == [7, 7, 1, 2, 4, 8]
    found = await lines.page("ann", "b")
    assert [line.state for line in found] == ["done", "failed", "failed", "failed"]
    told = [json.loads(line.result or "") for line in found[1:]]
    assert [(each["status"], each["error"]["code"]) for each in told] == [
        (503, "overloaded"),
        (400, "invalid_value"),
        (500, "internal_error"),
    ]
    assert told[1]["error"]["param"] == "x"
    assert "secret" not in (found[3].result or "")


async def test_a_server_that_leaves(lines: Lines):
    """When the server leaves, lines without a result keep none, no further one begins, and the rest is not lost."""
    asked = 0

    async def perform(_caller: Caller, body: bytes) -> bytes:
        nonlocal asked
        asked += 1
        if json.loads(body)["n"] > 5:
            raise ShuttingDown
        return b"{}"

    await lines.add("ann", "b", numbered(40))
    with pytest.raises(ShuttingDown):
        await Runner(lines, {"/x": perform}, at_once=2).run(ANN, "b", "/x")
    assert asked < 12
    assert await states(lines) == ["done"] * 5 + ["pending"] * 35


async def test_a_cancel(lines: Lines):
    """Cancelling stops the lines that are under way, which have no result then."""
    begun, stopped = asyncio.Event(), 0

    async def perform(_caller: Caller, _body: bytes) -> bytes:
        nonlocal stopped
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped += 1
        return b"{}"

    await lines.add("ann", "b", numbered(9))
    running = asyncio.create_task(Runner(lines, {"/x": perform}, at_once=4).run(ANN, "b", "/x"))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert 1 <= stopped <= 4
    assert await states(lines) == ["pending"] * 9


async def test_a_disk_that_is_full_for_a_while(lines: Lines, monkeypatch: pytest.MonkeyPatch):
    """A result that cannot be written is kept until it can be; the line is not asked again."""
    commit, refused, asked = lines.commit, 3, 0

    async def refusing(*given: object) -> bool:
        nonlocal refused
        refused -= 1
        if refused >= 0:
            raise StorageFailed
        return await commit(*given)  # type: ignore[arg-type]

    async def perform(_caller: Caller, _body: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return b"{}"

    await lines.add("ann", "b", numbered(2))
    monkeypatch.setattr(lines, "commit", refusing)
    await Runner(lines, {"/x": perform}, pause=no_pause).run(ANN, "b", "/x")
    assert (asked, await states(lines)) == (2, ["done", "done"])
