"""The book itself: the reading order holds, pages are short and follow one from the other, and the core knows nothing of files."""
import ast
import doctest
import importlib
import io
import re
import sys
import tokenize
from pathlib import Path

import pytest

import minigan
from minigan.layer import Layer

FOLDER = Path(minigan.__file__).parent
sys.path.insert(0, str(FOLDER.parent / "docs"))
from formulas import Token, is_mathy, is_word, parts, tokens  # noqa: E402

ORDER = re.findall(r"^ {4,5}\d+  (\w+)", minigan.__doc__, re.MULTILINE)
CORE = ORDER[:ORDER.index("spectral") + 1]
SOURCE = {page: (FOLDER / f"{page}.py").read_text(encoding="utf-8") for page in ORDER}
TREE = {page: ast.parse(source) for page, source in SOURCE.items()}
DEFINITION = (ast.FunctionDef, ast.ClassDef)
LAYERS = [page for page in CORE if page != "layer" and any(isinstance(node, ast.ClassDef) and any(
    getattr(base, "id", "") in ("Layer", "LeakyReLU") for base in node.bases) for node in TREE[page].body)]


def imports(page):
    """Every (module, name) that a page imports, minigan's own modules without their prefix; name is "" for a whole module."""
    for node in ast.walk(TREE[page]):
        if isinstance(node, ast.Import):
            yield from ((name.name, "") for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "minigan":
            yield from ((name.name, "") for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module.removeprefix("minigan."), name.name) for name in node.names)


def later(page, wanted):
    """Which of some pages come later; backend is the one exception."""
    return [name for name in wanted if name in ORDER and name != "backend" and ORDER.index(name) > ORDER.index(page)]


def prose(page):
    """The docstring of a page without its examples."""
    return "\n\n".join(part for part in ast.get_docstring(TREE[page]).split("\n\n") if not part.startswith(">>> "))


def words_of(page):
    """All docstrings and comments of a page."""
    words = [ast.get_docstring(node) or "" for node in ast.walk(TREE[page]) if isinstance(node, (ast.Module, *DEFINITION))]
    comments = tokenize.generate_tokens(io.StringIO(SOURCE[page]).readline)
    return "\n".join(words + [token.string for token in comments if token.type == tokenize.COMMENT])


def public(page):
    """(name, node, class or None) of every public function, class and method of a page, but for the methods that Layer describes."""
    for node in TREE[page].body:
        if isinstance(node, DEFINITION) and not node.name.startswith("_"):
            yield node.name, node, None
            for part in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(part, ast.FunctionDef) and not part.name.startswith("_") and (page == "layer" or not hasattr(Layer, part.name)):
                    yield f"{node.name}.{part.name}", part, node


def letters(text):
    """Every letter that formulas use in a text, and those of its index, without its d's: of dW_ij, W, i and j."""
    found = set()
    text = re.sub(r"^(\S.*)\n(?=    )", r"\1\n\n", re.sub(r"`[^`]*`", "code", text), flags=re.MULTILINE)  # heads stand for themselves
    for paragraph in re.split(r"\n\s*\n", text):
        line = [*tokens(re.sub(r"\s*\n\s*", " ", paragraph)), Token("other", ".", 0)]
        for i, token in enumerate(line):
            if token.kind == "name" and is_mathy(line, i) and (name := parts(token.text)):
                d, greek, digit, letter, primes, index = name
                found |= {(greek or letter) + (digit or "")} | (set(re.findall("[A-Za-z]", index or "")) if not is_word(index or "") else set())
    return found


def test_the_reading_order_names_every_page_once():
    assert sorted(ORDER) == sorted(p.stem for p in FOLDER.glob("*.py") if p.stem != "__init__")


# ---- No page needs a later one ----

def test_no_page_imports_a_later_one():
    wanted = {page: later(page, [module for module, _ in imports(page)]) for page in ORDER}
    assert {page: names for page, names in wanted.items() if names} == {}
    assert later("dense", ["layer", "backend", "network"]) == ["network"]      # it would be noticed


