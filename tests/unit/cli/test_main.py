"""The command as a whole."""

import subprocess
import sys

import pytest

from localai.core.version import version

VERBS = (
    "serve",
    "run",
    "pull",
    "list",
    "ps",
    "load",
    "stop",
    "show",
    "rm",
    "status",
    "doctor",
    "version",
    "completion",
)
HEAVY = ("pydantic", "fastapi", "starlette", "uvicorn", "aiohttp", "sqlalchemy", "msgspec", "rich", "asyncio", "ssl")


def test_help_lists_the_verbs(cli):
    """`--help` shows each verb, and no hidden one."""
    shown = cli("--help").stdout
    listed = [line.split()[0] for line in shown.split("Commands:")[1].splitlines() if line.startswith("  ")]
    assert set(listed) >= {*VERBS, "keys", "config"}
    assert "ls" not in listed


def test_help_imports_nothing_heavy():
    """`localai --help` loads no part of the server, so it is there at once."""
    code = (
        "import sys; sys.argv = ['localai', '--help']\n"
        "from localai.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stderr.strip() == "[]"
    assert "Usage: localai" in result.stdout


@pytest.mark.parametrize(("typo", "meant"), [("lst", "'list'"), ("serv", "'serve'"), ("doctr", "'doctor'")])
def test_a_misspelled_verb_is_guessed(cli, typo: str, meant: str):
    """A verb that is close to another is a usage error that asks whether that was meant."""
    result = cli(typo)
    assert result.exit_code == 2
    assert f"Did you mean {meant}" in result.stderr


def test_a_wrong_option_is_a_usage_error(cli):
    """An option that is not there is exit code 2."""
    assert cli("list", "--nonsense").exit_code == 2


def test_version_option(cli):
    """`--version` writes the version alone."""
    assert cli("--version").stdout == f"localai {version()}\n"


def test_a_closed_pipe_is_no_traceback():
    """Whoever closes the pipe early, such as `head`, sees no traceback."""
    command = f"{sys.executable} -c 'from localai.cli.main import main; main()' config schema | head -c 1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
