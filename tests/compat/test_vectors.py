"""The vector stores of the real OpenAI library."""

import re
from pathlib import Path

import pytest

import venvs
from gateway import Gateway

pytestmark = [pytest.mark.compat, pytest.mark.slow]

HERE = Path(__file__).parent
SCRIPT = HERE / "vectors_client.py"
CHECKS = set(re.findall(r"^(?:async )?def check_(\w+)", SCRIPT.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", ["openai3.lock", "openai2.lock"])
def test_the_library_fills_and_searches_stores(echo_gateway: Gateway, lock: str):
    """What the library offers about vector stores works as its documentation says, with its polling."""
    done = venvs.run(
        HERE / lock,
        SCRIPT,
        OPENAI_BASE_URL=f"{echo_gateway.url}/v1",
        OPENAI_API_KEY=echo_gateway.key,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert {line.removeprefix("ok ") for line in done.stdout.splitlines()} == CHECKS
