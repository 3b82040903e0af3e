"""Libraries and commands that build on OpenAI's API, each in an environment of its own, against the whole server."""

import re
from pathlib import Path

import pytest

import venvs

pytestmark = [pytest.mark.compat, pytest.mark.slow]

HERE = Path(__file__).parent
NAMES = ("instructor", "llm", "langchain", "litellm", "llamaindex", "openaiagents")


def passed(name, gateway, lock=None, **environment):
    """The checks of a script that passed, and all that there are."""
    script = HERE / f"{name}_client.py"
    done = venvs.run(
        HERE / f"{lock or name}.lock",
        script,
        OPENAI_BASE_URL=f"{gateway.url}/v1",
        OPENAI_API_KEY=gateway.key,
        **environment,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    found = {line.removeprefix("ok ") for line in done.stdout.splitlines() if line.startswith("ok ")}
    return found, set(re.findall(r"^(?:async )?def check_(\w+)", script.read_text(), re.MULTILINE))


@pytest.mark.parametrize("name", NAMES)
def test_it_works_with_the_server(echo_gateway, name):
    """Whatever it asks of a cloud it gets of this server, and reads the answer as ever."""
    found, all_of_them = passed(name, echo_gateway, COMPAT_MODEL="echo", COMPAT_RERANK="echo")
    assert found == all_of_them


@pytest.mark.real
@pytest.mark.parametrize("name", NAMES)
def test_it_works_with_a_real_model(real_gateway, name):
    """The same holds for a model of 135 million parameters: tools and schemas included."""
    found, all_of_them = passed(name, real_gateway, COMPAT_MODEL="smollm2-135m", COMPAT_EMBED="minilm", COMPAT_REAL="1")
    assert found == all_of_them


@pytest.mark.real
def test_the_openai_library_judges_and_names(real_gateway):
    """OpenAI's newest library gets judgements of a real model, and finds models that paths name."""
    found, all_of_them = passed("judging", real_gateway, lock="openai3", COMPAT_MODEL="smollm2-135m")
    assert found == all_of_them
