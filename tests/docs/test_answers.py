"""docs/answers.md: each question names its threads, its run is complete, and its links are valid.

The runs themselves are doctests, collected by setup.cfg.
"""

import ast
import builtins
import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "answers.md").read_text(encoding="utf-8")
CHAPTERS = {
    part.partition("\n")[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
}
THREAD = re.compile(r"\b[\w.-]+/[\w.-]+#\d+")


def unknown(source):
    """The names that a piece of Python uses without defining them, except the built-in ones."""
    nodes, defined = list(ast.walk(ast.parse(source))), set(dir(builtins))
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            defined.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, ast.arg):
            defined.add(node.arg)
        elif isinstance(node, ast.alias):
            defined.add(node.asname or node.name)
    return {node.id for node in nodes if isinstance(node, ast.Name)} - defined


def test_the_questions_are_numbered_from_1():
    numbers = [re.fullmatch(r"(\d+)\. .+\?", head)[1] for head in CHAPTERS]
    assert numbers == [str(i) for i in range(1, len(CHAPTERS) + 1)] and CHAPTERS


@pytest.mark.parametrize("head", CHAPTERS)
def test_each_question_names_the_threads_where_it_was_asked(head):
    asked = CHAPTERS[head].split("\n\n")[1]
    assert asked.startswith("Asked in ") and THREAD.search(asked)


@pytest.mark.parametrize("head", CHAPTERS)
def test_each_run_is_complete_and_prints_something(head):
    examples = doctest.DocTestParser().get_examples(CHAPTERS[head])
    assert any(example.want for example in examples)
    assert unknown("".join(example.source for example in examples)) == set()


def test_a_name_from_another_chapter_is_noticed():
    source = (
        "import numpy as np\ndef f(x):\n    return np.exp(x) + y\nprint(f(1), [z for z in [3]])"
    )
    assert unknown(source) == {"y"}


@pytest.mark.parametrize("head", CHAPTERS)
def test_each_answer_links_to_a_module_and_all_links_are_valid(head):
    links = re.findall(r"\]\(([^)]+)\)", CHAPTERS[head].replace("\n", " "))
    assert any(re.fullmatch(r"\.\./minigan/[\w/]+\.py", link) for link in links)
    assert [link for link in links if not (DOCS / link).is_file()] == []
