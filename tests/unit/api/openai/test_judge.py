"""A chat model as a judge."""

import math

import pytest

from localai.api.answer import Answer
from localai.api.openai.judge import YES_NO, Option, Question, certainty, expected, precision, task, weigh
from localai.core.event import Chosen, Done, Logprobs, Text, TokenLogprob
from localai.core.task import ImagePart, Sampling, TextPart

ASK = Question((TextPart(text="Which?"),), (Option("red", "like blood"), Option("blue")))


def token(number, text, probability):
    return TokenLogprob(id=number, token=text, logprob=math.log(probability))


def answered(*likely):
    answer = Answer()
    top = tuple(token(number, text, probability) for number, (text, probability) in enumerate(likely))
    if top:
        answer.hear(Text(text=top[0].token))
        answer.hear(Logprobs(tokens=(Chosen(token=top[0], top=top),)))
    answer.hear(Done(finish="length"))
    return answer


def test_the_input_comes_first():
    """The input stands before the question, so that all questions share their beginning; one token is asked for."""
    image = ImagePart(data=b"x")
    first = task((TextPart(text="S"), image), ASK)
    second = task((TextPart(text="S"), image), Question((TextPart(text="Other?"),), YES_NO))
    user = first.prompt.messages[1].content
    assert user[:4] == second.prompt.messages[1].content[:4]
    assert user[1:3] == (TextPart(text="S"), image)
    assert "A. red: like blood\nB. blue\n" in user[-1].text
    assert (first.max_tokens, first.sampling, first.prompt.thinking) == (1, Sampling(temperature=0), False)
    assert first.logprobs > 52


def test_letters_are_weighed():
    """The probability of a letter is that of all tokens that spell it; other tokens do not count; the sum is 1."""
    weights = weigh(answered(("A", 0.3), (" A", 0.1), ("B", 0.2), ("C", 0.2), ("The", 0.2)), 2)
    assert weights == pytest.approx((2 / 3, 1 / 3))


@pytest.mark.parametrize("likely", [(), (("The", 0.9), ("C", 0.1))])
def test_no_letter_is_no_answer(likely):
    """A model that answers with none of the letters did not answer."""
    assert weigh(answered(*likely), 2) is None


@pytest.mark.parametrize(
    ("weights", "sure"), [((0.5, 0.5), 0), ((1.0, 0.0), 1), ((0.9998, 0.0001, 0.0001), 0.9997), ((0.25,) * 4, 0)]
)
def test_certainty_of_a_choice(weights, sure):
    """Even odds are certainty 0, one sure option is 1."""
    assert certainty(weights) == pytest.approx(sure, abs=1e-4)


@pytest.mark.parametrize(
    ("weights", "level", "sure"),
    [((0.0, 1.0), 1, 1), ((0.0023, 0.116, 0.6753, 0.2064), 2.0858, 0.673), ((0.5, 0.0, 0.5), 1, 0)],
)
def test_score(weights, level, sure):
    """A score is the level to expect, counted from 0; it is sure when the probabilities lie close together."""
    assert expected(weights) == pytest.approx(level, abs=1e-4)
    assert precision(weights) == pytest.approx(sure, abs=1e-3)
