"""The real OpenAI library for Python, two major versions, against our responses and conversations."""

import asyncio
import re
from pathlib import Path

import pytest

import venvs
from echoing import FakePerform, echo
from localai.api.openai.routes import rows as chat
from localai.api.responses.routes import responder, rows, sockets
from localai.core.errors import EngineCrashed
from localai.core.event import Done, Text, Thought, Usage
from localai.service.conversations import Conversations
from localai.service.responses import Responses
from localai.service.runs import Runs
from localai.storage.database import Database
from serving import serving
from workshops import Rounds, Shop, calls, says

pytestmark = [pytest.mark.compat, pytest.mark.slow]

HERE = Path(__file__).parent
SCRIPT = HERE / "responses_client.py"
CHECKS = set(re.findall(r"^def check_(\w+)", SCRIPT.read_text(), re.MULTILINE))
HOSTED = HERE / "hosted_client.py"
LOCKS = pytest.mark.parametrize("lock", ["openai3.lock", "openai2.lock"])


def passed(lock, script=SCRIPT, **environment):
    """The names of the checks that passed; all must have."""
    done = venvs.run(HERE / lock, script, **environment)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return {line.removeprefix("ok ") for line in done.stdout.splitlines()}


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    scripts = {
        "thinks": lambda: (
            Thought(text="let me "),
            Thought(text="see"),
            Text(text="Paris"),
            Done(usage=Usage(prompt=1)),
        ),
        "seeks": Rounds(calls("file_search", '{"queries": ["dogs"]}'), says("They bark.")),
        "dies": lambda: (Text(text="half an"), EngineCrashed("The process that ran this model died.")),
    }
    models = [echo(), echo("slow", delay=0.02), *map(echo, scripts)]
    perform = FakePerform(*models, scripts=scripts, context=32768)
    database = asyncio.run(Database.open(tmp_path_factory.mktemp("state") / "state.db"))
    responses, conversations = Responses(database), Conversations(database)
    answering = responder(perform, responses, conversations, workshop=Shop().workshop)
    table = [*chat(perform), *rows(answering, responses, conversations, Runs())]
    with serving(table, sockets(answering)) as server:
        yield server


@LOCKS
def test_the_library_works_with_the_dialect(scripted, lock):
    """Every part of the library that is about responses works; failures arrive as its own exceptions and events."""
    told = {"OPENAI_BASE_URL": f"{scripted.url}/v1", "OPENAI_API_KEY": scripted.key}
    assert passed(lock, **told, COMPAT_MODEL="echo", COMPAT_FAULTS="1") == CHECKS


@LOCKS
def test_the_library_works_with_tools_of_the_server(scripted, lock):
    """Calls, agreements and searches that the server makes arrive as the library's own items and events."""
    told = {"OPENAI_BASE_URL": f"{scripted.url}/v1", "OPENAI_API_KEY": scripted.key}
    assert passed(lock, HOSTED, **told, COMPAT_MODEL="echo") == {"servers", "agreed", "search"}


@LOCKS
def test_the_library_works_with_the_server(echo_gateway, lock):
    """The same holds for the whole server as a user starts it, with the echo engine in its own process."""
    told = {"OPENAI_BASE_URL": f"{echo_gateway.url}/v1", "OPENAI_API_KEY": echo_gateway.key}
    assert passed(lock, **told, COMPAT_MODEL="echo") == CHECKS - {"faults"}


@pytest.mark.real
@LOCKS
def test_the_library_works_with_a_real_model(real_gateway, lock):
    """The same holds with a model of 135 million parameters: forced tools, schemas and counts included."""
    told = {"OPENAI_BASE_URL": f"{real_gateway.url}/v1", "OPENAI_API_KEY": real_gateway.key}
    assert passed(lock, **told, COMPAT_MODEL="smollm2-135m", COMPAT_REAL="1") == CHECKS - {"faults"}
