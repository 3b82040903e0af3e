"""A server with the routes of the responses API, before a fake of what performs their tasks."""

import asyncio

import pytest

from echoing import FakePerform, echo
from localai.api.responses.routes import responder, rows
from localai.service.conversations import Conversations
from localai.service.responses import Responses
from localai.service.runs import Runs
from localai.storage.database import Database
from responding import SCRIPTS
from serving import serving


@pytest.fixture(scope="module")
def perform():
    return FakePerform(echo(), echo("slow", delay=0.02), *map(echo, SCRIPTS), scripts=SCRIPTS, context=4000)


@pytest.fixture(scope="module")
def server(perform, tmp_path_factory):
    database = asyncio.run(Database.open(tmp_path_factory.mktemp("state") / "state.db"))
    responses, conversations = Responses(database), Conversations(database)
    answering = responder(perform, responses, conversations)
    with serving(rows(answering, responses, conversations, Runs())) as running:
        yield running
