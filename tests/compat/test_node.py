"""The real JavaScript libraries (OpenAI, Anthropic, Ollama, Vercel AI SDK) against our server and a real model."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import venvs
from gateway import Gateway

pytestmark = [pytest.mark.compat, pytest.mark.real, pytest.mark.slow]

HERE = Path(__file__).parent / "node"
CHECKS = re.findall(r"^  async (\w+)\(\)", (HERE / "clients.mjs").read_text(), re.MULTILINE)
FAMILIES = sorted({name.split("_")[0] for name in CHECKS})


@pytest.fixture(scope="module")
def project() -> Path:
    """A folder with the packages of the lock; made when it is not there yet."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("Node.js with npm is not installed")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip("v\n").split(".")[0]) < 20:
        pytest.skip(f"these libraries need Node.js 20, and this is {version}")
    lock = (HERE / "package-lock.json").read_bytes()
    folder = venvs.CACHE.parent / f"node-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        (folder / "complete").touch()
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_the_library_works_unmodified(project: Path, real_gateway: Gateway, family: str):
    """Every check of this library passes: models, text whole and streamed, tools, schemas, embeddings, typed errors."""
    shutil.copy(HERE / "clients.mjs", project)
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    asked = {
        "LOCALAI_URL": real_gateway.url,
        "LOCALAI_KEY": real_gateway.key,
        "COMPAT_MODEL": "smollm2-135m",
        "COMPAT_EMBED": "minilm",
    }
    done = subprocess.run(
        ["node", "clients.mjs", family],
        cwd=project,
        env={**kept, **asked},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    passed = {line.removeprefix("ok ") for line in done.stdout.splitlines()}
    assert passed == {name for name in CHECKS if name.split("_")[0] == family}
