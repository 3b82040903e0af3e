"""`config show` and `config schema`."""

import json
from pathlib import Path


def test_show_tells_where_a_value_comes_from(cli, monkeypatch, home: Path):
    """Each setting is shown with its value and whether it is a default or comes from a variable."""
    monkeypatch.setenv("LOCALAI_QUEUE", "7")
    found = json.loads(cli("config", "show", "--json").stdout)
    assert found["queue"] == {"value": 7, "from": "LOCALAI_QUEUE"}
    assert found["home"] == {"value": str(home), "from": "LOCALAI_HOME"}
    assert found["port"] == {"value": 8080, "from": "default"}


def test_show_is_a_table(cli):
    """Without --json it is a table, with words for yes, no and nothing."""
    rows = {line.split()[0]: line.split()[1:] for line in cli("config", "show").stdout.splitlines()}
    assert rows["open"] == ["no", "default"]
    assert rows["memory"] == ["-", "default"]


def test_a_key_is_never_shown(cli, monkeypatch):
    """The value of a key is not shown, only that there is one."""
    monkeypatch.setenv("LOCALAI_API_KEY", "sk-very-secret")
    assert "sk-very" not in cli("config", "show").stdout
    assert json.loads(cli("config", "show", "--json").stdout)["api_key"]["value"] == "(set)"


def test_schema_describes_every_setting(cli):
    """`config schema` is a JSON schema with a description for each setting."""
    from localai.config import Settings

    schema = json.loads(cli("config", "schema").stdout)
    assert set(schema["properties"]) == set(Settings.model_fields)
    assert all(field.get("description") for field in schema["properties"].values())


def test_a_wrong_variable_is_a_usage_error(cli, monkeypatch):
    """A variable that makes no sense is exit code 2 and is named."""
    monkeypatch.setenv("LOCALAI_QUEUE", "many")
    result = cli("config", "show")
    assert result.exit_code == 2
    assert "LOCALAI_QUEUE" in result.stderr
