"""A user's grammar is checked before the engine sees it."""

import time

import pytest

from localai.core.errors import UnsupportedSchema
from localai.engines.llama import lint

GOOD = [
    'root ::= "yes" | "no"',
    'root ::= item ("," item)*\nitem ::= [a-z]+ # a comment\n',
    "root ::= (\n  [0-9] |\n  [^\\x00-\\x1F\\]]\n){2,5}\n",
    'root ::= a b?\na ::= "\\u00e9"\nb ::= . "\\"" \n',
    'root ::= "(" root ")" | "x"',
]
BAD = {
    "no root": 'start ::= "a"',
    "unknown rule": "root ::= foo",
    "left recursion": 'root ::= root "a" | "b"',
    "hidden left recursion": 'root ::= empty root "a" | "b"\nempty ::= "x"?',
    "indirect left recursion": 'root ::= a\na ::= b "x"\nb ::= a "y" | "z"',
    "repeated nothing": 'root ::= ("a"*)* "z"',
    "unclosed text": 'root ::= "a',
    "unclosed class": "root ::= [a-z",
    "unclosed group": 'root ::= ("a"',
    "bad escape": 'root ::= "\\q"',
    "reversed": 'root ::= "a"{5,3}',
    "too many": 'root ::= ("a"{1000} "b"){1000}',
    "repeated repetition": 'root ::= ("x"{0,100} "y"){0,100} "z"',
    "token reference": "root ::= <think>",
    "left over": 'root ::= "a" )',
    "no definition": "root",
    "too large": "root ::= " + '"a" ' * 100_000,
    "nul": 'root ::= "a"\0',
    "doubling": "root ::= r0\n"
    + "\n".join(f'r{n} ::= "" | r{n + 1} r{n + 1} "x"' for n in range(40))
    + '\nr40 ::= "x"?',
    "deep": "root ::= " + "(" * 100 + '"a"' + ")" * 100,
}


@pytest.mark.parametrize("grammar", GOOD)
def test_a_good_grammar_passes(grammar):
    """Comments, groups over lines, classes, escapes and recursion behind a text are all right."""
    lint.check(grammar)


@pytest.mark.parametrize("grammar", BAD.values(), ids=BAD.keys())
def test_a_bad_grammar_is_refused_quickly(grammar):
    """A grammar that the engine could not follow, or not in reasonable time, is refused within a second."""
    start = time.process_time()
    with pytest.raises(UnsupportedSchema) as refused:
        lint.check(grammar)
    assert time.process_time() - start < 1
    assert refused.value.param == "grammar"


def test_the_line_is_named():
    """A syntax error says in which line it is."""
    with pytest.raises(UnsupportedSchema, match="line 3"):
        lint.check('root ::= a\na ::= "x"\nb ::= [a\n')