def test_of_backend_the_core_needs_only_what_the_front_page_names():
    promised = re.findall(r"`@?(\w+)`", minigan.__doc__.partition("with three exceptions")[2].partition("And skip")[0])
    assert sorted(promised) == ["array_module", "fused", "to_host"]
    used = {name for page in CORE for module, name in imports(page) if module == "backend"}
    assert used == set(promised)


def test_no_page_speaks_of_a_later_one():
    """In docstrings and comments. Only layer.py does: it says until where double_backward can be skipped."""
    spoken = {page: later(page, re.findall(r"\b(\w+)\.py\b", source)) for page, source in SOURCE.items()}
    assert {page: names for page, names in spoken.items() if names} == {"layer": ["penalties"]}


def test_no_page_names_what_a_later_one_defines():
    """In docstrings and comments; of names that are no plain words, such as LeakyReLU or frechet_distance, and of all layers."""
    homes = {}
    for page in ORDER:
        for name, _, owner in public(page):
            if not owner and (re.search(r"[A-Z].*[A-Z]|_", name) or page in [*LAYERS, "optim"] and name[0].isupper()):
                homes.setdefault(name, []).append(page)
    homes = {name: pages[0] for name, pages in homes.items() if len(pages) == 1 and pages != ["backend"]}
    assert len(homes) > 150 and homes["Dropout"] == "dropout" and homes["frechet_distance"] == "metrics"
    found = {page: [word for word in sorted(set(re.findall(r"\w+", words_of(page)))) if word in homes and later(page, [homes[word]])] for page in ORDER}
    assert {page: names for page, names in found.items() if names} == {}


def test_the_core_imports_numpy_and_the_standard_library_only():
    for page in CORE:
        for name, _ in imports(page):
            assert name in CORE or name in ("numpy", "backend") or name.partition(".")[0] in sys.stdlib_module_names, (page, name)


def test_no_framework_anywhere():
    for page in ORDER:
        assert not {name.partition(".")[0] for name, _ in imports(page)} & {"torch", "tensorflow", "jax", "keras", "autograd"}


# ---- Every page says what it is ----

