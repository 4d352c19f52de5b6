"""The book itself: the reading order holds, pages are short, and the core knows nothing of files."""
import ast
import re
import sys
from pathlib import Path

import minigan

FOLDER = Path(minigan.__file__).parent
ORDER = re.findall(r"^ {4,5}\d+  (\w+)", minigan.__doc__, re.MULTILINE)
CORE = ORDER[:ORDER.index("spectral") + 1]


def imports(page):
    """Every module that a page imports, minigan's own without their prefix."""
    for node in ast.walk(ast.parse((FOLDER / f"{page}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [name.name for name in node.names] if node.module == "minigan" else [node.module]
            yield from (name.removeprefix("minigan.") for name in names)


def later(page, wanted):
    """What is imported from pages that come later; backend is the one exception."""
    return [name for name in wanted if name in ORDER and name != "backend" and ORDER.index(name) > ORDER.index(page)]


def test_the_reading_order_names_every_page_once():
    assert sorted(ORDER) == sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "__init__")


def test_no_page_imports_a_later_one():
    assert {page: later(page, imports(page)) for page in ORDER if later(page, imports(page))} == {}
    assert later("dense", ["layer", "backend", "network"]) == ["network"]      # it would be noticed


def test_the_core_imports_numpy_and_the_standard_library_only():
    for page in CORE:
        for name in imports(page):
            assert name in CORE or name in ("numpy", "backend") or name.partition(".")[0] in sys.stdlib_module_names, (page, name)


def test_no_framework_anywhere():
    for page in ORDER:
        assert not {name.partition(".")[0] for name in imports(page)} & {"torch", "tensorflow", "jax", "keras", "autograd"}


def test_every_page_is_short_and_says_what_it_is():
    for page in ORDER:
        text = (FOLDER / f"{page}.py").read_text(encoding="utf-8")
        assert text.count("\n") <= 200, page
        assert ast.get_docstring(ast.parse(text)).count("\n") > 5, page
        for node in ast.parse(text).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{page}.{node.name} has no docstring"
