"""Documents that people read say what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from localai.cli.main import app
from localai.config import Settings
from localai.core.errors import BY_CODE

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "SECURITY.md", *(ROOT / "docs").rglob("*.md")])


def test_reference_pages_are_what_the_code_says():
    """Generated pages are regenerated whenever the code they are made from changes."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    """Every relative link of a page leads to a file that exists."""
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not missing


def test_every_setting_is_described():
    """A setting without a description would be undocumented everywhere."""
    assert all(field.description for field in Settings.model_fields.values())


def test_codes_in_the_handbook_exist():
    """Error codes that the troubleshooting page explains are codes of the tree."""
    text = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text()
    named = {code for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for code in re.findall(r"`(\w+)`", row)}
    assert named
    assert named <= set(BY_CODE)


def test_verbs_in_the_pages_exist():
    """Every `localai VERB` of a page is a verb of the command."""
    import typer

    verbs = set(typer.main.get_command(app).commands)
    for page in PAGES:
        for verb in re.findall(r"`(?:\.venv/bin/)?localai ([a-z]+)", page.read_text()):
            assert verb in verbs, f"{page.name}: localai {verb}"


def test_lock_files_name_no_address():
    """Lock files hold versions and hashes, never where to get them."""
    for path in (*(ROOT / "requirements").glob("*.lock"), *(ROOT / "tests").rglob("*.lock")):
        text = path.read_text()
        assert "://" not in text, path.name
        assert "--hash=sha256:" in text
    for path in (ROOT / "tests").rglob("package-lock.json"):
        assert "://" not in path.read_text(), path
        assert '"integrity": "sha512-' in path.read_text()


def test_every_proof_exists():
    """Each test that the page of proofs names is there, and each row that has to hold is on the page."""
    text = (ROOT / "docs" / "explanation" / "proof.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    missing = [f"{path}::{name}" for path, name in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert not missing
    rows = set(re.findall(r"^\| ([FH]\d+) \|", text, re.MULTILINE))
    faults = {f"F{number}" for number in (*range(1, 8), *range(14, 19), 20, 24, 30, 33)}
    assert rows == faults | {f"H{number}" for number in (*range(1, 26), 36, 37, 39, 40)}
