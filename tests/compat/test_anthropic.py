"""The real Anthropic library for Python against our servers."""

import re
from pathlib import Path

import pytest

import venvs
from echoing import FakePerform, echo
from localai.api.anthropic import routes as anthropic
from localai.api.openai import routes as openai
from localai.core.errors import EngineCrashed, InternalError, Overloaded, RateLimited
from localai.core.event import Done, Text, Thought, Usage
from serving import serving

pytestmark = [pytest.mark.compat, pytest.mark.slow]

HERE = Path(__file__).parent
LOCK = HERE / "anthropic2.lock"
SCRIPT = HERE / "anthropic_client.py"
CHECKS = set(re.findall(r"^(?:async )?def check_(\w+)", SCRIPT.read_text(), re.MULTILINE))


def checked_with_anthropic(**environment):
    """The names of the checks that passed; all must have."""
    done = venvs.run(LOCK, SCRIPT, **environment)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return {line.removeprefix("ok ") for line in done.stdout.splitlines()}


class BusyOnce:
    """Refuses the first of every two requests."""

    def __init__(self):
        self.asked = 0

    def __call__(self):
        self.asked += 1
        if self.asked % 2:
            raise RateLimited(retry_after=0.25)
        return Text(text="at last"), Done(usage=Usage(prompt=1, completion=2))


def raising_at_once(error):
    def script():
        raise error

    return script


@pytest.fixture(scope="module")
def doubled_anthropic():
    scripts = {
        "busy-once": BusyOnce(),
        "full": raising_at_once(Overloaded(retry_after=1)),
        "broken": raising_at_once(InternalError()),
        "dies": lambda: (Text(text="half an"), EngineCrashed("The process that ran this model died.")),
        "thinks": lambda: (Thought(text="hm"), Text(text="so"), Done(usage=Usage(prompt=1, completion=2, thought=1))),
    }
    perform = FakePerform(echo(), *map(echo, scripts), scripts=scripts, context=32768)
    with serving([*openai.rows(perform), *anthropic.rows(perform)]) as server:
        yield server


def test_the_anthropic_library_works_with_the_dialect(doubled_anthropic):
    """Every part of the library that a client uses works, and failures arrive as its own exceptions."""
    passed = checked_with_anthropic(
        ANTHROPIC_BASE_URL=doubled_anthropic.url,
        ANTHROPIC_API_KEY=doubled_anthropic.key,
        COMPAT_MODEL="echo",
        COMPAT_FAULTS="1",
    )
    assert passed == CHECKS - {"batches"}


def test_the_anthropic_library_works_with_the_server(echo_gateway):
    """The same holds for the whole server as a user starts it, with the echo engine in its own process."""
    passed = checked_with_anthropic(
        ANTHROPIC_BASE_URL=echo_gateway.url, ANTHROPIC_API_KEY=echo_gateway.key, COMPAT_MODEL="echo"
    )
    assert passed == CHECKS - {"faults"}


@pytest.mark.real
def test_the_anthropic_library_works_with_a_real_model(real_gateway):
    """The same holds for the whole server with a model of 135 million parameters: tools and schemas included."""
    passed = checked_with_anthropic(
        ANTHROPIC_BASE_URL=real_gateway.url, ANTHROPIC_API_KEY=real_gateway.key, COMPAT_MODEL="smollm2-135m"
    )
    assert passed == CHECKS - {"faults"}
