"""The table of fields, held against the server."""

import asyncio
import json
from pathlib import Path

import pytest
import ruamel.yaml

from echoing import FakePerform, echo
from localai.api.responses.body import ConversationCreateBody, ResponseBody
from localai.api.responses.routes import responder, rows
from localai.core.errors import ContextLengthExceeded
from localai.core.event import Done, Text, Thought, Usage
from localai.service.conversations import Conversations
from localai.service.responses import Responses
from localai.service.runs import Runs
from localai.storage.database import Database
from serving import serving
from workshops import HIT, OTHER, Rounds, Shop, calls, says

TABLE = Path(__file__).parents[4] / "docs" / "fields" / "responses.yaml"
ROWS = ruamel.yaml.YAML(typ="safe").load(TABLE.read_text())
LONG = "long " * 3000
CONTEXT = 2000
SEEK = '{"queries": ["animals"]}'


def thinks():
    yield Thought(text="hm")
    yield Text(text="ok")
    yield Done(usage=Usage(prompt=9, completion=4, thought=1))


class Narrow(FakePerform):
    """Also the scripted models refuse what is longer than the context."""

    async def stream(self, caller, model, task, **options):
        prompt = getattr(task, "prompt", None)
        parts = [part for message in getattr(prompt, "messages", ()) for part in message.content]
        if sum(len(getattr(part, "text", "").split()) for part in parts) > CONTEXT:
            raise ContextLengthExceeded
        async for batch in super().stream(caller, model, task, **options):
            yield batch


@pytest.fixture(scope="module")
def perform():
    return Narrow(
        *map(echo, ("thinks", "other", "plain", "calls", "seeks")),
        scripts={"thinks": thinks, "other": thinks, "seeks": Rounds(calls("file_search", SEEK), says("Found."))},
        context=CONTEXT,
    )


@pytest.fixture(scope="module")
def server(perform, tmp_path_factory):
    database = asyncio.run(Database.open(tmp_path_factory.mktemp("state") / "state.db"))
    responses, conversations = Responses(database), Conversations(database)
    answering = responder(perform, responses, conversations, workshop=Shop(HIT, OTHER).workshop)
    with serving(rows(answering, responses, conversations, Runs())) as running:
        yield running


@pytest.fixture(scope="module")
def known(server):
    _, answer = server.post("/v1/responses", model="thinks", input="before")
    _, talk = server.post("/v1/conversations", items=[{"role": "user", "content": "kept"}])
    return {"@response": answer["id"], "@conversation": talk["id"], "@item": answer["output"][1]["id"], "@long": LONG}


def filled(value, known):
    """A value with real ids in place of the words that stand for them."""
    text = json.dumps(value)
    for word, real in known.items():
        text = text.replace(json.dumps(word), json.dumps(real))
    return json.loads(text)


def top(row):
    return row["field"].split(".")[0].split(" ")[0]


def bodies(row, known):
    """The request with the field, and the one it is compared with."""
    model = "plain" if row["route"].endswith("input_tokens") else "thinks"
    base = {} if row["route"].startswith("/v1/conversations") else {"model": model, "input": "Hi"}
    base |= row.get("beside", {})
    other = {**base, top(row): row["against"]} if "against" in row else base
    return filled({**base, top(row): row["example"]}, known), filled(other, known)


def plain(item):
    """An item without what differs each time."""
    return {key: value for key, value in item.items() if key != "id"}


def effect(server, perform, route, body):
    """What a request does, its ids and times and the repeated fields of the request left out."""
    before = len(perform.asked)
    status, headers, answer = server.ask("POST", route, body)
    kind = headers["content-type"]
    if kind.startswith("text/event-stream"):
        return status, kind
    assert status == 200, answer
    shown = {name: answer.get(name) for name in ("status", "metadata", "model", "input_tokens", "background")}
    outputs = [plain(item) for item in answer.get("output", ())]
    stored, held = None, None
    if answer["object"] == "response":
        stored = server.ask("GET", f"{route}/{answer['id']}")[0]
    elif answer["object"] == "conversation":
        held = [plain(each) for each in server.ask("GET", f"{route}/{answer['id']}/items")[2]["data"]]
    tasks = [] if answer.get("background") else perform.asked[before:]
    return status, kind, tasks, perform.keep_alive[before:], shown, outputs, stored, held


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['route']}-{row['field']}")
def test_every_field_has_the_fate_that_the_table_tells(server, perform, known, row):
    """An honoured field changes what is done, an ignored one does not, a refused one is a 400 that names it."""
    body, other = bodies(row, known)
    if row["fate"] == "refused":
        status, answer = server.post(row["route"], **body)
        assert status == 400
        assert answer["error"]["param"].split(".")[0] == top(row)
    elif row["field"] == "truncation":
        assert server.post(row["route"], **other)[1]["error"]["code"] == "context_length_exceeded"
        assert effect(server, perform, row["route"], body)[0] == 200
    else:
        done, without = (effect(server, perform, row["route"], each) for each in (body, other))
        assert (done != without) == (row["fate"] == "honoured")


def test_the_table_is_complete():
    """Every field that a body knows is in the table, and every row has a fate."""
    for route, kind in (("/v1/responses", ResponseBody), ("/v1/conversations", ConversationCreateBody)):
        told = {top(row) for row in ROWS if row["route"] == route}
        assert {field.alias or name for name, field in kind.model_fields.items()} <= told
    assert {row["fate"] for row in ROWS} == {"honoured", "ignored", "refused"}
