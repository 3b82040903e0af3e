import subprocess

import pytest

import weights
from localai.core.errors import InternalError, InvalidModel
from localai.loader import template as templates
from localai.loader.inspect import inspect
from localai.loader.template import vet

CHATML = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{%- endif %}"
)
FINE = {
    "chatml": CHATML,
    "raises by itself": "{{ raise_exception('only user and assistant roles are supported') }}",
    "transformers": "{% generation %}{{ messages | tojson(indent=2) }}{% endgeneration %}{{ strftime_now('%d %b') }}",
    "loop controls": "{% for m in messages %}{% if loop.first %}{% continue %}{% endif %}{% break %}{% endfor %}",
    "tools": "{% if tools %}{% for t in tools %}{{ t.function.name }}{{ t | tojson }}{% endfor %}{% endif %}",
    "namespace": "{% set ns = namespace(a=false) %}{% for m in messages %}{% set ns.a = true %}{% endfor %}{{ ns.a }}",
    "string methods": "{{ messages[0].content.strip().split('x')[-1].lstrip('\\n') }}{{ messages[0]['content'][:5] }}",
    "needs what is not there": "{{ messages[0].content[0].text.upper() }}{{ unheard.of.it }}",
    "empty": "",
    "macro": "{% macro say(x) %}[{{ x }}]{% endmacro %}{{ say(messages[-1].role) }}",
    "appends": "{% set all = [] %}{% do all.append(1) %}",
}
HOSTILE = {
    "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "classes never rendered": "{% if false %}{{ ''.__class__ }}{% endif %}",
    "attr filter": "{{ ''|attr('__cl' ~ 'ass__') }}",
    "attr and format": "{{ '{0.__class__.__init__.__globals__}'.format('') }}",
    "format_map": "{{ '{a.__class__}'.format_map({'a': 1}) }}",
    "map attribute": "{{ messages | map(attribute='__class__') | list }}",
    "globals": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "globals by item": "{{ cycler['__init__']['__globals__'] }}",
    "code of a function": "{{ raise_exception.__code__ }}",
    "endless loop": "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "a gigabyte at once": "{{ 'x' * 1000000000 }}",
    "a gigabyte in pieces": "{% for a in range(100000) %}{{ 'x' * 10000 }}{% endfor %}",
    "a gigabyte by padding": "{{ '%1000000000d' % 1 }}",
    "a list of a gigabyte": "{% set a = [0] * 1000000000 %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nesting": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "a number of a gigabyte": "{{ (9 ** 99999999) > 1 }}",
    "includes a file": "{{ lipsum.__globals__ }}",
    "no Jinja": "{% for %}",
    "unclosed": "{% if a %}",
}


@pytest.mark.parametrize("name", FINE)
def test_legitimate_templates_pass(name):
    """A template as models have them passes, also one that refuses the trial conversations."""
    vet(FINE[name])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_templates_are_refused(name):
    """A template that breaks out, loops, writes or grows without end, or does not compile is refused."""
    with pytest.raises(InvalidModel, match="chat template"):
        vet(HOSTILE[name])


@pytest.mark.real
def test_a_real_template_passes():
    """The template of a real model passes."""
    template = inspect(weights.smollm2()).template
    assert template
    vet(template)


def test_each_template_is_tried_once(monkeypatch):
    """A verdict, good or bad, is remembered: the second time costs no process."""
    vet("{{ 'once' }}")
    with pytest.raises(InvalidModel):
        vet("{{ 'once'.__class__ }}")
    monkeypatch.setattr(subprocess, "run", None)
    vet("{{ 'once' }}")
    with pytest.raises(InvalidModel):
        vet("{{ 'once'.__class__ }}")


def test_memory_of_verdicts_is_bounded(monkeypatch):
    """Old verdicts are forgotten."""
    monkeypatch.setattr(templates, "_REMEMBERED", 2)
    monkeypatch.setattr(templates, "_try", lambda _: None)
    for number in range(5):
        vet(f"bounded {number}")
    assert len(templates._verdicts) == 2


def test_a_template_that_is_too_long():
    """A template beyond the limit is refused unseen."""
    with pytest.raises(InvalidModel, match="bytes"):
        vet("x" * (2**20 + 1))


def test_a_helper_that_cannot_run_is_no_verdict(monkeypatch):
    """When the helper process cannot be started or breaks, the template is not called hostile."""
    monkeypatch.setattr("sys.executable", "/nonexistent/python")
    with pytest.raises(InternalError):
        vet("{{ 'never tried' }}")
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(InternalError):
        vet("{{ 'never tried' }}")


def test_a_helper_that_hangs_is_ended(monkeypatch):
    """A helper that does not answer in time is killed, and the template refused."""

    def hang(*_, **__):
        raise subprocess.TimeoutExpired("x", 1)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(InvalidModel, match="too much time"):
        vet("{{ 'hangs' }}")
