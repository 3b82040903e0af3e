"""The files, uploads, batches and stored completions of the real OpenAI library."""

import re
from pathlib import Path

import pytest

import venvs
from gateway import Gateway

pytestmark = [pytest.mark.compat, pytest.mark.slow]

HERE = Path(__file__).parent
SCRIPT = HERE / "files_client.py"
CHECKS = set(re.findall(r"^(?:async )?def check_(\w+)", SCRIPT.read_text(), re.MULTILINE))


@pytest.mark.parametrize("lock", ["openai3.lock", "openai2.lock"])
def test_the_library_stores_and_runs_batches(echo_gateway: Gateway, lock: str):
    """What the library offers about files, uploads, batches and stored completions works as its documentation says."""
    done = venvs.run(
        HERE / lock,
        SCRIPT,
        OPENAI_BASE_URL=f"{echo_gateway.url}/v1",
        OPENAI_API_KEY=echo_gateway.key,
        COMPAT_MODEL="echo",
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    assert {line.removeprefix("ok ") for line in done.stdout.splitlines()} == CHECKS
