"""docs/answers.md: each question has its threads, a run that stands alone, and links that lead somewhere. (The runs
themselves are doctests: setup.cfg names the file.)"""
import ast
import builtins
import doctest
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
TEXT = (DOCS / "answers.md").read_text(encoding="utf-8")
CHAPTERS = {part.partition("\n")[0]: part for part in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]}
THREAD = re.compile(r"\b[\w.-]+/[\w.-]+#\d+")


def unknown(source):
    """The names that a piece of Python uses and that it neither makes nor finds among the built-in ones."""
    nodes, made = list(ast.walk(ast.parse(source))), set(dir(builtins))
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.alias):
            made.add(node.asname or node.name)
    return {node.id for node in nodes if isinstance(node, ast.Name)} - made


def test_there_are_ten_questions_in_order():
    assert [re.fullmatch(r"(\d+)\. .+\?", head)[1] for head in CHAPTERS] == [str(i) for i in range(1, 11)]


@pytest.mark.parametrize("head", CHAPTERS)
def test_each_question_names_the_threads_where_it_was_asked(head):
    asked = CHAPTERS[head].split("\n\n")[1]
    assert asked.startswith("Asked in ") and THREAD.search(asked)


@pytest.mark.parametrize("head", CHAPTERS)
def test_each_run_can_be_pasted_alone_and_prints_something(head):
    examples = doctest.DocTestParser().get_examples(CHAPTERS[head])
    assert any(example.want for example in examples)
    assert unknown("".join(example.source for example in examples)) == set()


def test_a_name_from_another_chapter_would_be_noticed():
    assert unknown("import numpy as np\ndef f(x):\n    return np.exp(x) + y\nprint(f(1), [z for z in range(3)])") == {"y"}


@pytest.mark.parametrize("head", CHAPTERS)
def test_each_answer_links_to_a_page_and_all_its_links_lead_somewhere(head):
    links = re.findall(r"\]\(([^)]+)\)", CHAPTERS[head].replace("\n", " "))
    assert any(re.fullmatch(r"\.\./minigan/\w+\.py", link) for link in links)
    assert [link for link in links if not (DOCS / link).is_file()] == []
