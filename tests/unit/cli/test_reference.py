"""The reference pages that are made from the code."""

from localai.cli.main import app
from localai.cli.reference import cli_markdown, settings_markdown
from localai.config import Settings


def test_every_verb_is_on_the_page():
    """Each verb that is not hidden has a section with its help."""
    page = cli_markdown()
    for command in app.registered_commands:
        assert (f"### `localai {command.name}`\n" in page) is not bool(command.hidden)
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands:
            assert f"#### `localai {group.name} {command.name}`\n" in page


def test_the_flags_of_serve_are_on_the_page():
    """The section of `serve` shows its real flags."""
    assert "--memory-reserve" in cli_markdown()


def test_every_setting_is_on_the_page():
    """Each setting has a row with its flag, its variable and its description."""
    page = settings_markdown()
    for name, field in Settings.model_fields.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"`--{name.replace('_', '-')}`" in row
        assert f"`LOCALAI_{name.upper()}`" in row
        assert (field.description or "").replace("|", "\\|") in row


def test_the_pages_do_not_depend_on_the_machine(monkeypatch, tmp_path):
    """Terminal width, colours and home change nothing on the pages."""
    first = (cli_markdown(), settings_markdown())
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAI_PORT", "9000")
    assert (cli_markdown(), settings_markdown()) == first
