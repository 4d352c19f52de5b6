"""docs/make_slides.py: every slide has its figures, and nothing is loaded from elsewhere."""

import doctest
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("pygments", reason='slides need Pygments: pip install -e ".[book]"')
pytest.importorskip("markdown_it", reason='slides need markdown-it-py: pip install -e ".[book]"')
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "docs"))
import make_slides  # noqa: E402
from appendices import data_url  # noqa: E402

SOURCE = (ROOT / "docs" / "slides.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def html():
    return make_slides.render(ROOT)


def test_every_slide_has_its_title_and_its_figures(html):
    slides = re.findall(r"<section>(.*?)</section>", html, re.DOTALL)
    sources = SOURCE.split(make_slides.SEPARATOR)
    assert len(slides) == len(sources) > 15
    for slide, source in zip(slides, sources):
        assert re.match(r"#{1,2} \S", source.strip()), source
        assert slide.count("<h1>") + slide.count("<h2>") == 1
        for caption, figure in re.findall(r"!\[(.*?)\]\((.*?)\)", source):
            assert data_url(figure, (ROOT / "docs" / figure).read_bytes()) in slide, figure
            assert caption


def test_the_file_loads_nothing_and_leads_nowhere(html):
    assert not re.search(r"""(?:src|href)=["'](?!data:)""", html)
    assert "default-src 'none'" in html and "<h1>" in html


def test_a_formula_is_set_and_code_is_coloured(html):
    assert html.count("<math") > 5 and 'class="console"' in html


def test_the_examples_on_the_slides_run():
    test = doctest.DocTestParser().get_doctest(SOURCE, {}, "slides.md", "slides.md", 0)
    assert len(test.examples) > 3
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_command_writes_a_file_or_says_why_not(tmp_path, capsys):
    assert make_slides.main(["--out", str(tmp_path / "slides.html")]) == 0
    assert "slides in" in capsys.readouterr().out and (tmp_path / "slides.html").is_file()
    assert make_slides.main(["--out", str(tmp_path / "nowhere" / "slides.html")]) == 2
    error = capsys.readouterr().err
    assert "nowhere" in error and error.count("\n") == 1


def test_without_a_title_or_a_figure_there_are_no_slides(monkeypatch):
    plain = make_slides.read

    def changed(text):
        return lambda path, folder: text if path == "docs/slides.md" else plain(path, folder)

    monkeypatch.setattr(make_slides, "read", changed("no title"))
    with pytest.raises(make_slides.BookError, match="does not begin with its title"):
        make_slides.render(ROOT)
    monkeypatch.setattr(make_slides, "read", changed("# Title\n\n![words](gone.png)\n"))
    with pytest.raises(make_slides.BookError, match="gone.png"):
        make_slides.render(ROOT)
