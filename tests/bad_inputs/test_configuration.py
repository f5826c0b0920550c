"""Invalid configuration files are refused with the line of each error, and change nothing."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from consumer.configuration.apply import apply_file
from consumer.configuration.desired_state import wanted_of
from consumer.configuration.errors import ConfigurationRefused, Problems
from consumer.configuration.yaml_tree import Items, Mapping, Scalar, Unusable, parse
from listeners.models import Connection
from tests.bad_inputs.refused_files import refused

pytestmark = pytest.mark.anywhere

REFUSED = refused()


@pytest.mark.django_db
@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_file_is_refused_with_these_words(tmp_path, name):
    text, problems = REFUSED[name]
    path = tmp_path / "cdc.yaml"
    path.write_text(text)

    with pytest.raises(ConfigurationRefused) as refused:
        apply_file(str(path))

    assert [line.removeprefix(f"{path}:") for line in refused.value.lines] == problems
    assert not Connection.objects.exists()


WORDS = """connections listeners name auth handlers on options proxy_config prod true null 1 .inf
~ ${A} *a << { } [ ] ' " | > # % @ --- é"""
MARKS = [": ", "- ", "\n", "  ", "\t", "? ", ", ", "&a ", "!x ", "\ufeff"]
words = st.sampled_from([*WORDS.split(), *MARKS])
texts = st.lists(words | st.text(max_size=4), max_size=25).map("".join)
trees = st.recursive(
    st.builds(
        Scalar, st.just(1), st.sampled_from(["null", "bool", "int", "float", "text"]), st.text()
    )
    | st.builds(Unusable, st.just(1)),
    lambda inner: st.builds(Items, st.just(1), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=6,
)


@given(text=texts)
@example(text="connections: *a")
@settings(max_examples=300, deadline=None)
def test_no_text_breaks_the_reader(text):
    problems = Problems()

    root = parse(text, problems, {"A": "x"})
    wanted = wanted_of(root, problems)

    assert isinstance(root, Scalar | Items | Mapping | Unusable)
    assert all(problem.line >= 1 and problem.text for problem in problems.sorted())
    assert not isinstance(root, Unusable) or problems
    assert wanted is not None


@given(tree=trees)
@settings(max_examples=100, deadline=None)
def test_no_tree_breaks_the_reading(tree):
    wanted_of(tree, Problems())
