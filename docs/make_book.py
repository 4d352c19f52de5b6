"""The book: `python docs/make_book.py` writes all of minigan into docs/tutorial.html, one file.

The file needs no network. Everything in it is read from the sources. The docstring of
minigan/__init__.py gives the chapters and their order (see reading_time.py), the docstrings of the
modules give the prose and the formulas (see formulas.py), and the captions come from README.md and
docs/*.md. The appendices are documents in Markdown (see appendices.py). Only the figures of each
chapter and the list of appendices are chosen here.

Needs Pygments and markdown-it-py: pip install -e ".[book]"
"""

import argparse
import ast
import re
import sys
from html import escape
from pathlib import Path

from appendices import anchor, appendix, data_url
from formulas import formula, inline
from reading_time import reading_order

DOCS = Path(__file__).resolve().parent
FRONT = "__init__"  # the module whose docstring is the title page
FIGURES = {  # chapter: its figures, in docs/
    FRONT: ["digits.png"],
    "nn/conv": ["convolution.svg"],
    "gan/losses": ["losses.png", "losses-curves.png"],
    "gan/steps": ["diagram.svg"],
    "gan/recipes": ["recipes/*.png"],
    "accel/cpu": ["growth.png"],
    "accel/mpi": ["parallel.png"],
    "training/loop": ["race.png"],
    "training/run_page": ["page.png"],
    "training/sampling": ["conditional.png"],
    "evaluation/memorisation": ["memorisation.png"],
    "evaluation/report": ["neighbours.png"],
    "figures/toys": ["toy.gif"],
}
APPENDICES = {  # document in docs/: what it is about
    "answers": "questions that beginners ask, each answered by a run",
    "mistakes": "well-known mistakes, and what they look like",
}
POLICY = (  # the browser loads nothing
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)
CODE = re.compile(  # a displayed line that matches is code, not a formula
    r"[A-Za-z]\w*\.[A-Za-z]\w+\(|^ *python |\w\[\.\.\.\]"
)
SCRIPT = """
// The shorter of two columns scrolls until its end is visible, then stays beside the longer one.
const stick = () => document.querySelectorAll(".prose, .code").forEach(column =>
  column.style.top = Math.min(16, innerHeight - column.offsetHeight - 16) + "px");
addEventListener("resize", stick); addEventListener("load", stick);
const menu = document.querySelector(".menu");
addEventListener("click", event => {
  if (menu.open && event.target.closest("summary") !== menu.firstElementChild) menu.open = false;
});
"""


class BookError(Exception):
    """The sources lack something that the book needs; the message says what."""


def read(path: str, folder: Path) -> str:
    """A text file in the folder of the repository."""
    try:
        return (folder / path).read_text(encoding="utf-8")
    except OSError as error:
        raise BookError(
            f"{folder / path} cannot be read ({error.strerror}): is {folder} a copy of minigan?"
        ) from None


