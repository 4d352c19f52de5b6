"""The book: `python docs/make_book.py` writes docs/tutorial.html, all pages of minigan/ in one file that opens offline.

Everything in it is read from the sources: order and one-liners from minigan/__init__.py, prose and formulas from the
docstrings (formulas.py sets them), code from the code (Pygments colours it), captions from README.md and docs/*.md. The
appendices are pages in Markdown (appendices.py reads them). Only which figure stands in which chapter, and what the appendices
are, is said here. It needs Pygments and markdown-it-py: pip install -e ".[book]"
"""
import argparse
import ast
import base64
import hashlib
import re
import sys
from html import escape
from pathlib import Path

from appendices import appendix
from formulas import formula, inline

DOCS = Path(__file__).resolve().parent
FIGURES = {  # chapter: its figures, in docs/
    "__init__": ["digits.png"],
    "adversarial": ["losses.png"],
    "gan": ["digits.png"],
    "recipes": ["recipes/*.png"],
    "training": ["race.png", "growth.png"],
    "drawing": ["conditional.png"],
    "evaluation": ["neighbours.png"],
    "toy": ["toy.gif"],
}
APPENDICES = {"answers": "questions that everybody asks, each answered by a run", "mistakes": "famous mistakes, seen at work"}
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"  # nothing is loaded
CODE = re.compile(r"[A-Za-z]\w*\.[A-Za-z]\w+\(|^ *python |\w\[\.\.\.\]")  # a line like this is code, not a formula
SCRIPT = """
// Beside a long column the short one stays in sight: it scrolls along until its end shows, and then rests.
const rest = () => document.querySelectorAll(".prose, .code").forEach(column =>
  column.style.top = Math.min(16, innerHeight - column.offsetHeight - 16) + "px");
addEventListener("resize", rest); addEventListener("load", rest);
const menu = document.querySelector(".menu");
addEventListener("click", event => { if (menu.open && event.target.closest("summary") !== menu.firstElementChild) menu.open = false; });
"""


class BookError(Exception):
    """The sources lack something that the book needs; the message says what."""


def read(path, folder):
    """A text file below the repository's folder."""
    try:
        return (folder / path).read_text(encoding="utf-8")
    except OSError as error:
        raise BookError(f"{folder / path} cannot be read ({error.strerror}): is {folder} a copy of minigan?") from None


