"""Stored conversations."""

import asyncio
import itertools

import pytest

from localai.core.errors import Conflict, ContextLengthExceeded, NotFound
from localai.service import conversations as module
from localai.service.conversations import Conversations
from localai.storage.database import Database


@pytest.fixture
async def conversations(tmp_path):
    opened = await Database.open(tmp_path / "state.db")
    yield Conversations(opened)
    await opened.close()


def some(*names):
    return [{"id": name, "type": "message"} for name in names]


def names(items):
    return [item["id"] for item in items]


async def test_a_conversation_grows_and_is_read_in_order(conversations):
    """Items come back in the order in which they were put in, whole and page by page."""
    talk = await conversations.create("ann", {"a": "b"}, some("i1", "i2"))
    await conversations.append("ann", talk.id, some("i3"))
    assert names(await conversations.history("ann", talk.id)) == ["i1", "i2", "i3"]
    page, more = await conversations.page("ann", talk.id, after="i3", limit=1, order="desc")
    assert (names(page), more) == (["i2"], True)
    assert (await conversations.get("ann", talk.id)).payload == {"metadata": {"a": "b"}}
    await conversations.drop("ann", talk.id, "i2")
    assert names(await conversations.history("ann", talk.id)) == ["i1", "i3"]
    labelled = await conversations.label("ann", talk.id, {"c": "d"})
    assert labelled.payload == {"metadata": {"c": "d"}}


async def test_a_conversation_is_its_owners(conversations):
    """To anybody but its owner, and in any other conversation, neither a conversation nor an item of it exists."""
    talk = await conversations.create("ann", {}, some("i1"))
    other = await conversations.create("ann", {}, [])
    for call in (
        conversations.get("bob", talk.id),
        conversations.label("bob", talk.id, {}),
        conversations.remove("bob", talk.id),
        conversations.append("bob", talk.id, some("x")),
        conversations.history("bob", talk.id),
        conversations.page("bob", talk.id, after=None, limit=1, order="asc"),
        conversations.item("bob", talk.id, "i1"),
        conversations.item("ann", other.id, "i1"),
        conversations.drop("bob", talk.id, "i1"),
        conversations.drop("ann", other.id, "i1"),
        conversations.page("ann", other.id, after="i1", limit=1, order="asc"),
    ):
        with pytest.raises(NotFound):
            await call
    assert await conversations.find("bob", "i1") is None
    assert await conversations.find("ann", "i1") == some("i1")[0]
    await conversations.remove("ann", talk.id)
    assert await conversations.find("ann", "i1") is None


async def test_turns_are_not_mixed(conversations):
    """What several append at the same time comes out as whole blocks."""
    talk = await conversations.create("ann", {}, [])
    blocks = [some(*(f"{block}-{place}" for place in range(5))) for block in range(12)]
    await asyncio.gather(*(conversations.append("ann", talk.id, block) for block in blocks))
    order = names(await conversations.history("ann", talk.id))
    assert sorted(order) == sorted(name for block in blocks for name in names(block))
    grouped = [list(group) for _, group in itertools.groupby(order, key=lambda name: name.split("-")[0])]
    assert sorted(grouped) == sorted(names(block) for block in blocks)


async def test_conversations_are_bounded(conversations, monkeypatch):
    """Too many conversations of one owner, and too many items of one conversation, are refused."""
    monkeypatch.setattr(module, "COUNT", 2)
    monkeypatch.setattr(module, "ITEMS", 3)
    talk = await conversations.create("ann", {}, some("i1", "i2", "i3"))
    with pytest.raises(Conflict, match="at most 3 items"):
        await conversations.append("ann", talk.id, some("i4"))
    await conversations.create("ann", {}, [])
    with pytest.raises(Conflict, match="2 conversations"):
        await conversations.create("ann", {}, [])
    await conversations.create("bob", {}, [])
    monkeypatch.setattr(module, "ITEMS", 2)
    with pytest.raises(ContextLengthExceeded):
        await conversations.history("ann", talk.id)