class Book:
    """Reads the sources in a copy of the repository and renders them as HTML."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            self.contents = reading_order(folder)
        except (ValueError, OSError) as error:
            raise BookError(str(error)) from None
        self.order = [name for name, _ in self.contents]
        self.sources = {name: read(f"minigan/{name}.py", folder) for name in [FRONT, *self.order]}
        self.trees = {name: ast.parse(source) for name, source in self.sources.items()}
        self.places = self.find_definitions()
        self.here = FRONT  # the chapter that is being rendered
        paths = "|".join(name for name in self.order if "/" in name)
        emphasis = r"(?<![\w*])\*\w[^*\s]*(?: [^*\s]+){0,5}\*(?![\w*])"
        self.special = re.compile(  # what is no plain text: `code`, *emphasis*, modules
            rf"(`[^`]+`|{emphasis}|[\w/]*\b\w+\.py\b|\b(?:{paths})\b)"
        )
        self.markdown = {name: read(f"docs/{name}.md", folder) for name in APPENDICES}
        self.captions = {}
        for path in [folder / "README.md", *sorted((folder / "docs").glob("*.md"))]:
            images = re.findall(r"!\[([^]]*)\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
            for caption, figure in images:
                self.captions[figure.removeprefix("docs/")] = caption or Path(figure).stem

    def find_definitions(self) -> dict:
        """{name: id} of all functions and classes; None for a name in two modules."""
        found = {}
        for name in self.order:
            for node in self.trees[name].body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    twice = node.name in found
                    found[node.name] = None if twice else f"{anchor(name)}.{node.name}"
        return found

    def find_chapter(self, path: str) -> str:
        """The chapter that a path such as minigan/nn/conv.py or conv.py means; "" if there is none.

        A path without its folder means a module in the folder of the current chapter, or else the
        only module of that name.
        """
        name = path.removeprefix("minigan/").removesuffix(".py")
        folder = self.here.rpartition("/")[0]
        for candidate in name, f"{folder}/{name}":
            if candidate in self.order:
                return candidate
        same = [module for module in self.order if module.endswith("/" + name)]
        return same[0] if len(same) == 1 else ""

    def bytes(self, path: str) -> bytes:
        """A binary file, such as a figure."""
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise BookError(f"{self.folder / path} cannot be read ({error.strerror})") from None

    # ---- text ----

    def text(self, words: str) -> str:
        """Prose: `code`, *emphasis*, formulas, and links to chapters and definitions."""
        html = ""
        for piece in self.special.split(words):
            if piece.startswith("`"):
                html += self.inline_code(piece[1:-1])
            elif piece.endswith(".py") or piece in self.order:
                chapter = self.find_chapter(piece)
                html += (
                    f'<a href="#{anchor(chapter)}">{escape(piece)}</a>'
                    if chapter
                    else f'<code class="id">{escape(piece)}</code>'
                )
            elif re.fullmatch(r"\*.+\*", piece):
                html += f"<em>{inline(piece[1:-1])}</em>"
            else:
                html += inline(piece) if piece.strip() else piece
        return html

    def inline_code(self, words: str) -> str:
        """Code in prose; a name such as Adam, or a call of it, links to its definition."""
        place = None
        if re.fullmatch(r"[\w.]+(\(.*\))?", words):
            place = self.places.get(words.partition("(")[0].rpartition(".")[2])
        html = f"<code>{escape(words)}</code>"
        return f'<a href="#{place}">{html}</a>' if place else html

    def document(self, words: str) -> str:
        """A docstring: headings, paragraphs, formulas, tables and examples."""
        html, lines, at = "", words.rstrip().split("\n"), 0
        base = 0  # how far the current prose is indented
        while at < len(lines):
            if not lines[at].strip():
                at += 1
                continue
            end = next((i for i in range(at, len(lines)) if not lines[i].strip()), len(lines))
            if lines[at].startswith(">>> "):
                html, at = html + self.console(lines[at:end]), end
            elif is_heading(lines[at:end]):
                html, at, base = html + f"<h3>{self.heading(lines[at])}</h3>\n", at + 1, 4
            else:
                html, at = html + self.block(lines[at:end], base), end
        return html

    def heading(self, line: str) -> str:
        """A heading, with its source, `  (Author 2014)`, in smaller letters."""
        match = re.fullmatch(r"(.*?)  (\(.*\))", line)
        if not match:
            return self.text(line)
        return f"{self.text(match[1])} <small>{self.text(match[2])}</small>"

    def block(self, lines: list[str], base: int = 0) -> str:
        """Lines without an empty one: a paragraph, a list, formulas, a table, or a diagram."""
        display = min(map(indent, lines)) >= base + 4
        lines = dedent(lines)
        if any(re.search("[│┌└]", line) for line in lines):
            return f'<pre class="drawing">{escape(chr(10).join(lines))}</pre>\n'
        if re.fullmatch(r"\w+  \([^()]*\)", lines[0]) and len(lines) > 1:
            return f"<h4>{self.heading(lines[0])}</h4>\n" + self.block(lines[1:])
        if lines[0].startswith("- "):
            items = re.split(r"\n- ", "\n".join(lines)[2:])
            rows = [f"<li>{self.text(join(item.split(chr(10))))}</li>\n" for item in items]
            return f"<ul>{''.join(rows)}</ul>\n"
        columns = shared_columns(lines)
        if len(columns) > 1:
            return self.table(lines, columns)
        paragraph = f"<p>{self.text(join(lines))}</p>\n"
        gaps = any(re.search(r"\S {3,}\S", line) for line in lines)
        if not display and not gaps and len(lines) > 1:
            return paragraph
        shown = "".join(self.line(line) for line in lines)
        is_formula = re.search('<math|class="gap"|<div><code', shown)
        if len(lines) == 1 and not display and not is_formula:
            return paragraph
        return f'<div class="display">{shown}</div>\n'

    def line(self, line: str) -> str:
        """A displayed line: code, or formulas with remarks after a wide gap."""
        if CODE.search(re.sub("`[^`]*`", "", line)):
            return f'<div><code class="id">{escape(line.strip())}</code></div>\n'
        pieces = re.split(r"   +|(?<=[,;]) {2,}", line.strip())
        shown = '<span class="gap"> </span>'.join(self.piece(piece) for piece in pieces)
        far = ' class="far"' if indent(line) > 20 else ""
        return f"<div{far}>{shown}</div>\n" if shown else ""

    def piece(self, words: str) -> str:
        """A formula, or a few words."""
        math = formula(words)
        return (
            f'<span class="formula">{math}</span>' if math else f"<span>{self.text(words)}</span>"
        )

    def table(self, lines: list[str], columns: list[int]) -> str:
        """Lines whose parts begin in shared columns. A line may continue the cell above it."""
        rows: list[dict] = []  # {column: [lines of the cell]}
        for line in lines:
            cells = cells_of(line, columns)
            (start, words), *others = cells.items()
            below = rows and start > 0 and not others and max(rows[-1]) == start
            if below and continues(join(rows[-1][start]), words):
                rows[-1][start].append(words)
            else:
                rows.append({start: [words] for start, words in cells.items()})
        html = "".join(self.table_row(cells, columns) for cells in rows)
        kind = "table many" if len(columns) > 3 else "table"
        return f'<div class="{kind}"><table>{html}</table></div>\n'

    def table_row(self, cells: dict, columns: list[int]) -> str:
        """A row of a table, given {column: [lines of the cell]}."""
        html, starts = "", sorted(cells)
        before = columns.index(starts[0])
        if before:
            html += f'<td colspan="{before}"></td>'
        for start, end in zip(starts, [*starts[1:], None]):
            words = cells[start]
            is_term = start == 0 and len(starts) > 1 and len(words[0]) <= 16 and "=" not in words[0]
            single = len(words) == 1 and not is_term
            content = self.line(words[0]) if single else self.text(join(words))
            span = (len(columns) if end is None else columns.index(end)) - columns.index(start)
            attributes = ' class="term"' if is_term else ""
            attributes += f' colspan="{span}"' if span > 1 else ""
            html += f"<td{attributes}>{content}</td>"
        return f"<tr>{html}</tr>\n"

    def console(self, lines: list[str]) -> str:
        """A doctest."""
        source = "\n".join(re.sub(r" {3,}#", "  #", line) for line in lines)
        shown = [
            f'<span class="l" style="--i:4">{line}\n</span>'
            for line in colour(source, "pycon").split("\n")
        ]
        return f'<pre class="console">{"".join(shown)}</pre>\n'

    # ---- code ----

    def code(self, name: str) -> str:
        """A module without its docstring: code, with the other docstrings set as prose."""
        source, tree = self.sources[name], self.trees[name]
        lines, shown = source.split("\n"), colour(source, "python").split("\n")
        docstrings, places = find_docstrings(tree), find_places(tree, anchor(name))
        html, in_code = "", False
        at, end = tree.body[0].end_lineno + 1, len(source.rstrip().split("\n"))
        while at <= end:
            if at in docstrings:
                node, words = docstrings[at]
                html += "</pre>" if in_code else ""
                style = f"--i:{node.col_offset}"
                html += f'<div class="note" style="{style}">{self.document(words)}</div>\n'
                at, in_code = node.end_lineno + 1, False
            else:
                html += "" if in_code else "<pre>"
                html += self.code_line(lines[at - 1], shown[at - 1], places.get(at))
                at, in_code = at + 1, True
        return html + ("</pre>" if in_code else "")

    def code_line(self, line: str, shown: str, place: str | None) -> str:
        """A line of code; where a definition begins, `place` is its id and the name links to it."""
        if place:
            shown = re.sub(
                r'(<span class="(?:nc|nf|fm)">)(\w+)(</span>)',
                rf'\1<a href="#{place}">\2</a>\3',
                shown,
                count=1,
            )
        shown = re.sub(r'(<span class="nn">)minigan\.([\w.]+)(</span>)', self.import_link, shown)
        if len(line) > 88:  # there is no room to align comments
            shown = re.sub(r"(?<=\S) {3,}(?=<span class=\"c1\">)", "  ", shown)
        attribute = f' id="{place}"' if place else ""
        return f'<span class="l"{attribute} style="--i:{indent(line)}">{shown}\n</span>'

    def import_link(self, match: re.Match) -> str:
        """`minigan.nn.layer` in an import, as a link to its chapter."""
        name = match[2].replace(".", "/")
        if name not in self.order:
            return match[0]
        return f'{match[1]}minigan.<a href="#{anchor(name)}">{match[2]}</a>{match[3]}'

    # ---- chapters ----

    def figures(self, name: str) -> str:
        """The figures of a chapter, embedded in the file."""
        html = ""
        for pattern in FIGURES.get(name, []):
            found = sorted((self.folder / "docs").glob(pattern))
            if not found:
                raise BookError(
                    f"there is no docs/{pattern}, which FIGURES in docs/make_book.py puts into the"
                    f" chapter {name}"
                )
            for path in found:
                key = path.relative_to(self.folder / "docs").as_posix()
                caption = self.captions.get(key)
                if caption is None:
                    raise BookError(
                        f"docs/{key} has no caption: show it in README.md or in docs/*.md,"
                        f" as ![caption]({key})"
                    )
                url = data_url(path.name, path.read_bytes())
                html += (
                    f'<figure><img alt="{escape(caption)}" src="{url}">'
                    f"<figcaption>{escape(caption)}</figcaption></figure>\n"
                )
        kind = "figures many" if html.count("<figure>") > 2 else "figures"
        return f'<div class="{kind}">{html}</div>\n' if html else ""

    def title_and_text(self, name: str) -> tuple:
        """The first sentence of the docstring of a module, and what follows it."""
        title, _, words = ast.get_docstring(self.trees[name]).partition("\n\n")
        return join(title.split("\n")), words

    def chapter(self, i: int) -> str:
        """The chapter of a module: prose on the left, code on the right."""
        name = self.here = self.order[i]
        title, words = self.title_and_text(name)
        around = ""
        if i > 0:
            before = self.order[i - 1]
            around += f'<a href="#{anchor(before)}" rel="prev">← {before}</a> '
        if i + 1 < len(self.order):
            after = self.order[i + 1]
            around += f'<a href="#{anchor(after)}" rel="next">{after} →</a> '
        return (
            f'<article id="{anchor(name)}"><header>'
            f'<p class="where"><span>{i + 1}</span> minigan/{name}.py</p>'
            f"<h2>{self.text(title)}</h2></header>\n"
            f'<div class="page"><div class="prose">{self.document(words)}'
            f"{self.figures(name)}</div>\n"
            f'<div class="code">{self.code(name)}</div></div>\n'
            f'<footer>{around}<a href="#contents">contents</a></footer></article>\n'
        )

    def appendix(self, name: str) -> str:
        """A document in Markdown, in one column."""
        self.here = FRONT
        try:
            title, html = appendix(self, name)
        except ModuleNotFoundError:
            raise BookError('the book needs markdown-it-py: pip install -e ".[book]"') from None
        except ValueError as error:
            raise BookError(str(error)) from None
        return (
            f'<article id="{name}" class="one"><header><p class="where">docs/{name}.md</p>'
            f"<h2>{title}</h2></header>\n"
            f'<div class="prose">{html}</div>\n'
            '<footer><a href="#contents">contents</a></footer></article>\n'
        )

    def coloured(self, source: str, language: str) -> list[str]:
        """The lines of some code; without colours if Pygments does not know the language."""
        if language not in ("python", "pycon", "sh"):
            return escape(source).split("\n")
        return colour(source, language).split("\n")

    def front(self) -> str:
        """Title, contents and notation, from the docstring of minigan/__init__.py."""
        self.here = FRONT
        title, words = self.title_and_text(FRONT)
        name, _, subtitle = title.partition(": ")
        before, listed, after = self.split_contents(words.split("\n"))
        rows = ""
        for line in listed:
            entry = re.match(r" {4}((?:\w+/)*\w+)  +\S", line)
            if entry and entry[1] in self.order:
                number, words = self.order.index(entry[1]) + 1, dict(self.contents)[entry[1]]
                rows += (
                    f'<li><span>{number}</span> <a href="#{anchor(entry[1])}">{entry[1]}</a>'
                    f" <span>{self.text(words)}</span></li>\n"
                )
            elif line.strip() and not re.match(" {5}", line):
                rows += f'<li class="between">{self.text(line.strip(" -:"))}</li>\n'
        rows += '<li class="between">Appendices</li>\n'
        for appendix_name, words in APPENDICES.items():
            rows += (
                f'<li><span></span> <a href="#{appendix_name}">{appendix_name}</a>'
                f" <span>{self.text(words)}</span></li>\n"
            )
        return (
            f'<article id="contents" class="front"><h1>{escape(name)}'
            f" <small>{self.text(subtitle)}</small></h1>\n"
            f"{self.figures(FRONT)}{self.document(chr(10).join(before))}"
            f"<nav><ol>{rows}</ol></nav>\n"
            f'<div class="letters">{self.document(chr(10).join(after))}</div></article>\n'
        )

    def split_contents(self, lines: list) -> tuple:
        """The lines before, within and after the reading order, which ends with its last entry."""
        seen, found = set(), []
        for i, line in enumerate(lines):
            entry = re.match(r" {4}((?:\w+/)*\w+)  +\S", line)
            if entry and entry[1] in self.order and entry[1] not in seen:
                seen.add(entry[1])
                found.append(i)
        start, end = found[0], found[-1] + 1
        heading = start - 1
        while heading > 0 and not lines[heading].strip():
            heading -= 1
        if not lines[heading - 1].strip() and not lines[heading].endswith("."):
            start = heading  # one line that is no sentence
        while end < len(lines) and re.match(r" {5,}\S", lines[end]):
            end += 1
        return lines[:start], lines[start:end], lines[end:]

    def html(self) -> str:
        """The whole book."""
        menu = '<a href="#contents">minigan</a>\n'
        for i, name in enumerate(self.order):
            menu += f'<a href="#{anchor(name)}">{i + 1} {name}</a>\n'
        for name in APPENDICES:
            menu += f'<a href="#{name}">{name}</a>\n'
        chapters = "".join(self.chapter(i) for i in range(len(self.contents)))
        appendices = "".join(self.appendix(name) for name in APPENDICES)
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="color-scheme" content="light dark">\n'
            '<link rel="icon" href="data:,">\n<title>minigan, the book</title>\n'
            f"<style>\n{read('docs/book.css', DOCS.parent)}</style></head>\n<body>\n"
            f'<details class="menu"><summary>Contents</summary><nav>{menu}</nav></details>\n'
            f"<main>\n{self.front()}{chapters}{appendices}</main>\n"
            f"<script>{SCRIPT}</script>\n</body></html>\n"
        )


def indent(line: str) -> int:
    """The number of spaces at the beginning of a line."""
    return len(line) - len(line.lstrip())


def dedent(lines: list[str]) -> list[str]:
    """Lines without their common indentation."""
    common = min(map(indent, lines))
    return [line[common:] for line in lines]


def join(lines: list[str]) -> str:
    """The lines of a paragraph as one line."""
    return " ".join(line.strip() for line in lines)


def is_heading(lines: list[str]) -> bool:
    """Whether the first of these lines is a heading: not indented, while the next line is."""
    if len(lines) < 2 or re.search(r"\S {3}", lines[0]):
        return False
    return indent(lines[0]) == 0 and indent(lines[1]) >= 4


def find_docstrings(tree: ast.Module) -> dict:
    """{first line: (node, text)} of the docstrings of all functions and classes."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            words = ast.get_docstring(node)
            if words is not None:
                found[node.body[0].lineno] = node.body[0], words
    return found


