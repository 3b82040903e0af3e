"""The real OpenAI library for Python, today's major version and the one before, against our servers."""

import re
from pathlib import Path

import pytest

import venvs
from echoing import FakePerform, echo
from localai.api.openai.routes import rows
from localai.core.errors import EngineCrashed, InternalError, RateLimited
from localai.core.event import Done, Text, Usage
from serving import serving

pytestmark = [pytest.mark.compat, pytest.mark.slow]

HERE = Path(__file__).parent
SCRIPT = HERE / "openai_client.py"
CHECKS = set(re.findall(r"^(?:async )?def check_(\w+)", SCRIPT.read_text(), re.MULTILINE))


def checked(lock, **environment):
    """The names of the checks that passed; all must have."""
    done = venvs.run(HERE / lock, SCRIPT, **environment)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return {line.removeprefix("ok ") for line in done.stdout.splitlines()}


class Once:
    """Refuses the first of every two requests."""

    def __init__(self):
        self.asked = 0

    def __call__(self):
        self.asked += 1
        if self.asked % 2:
            raise RateLimited(retry_after=0.25)
        return Text(text="at last"), Done(usage=Usage(prompt=1, completion=2))


def raising(error):
    def script():
        raise error

    return script


@pytest.fixture(scope="module")
def doubled():
    scripts = {
        "busy-once": Once(),
        "busy": raising(RateLimited(retry_after=1)),
        "broken": raising(InternalError()),
        "dies": lambda: (Text(text="half an"), EngineCrashed("The process that ran this model died.")),
    }
    models = [echo(), *map(echo, scripts)]
    with serving(rows(FakePerform(*models, scripts=scripts, context=32768))) as server:
        yield server


@pytest.mark.parametrize("lock", ["openai3.lock", "openai2.lock"])
def test_the_library_works_with_the_dialect(doubled, lock):
    """Every part of the library that a chat client uses works, and failures arrive as its own exceptions."""
    passed = checked(
        lock,
        OPENAI_BASE_URL=f"{doubled.url}/v1",
        OPENAI_API_KEY=doubled.key,
        COMPAT_MODEL="echo",
        COMPAT_FAULTS="1",
    )
    assert passed == CHECKS


@pytest.mark.parametrize("lock", ["openai3.lock", "openai2.lock"])
def test_the_library_works_with_the_server(echo_gateway, lock):
    """The same holds for the whole server as a user starts it, with the echo engine in its own process."""
    passed = checked(
        lock,
        OPENAI_BASE_URL=f"{echo_gateway.url}/v1",
        OPENAI_API_KEY=echo_gateway.key,
        COMPAT_MODEL="echo",
    )
    assert passed == CHECKS - {"faults"}


@pytest.mark.real
@pytest.mark.parametrize("lock", ["openai3.lock", "openai2.lock"])
def test_the_library_works_with_a_real_model(real_gateway, lock):
    """The same holds for the whole server with a model of 135 million parameters: tools and schemas included."""
    passed = checked(
        lock,
        OPENAI_BASE_URL=f"{real_gateway.url}/v1",
        OPENAI_API_KEY=real_gateway.key,
        COMPAT_MODEL="smollm2-135m",
        COMPAT_EMBED="minilm",
    )
    assert passed == CHECKS - {"faults"}