class Book:
    """All that the chapters need to know of each other. `folder` is the repository's."""

    def __init__(self, folder):
        self.folder, self.sources = folder, {}
        front = read("minigan/__init__.py", folder)
        self.contents = re.findall(r"^ +(\d+)  (\w+) +(\S.*)$", front, re.MULTILINE)
        if not self.contents:
            raise BookError("the docstring of minigan/__init__.py has no reading order: lines like `  1  layer  the contract`")
        self.order = [name for _, name, _ in self.contents]
        self.sources = {name: read(f"minigan/{name}.py", folder) for name in ["__init__", *self.order]}
        self.trees = {name: ast.parse(source) for name, source in self.sources.items()}
        self.places = {}  # public names that are defined on one page only, to link to them
        for name in self.order:
            for node in self.trees[name].body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    self.places[node.name] = None if node.name in self.places else f"{name}.{node.name}"
        self.markdown = {name: read(f"docs/{name}.md", folder) for name in APPENDICES}
        self.captions = {}
        for path in [folder / "README.md", *sorted((folder / "docs").glob("*.md"))]:
            for caption, figure in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
                self.captions[figure.removeprefix("docs/")] = caption or Path(figure).stem

    def bytes(self, path):
        """A file, such as a picture, as it is."""
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise BookError(f"{self.folder / path} cannot be read ({error.strerror})") from None

    # ---- text ----

    def text(self, words):
        """Prose as HTML: `code`, *emphasis*, links to chapters and names, formulas."""
        html = ""
        for piece in re.split(r"(`[^`]+`|(?<![\w*])\*\w[^*\s]*(?: [^*\s]+){0,5}\*(?![\w*])|[\w/]*\b\w+\.py\b)", words):
            page = piece.removeprefix("minigan/").removesuffix(".py")
            if piece.startswith("`"):
                name = escape(piece[1:-1])
                place = self.places.get(piece[1:-1].partition("(")[0].rpartition(".")[2]) if re.fullmatch(r"[\w.]+(\(.*\))?", piece[1:-1]) else None
                html += f'<a href="#{place}"><code>{name}</code></a>' if place else f"<code>{name}</code>"
            elif piece.endswith(".py") and page in self.order:
                html += f'<a href="#{page}">{escape(piece)}</a>'
            elif piece.endswith(".py"):
                html += f'<code class="id">{escape(piece)}</code>'
            elif re.fullmatch(r"\*.+\*", piece):
                html += f"<em>{inline(piece[1:-1])}</em>"
            else:
                html += inline(piece) if piece.strip() else piece
        return html

    def document(self, words):
        """A docstring as HTML: heads, paragraphs, formulas, tables and examples."""
        html, lines, at, base = "", words.rstrip().split("\n"), 0, 0  # base: how far prose is indented, here
        while at < len(lines):
            if not lines[at].strip():
                at += 1
                continue
            end = next((i for i in range(at, len(lines)) if not lines[i].strip()), len(lines))
            if lines[at].startswith(">>> "):
                html, at = html + self.console(lines[at:end]), end
            elif at + 1 < end and indent(lines[at]) == 0 and indent(lines[at + 1]) >= 4 and not re.search(r"\S {3}", lines[at]):
                html, at, base = html + f"<h3>{self.head(lines[at])}</h3>\n", at + 1, 4
            else:
                html, at = html + self.block(lines[at:end], base), end
        return html

    def head(self, line):
        """A head, and in smaller letters where it comes from."""
        match = re.fullmatch(r"(.*?)  (\(.*\))", line)
        return f"{self.text(match[1])} <small>{self.text(match[2])}</small>" if match else self.text(line)

    def block(self, lines, base=0):
        """Lines without an empty one between them: a paragraph, a list, formulas, a table, or a drawing."""
        display = min(map(indent, lines)) >= base + 4
        lines = dedent(lines)
        if any(re.search("[│┌└]", line) for line in lines):  # a drawing
            return f'<pre class="drawing">{escape(chr(10).join(lines))}</pre>\n'
        if re.fullmatch(r"\w+  \([^()]*\)", lines[0]) and len(lines) > 1:
            return f"<h4>{self.head(lines[0])}</h4>\n" + self.block(lines[1:])
        if lines[0].startswith("- "):
            items = re.split(r"\n- ", "\n".join(lines)[2:])
            return "<ul>" + "".join(f"<li>{self.text(join(item.split(chr(10))))}</li>\n" for item in items) + "</ul>\n"
        columns = shared_columns(lines)
        if len(columns) > 1:
            return self.table(lines, columns)
        if display or len(lines) == 1 or any(re.search(r"\S {3,}\S", line) for line in lines):
            shown = [self.line(line) for line in lines]
            if len(lines) == 1 and not display and not re.search('<math|class="gap"|<div><code', shown[0]):
                return f"<p>{self.text(join(lines))}</p>\n"
            return f'<div class="display">{"".join(shown)}</div>\n'
        return f"<p>{self.text(join(lines))}</p>\n"

    def line(self, line):
        """A line that stands for itself: formulas, and remarks on them after a wide gap."""
        if CODE.search(line):
            return f'<div><code class="id">{escape(line.strip())}</code></div>\n'
        pieces = re.split(r"   +|(?<=[,;]) {2,}", line.strip())
        shown = '<span class="gap"> </span>'.join(self.piece(piece) for piece in pieces)
        far = ' class="far"' if indent(line) > 20 else ""
        return f"<div{far}>{shown}</div>\n" if shown else ""

    def piece(self, words):
        """A formula, a line of code, or a few words."""
        set_ = formula(words)
        if set_:
            return f'<span class="formula">{set_}</span>'
        return f"<span>{self.text(words)}</span>"

    def table(self, lines, columns):
        """Lines whose parts begin at the same places, as a table. A line that only goes on is joined to the one before."""
        rows = []
        for line in lines:
            cells = cells_of(line, columns)
            (start, words), *others = cells.items()
            if rows and start > 0 and not others and max(rows[-1]) == start and prose(rows[-1][start][-1]) and prose(words):
                rows[-1][start].append(words)
            else:
                rows.append({start: [words] for start, words in cells.items()})
        html = ""
        for cells in rows:
            starts = sorted(cells)
            before = columns.index(starts[0])
            html += "<tr>" + (f'<td colspan="{before}"></td>' if before else "")
            for start, end in zip(starts, [*starts[1:], None]):
                span = (len(columns) if end is None else columns.index(end)) - columns.index(start)
                words = cells[start]
                term = ' class="term"' if start == 0 and len(words[0]) <= 16 and len(starts) > 1 and "=" not in words[0] else ""
                inner = self.line(words[0]) if len(words) == 1 and not term else self.text(join(words))
                html += f'<td{term} colspan="{span}">{inner}</td>'
            html += "</tr>\n"
        kind = "table many" if len(columns) > 3 else "table"
        return f'<div class="{kind}"><table>' + html.replace(' colspan="1"', "") + "</table></div>\n"

    def console(self, lines):
        """A doctest."""
        shown = colour("\n".join(re.sub(r" {3,}#", "  #", line) for line in lines), "pycon").split("\n")
        return '<pre class="console">' + "".join(f'<span class="l" style="--i:4">{line}\n</span>' for line in shown) + "</pre>\n"

    # ---- code ----

    def code(self, name):
        """All of a page but its docstring: code, with the other docstrings as prose where they stand."""
        source, tree = self.sources[name], self.trees[name]
        lines, shown = source.split("\n"), colour(source, "python").split("\n")
        documents, anchors = {}, {}
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                first = node.body[0]
                if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                    documents[first.lineno] = first.end_lineno, first.col_offset, ast.get_docstring(node)
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                anchors[node.lineno] = f"{name}.{node.name}"
                anchors |= {part.lineno: f"{name}.{node.name}.{part.name}" for part in node.body if isinstance(part, ast.FunctionDef)}
        html, at, open_ = "", tree.body[0].end_lineno + 1, False
        end = len(source.rstrip().split("\n"))
        while at <= end:
            if at in documents:
                at, column, words = documents[at][0] + 1, documents[at][1], documents[at][2]
                html += "</pre>" * open_ + f'<div class="note" style="--i:{column}">{self.document(words)}</div>\n'
                open_ = False
                continue
            if not open_:
                html, open_ = html + "<pre>", True
            html += self.code_line(lines[at - 1], shown[at - 1], anchors.get(at))
            at += 1
        return html + "</pre>" * open_

    def code_line(self, line, shown, anchor):
        """A line that, where it is too long, goes on a little to the right of where it began."""
        if anchor:  # the name links to itself, for those who want to pass on where they are
            shown = re.sub(r'(<span class="(?:nc|nf|fm)">)(\w+)(</span>)', rf'\1<a href="#{anchor}">\2</a>\3', shown, count=1)
        for page in self.order:
            shown = re.sub(rf'(<span class="nn">)minigan\.{page}(</span>)', rf'\1minigan.<a href="#{page}">{page}</a>\2', shown)
        if len(line) > 88:  # no room for comments in a column of their own
            shown = re.sub(r"(?<=\S) {3,}(?=<span class=\"c1\">)", "  ", shown)
        at = f' id="{anchor}"' if anchor else ""
        return f'<span class="l"{at} style="--i:{indent(line)}">{shown}\n</span>'

    # ---- chapters ----

    def figures(self, name):
        """The figures of a chapter, inside the file."""
        html = ""
        for pattern in FIGURES.get(name, []):
            found = sorted((self.folder / "docs").glob(pattern))
            if not found:
                raise BookError(f"there is no docs/{pattern}, which FIGURES in docs/make_book.py puts into the chapter {name}")
            for path in found:
                key = path.relative_to(self.folder / "docs").as_posix()
                caption = self.captions.get(key)
                if caption is None:
                    raise BookError(f"docs/{key} has no caption: show it in README.md or in docs/*.md, as ![caption]({key})")
                data = base64.b64encode(path.read_bytes()).decode()
                html += (f'<figure><img alt="{escape(caption)}" src="data:image/{path.suffix[1:]};base64,{data}">'
                         f"<figcaption>{escape(caption)}</figcaption></figure>\n")
        return f'<div class="{"figures many" if html.count("<figure>") > 2 else "figures"}">{html}</div>\n' if html else ""

    def chapter(self, i):
        """A page: prose left, code right."""
        number, name, _ = self.contents[i]
        title, _, words = ast.get_docstring(self.trees[name]).partition("\n")
        around = [f'<a href="#{self.order[j]}" rel="{rel}">{mark}{self.order[j]}{end}</a>' for j, rel, mark, end in
                  ((i - 1, "prev", "← ", ""), (i + 1, "next", "", " →")) if 0 <= j < len(self.order)]
        return (f'<article id="{name}"><header><p class="where"><span>{number}</span> minigan/{name}.py</p>'
                f"<h2>{self.text(title)}</h2></header>\n"
                f'<div class="page"><div class="prose">{self.document(words)}{self.figures(name)}</div>\n'
                f'<div class="code">{self.code(name)}</div></div>\n<footer>{" ".join(around)} <a href="#contents">contents</a></footer></article>\n')

    def appendix(self, name):
        """A page in Markdown, in one column."""
        try:
            title, html = appendix(self, name)
        except ModuleNotFoundError:
            raise BookError('the book needs markdown-it-py: pip install -e ".[book]"') from None
        except ValueError as error:
            raise BookError(str(error)) from None
        return (f'<article id="{name}" class="one"><header><p class="where">docs/{name}.md</p><h2>{title}</h2></header>\n'
                f'<div class="prose">{html}</div>\n<footer><a href="#contents">contents</a></footer></article>\n')

    def coloured(self, source, language):
        """Lines of code as HTML; those of a language that Pygments does not know, or of none, without colours."""
        return colour(source, language).split("\n") if language in ("python", "pycon", "sh") else escape(source).split("\n")

    def front(self):
        """Title, contents and letters, from the docstring of minigan/__init__.py."""
        title, _, words = ast.get_docstring(self.trees["__init__"]).partition("\n")
        name, _, subtitle = title.partition(": ")
        lines = words.split("\n")
        numbered = [i for i, line in enumerate(lines) if re.match(r" +\d+  \w+ +\S", line)]
        before, listed, after = lines[:numbered[0]], lines[numbered[0]:numbered[-1] + 1], lines[numbered[-1] + 1:]
        rows = ""
        for line in listed:
            match = re.match(r" +(\d+)  (\w+) +(\S.*)", line)
            if match:
                rows += (f'<li><span>{match[1]}</span> <a href="#{match[2]}">{match[2]}</a> <span>{self.text(match[3])}</span></li>\n')
            else:
                rows += f'<li class="between">{self.text(line.strip(" -"))}</li>\n'
        rows += '<li class="between">and at the end, to look things up</li>\n' + "".join(
            f'<li><span></span> <a href="#{name}">{name}</a> <span>{self.text(words)}</span></li>\n' for name, words in APPENDICES.items())
        return (f'<article id="contents" class="front"><h1>{escape(name)} <small>{self.text(subtitle)}</small></h1>\n{self.figures("__init__")}{self.document(chr(10).join(before))}'
                f'<nav><ol>{rows}</ol></nav>\n<div class="letters">{self.document(chr(10).join(after))}</div></article>\n')

    def html(self):
        """The book."""
        menu = "".join(f'<a href="#{name}">{number} {name}</a>\n' for number, name, _ in self.contents)
        menu += "".join(f'<a href="#{name}">{name}</a>\n' for name in APPENDICES)
        chapters = "".join(self.chapter(i) for i in range(len(self.contents))) + "".join(map(self.appendix, APPENDICES))
        return (f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">\n'
                f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n<meta name="color-scheme" content="light dark">\n'
                f'<meta name="sources" content="{self.fingerprint()}">\n<link rel="icon" href="data:,">\n<title>minigan, the book</title>\n'
                f"<style>\n{read('docs/book.css', DOCS.parent)}</style></head>\n<body>\n"
                f'<details class="menu"><summary>Contents</summary><nav><a href="#contents">minigan</a>\n{menu}</nav></details>\n'
                f"<main>\n{self.front()}{chapters}</main>\n<script>{SCRIPT}</script>\n</body></html>\n")

    def fingerprint(self):
        """A hash of all that the book is made from. It is in the book, so that one can see whether it is out of date."""
        digest = hashlib.sha256()
        for name in ["formulas.py", "appendices.py", "make_book.py", "book.css"]:
            digest.update(read(f"docs/{name}", DOCS.parent).encode())
        for name, source in self.sources.items():
            digest.update(f"{name}\n{source}".encode())
        for part in [*map(self.figures, FIGURES), *map(self.appendix, APPENDICES)]:
            digest.update(part.encode())
        return digest.hexdigest()