def find_places(tree: ast.Module, chapter: str) -> dict:
    """{line: id} of the functions, classes and methods of a module."""
    found = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found[node.lineno] = f"{chapter}.{node.name}"
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    found[part.lineno] = f"{chapter}.{node.name}.{part.name}"
    return found


def begins(line: str, column: int) -> bool:
    """Whether a part of the line begins in this column: after two spaces, or after a colon."""
    if column >= len(line) or line[column] == " " or line[column - 1] != " ":
        return False
    if line[column - 2] == " ":
        return True
    return line[column - 2] == ":" and " " not in line[: column - 1].strip()


def shared_columns(lines: list[str]) -> list[int]:
    """The columns of a table. 0 is always one; others need several lines in which a part begins."""
    gap = r"(?<=[^ ])(?<![.;]) {2,}(?=[^ ])|(?<=[^ ]) {3,}(?=[^ ])"
    starts = {match.end() for line in lines for match in re.finditer(gap, line)}
    shared = [0]
    for column in sorted(starts):
        parts = [line for line in lines if begins(line, column)]
        continued = any(indent(line) == column for line in lines)  # a cell of several lines
        in_table = [
            line
            for line in parts
            if any(begins(line, c) or indent(line) == c > 0 for c in shared[1:])
        ]
        often = 2 * len(parts) >= len(lines) or len(in_table) > 2
        if len(parts) + continued > 1 and (continued or often):
            shared.append(column)
    return shared


