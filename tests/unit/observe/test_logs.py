"""Log records: what is in them and, above all, what is not."""

import json
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from localai.observe import logs

Read = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def read() -> Iterator[Read]:
    """Log to a pipe as JSON; the function gives the records so far and ends the logging."""
    reading, writing = os.pipe()
    handlers, level = logging.getLogger().handlers, logging.getLogger().level
    logs.configure("info", True, writing)

    def records() -> list[dict[str, Any]]:
        logs.flush()
        os.set_blocking(reading, False)
        data = b"".join(iter(lambda: _some(reading), b""))
        return [json.loads(line) for line in data.splitlines()]

    yield records
    logs.configure("info", None)
    logging.getLogger().handlers, logging.getLogger().level = handlers, level
    os.close(reading)
    os.close(writing)


def _some(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 2**20)
    except BlockingIOError:
        return b""


def test_record(read):
    """A record has its event, level, logger, time and facts, and the id of the request."""
    token = logs.request_id.set("req_1")
    logs.get("room").bind(model="m").info("loaded", seconds=1.5)
    logs.request_id.reset(token)
    (record,) = read()
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "loaded",
        "level": "info",
        "logger": "room",
        "model": "m",
        "seconds": 1.5,
        "request_id": "req_1",
    }


def test_level(read):
    """Records below the level are not written."""
    log = logs.get("room")
    log.debug("a")
    log.warning("b")
    log.error("c")
    assert [record["event"] for record in read()] == ["b", "c"]


def test_redaction(read):
    """Fields that speak of secrets or content, and keys anywhere, are not written."""
    logs.get("room").info(
        "x",
        api_key="canary",
        prompt="canary",
        messages=["canary"],
        authorization="canary",
        note="with sk-abcdefgh-canary inside",
        nested={"body": "canary", "fine": 1},
        data=b"canary",
        thing=object(),
    )
    (record,) = read()
    assert "canary" not in json.dumps(record)
    assert record["nested"]["fine"] == 1
    assert record["data"] == "<6 bytes>"


def test_exception(read):
    """Of an exception the class and the place are written, never its text."""
    try:
        int("canary")
    except ValueError as error:
        logs.get("room").failure("failed", error)
    (record,) = read()
    assert record["error"] == "ValueError"
    assert "test_logs.py" in record["stack"][-1]
    assert "canary" not in json.dumps(record)


def test_size(read):
    """A record has at most 64 KiB; a larger one keeps its name and loses its facts."""
    logs.get("room").info("large", **{f"field{number}": "\u20ac" * 4000 for number in range(50)})
    logs.get("room").info("long", field="x" * 100_000)
    first, second = read()
    assert first["cut"] is True
    assert len(second["field"]) == 4096


def test_libraries(read):
    """Records of libraries are written from warnings on, without their arguments."""
    logger = logging.getLogger("some.library")
    logger.info("quiet")
    logger.warning("failed for %s", "canary")
    logger.warning("canary in the text itself")
    try:
        _ = {}["canary"]
    except KeyError:
        logger.exception("broken %s", "canary")
    records = read()
    assert [record["event"] for record in records] == ["failed for %s", "some.library", "broken %s"]
    assert records[2]["error"] == "KeyError"
    assert "canary" not in json.dumps(records)


def test_console(capfd):
    """For people a record is one line without braces."""
    logs.configure("info", False)
    logs.get("room").info("started", port=8080)
    logs.flush()
    written = capfd.readouterr().err
    logs.configure("info", None)
    assert "started" in written
    assert "8080" in written
    assert "{" not in written
