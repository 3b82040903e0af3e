"""Tools that the server calls itself, without other processes: an MCP server `desk`, and a vector store `vs_1`."""

import asyncio
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple

from echoing import FakePerform, echo
from localai.api.responses.routes import responder, rows
from localai.api.responses.workshop import Workshop
from localai.core.errors import ContextLengthExceeded, NotFound
from localai.core.event import Done, Text, ToolCall, Usage
from localai.core.task import Tool
from localai.service.conversations import Conversations
from localai.service.filters import meets
from localai.service.mcpclient import Result
from localai.service.remotes import Remote, Remotes
from localai.service.responses import Responses
from localai.service.runs import Runs
from localai.service.search import Found
from localai.storage.database import Database
from serving import Serving, serving

HIT = Found(store="vs_1", file="file-1", filename="a.md", attributes={"team": "a"}, score=0.5, text="Dogs bark.")
OTHER = Found(store="vs_1", file="file-2", filename="b.md", attributes={}, score=0.3, text="Cats purr.")
NOON = "It is noon."

MCP = {"type": "mcp", "server_label": "desk", "require_approval": "never"}
CAREFUL = {"type": "mcp", "server_label": "desk"}
SEARCH = {"type": "file_search", "vector_store_ids": ["vs_1"]}
OWN = {"type": "function", "name": "own", "parameters": {"type": "object"}}


class Desk:
    """A session with the server."""

    name = "desk"
    tools = (Tool(name="clock", description="The time."), Tool(name="fails"), Tool(name="hangs"))

    def __init__(self):
        self.asked = []
        self.open = 0

    async def call(self, tool, arguments):
        self.asked.append((tool, arguments))
        if tool == "hangs":
            await asyncio.Event().wait()
        return Result(text="No luck.", error=True) if tool == "fails" else Result(text=NOON)


class FakeMcp:
    """Opens sessions with the desk."""

    def __init__(self):
        self.remotes = Remotes({"desk": Remote(url="https://desk.example/mcp")})
        self.desk = Desk()

    @asynccontextmanager
    async def sessions(self, names, param="mcp_servers"):
        self.desk.open += 1
        try:
            yield [self.desk for _ in names]
        finally:
            self.desk.open -= 1


class FakeVectors:
    """One store, which is also its own list of stores."""

    def __init__(self, hits):
        self.stores = self
        self.hits = hits
        self.asked = []

    async def get(self, owner, store):
        if store != "vs_1":
            raise NotFound(f"There is no vector store `{store}`.")

    async def search(self, caller, stores, queries, **how):
        self.asked.append((stores, queries, how))
        found = [hit for hit in self.hits if hit.score >= how["threshold"]]
        if how["condition"] is not None:
            found = [hit for hit in found if meets(hit.attributes, how["condition"])]
        return found[: how["limit"]]


class Shop:
    """All of it; `hits` are what is in the store."""

    def __init__(self, *hits):
        self.mcp, self.vectors = FakeMcp(), FakeVectors(hits or (HIT,))
        self.workshop = Workshop(self.vectors, self.mcp)


class Rounds:
    """A model that says these rounds, one after the other, and then only `Enough.`; or the same for ever."""

    def __init__(self, *again):
        self.left = []
        self.again = again

    def __call__(self):
        self.left = self.left or list(self.again)
        return self.left.pop(0) if self.left else says("Enough.")

    def play(self, *rounds):
        self.left = list(rounds)


def says(text, prompt=10):
    return (Text(text=text), Done(usage=Usage(prompt=prompt, completion=2)))


def calls(name, arguments="{}", *, before=()):
    call = ToolCall(index=0, id="call_1", name=name, arguments=arguments)
    return (*before, call, Done(finish="tool_calls", usage=Usage(prompt=5, completion=3)))


class Narrow(FakePerform):
    """Refuses what has more than 4,000 words in all."""

    async def stream(self, caller, model, task, **options):
        turns = getattr(getattr(task, "prompt", None), "messages", ())
        if sum(len(part.text.split()) for turn in turns for part in turn.content) > 4000:
            raise ContextLengthExceeded
        async for batch in super().stream(caller, model, task, **options):
            yield batch


class Open(NamedTuple):
    """A shop with a server before it: its model `plays` what it is told to."""

    server: Serving
    perform: FakePerform
    model: Rounds
    shop: Shop


@contextmanager
def opened(folder):
    """A server with the routes of responses; no session is left open."""
    shop, model = Shop(), Rounds()
    perform = Narrow(echo(), echo("plays"), scripts={"plays": model}, context=4000)
    database = asyncio.run(Database.open(folder / "state.db"))
    responses, conversations = Responses(database), Conversations(database)
    answering = responder(perform, responses, conversations, workshop=shop.workshop)
    with serving(rows(answering, responses, conversations, Runs())) as server:
        yield Open(server, perform, model, shop)
        deadline = time.monotonic() + 10
        while shop.mcp.desk.open:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)


def plain(items):
    """Items without what differs each time."""
    return [{key: value for key, value in item.items() if key != "id"} for item in items]


def kinds(told):
    return [event["type"].removeprefix("response.") for event in told]


def seen(perform):
    """The turns of the last prompt: role, text, names of calls."""
    return [
        (turn.role, "".join(part.text for part in turn.content), [call.name for call in turn.calls])
        for turn in perform.asked[-1].prompt.messages
    ]
