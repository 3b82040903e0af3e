"""How much one answer may hold."""

import pytest

from localai.core.errors import AnswerTooLarge
from localai.core.event import Chosen, Logprobs, Text, Thought, TokenLogprob, ToolCall
from localai.service.extent import ARGUMENTS, CALLS, TEXT, TOKENS, Extent

TOKEN = Chosen(token=TokenLogprob(id=1, token="a", logprob=0.0))


def test_what_is_measured_up_to_the_limit_passes():
    """An answer exactly as large as it may be is let through."""
    extent = Extent()
    extent.hear([Text(text="x" * (TEXT // 2)), Thought(text="x" * (TEXT // 2))])
    extent.hear([ToolCall(index=CALLS - 1, arguments="x" * ARGUMENTS), Logprobs(tokens=(TOKEN,) * TOKENS)])


@pytest.mark.parametrize(
    "event",
    [
        Text(text="x"),
        Thought(text="x"),
        ToolCall(index=0, arguments="x"),
        ToolCall(index=CALLS, name="late"),
        Logprobs(tokens=(TOKEN,)),
    ],
    ids=lambda event: type(event).__name__,
)
def test_one_more_is_refused(event):
    """Whatever goes beyond a limit ends the answer with answer_too_large, however small the step."""
    extent = Extent()
    extent.hear(
        [Text(text="x" * TEXT), ToolCall(index=0, arguments="x" * ARGUMENTS), Logprobs(tokens=(TOKEN,) * TOKENS)]
    )
    with pytest.raises(AnswerTooLarge):
        extent.hear([event])