@pytest.mark.parametrize("page", ORDER)
def test_a_page_is_short_and_says_what_it_is(page):
    assert SOURCE[page].count("\n") <= 200
    assert ast.get_docstring(TREE[page]).count("\n") > 5
    assert re.match(r"\w.*[.?]\n\n", ast.get_docstring(TREE[page])), "a first line that is a sentence"
    assert [name for name, node, _ in public(page) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("page", ORDER)
def test_prose_fits_onto_the_page(page):
    documents = [ast.get_docstring(node) or "" for node in ast.walk(TREE[page]) if isinstance(node, (ast.Module, *DEFINITION))]
    assert [line for document in documents for line in document.split("\n") if len(line) > 126] == []


BEATS = r"^The idea\n.*^Forward.*^Backward|^The idea\n.*^Forward, and backward"


@pytest.mark.parametrize("page", ["layer", *LAYERS, "gradcheck", "losses", "adversarial", "patches", "penalties"])
def test_a_page_has_its_five_beats_in_order(page):
    """The idea, forward, backward, shapes, and a tiny example."""
    words = ast.get_docstring(TREE[page])
    assert re.search(BEATS, words, re.MULTILINE | re.DOTALL)
    heads = [re.search(head, words, re.MULTILINE) for head in (BEATS[:BEATS.index(r"\n")], "^Forward", r"^Shapes\n", "^>>> ")]
    assert None not in heads and [head.start() for head in heads] == sorted(head.start() for head in heads)


def test_the_layers_are_found():
    assert LAYERS == ["dense", "activations", "dropout", "network", "conv", "batchnorm", "shapes", "spectral"]


ARRAYS = set("W a ddx dtheta dy fake g logits p real rows theta x y z".split())


def says_shapes(page, node):
    """Whether a docstring, or the comment beside `def`, says of what shape arrays are, or that they are those of another function."""
    comment = SOURCE[page].split("\n")[node.body[0].lineno - 2].partition("#")[2] if isinstance(node, ast.FunctionDef) else ""
    return re.search(r"\((?:N|n|K|P|R|k)\b[^()]*,[^()]*\)|\bshape|\bThe same|What `\w+` computes", (ast.get_docstring(node) or "") + comment)


@pytest.mark.parametrize("page", CORE)
def test_the_core_says_what_shape_its_arrays_have(page):
    """Of a layer, its page does, under Shapes; and what is fused works number by number."""
    takers = [(name, node) for name, node, _ in public(page) if isinstance(node, ast.FunctionDef) and "fused" not in
              [getattr(mark, "id", "") for mark in node.decorator_list] and ARRAYS & {argument.arg for argument in node.args.args}]
    assert [name for name, node in takers if not says_shapes(page, node)] == []


def test_all_examples_run():
    """pytest runs those of every page, and none of them is skipped."""
    setup = (FOLDER.parent / "setup.cfg").read_text(encoding="utf-8")
    assert re.search(r"^testpaths = .*\bminigan\b", setup, re.MULTILINE) and re.search("^addopts = .*--doctest-modules", setup, re.MULTILINE)
    examples = {page: [example for test in doctest.DocTestFinder().find(importlib.import_module(f"minigan.{page}"))
                       for example in test.examples] for page in ORDER}
    assert [page for page in CORE if not examples[page]] == []
    assert [example.source for page in ORDER for example in examples[page] if doctest.SKIP in example.options] == []


# ---- Sources and letters ----

SOURCELESS = ["dense", "network"]  # these take nothing from anybody: all follows from the chain rule, as layer.py has it
AUTHORS = r"[A-Z][\w'-]+(?:,? (?:&|et al\.|and) ?(?:[A-Z][\w-]+)?)*,? (?:19|20)\d\d\b"


@pytest.mark.parametrize("page", [page for page in CORE if page not in SOURCELESS])
def test_the_core_names_its_sources(page):
    assert re.search(AUTHORS, prose(page)), "who has published this, and when?"


def test_a_source_is_an_author_and_a_year():
    for source in "Kingma & Ba 2015", "Maas et al. 2013", "Rumelhart,\nHinton & Williams 1986", "Polyak 1964; Sutskever et al. 2013":
        assert re.search(AUTHORS, source)
    for other in "a figure of 2014", "see layer.py", "(N, 2048)", "the paper":
        assert not re.search(AUTHORS, other)


def glossary():
    """(letters of all pages, {page: letters of its own}) as the front page has them."""
    general, _, single = minigan.__doc__.partition("The letters\n")[2].partition("The letters of single pages\n")
    own, pages = {}, []
    for line in single.strip("\n").split("\n"):
        names, _, words = line.strip().partition("   ")
        if line[4] != " ":
            pages = re.split(", ", names)
        for page in pages:
            assert page in CORE, f"the glossary has letters of a page {page!r}, which is not in the core"
            own[page] = own.get(page, set()) | letters(words if line[4] != " " else line)
    terms = re.findall(r"^ {4}(\S.*?) {2,}", general, re.MULTILINE)
    return {parts(name)[3] or parts(name)[1] for term in terms for name in term.split(", ") if parts(name)} | letters(general), own


@pytest.mark.parametrize("page", CORE)
def test_every_letter_of_the_core_is_in_the_glossary(page):
    general, own = glossary()
    assert letters(prose(page)) - general - own.get(page, set()) == set()


def test_no_letter_of_the_glossary_is_superfluous():
    _, own = glossary()
    assert {page: own[page] - letters(prose(page)) for page in own if own[page] - letters(prose(page))} == {}
