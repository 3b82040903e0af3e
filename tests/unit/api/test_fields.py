"""The tables of fields tell the truth about OpenAI's dialect, reranking, llama.cpp and LM Studio."""

import json
import math
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from echoing import FakePerform, echo
from localai.api.llamacpp import completion
from localai.api.llamacpp import routes as llamacpp
from localai.api.lmstudio import routes as lmstudio
from localai.api.openai import routes as openai
from localai.api.openai.chat import ChatBody
from localai.api.openai.completions import CompletionBody
from localai.api.openai.decisions import DecisionBody
from localai.api.openai.embeddings import EmbeddingBody
from localai.api.openai.fim import FimBody
from localai.api.openai.moderations import CATEGORIES, ModerationBody
from localai.api.openai.rerank import RerankBody
from localai.api.openai.systemone import SystemOneBody
from localai.api.openai.tokenize import DetokenizeBody, TokenizeBody
from localai.api.readiness import Readiness
from localai.core.event import Chosen, Done, Logprobs, Progress, Text, TokenLogprob, Usage
from localai.core.task import Generate, Schema
from localai.service.errands import Errands
from localai.service.install import InstallProgress
from localai.service.media import Media
from serving import serving

FOLDER = Path(__file__).parents[3] / "docs" / "fields"
HI = "Hi there"
QUESTION = {"type": "predicate", "instructions": "Is it wet?"}
BODIES = {
    "/v1/chat/completions": (ChatBody, {"messages": [{"role": "user", "content": HI}]}),
    "/v1/completions": (CompletionBody, {"prompt": HI}),
    "/v1/fim/completions": (FimBody, {"prompt": HI}),
    "/v1/embeddings": (EmbeddingBody, {"input": HI}),
    "/v1/tokenize": (TokenizeBody, {"content": HI}),
    "/v1/detokenize": (DetokenizeBody, {"tokens": [1, 2]}),
    "/v1/moderations": (ModerationBody, {"input": HI}),
    "/v1/decisions": (DecisionBody, {"input": HI, "questions": [QUESTION]}),
    "/v1/systemone": (SystemOneBody, {"state": HI, "questions": {"q": {"type": "noul", "instructions": "Is it wet?"}}}),
    "/v1/rerank": (RerankBody, {"query": "a", "documents": ["a", "b c"]}),
    "/completion": (completion.CompletionBody, {"prompt": HI}),
    "/infill": (completion.InfillBody, {"input_prefix": HI}),
    "/models/load": (llamacpp.ModelBody, {"model": "echo"}),
    "/models/unload": (llamacpp.ModelBody, {"model": "echo"}),
    "/models": (llamacpp.ModelBody, {"model": "https://a.example/m.gguf"}),
    "/api/v1/models/load": (lmstudio.LoadBody, {"model": "echo"}),
    "/api/v1/models/unload": (lmstudio.UnloadBody, {"instance_id": "echo"}),
    "/api/v1/models/download": (lmstudio.DownloadBody, {"model": "https://a.example/m.gguf"}),
}
PASSING = {"id", "created", "load_time_seconds", "job_id", "started_at", "timings"}
"""What differs from one answer to the next."""


def table():
    for name in ("openai", "rerank", "llamacpp", "lmstudio"):
        for row in YAML(typ="safe").load((FOLDER / f"{name}.yaml").read_text()):
            for route in row["route"].split(", "):
                yield {**row, "route": route}


ROWS = list(table())


class Judging(FakePerform):
    """Says things back; what is held to a schema of scores is a judgement, and a question is answered with A."""

    chosen = ""

    def model(self, caller, name):
        model = super().model(caller, name)
        self.chosen = model.name
        return model

    def choose(self, caller, name, task):
        model = super().choose(caller, name, task)
        self.chosen = model.name
        return model

    async def load(self, model, *, keep_alive=None, context=None):
        if context is not None:  # one that nobody waits for comes at any time
            await super().load(model, keep_alive=keep_alive, context=context)

    async def _run(self, engine, task):
        if isinstance(task, Generate) and isinstance(task.format, Schema) and task.format.name == "moderation":
            yield (Text(text=json.dumps(dict.fromkeys(CATEGORIES, 0))), Done())
        elif isinstance(task, Generate) and task.logprobs == 256:
            sure = TokenLogprob(id=1, token="A", logprob=math.log(0.5))
            yield (Text(text="A"), Logprobs(tokens=(Chosen(token=sure),)), Done(usage=Usage(prompt=1)))
        else:
            if isinstance(task, Generate):
                yield (Progress(stage="prefill", done=1, total=2),)
            async for batch in super()._run(engine, task):
                yield batch


