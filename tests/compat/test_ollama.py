"""The real Ollama library for Python against our servers."""

import re
from pathlib import Path

import pytest

import venvs
from ggufs import LLAMA, build

pytestmark = [pytest.mark.compat, pytest.mark.slow]

HERE = Path(__file__).parent
SCRIPT = HERE / "ollama_client.py"
CHECKS = set(re.findall(r"^(?:async )?def check_(\w+)", SCRIPT.read_text(), re.MULTILINE))


def checked(running, tmp_path, model, embed):
    """The names of the checks that passed; all must have."""
    gguf = tmp_path / "upload.gguf"
    gguf.write_bytes(build({**LLAMA, "general.name": tmp_path.name}) + bytes(300_000))
    done = venvs.run(
        HERE / "ollama.lock",
        SCRIPT,
        OLLAMA_HOST=running.url,
        OLLAMA_API_KEY=running.key,
        COMPAT_MODEL=model,
        COMPAT_EMBED=embed,
        COMPAT_GGUF=str(gguf),
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return {line.removeprefix("ok ") for line in done.stdout.splitlines()}


def test_the_library_works_with_the_server(echo_gateway, tmp_path):
    """Every part of the library works with the whole server as a user starts it, failures included."""
    assert checked(echo_gateway, tmp_path, "echo", "echo") == CHECKS


@pytest.mark.real
def test_the_library_works_with_a_real_model(real_gateway, tmp_path):
    """The same holds with a model of 135 million parameters: tools, schemas and log-probabilities included."""
    assert checked(real_gateway, tmp_path, "smollm2-135m", "minilm") == CHECKS