def indent(line):
    """How many spaces a line begins with."""
    return len(line) - len(line.lstrip())


def dedent(lines):
    """Lines without the indentation that all of them have."""
    common = min(map(indent, lines))
    return [line[common:] for line in lines]


def join(lines):
    """Lines of a paragraph as one."""
    return " ".join(line.strip() for line in lines)


def boundary(line, column):
    """Does something new begin in this column?"""
    return (column < len(line) and line[column] != " " and line[column - 1] == " "
            and (line[column - 2] == " " or line[column - 2] == ":" and " " not in line[:column - 1].strip()))


def shared_columns(lines):
    """The columns of a table: where the parts of lines begin, in at least half of them or where a line goes on. 0 is always one."""
    starts = {match.end() for line in lines for match in re.finditer(r"(?<=[^ ])(?<![.;]) {2,}(?=[^ ])|(?<=[^ ]) {3,}(?=[^ ])", line)}
    shared = [0]
    for column in sorted(starts):
        parts, goes_on = [line for line in lines if boundary(line, column)], any(indent(line) == column for line in lines)
        third = sum(any(boundary(line, c) or indent(line) == c > 0 for c in shared[1:]) for line in parts)
        if len(parts) + goes_on > 1 and (goes_on or 2 * len(parts) >= len(lines) or third > 2):
            shared.append(column)
    return shared