def continues(before: str, words: str) -> bool:
    """Whether a line of a cell continues the sentence before it; a formula may not."""
    if re.search(r"\S {3,}\S", before + "\n" + words) or formula(before):
        return False
    return not formula(words) or not before.endswith((".", ":"))


def cells_of(line: str, columns: list[int]) -> dict:
    """{column: words} of a line of a table."""
    starts = [column for column in columns if column == indent(line) or begins(line, column)]
    if not starts:  # a continued cell, indented a little further
        return {max(column for column in columns if column < indent(line)): line.strip()}
    gap = re.search(r"(?<=\S)  +(?=\S)", line)
    if starts == [0] and len(columns) == 2 and gap:  # a term longer or shorter than the others
        return {0: line[: gap.start()], columns[1]: line[gap.end() :]}
    return {start: line[start:end].strip() for start, end in zip(starts, [*starts[1:], None])}


def colour(source: str, language: str) -> str:
    """Code with its parts in spans, which book.css colours."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import get_lexer_by_name
    except ModuleNotFoundError:
        raise BookError('the book needs Pygments: pip install -e ".[book]"') from None
    lexer = get_lexer_by_name(language, stripnl=False)
    html = highlight(source, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    plain = r'<span class="(?:n|na|nb|ne|o|p|w|bp|vm|nl)">([^<]*)</span>'  # parts without a colour
    return re.sub(plain, r"\1", html)


def unused_figures(book: Book) -> list[str]:
    """The figures of README.md and docs/*.md that are not in the book."""
    shown = [pattern for patterns in FIGURES.values() for pattern in patterns]
    return [
        figure
        for figure in sorted(book.captions)
        if figure.endswith((".png", ".gif", ".svg"))
        and not any(f"]({figure})" in document for document in book.markdown.values())
        and not any(Path(figure).match(pattern) for pattern in shown)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make the book, one HTML file, from minigan.")
    out_help = "where to write it (default: docs/tutorial.html)"
    parser.add_argument("--out", type=Path, default=DOCS / "tutorial.html", help=out_help)
    out = parser.parse_args(arguments).out
    try:
        book = Book(DOCS.parent)
        html = book.html()
        out.write_text(html, encoding="utf-8")
    except BookError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{out} cannot be written ({error.strerror}): choose another --out")
    for figure in unused_figures(book):
        print(f"docs/{figure} is in no chapter: FIGURES in docs/make_book.py could give it one")
    print(f"{out}: {len(book.contents)} chapters, {len(html.encode()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
