"""How long each page takes to read: `python docs/reading_time.py` prints the table of README.md's tour.

Prose, which is docstrings and comments, is counted in words: 200 a minute. Code is counted in lines that are not empty: 10 a minute. Formulas count
as the words that they are written in. That is a careful first reading with nothing tried out; exercises come on top.
"""
import ast
import io
import re
import tokenize
from pathlib import Path

WORDS, LINES = 200, 10  # a minute
PAGES = Path(__file__).resolve().parent.parent / "minigan"


def minutes(source):
    """Of a page, given its text: a whole number, at least 1."""
    words, prose = 0, set()  # prose: the numbers of the lines that are nothing but
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
            words += len(ast.get_docstring(node).split())
            prose.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            words += len(token.string.strip("# ").split())
            if token.line.strip().startswith("#"):
                prose.add(token.start[0])
    code = sum(bool(line.strip()) and number not in prose for number, line in enumerate(source.splitlines(), 1))
    return max(1, round(words / WORDS + code / LINES))


def reading_order():
    """[(name of the page, what it teaches)], as minigan/__init__.py has them."""
    return re.findall(r"^ +\d+  (\w+) +(\S.*)$", (PAGES / "__init__.py").read_text(encoding="utf-8"), re.MULTILINE)


def all_minutes():
    """{name: minutes} of every page, in reading order."""
    return {name: minutes((PAGES / f"{name}.py").read_text(encoding="utf-8")) for name, _ in reading_order()}


if __name__ == "__main__":
    for name, taken in all_minutes().items():
        print(f"{name:16} {taken:3} min")
