"""Environments of their own for client libraries, made from locks with hashes and kept between runs."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "venvs"


def python(lock: Path) -> Path:
    """The Python of the environment that has exactly what `lock` lists; made when it is not there yet."""
    tag = f"{sys.version_info.major}.{sys.version_info.minor}".encode()
    digest = hashlib.sha256(lock.read_bytes() + tag).hexdigest()[:16]
    folder = CACHE / f"{lock.stem}-{digest}"
    complete = folder / "complete"
    if not complete.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--no-input", "--require-hashes", "-r", str(lock)]
        done = subprocess.run([str(folder / "bin" / "python"), *install], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"pip could not install {lock.name}:\n{done.stderr[-4000:]}"
        complete.touch()
    return folder / "bin" / "python"


def run(lock: Path, script: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script in the environment of `lock`, with these variables and none that could lead it elsewhere."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run(
        [str(python(lock)), "-I", "-W", "error", str(script)],
        env={**kept, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