def prose(words):
    """May these words be joined with what goes on after them?"""
    return not re.search(r"\S {3,}\S", words) and not formula(words)


def cells_of(line, columns):
    """{column: words} of a line of a table."""
    starts = [column for column in columns if column == indent(line) or boundary(line, column)]
    if not starts:  # it goes on, a little further to the right
        return {max(column for column in columns if column < indent(line)): line.strip()}
    gap = re.search(r"(?<=\S)  +(?=\S)", line)
    if starts == [0] and len(columns) == 2 and gap:  # a term that is longer than the others, or shorter
        return {0: line[:gap.start()], columns[1]: line[gap.end():]}
    return {start: line[start:end].strip() for start, end in zip(starts, [*starts[1:], None])}


def colour(source, language):
    """Code as HTML, its parts in spans that book.css colours, line by line."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import get_lexer_by_name
    except ModuleNotFoundError:
        raise BookError('the book needs Pygments: pip install -e ".[book]"') from None
    html = highlight(source, get_lexer_by_name(language, stripnl=False), HtmlFormatter(nowrap=True)).rstrip("\n")
    return re.sub(r'<span class="(?:n|na|nb|ne|o|p|w|bp|vm|nl)">([^<]*)</span>', r"\1", html)  # parts that have no colour of their own


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Make the book, one HTML file, from the pages of minigan/.")
    parser.add_argument("--out", type=Path, default=DOCS / "tutorial.html", help="where to write it (default: docs/tutorial.html)")
    out = parser.parse_args(arguments).out
    try:
        book = Book(DOCS.parent)
        html = book.html()
        out.write_text(html, encoding="utf-8")
    except BookError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{out} cannot be written ({error.strerror}): choose another --out")
    for figure in sorted(book.captions):
        if figure.endswith((".png", ".gif")) and not any(f"]({figure})" in page for page in book.markdown.values()) and not any(Path(figure).match(pattern) for patterns in FIGURES.values() for pattern in patterns):
            print(f"docs/{figure} stands in no chapter: FIGURES in docs/make_book.py could give it one")
    print(f"{out}: {len(book.contents)} chapters, {len(html.encode()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
