"""The error tree."""

import pytest

from localai.core import errors
from localai.core.errors import BY_CODE, ContextLengthExceeded, LocalAIError, from_code


def _cases(root: type[LocalAIError]) -> list[type[LocalAIError]]:
    return [root, *(case for child in root.__subclasses__() for case in _cases(child))]


@pytest.mark.parametrize("case", _cases(LocalAIError))
def test_every_case_speaks(case: type[LocalAIError]):
    """Each case has a message of its own, a status of an error and a code in lower case."""
    error = case()
    assert case.__doc__ and error.message == case.__doc__.strip().splitlines()[0]
    assert 400 <= case.status < 600
    assert case.code == case.code.lower().replace(" ", "_")


def test_codes_are_unique():
    """A code names one case, so that an error can cross a process boundary and come back as itself."""
    own = [case for case in _cases(LocalAIError) if case is not LocalAIError]
    codes = [case.code for case in own if "code" in vars(case)]
    assert len(codes) == len(set(codes))
    assert set(codes) <= set(BY_CODE)


def test_an_error_comes_back_as_itself():
    """from_code rebuilds class, message, field and retry hint."""
    error = from_code("context_length_exceeded", "too long", param="messages", retry_after=2)
    assert type(error) is ContextLengthExceeded
    assert (error.message, error.param, error.retry_after) == ("too long", "messages", 2)


def test_an_unknown_code_is_an_internal_error():
    """A code from a newer or foreign process becomes internal_error, never a crash."""
    assert type(from_code("from_the_future", "x")) is errors.InternalError
