"""Appendices: documents in Markdown as chapters of the book.

Formulas are set as in the other chapters. The book is one file, so a link to a module leads to its
chapter, and a link to another appendix leads there. Links to the web are kept; of any other link
only the words remain.
"""

import base64
import re
from html import escape
from pathlib import PurePosixPath


def appendix(book, name: str) -> tuple[str, str]:
    """(title, HTML) of docs/NAME.md; ValueError if it does not begin with a title."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark").enable("table")
    markdown.renderer.rules |= Rules(book, name).by_kind()
    tokens = markdown.parse(book.markdown[name])
    kinds = [token.type for token in tokens[:3]]
    if kinds != ["heading_open", "inline", "heading_close"] or tokens[0].tag != "h1":
        raise ValueError(f"docs/{name}.md does not begin with its title, `# ...`")
    for token, content in zip(tokens, tokens[1:]):
        if token.type in ("heading_open", "heading_close") and token.tag != "h1":
            token.tag = f"h{int(token.tag[1]) + 1}"  # the chapter has the h2
            if token.type == "heading_open":
                token.attrSet("id", f"{name}.{slug(text_of(content))}")
    title = markdown.renderer.render(tokens[1:2], markdown.options, {})
    html = markdown.renderer.render(tokens[3:], markdown.options, {})
    html = html.replace("<table>", '<div class="table"><table>')
    return title, html.replace("</table>", "</table></div>")


class Rules:
    """How markdown-it renders the tokens of docs/NAME.md that are special in the book."""

    def __init__(self, book, name: str):
        self.book, self.name = book, name
        self.links: list[str] = []  # the targets of the links that are open; "" without a target

    def by_kind(self) -> dict:
        """{kind of token: its rule}. Comments, which are HTML, are left out."""
        return {
            "image": self.image,
            "text": self.text,
            "code_block": self.code_block,
            "link_open": self.link_open,
            "link_close": self.link_close,
            "fence": self.fence,
            "html_block": self.nothing,
            "html_inline": self.nothing,
        }

    def nothing(self, tokens, i, options, env):
        return ""

    def image(self, tokens, i, options, env):
        source = tokens[i].attrs["src"]
        url = data_url(source, self.book.bytes(f"docs/{source}"))
        return f'<img alt="{escape(tokens[i].content)}" src="{url}" />'

    def text(self, tokens, i, options, env):
        words = tokens[i].content
        return escape(words) if any(self.links) else self.book.text(words)

    def link_open(self, tokens, i, options, env):
        place = target(self.book, self.name, tokens[i].attrs["href"])
        self.links.append(place)
        return f'<a href="{escape(place)}">' if place else ""

    def link_close(self, tokens, i, options, env):
        return "</a>" if self.links.pop() else ""

    def fence(self, tokens, i, options, env):
        lines = tokens[i].content.rstrip("\n").split("\n")
        if lines[0].startswith(">>> "):
            return self.book.console(lines)
        coloured = self.book.coloured("\n".join(lines), tokens[i].info.strip())
        return f'<pre class="console">{chr(10).join(coloured)}\n</pre>\n'

    def code_block(self, tokens, i, options, env):
        """An indented block: formulas, or a doctest."""
        lines = tokens[i].content.rstrip("\n").split("\n")
        if lines[0].startswith(">>> "):
            return self.book.console(lines)
        return f'<div class="display">{"".join(map(self.book.line, lines))}</div>\n'


def anchor(name: str) -> str:
    """The id of the chapter of a module such as nn/layer."""
    return name.replace("/", "-")


def data_url(name: str, content: bytes) -> str:
    """A figure as a URL that contains it."""
    kind = name.rpartition(".")[2].replace("svg", "svg+xml")
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def slug(words: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")


def text_of(token) -> str:
    """The words of a heading."""
    shown = [child for child in token.children if child.type in ("text", "code_inline")]
    return "".join(child.content for child in shown)


def target(book, name: str, link: str) -> str:
    """Where a link of docs/NAME.md leads in the book; "" if it has no target there."""
    if link.startswith("https://"):
        return link
    path, _, place = link.partition("#")
    if not path:
        return f"#{name}.{place}" if place else ""
    if path.startswith("../minigan/"):
        chapter = path.removeprefix("../minigan/").removesuffix(".py")
        return f"#{anchor(chapter)}" if chapter in book.order else ""
    document = PurePosixPath(path)
    if document.suffix == ".md" and document.stem in book.markdown:
        return f"#{document.stem}.{place}" if place else f"#{document.stem}"
    return ""
