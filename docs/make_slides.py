"""Slides for class: `python docs/make_slides.py` writes docs/slides.html, one file.

The file needs no network. The slides are those of docs/slides.md, where `---` separates them, with
the figures of the book. In a browser, the arrow keys go from slide to slide; printed to PDF, every
slide has a page.

Needs Pygments and markdown-it-py: pip install -e ".[book]"
"""

import argparse
import re
import sys
from pathlib import Path

from appendices import Rules
from make_book import DOCS, POLICY, Book, BookError, read

SEPARATOR = "\n---\n"
STYLE = """
html { scroll-snap-type: y mandatory; }
body { font-size: 3.4vmin; }
section { height: 100vh; padding: 5vh 8vw; scroll-snap-align: start; display: flex;
  flex-direction: column; justify-content: center; position: relative; overflow: hidden; }
section h1 { font-size: 7vmin; margin: 0 0 3vh; text-align: center; }
section h2 { font-size: 5vmin; margin: 0 0 3vh; max-width: none; }
section p, section li { margin: 1.2vh 0; max-width: 56em; }
section .display { font-size: 1.25em; margin: 2vh 0; }
section img { display: block; margin: 0 auto; max-width: 100%; height: 58vh; object-fit: contain; }
section p:only-of-type img { height: 72vh; }
section .title p { text-align: center; max-width: none; }
section pre { font-size: .75em; }
section footer { position: absolute; right: 2vw; bottom: 2vh; color: var(--soft); font-size: .7em; }
@page { size: 32cm 18cm; margin: 0; }
@media print {
  body { font-size: 23px; background: none; }
  section { height: 17.9cm; padding: 1cm 2cm; break-after: page; }
  section h1 { font-size: 44px; } section h2 { font-size: 30px; } section img { height: 10cm; }
  section p:only-of-type img { height: 13cm; }
}
"""
SCRIPT = """
const slides = [...document.querySelectorAll("section")];
const now = () => Math.round(scrollY / innerHeight);
addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const step = {ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1, ArrowLeft: -1, ArrowUp: -1,
    PageUp: -1, Home: -slides.length, End: slides.length}[event.key];
  if (!step) return;
  event.preventDefault();
  const next = Math.max(0, Math.min(slides.length - 1, now() + step));
  slides[next].scrollIntoView();
});
"""


def render_slide(book: Book, source: str) -> str:
    """The HTML of one slide, in Markdown. A link stays if it leads to the web."""
    from markdown_it import MarkdownIt

    markdown = MarkdownIt("commonmark").enable("table")
    markdown.renderer.rules |= Rules(book, "slides").by_kind()
    html = markdown.render(source.strip() + "\n")
    return re.sub(r'<a href="#[^"]*">(.*?)</a>', r"\1", html, flags=re.DOTALL)


def render(folder: Path) -> str:
    """All slides of a copy of the repository, as an HTML file."""
    book = Book(folder)
    sources = read("docs/slides.md", folder).split(SEPARATOR)
    title = re.search("^# (.*)$", sources[0], re.MULTILINE)
    if not title:
        raise BookError("docs/slides.md does not begin with its title, `# ...`")
    slides = "".join(
        f'<section><div class="{"title" if source.strip().startswith("# ") else "slide"}">\n'
        f"{render_slide(book, source)}</div><footer>{number} / {len(sources)}</footer></section>\n"
        for number, source in enumerate(sources, 1)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}" />\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1" />\n'
        f"<title>{title[1]}</title>\n<style>\n{read('docs/book.css', folder)}{STYLE}</style>\n"
        f"</head>\n<body>\n{slides}<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def main(args: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=DOCS / "slides.html", help="default: docs/slides.html"
    )
    options = parser.parse_args(args)
    try:
        html = render(DOCS.parent)
        options.out.write_text(html, encoding="utf-8")
    except ModuleNotFoundError as error:
        print(f'{error}: pip install -e ".[book]" installs what the slides need', file=sys.stderr)
        return 2
    except (BookError, OSError) as error:
        print(f"make_slides.py: {error}", file=sys.stderr)
        return 2
    print(f"{html.count('<section>')} slides in {options.out} ({len(html) / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