class Noting:
    """A Manage that notes what it is asked for."""

    def __init__(self):
        self.asked = []

    async def unload(self, caller, name):
        self.asked.append(("unload", name))

    async def pull(self, caller, source, name, sha256):
        self.asked.append(("pull", source))
        yield InstallProgress(phase="installed", name="m")


@pytest.fixture(scope="module")
def post():
    """Posts a body; gives the status, the answer, and everything that came of it."""
    perform, manage = Judging(echo(), echo("other", aliases=("parrot",))), Noting()
    errands = Errands(manage, perform)
    rows = [
        *openai.rows(perform),
        *llamacpp.rows(perform, manage, errands, Media(), Readiness()),
        *lmstudio.rows(perform, manage, errands),
    ]
    with serving(rows) as server:

        def ask(route, body):
            before = [len(each) for each in (perform.asked, perform.loads, manage.asked)]
            status, headers, answer = server.ask("POST", route, body)
            known = (
                *(each[seen:] for each, seen in zip((perform.asked, perform.loads, manage.asked), before, strict=True)),
                *(perform.keep_alive[-1:], perform.chosen),
            )
            return status, answer, (known, headers["content-type"], _plain(answer))

        yield ask


def _plain(answer):
    """An answer without what differs from one to the next; the frames of a stream one by one."""
    if isinstance(answer, dict):
        return {name: _plain(value) for name, value in answer.items() if name not in PASSING}
    if isinstance(answer, list):
        return [_plain(value) for value in answer]
    if isinstance(answer, str) and answer.startswith("data: "):
        frames = [line[6:] for line in answer.splitlines() if line.startswith("data: {")]
        return [_plain(json.loads(frame)) for frame in frames]
    return answer


STREAMED = {"return_progress", "stream_options"}
"""Fields that count in a stream only."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['route']} {row['field']} {row['fate']}")
def test_a_field_has_the_fate_that_the_table_tells(post, row):
    """What is honoured changes the task or the answer, what is ignored does not, what is refused is named."""
    route, field = row["route"], row["field"]
    plain = BODIES[route][1] | ({"stream": True} if field in STREAMED else {})
    _, _, without = post(route, plain)
    status, answer, facts = post(route, plain | {field: row["example"]})
    match row["fate"]:
        case "honoured":
            assert status == 200, answer
            assert facts != without
        case "ignored":
            assert status == 200, answer
            assert facts == without
        case "refused":
            assert (status, answer["error"]["param"]) == (400, field)
        case _:
            raise AssertionError(row["fate"])


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["fate"] == "honoured"], ids=lambda row: f"{row['route']} {row['field']}"
)
def test_a_wrong_type_is_an_error_that_names_the_field(post, row):
    """A field that is honoured is refused by its name when it is of a wrong type."""
    wrong = "?" if isinstance(row["example"], dict) else {"?": 1.5}
    if row["field"] == "state":
        wrong = 1.5
    status, answer, _ = post(row["route"], BODIES[row["route"]][1] | {row["field"]: wrong})
    assert status == 400, answer
    assert answer["error"]["param"].partition(".")[0] == row["field"]


@pytest.mark.parametrize("route", BODIES)
def test_the_table_is_whole(post, route):
    """Every field that a route reads has a row and no other has, and fields that nobody knows are dropped."""
    told = [row["field"] for row in ROWS if row["route"] == route]
    assert sorted(told) == sorted(BODIES[route][0].model_fields)
    _, _, without = post(route, BODIES[route][1])
    assert post(route, BODIES[route][1] | {"nobody_knows": [1]})[2] == without
