"""Failures and their exit codes."""

import pytest

from localai.cli.errors import Denied, Failure, Full, Missing, Misused, Unreachable, refused, refused_by_code
from localai.core.errors import BY_CODE


def test_the_exit_codes_are_those_of_the_manual():
    """Each kind of failure has the exit code that scripts rely on."""
    cases = (Failure, Misused, Missing, Denied, Unreachable, Full)
    assert [case.exit for case in cases] == [1, 2, 3, 4, 5, 6]


def test_a_failure_says_what_why_and_what_to_type(capsys):
    """What happened, why and what to type next are three lines on standard error."""
    Failure("It broke.", why="wear", fix="`localai doctor`").show()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "Error: It broke.\n  Why: wear\n  Try: `localai doctor`\n"


def test_a_failure_cannot_steer_the_terminal(capsys):
    """A message that came from elsewhere is cleaned."""
    Failure("\x1b[2Jgone").show()
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize("code", sorted(BY_CODE))
def test_every_error_of_the_server_has_an_exit_code(code: str):
    """Whatever error ends a stream, its class decides the exit code, and its sentence is shown."""
    failure = refused_by_code(code, "Why not.")
    expected = {401: 4, 403: 4, 404: 3, 507: 6}.get(BY_CODE[code].status, 1)
    assert (failure.exit, failure.what) == (expected, f"Why not. ({code})")


def test_a_wrong_key_says_where_keys_come_from():
    """A refusal for want of a key tells how to give one."""
    assert "--api-key" in refused(401, "invalid_api_key", "Wrong key.").fix


def test_an_unknown_status_has_a_sentence():
    """A status that nobody defined, without a message, still becomes a sentence."""
    assert refused(599, "", "").what == "The server answered 599 (no known status)."


def test_a_message_that_says_what_to_type_is_left_alone():
    """Where the server's own sentence names a command, no other is proposed beside it."""
    assert refused(404, "model_not_found", "Gone; `localai list` shows what is there.").fix == ""
    assert "localai list" in refused(404, "model_not_found", "Gone.").fix
