"""Reading time: `python docs/reading_time.py` prints how many minutes each module takes to read.

Prose (docstrings and comments) counts as 200 words a minute, formulas included, and code as 10
logical lines a minute: a statement that is laid out over several lines counts once. This is the
pace of a careful first reading, without trying anything out.
"""

import ast
import io
import re
import tokenize
from pathlib import Path

WORDS_PER_MINUTE, LINES_PER_MINUTE = 200, 10
ROOT = Path(__file__).resolve().parent.parent


def list_modules(root: Path = ROOT) -> list[str]:
    """The names of all modules, such as nn/layer, except the commands and __init__.py."""
    folder = root / "minigan"
    names = [path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.py")]
    return sorted(name for name in names if "__" not in name and not name.startswith("cli/"))


def reading_order(root: Path = ROOT) -> list[tuple[str, str]]:
    """[(module, what it is about)] in the order of the docstring of minigan/__init__.py.

    An entry is a line such as `    nn/layer     the contract`. Lines that are indented further
    continue it. Raises ValueError unless every module is there.
    """
    modules, entries, previous = set(list_modules(root)), {}, None
    for line in package_docstring(root).split("\n"):
        entry = re.match(r" {4}((?:\w+/)*\w+)  +(\S.*)", line)
        if entry and entry[1] in modules and entry[1] not in entries:
            previous, entries[entry[1]] = entry[1], entry[2]
        elif previous and re.match(r" {5,}\S", line):
            entries[previous] += " " + line.strip()
        else:
            previous = None
    missing = sorted(modules - entries.keys())
    if missing:
        raise ValueError(
            "the reading order in the docstring of minigan/__init__.py lacks " + ", ".join(missing)
        )
    return list(entries.items())


def package_docstring(root: Path = ROOT) -> str:
    """The docstring of minigan/__init__.py."""
    source = (root / "minigan" / "__init__.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def count_minutes(source: str) -> int:
    """The reading time of a module, given its text: at least 1 minute."""
    words, prose_lines = 0, set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                words += len(docstring.split())
                prose_lines.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            words += len(token.string.strip("# ").split())
        elif token.type == tokenize.NEWLINE and token.start[0] not in prose_lines:
            lines += 1  # the end of a logical line
    return max(1, round(words / WORDS_PER_MINUTE + lines / LINES_PER_MINUTE))


def all_minutes(root: Path = ROOT) -> dict[str, int]:
    """{module: minutes}, in reading order."""
    return {
        name: count_minutes((root / "minigan" / f"{name}.py").read_text(encoding="utf-8"))
        for name, _ in reading_order(root)
    }


if __name__ == "__main__":
    minutes = all_minutes()
    for name, count in minutes.items():
        print(f"{name:24} {count:3} min")
    print(f"{'all':24} {sum(minutes.values()):3} min")
