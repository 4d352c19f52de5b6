"""Pages in Markdown as chapters of the book: markdown-it reads them; pictures, links and examples are fitted in here.

Formulas are set as on the other pages. The book is one file, so a link to a page of minigan/ goes to its chapter, and one to
another appendix goes there; those to the web stay, and of any other only the words are left.
"""
import base64
import re
from html import escape
from pathlib import PurePosixPath


def slug(words):
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")


def appendix(book, name):
    """(title, HTML) of docs/NAME.md."""
    from markdown_it import MarkdownIt

    markdown, depth = MarkdownIt("commonmark").enable("table"), []

    def image(self, tokens, i, options, env):
        source, words = tokens[i].attrs["src"], escape(tokens[i].content)
        data = base64.b64encode(book.bytes(f"docs/{source}")).decode()
        return f'<img alt="{words}" src="data:image/{PurePosixPath(source).suffix[1:]};base64,{data}" />'

    def link(self, tokens, i, options, env):
        depth.append(place := target(book, name, tokens[i].attrs["href"]))
        return f'<a href="{escape(place)}">' if place else ""

    def link_end(self, tokens, i, options, env):
        return "</a>" if depth.pop() else ""

    def fence(self, tokens, i, options, env):
        lines = tokens[i].content.rstrip("\n").split("\n")
        if lines[0].startswith(">>> "):
            return book.console(lines)
        return '<pre class="console">' + "\n".join(book.coloured("\n".join(lines), tokens[i].info.strip())) + "\n</pre>\n"

    def formulas(self, tokens, i, options, env):  # what is indented
        return '<div class="display">' + "".join(map(book.line, tokens[i].content.rstrip("\n").split("\n"))) + "</div>\n"

    def words(self, tokens, i, options, env):
        return escape(tokens[i].content) if any(depth) else book.text(tokens[i].content)

    for kind, rule in {"image": image, "text": words, "code_block": formulas, "link_open": link, "link_close": link_end, "fence": fence,
                       "html_block": lambda *_: "", "html_inline": lambda *_: ""}.items():  # comments, for whoever writes the page
        markdown.add_render_rule(kind, rule)
    tokens = markdown.parse(book.markdown[name])
    for token, inside in zip(tokens, tokens[1:]):
        if token.type == "heading_open" and token.tag != "h1":
            token.attrSet("id", f"{name}.{slug(plain(inside))}")
            token.tag = f"h{int(token.tag[1]) + 1}"
        if token.type == "heading_close" and token.tag != "h1":
            token.tag = f"h{int(token.tag[1]) + 1}"
    if [token.type for token in tokens[:3]] != ["heading_open", "inline", "heading_close"] or tokens[0].tag != "h1":
        raise ValueError(f"docs/{name}.md does not begin with its title, `# ...`")
    title = markdown.renderer.render(tokens[1:2], markdown.options, {})
    html = markdown.renderer.render(tokens[3:], markdown.options, {})
    return title, html.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")


def plain(token):
    """The words of a heading."""
    return "".join(child.content for child in token.children if child.type in ("text", "code_inline"))


def target(book, name, link):
    """Where a link of docs/NAME.md leads; "" where nothing can be linked to."""
    if link.startswith("https://"):
        return link
    path, _, place = link.partition("#")
    page = PurePosixPath(path)
    if not path and place:
        return f"#{name}.{place}"
    if page.suffix == ".py" and page.parent.name == "minigan" and page.stem in book.order:
        return f"#{page.stem}"
    if page.suffix == ".md" and page.stem in book.markdown:
        return f"#{page.stem}.{place}" if place else f"#{page.stem}"
    return ""
