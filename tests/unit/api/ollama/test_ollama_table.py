"""The table of the dialect's fields tells the truth."""

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from echoing import FakePerform, echo
from localai.api.ollama import chat, create, embed, generate, pull, show
from localai.api.ollama.fields import Named
from localai.api.ollama.options import Options
from localai.api.ollama.routes import rows
from localai.core.errors import ContextLengthExceeded
from localai.core.task import Embed
from localai.service.about import About
from localai.service.install import InstallProgress
from serving import serving

TABLE = Path(__file__).parents[4] / "docs" / "fields" / "ollama.yaml"
FIELDS = YAML(typ="safe").load(TABLE.read_text())
LONG = "word " * 50

PLAIN = {
    "/api/chat": {"model": "echo", "messages": [{"role": "user", "content": "Hi"}], "stream": False},
    "/api/generate": {"model": "echo", "prompt": "Hi", "stream": False},
    "/api/embed": {"model": "echo", "input": "Hi"},
    "/api/embeddings": {"model": "echo", "prompt": "Hi"},
    "/api/show": {"model": "echo"},
    "/api/pull": {"model": "echo", "stream": False},
    "/api/push": {"model": "echo"},
    "/api/create": {"model": "made", "from": "echo", "stream": False},
    "/api/copy": {"source": "echo", "destination": "twin"},
    "/api/delete": {"model": "echo"},
}
BODIES = {
    "/api/chat": chat.ChatBody,
    "/api/generate": generate.GenerateBody,
    "/api/embed": embed.EmbedBody,
    "/api/embeddings": embed.EmbeddingsBody,
    "/api/show": show.ShowBody,
    "/api/pull": pull.PullBody,
    "/api/push": pull.PushBody,
    "/api/create": create.CreateBody,
    "/api/copy": create.CopyBody,
    "/api/delete": Named,
}


class ShortPerform(FakePerform):
    """Embeds texts of 20 tokens at most, and remembers which model was chosen last."""

    chosen = ""

    def choose(self, caller, name, task):
        model = super().choose(caller, name, task)
        self.chosen = model.name
        return model

    async def about(self, models):
        return tuple(About(model=model, default=20) for model in models)

    async def stream(self, caller, model, task, **given):
        if isinstance(task, Embed) and any(isinstance(text, str) and len(text) > 100 for text in task.inputs):
            raise ContextLengthExceeded(param="input.0")
        async for batch in super().stream(caller, model, task, **given):
            yield batch


class FakeServices:
    """Stands for `Manage` and `Library`: remembers what it is asked to do."""

    def __init__(self):
        self.asked = []

    async def pull(self, caller, source, name, sha256):
        self.asked.append(("pull", source))
        yield InstallProgress(phase="installed")

    async def remove(self, caller, name):
        self.asked.append(("remove", name))

    async def licence(self, model):
        return ""

    async def copy(self, caller, source, destination):
        self.asked.append(("copy", source, destination))

    async def create(self, caller, name, draft):
        self.asked.append(("create", name, draft))
        return echo()


@pytest.fixture(scope="module")
def asked_ollama():
    """Posts a body; gives the status, the answer, and everything that was done."""
    perform, services = ShortPerform(echo(), echo("other")), FakeServices()
    with serving(rows(perform, services, services, None)) as server:

        def post(route, fields):
            for kept in (perform.asked, perform.keep_alive, perform.rooms, perform.loads, services.asked):
                kept.clear()
            method = "DELETE" if route == "/api/delete" else "POST"
            status, headers, answer = server.ask(method, route, fields)
            done = [*perform.asked, *perform.keep_alive, *perform.rooms, *perform.loads, *services.asked]
            return status, answer, (status, done, perform.chosen, headers["content-type"], _timeless(answer))

        yield post


def _timeless(answer):
    """An answer without its times."""
    if not isinstance(answer, dict):
        return None if "\n" in answer else answer
    return {key: value for key, value in answer.items() if key != "created_at" and not key.endswith("_duration")}


def _with(route, row, value):
    """The plain body of a route with a field (that may be one of `options`) set."""
    beside = {key: LONG if given == "LONG" else given for key, given in row.get("beside", {}).items()}
    body = {**PLAIN[route], **beside}
    if value is None:
        return body
    name, _, inner = row["field"].partition(" ")[0].partition(".")
    return {**body, name: {inner: value} if name == "options" and inner else value}


@pytest.mark.parametrize("row", FIELDS, ids=lambda row: f"{row['route']} {row['field']}")
def test_a_field_of_ollama_has_its_fate(asked_ollama, row):
    """A field that is honoured changes what is done or answered, one that is ignored does not, one refused is named."""
    route = row["route"]
    _, _, without = asked_ollama(route, _with(route, row, row.get("against")))
    status, answer, found = asked_ollama(route, _with(route, row, row["example"]))
    match row["fate"]:
        case "honoured":
            assert status == 200, answer
            assert found != without
        case "ignored":
            assert status == 200
            assert found == without
        case "refused":
            assert status == 400
            assert row["field"].partition(" ")[0] in answer["error"]
        case _:
            raise AssertionError(row["fate"])


def test_no_field_of_ollama_is_left_out():
    """Every field that a route reads has a row; what all routes share has one, at the first of them."""
    shared = {"name", "options"}
    for route, kind in BODIES.items():
        told = {row["field"].partition(" ")[0].partition(".")[0] for row in FIELDS if row["route"] == route}
        known = {field.alias or name for name, field in kind.model_fields.items()}
        if kind is pull.PushBody:
            known = {"model"}
        assert known - shared <= told, route
        assert told - {"anything_else"} <= known, route
    options = {row["field"].removeprefix("options.") for row in FIELDS if row["field"].startswith("options.")}
    assert set(Options.model_fields) | {"anything_else"} == options


def test_a_wrong_type_is_named(asked_ollama):
    """A known field of a wrong type is a 400 whose text names it, on every route."""
    loose = {"verbose", "insecure", "username", "password", "renderer", "parser", "width", "height", "steps"}
    wrong = {"unheard": 1}
    for route, kind in BODIES.items():
        for name, field in kind.model_fields.items():
            spelled = field.alias or name
            if spelled in loose or (route == "/api/create" and spelled in {"parameters", "files", "adapters"}):
                continue
            value = [{"unheard": 1}] if spelled in {"format", "options"} else wrong
            status, answer, _ = asked_ollama(route, {**PLAIN[route], spelled: value})
            assert (status, spelled in answer["error"]) == (400, True), (route, spelled, json.dumps(answer))
