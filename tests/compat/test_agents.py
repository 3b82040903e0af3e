"""The real coding agents: one prompt and one tool round each, against a model that plays a script.

They are large downloads, so this runs on request: `LOCALAI_TEST_AGENTS=1 make test TESTS=tests/compat/test_agents.py`.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import venvs
from gateway import Gateway, gateway, write_echo

pytestmark = [pytest.mark.compat, pytest.mark.slow]

PACKAGES = {
    "codex": ("@openai/codex@0.169.0", None),
    "claude": ("@anthropic-ai/claude-code@2.1.197", "@anthropic-ai/claude-code/install.cjs"),
    "opencode": ("opencode-ai@1.18.33", "opencode-ai/postinstall.mjs"),
}
"""The package of each, and what its package would run after it was installed."""
SERVER = (sys.executable, str(Path(__file__).parent.parent / "scripted.py"))
SECRET = "SECRET-marmalade"

Command = tuple[list[str], dict[str, str]]


def codex(server: Gateway, home: Path, question: str) -> Command:
    provider = f'{{name="local", base_url="{server.url}/v1", env_key="LOCALAI_KEY", wire_api="responses"}}'
    settings = ["-c", f"model_providers.local={provider}", "-c", "model_provider=local", "-m", "scripted"]
    flags = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return ["exec", *flags, *settings, question], {"CODEX_HOME": str(home), "LOCALAI_KEY": server.key}


def claude(server: Gateway, home: Path, question: str) -> Command:
    models = dict.fromkeys(
        ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL"), "scripted"
    )
    quiet = {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"}
    whom = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_AUTH_TOKEN": server.key}
    return ["-p", question, "--allowedTools", "Read"], {**models, **quiet, **whom}


def opencode(server: Gateway, home: Path, question: str) -> Command:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "local",
        "options": {"baseURL": f"{server.url}/v1", "apiKey": server.key},
        "models": {"scripted": {"name": "scripted", "tool_call": True}},
    }
    config = {"$schema": "https://opencode.ai/config.json", "provider": {"local": provider}}
    config |= {"model": "local/scripted", "small_model": "local/scripted", "autoupdate": False}
    (home / "opencode.json").write_text(json.dumps(config))
    return ["run", question], {"OPENCODE_CONFIG": str(home / "opencode.json")}


AGENTS: dict[str, Callable[[Gateway, Path, str], Command]] = {"codex": codex, "claude": claude, "opencode": opencode}


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("home")
    write_echo(home, "scripted", tasks=["chat"], context=131072, slots=4)
    with gateway(home, SERVER) as running:
        yield running


def program(name: str) -> Path:
    """The installed program."""
    package, after = PACKAGES[name]
    folder = venvs.CACHE.parent / f"agent-{package.replace('/', '-')}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"private": true}')
        install = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", package]
        subprocess.run(install, cwd=folder, check=True, capture_output=True)
        if after is not None:
            subprocess.run(["node", str(folder / "node_modules" / after)], cwd=folder, check=True, capture_output=True)
        (folder / "complete").touch()
    return folder / "node_modules" / ".bin" / name


@pytest.mark.skipif("LOCALAI_TEST_AGENTS" not in os.environ, reason="large downloads; set LOCALAI_TEST_AGENTS=1")
@pytest.mark.parametrize("name", sorted(AGENTS))
def test_an_agent_reads_a_file_through_a_tool(name: str, scripted: Gateway, tmp_path: Path):
    """The agent asks the model, runs the tool that the model calls, gives it the result and shows its answer."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    home.mkdir()
    note = work / "NOTE.txt"
    note.write_text(f"The word is {SECRET}.\n")
    arguments, variables = AGENTS[name](scripted, home, f"What does the file {note} say?")
    kept = {each: os.environ[each] for each in ("PATH", "LANG") if each in os.environ}
    done = subprocess.run(
        [str(program(name)), *arguments],
        cwd=work,
        env={**kept, "HOME": str(home), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert f"The note says {SECRET}." in done.stdout, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
