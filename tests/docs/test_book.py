"""docs/make_book.py: it loses no text, sets formulas right, and works in a browser, offline."""

import ast
import base64
import html as html_module
import json
import os
import random
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("pygments", reason='the book needs Pygments: pip install -e ".[book]"')
pytest.importorskip("markdown_it", reason='the book needs markdown-it-py: pip install -e ".[book]"')
ROOT = Path(__file__).resolve().parents[2]
KINDS = "png", "gif", "svg+xml"  # of figures
sys.path.insert(0, str(ROOT / "docs"))
import make_book  # noqa: E402
from appendices import target  # noqa: E402
from formulas import formula, inline, mi  # noqa: E402
from reading_time import count_minutes, list_modules, reading_order  # noqa: E402

OTHERWISE = {
    "−": "-",
    "∗": "*",
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "←": "<-",
    "≈": "~",
    "…": "...",
    "‖": "||",
    "×": "x",
    "′": "'",
    "√": "sqrt",
    "β": "beta",
    "γ": "gamma",
    "θ": "theta",
    "ε": "eps",
    "λ": "lambda",
    "σ": "sigma",
    "ψ": "psi",
    "π": "pi",
    "x̂": "xhat",
}  # what the book writes in other characters


class Tree(HTMLParser):
    """HTML as [tag, attributes, children]; fails if a tag is not closed in the right place."""

    def __init__(self, html):
        super().__init__()
        self.open = [["root", {}, []]]
        self.feed(html)
        assert len(self.open) == 1, f"<{self.open[-1][0]}> is not closed"

    def handle_starttag(self, tag, attributes):
        self.handle_startendtag(tag, attributes)
        if tag not in ("img", "meta", "link"):
            self.open.append(self.open[-1][2][-1])

    def handle_startendtag(self, tag, attributes):
        self.open[-1][2].append([tag, dict(attributes), []])

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, words):
        self.open[-1][2].append(words)

    def all(self, node=None):
        """Every node except texts."""
        for child in (node or self.open[0])[2]:
            if not isinstance(child, str):
                yield child
                yield from self.all(child)


def without_spaces(words):
    """The words without spaces, in the characters of the sources."""
    for this, that in OTHERWISE.items():
        words = words.replace(this, that)
    return re.sub(r"\s", "", words)


def plain(html):
    """The source text of a piece of the book, without spaces."""
    return without_spaces(back(Tree(html).open[0]))


def shape(html):
    """What MathML shows: (a)/(b) is a fraction, sqrt[a] a root over a, sum[i] has an i below."""
    return without_spaces(back(Tree(html).open[0], True))


def back(node, shape=False):
    """The source text of a node; with `shape`, its layout instead of the brackets of the source."""
    if isinstance(node, str):
        return node
    tag, attributes, children = node
    kind, parts = attributes.get("class", ""), [back(child, shape) for child in children]
    words = "".join(parts)
    raised = {"2": "²", "3": "³", "T": "ᵀ", "∗": "*"}
    if tag == "mrow" and kind == "b":
        return words if shape else f"({words})"
    if tag == "mfrac":
        return "({})/({})".format(*parts) if shape else "/".join(parts)
    if tag == "msqrt":
        return f"sqrt[{words}]" if shape else f"sqrt({words})"
    if tag == "msub":
        return words if kind == "n" else "_".join(parts)
    if tag == "sub":
        return words if kind == "n" else "_" + words
    if tag == "msup":
        return parts[0] + (
            raised[parts[1]] if kind == "raised" else f"^[{parts[1]}]" if shape else "^" + parts[1]
        )
    if tag == "sup":
        return raised[words] if kind == "raised" else "^" + words
    if tag == "munder":
        return f"sum[{parts[1]}]" if shape else f"sum over {parts[1]} of"
    if tag == "mover":
        return "xhat"
    if tag == "code" and kind != "id":
        return f"`{words}`"
    return {"em": "*{}*", "li": "- {}"}.get(tag, "{}").format(words)


@pytest.fixture(scope="module")
def book():
    return make_book.Book(ROOT)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The book, made by the command."""
    path = tmp_path_factory.mktemp("book") / "tutorial.html"
    command = [sys.executable, str(ROOT / "docs" / "make_book.py"), "--out", str(path)]
    subprocess.run(command, check=True, cwd=path.parent)
    return path


# ---- Contents ----


def test_every_module_has_a_chapter_and_a_line_in_the_contents(book, file):
    tree = Tree(file.read_text(encoding="utf-8"))
    chapters = [a["id"] for tag, a, _ in tree.all() if tag == "article"]
    ids = [make_book.anchor(name) for name in book.order]
    assert chapters == ["contents", *ids, *make_book.APPENDICES]
    assert sorted(book.order) == list_modules(ROOT)
    assert {"nn/layer", "backend", "export/onnx"} <= set(book.order)
    front = next(node for node in tree.all() if node[0] == "article")
    links = [a["href"] for tag, a, _ in tree.all(front) if tag == "a"]
    for i, (name, words) in enumerate(book.contents):
        assert f"#{ids[i]}" in links
        assert without_spaces(f"{i + 1}{name}{words}") in without_spaces(back(front))


def repository(folder, docstring):
    """A folder with a package of two modules and a command, and the docstring of the package."""
    for name in "nn", "cli":
        (folder / "minigan" / name).mkdir(parents=True)
    (folder / "minigan" / "__init__.py").write_text(f'"""{docstring}"""\n')
    for name in "nn/layer", "rng", "cli/main":
        (folder / "minigan" / f"{name}.py").write_text('"""A module."""\n')
    return folder


def test_the_reading_order_is_that_of_the_docstring(tmp_path):
    docstring = (
        "A package.\n\n"
        "    rng        random numbers,\n"
        "               one per seed\n"
        "\nA heading\n\n"
        "    nn/layer   the contract\n"
        "    no/module  a word\n"
        "    rng        once more\n"
    )
    root = repository(tmp_path, docstring)
    expected = [("rng", "random numbers, one per seed"), ("nn/layer", "the contract")]
    assert reading_order(root) == expected


def test_a_module_that_is_missing_in_the_reading_order_is_named(tmp_path):
    root = repository(tmp_path, "A package.\n\nModules\n\n    rng   random numbers\n")
    with pytest.raises(ValueError, match=r"lacks nn/layer$"):
        reading_order(root)
    with pytest.raises(make_book.BookError, match=r"lacks nn/layer$"):
        make_book.Book(root)


def test_reading_time_counts_words_and_lines_of_code():
    code = "x = 1\n" * 25  # 2.5 minutes
    words = "word " * 300  # 1.5 minutes
    assert count_minutes(code * 4) == 10
    assert count_minutes(f'"""{words * 4}"""') == 6
    assert count_minutes(f"# {words * 4}\n") == 6  # a comment is prose
    assert count_minutes(f'"""{words}"""\n\n{code}') == 4
    assert count_minutes("") == 1


def test_no_text_is_lost_or_changed(book):
    """Read back, every docstring and every line of code is in the book, character by character."""
    for name in book.order:
        book.here = name
        _, document = book.title_and_text(name)
        assert plain(book.document(document)) == without_spaces(document), name
        lines = book.sources[name].split("\n")
        code = "\n".join(lines[book.trees[name].body[0].end_lineno :])
        shown = plain(book.code(name)).replace('"""', "")
        assert shown == without_spaces(code.replace('"""', "")), name


def test_the_title_page_has_all_of_its_docstring(book):
    shown = plain(book.front())
    for paragraph in ast.get_docstring(book.trees["__init__"]).split("\n\n")[1:]:
        for line in paragraph.split("\n"):
            assert without_spaces(line).strip(":-") in shown


def test_every_function_and_class_can_be_linked_to(book, file):
    html = file.read_text(encoding="utf-8")
    ids = [a["id"] for _, a, _ in Tree(html).all() if "id" in a]
    assert len(ids) == len(set(ids))
    for name in book.order:
        for node in book.trees[name].body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                place = f"{make_book.anchor(name)}.{node.name}"
                assert place in ids and f'href="#{place}"' in html


def test_nothing_is_loaded_and_every_link_leads_somewhere(file):
    html = file.read_text(encoding="utf-8")
    tree = Tree(html)
    ids = {a["id"] for _, a, _ in tree.all() if "id" in a}
    for tag, attributes, children in tree.all():
        assert tag not in ("iframe", "object", "embed", "base", "video", "audio") and not (
            tag == "script" and "src" in attributes
        )
        if "src" in attributes:
            assert (
                attributes["src"].startswith(tuple(f"data:image/{kind};base64," for kind in KINDS))
                and attributes["alt"]
            ), tag
            if "svg" in attributes["src"][:20]:
                drawing = base64.b64decode(attributes["src"].partition(",")[2]).decode()
                assert not re.search(r"<script|<image|href=\"[^#]", drawing)
        if "href" in attributes:
            link = attributes["href"]
            assert (
                link[1:] in ids
                if link.startswith("#")
                else tag == "a" and link.startswith("https://") or link == "data:,"
            ), link
        if tag == "style":
            assert "url(" not in children[0] and "@import" not in children[0]
    assert "default-src 'none'" in html and len(html.encode()) < 6e6
    figures = sum(
        len(list((ROOT / "docs").glob(p))) for ps in make_book.FIGURES.values() for p in ps
    )
    assert html.count("<figure>") == figures > 0


@pytest.mark.parametrize("name", make_book.APPENDICES)
def test_an_appendix_keeps_its_heads_pictures_and_examples(book, name):
    markdown = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    tree = Tree(book.appendix(name))
    shown = without_spaces("".join(words_of(tree.open[0])))
    heads = re.findall(r"^##+ (.+)$", markdown, re.MULTILINE)
    assert len(heads) > 5 and sum(tag == "h3" for tag, _, _ in tree.all()) == len(heads)
    for head in heads:
        assert without_spaces(head.replace("`", "")) in shown
    assert sum(tag == "img" for tag, _, _ in tree.all()) == len(re.findall(r"!\[", markdown)) > 0
    for block in re.findall(r"^```.*\n([\s\S]*?)^```", markdown, re.MULTILINE):
        assert without_spaces(block) in shown
    assert "<!--" not in book.appendix(name)
    prose = "".join(words_of(tree.open[0], without=("pre", "code")))
    assert not re.search(r"\]\(|^#|\*\*[A-Z]", prose, re.MULTILINE)  # no Markdown is left


def words_of(node, without=()):
    """All texts in a node, except those in certain tags."""
    for child in node[2]:
        if isinstance(child, str):
            yield child
        elif child[0] not in without:
            yield from words_of(child, without)


def test_links_of_an_appendix_lead_into_the_book_or_to_the_web(book):
    links = {
        "../minigan/gan/steps.py": "#gan-steps",
        "../minigan/backend.py": "#backend",
        "mistakes.md": "#mistakes",
        "mistakes.md#the-stale-cache": "#mistakes.the-stale-cache",
        "#1-why": "#answers.1-why",
        "https://example.org/a.py": "https://example.org/a.py",
        "../exercises/ex1_relu.py": "",
        "recipes.md": "",
        "../minigan/none.py": "",
    }
    assert {link: target(book, "answers", link) for link in links} == links


@pytest.mark.parametrize(
    "markdown, complaint",
    [
        ("no title", "docs/answers.md does not begin with its title, `# ...`"),
        (
            "# A\n\n![b](no-such.png)\n",
            "docs/no-such.png cannot be read (No such file or directory)",
        ),
    ],
    ids=["title", "picture"],
)
def test_an_appendix_that_cannot_be_set_is_named(book, monkeypatch, markdown, complaint):
    monkeypatch.setitem(book.markdown, "answers", markdown)
    with pytest.raises(make_book.BookError, match=re.escape(complaint)):
        book.appendix("answers")


def test_a_figure_that_is_missing_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(make_book.FIGURES, "gan/steps", ["no-such.png"])
    with pytest.raises(SystemExit) as exit_:
        make_book.main(["--out", str(tmp_path / "book.html")])
    assert (
        exit_.value.code == 2
        and "there is no docs/no-such.png" in capsys.readouterr().err
        and not (tmp_path / "book.html").exists()
    )
    monkeypatch.undo()
    with pytest.raises(SystemExit) as exit_:
        make_book.main(["--out", str(tmp_path / "no" / "book.html")])
    assert exit_.value.code == 2 and "choose another --out" in capsys.readouterr().err


# ---- Formulas ----

SET = [  # lines of docstrings, and how they are set
    ("y_nj = sum over i of x_ni W_ij  + b_j", "y_nj=sum[i]x_niW_ij+b_j"),
    ("dx = dy·Wᵀ", "dx=dy·Wᵀ"),
    ("dx = dy Wᵀ", "dx=dyWᵀ"),
    ("dW = im2col(dy)ᵀ x;", "dW=im2col(dy)ᵀx;"),
    ("y = im2col(x) W + b", "y=im2col(x)W+b"),
    ("y = x (W / sigma) + b,", "y=x((W)/(sigma))+b,"),
    ("h = [x 1] [W; b] = xW + b", "h=[x1][W;b]=xW+b"),
    ("u = Wᵀv / |Wᵀv|", "u=(Wᵀv)/(|Wᵀv|)"),
    ("(N, M)(M, K) -> (N, K)", "(N,M)(M,K)->(N,K)"),
    (
        "dx_i = sum over j of  dy_j * (derivative of y_j with respect to x_i)",
        "dx_i=sum[j]dy_j*(derivativeofy_jwithrespecttox_i)",
    ),
    ("f(x) = (e^x - e^-x) / (e^x + e^-x)", "f(x)=(e^[x]-e^[-x])/(e^[x]+e^[-x])"),
    ("f(x) = 1 / (1 + e^-x)", "f(x)=(1)/(1+e^[-x])"),
    ("f'(x) = y (1 - y)", "f'(x)=y(1-y)"),
    ("derivative  ~  (L(x + h) - L(x - h)) / 2h", "derivative~(L(x+h)-L(x-h))/(2h)"),
    ("L = mean of  -t log(p) - (1 - t) log(1 - p)", "L=meanof-tlog(p)-(1-t)log(1-p)"),
    ("dp = (p - t) / (p (1 - p)) / N", "dp=(p-t)/(p(1-p))/N"),
    (
        "theta = theta - lr * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)",
        "theta=theta-lr*((m)/(1-beta1^[t]))/(sqrt[(v)/(1-beta2^[t])]+eps)",
    ),
    ("theta = theta - rate * s / (sqrt(q) + eps / r)", "theta=theta-rate*(s)/(sqrt[q]+(eps)/(r))"),
    ("v = beta2 v + (1 - beta2) g²", "v=beta2v+(1-beta2)g²"),
    (
        "average = average + (1 - decay) * (theta - average)",
        "average=average+(1-decay)*(theta-average)",
    ),
    (
        "y_nvuf = sum over i, j, c of  x_n(sv+i)(su+j)c  W_ijcf  + b_f",
        "y_nvuf=sum[i,j,c]x_n(sv+i)(su+j)cW_ijcf+b_f",
    ),
    ("y = col2im(x·Wᵀ) + b;", "y=col2im(x·Wᵀ)+b;"),
    ("xhat = (x - m) / sqrt(v + eps)", "xhat=(x-m)/(sqrt[v+eps])"),
    ("var <- var + momentum (R/(R - 1) v - var)", "var<-var+momentum((R)/(R-1)v-var)"),
    (
        "(1 if j is r, else 0) / sd  -  1/R / sd  -  (x_j - m) xhat_r / (R sd²)",
        "(1ifjisr,else0)/(sd)-(1)/(R)/sd-((x_j-m)xhat_r)/(Rsd²)",
    ),
    (
        "= ((1 if j is r, else 0)  -  1/R  -  xhat_j xhat_r / R) / sd",
        "=((1ifjisr,else0)-(1)/(R)-(xhat_jxhat_r)/(R))/(sd)",
    ),
    (
        "dx_r = (dxhat_r - mean of dxhat - xhat_r * mean of dxhat xhat) / sd",
        "dx_r=(dxhat_r-meanofdxhat-xhat_r*meanofdxhatxhat)/(sd)",
    ),
    ("p_j = e^z_j / (e^z_0 + ... + e^z_9)", "p_j=(e^[z_j])/(e^[z_0]+...+e^[z_9])"),
    (
        "FD = |m_r - m_g|² + trace(C_r) + trace(C_g) - 2 trace((C_r C_g)^(1/2))",
        "FD=|m_r-m_g|²+trace(C_r)+trace(C_g)-2trace((C_rC_g)^[1/2])",
    ),
    (
        "slerp(z_0, z_1, t) = sin((1 - t) w) / sin(w) z_0 + sin(t w) / sin(w) z_1",
        "slerp(z_0,z_1,t)=sin((1-t)w)/sin(w)z_0+sin(tw)/sin(w)z_1",
    ),  # a / b c stays in one line
    (
        "y = mean of x / N",
        "y=meanofx/N",
    ),  # the mean of a quotient or the quotient of a mean: unclear
    ("s = sum over i of x_i + y_i", "s=sumoveriofx_i+y_i"),  # unclear how far the sum reaches
    ("y = 2/R h/R", "y=(2)/(R)(h)/(R)"),
    ("y = a/b/c", "y=a/b/c"),
    ("D*(x) = p(x) / (p(x) + q(x))", "D*(x)=(p(x))/(p(x)+q(x))"),
    ("y = a / b / c", "y=(a)/(b)/c"),
    ("y = 1/2h", "y=1/2h"),  # (1/2) h or 1/(2h): unclear
    ("y = log D(x) / 2", "y=logD(x)/2"),
    ("y = K * sum over i of x_i - 1", "y=K*sumoveriofx_i-1"),
    ("y = x^0.5 + 2^n - 1", "y=x^[0.5]+2^[n]-1"),
    ("sigma = vᵀWu", "sigma=vᵀWu"),
    (
        "dW_ij = dV_ij / sigma - (sum of dV * W) v_i u_j / sigma²",
        "dW_ij=(dV_ij)/(sigma)-((sumofdV*W)v_iu_j)/(sigma²)",
    ),
    ("var = (sum of a² - (sum of a)² / R) / R", "var=(sumofa²-((sumofa)²)/(R))/(R)"),
    ("k(x, y) = (x·y / F + 1)³", "k(x,y)=((x·y)/(F)+1)³"),
    ("y = a·b/c + a/b·c", "y=(a·b)/(c)+(a)/(b)·c"),
    ("has the variance  v / (v + eps)", "hasthevariance(v)/(v+eps)"),
    ("wgan-gp: ddx = 2 (|g| - 1) g / |g| / N", "wgan-gp:ddx=(2(|g|-1)g)/(|g|)/N"),
]


@pytest.mark.parametrize("line, layout", SET)
def test_formulas_are_set(line, layout):
    assert shape(formula(line)) == layout
    assert plain(formula(line)) == without_spaces(line)


def random_formula(rng, depth=2):
    """Names, words, brackets and sums, with signs and spaces between them."""

    def part():
        kind = rng.choice("nnnnbfsto" if depth else "n")
        if kind == "n":
            return rng.choice("a x dW_ij beta1 psi sum mean over of lr 2 1,000 D* where".split())
        name = {"b": "", "f": rng.choice(["sqrt", "exp", "D"]), "s": "sum over i, j of "}.get(kind)
        if name is None:
            inner = random_formula(rng, 0)
            return f"|{inner}|" if kind == "o" else f"sum of {inner}"
        inner = random_formula(rng, depth - 1)
        return name + (inner if kind == "s" else f"({inner})")

    links = [" + ", " - ", " -", " * ", "·", " / ", "/", " = ", ", ", " ", "  ", ""]
    text = part()
    for _ in range(rng.randrange(4)):
        text += rng.choice(["", "", "²", "^t", "ᵀ"]) + rng.choice(links) + part()
    return text


def test_no_formula_loses_a_sign():
    rng = random.Random(0)
    texts = [random_formula(rng) for _ in range(3000)]
    found = [(text, formula(text)) for text in texts]
    assert sum(html is not None for _, html in found) > 500
    for text, html in found:
        assert html is None or plain(html) == without_spaces(text), text


def test_a_sign_before_a_number_is_no_difference():
    assert 'form="prefix">−</mo><mn>1' in formula("y = x, from -1 to 1")
    assert 'form="prefix"' not in formula("y = x - 1")


@pytest.mark.parametrize(
    "line",
    [
        "the central difference",
        "Bishop 2006, equation 4.90, over N",
        "(M,)",  # remarks
        "the same with the running mean and var in place of m and v",
        "uniform, a = 0.05 or 0.005 whatever the size: the published code",
        "y, cache = layer.forward(x)",
        "dfake = D.backward(dlogits);   G.backward(dfake)",  # code
        "D_k(x) = 2",
        "y = a / b/c",
        "y = (x + 1",
        "y = x)",
        "y = x /",
        "y = |x",
        "y = x ^ 2",
        "y = {x}",
        "0 ... 255",
    ],
)  # not understood
def test_what_is_no_formula_stays_as_it_is(line):
    assert formula(line) is None
    assert plain(inline(line)) == without_spaces(line)


@pytest.mark.parametrize(
    "words, html",
    [
        ("x_i reaches L", "<i>x</i><sub><i>i</i></sub> reaches <i>L</i>"),
        ("an image's p_label", "an image's <i>p</i><sub>label</sub>"),
        ("G's image and D's", "<i>G</i>'s image and <i>D</i>'s"),
        ("a word, and one number a, A thing", "a word, and one number <i>a</i>, A thing"),
        ("k x k pixels of x", "<i>k</i> × <i>k</i> pixels of <i>x</i>"),
        ("e^-|x| and 2^64 - 1", "<i>e</i><sup>−|<i>x</i>|</sup> and 2<sup>64</sup> − 1"),
        ("sqrt(v) of well-known Conv2d", "√(<i>v</i>) of well-known Conv2d"),
        (
            "the best, D*(x); x * y",
            'the best, <i>D</i><sup class="raised">∗</sup>(<i>x</i>); <i>x</i> ∗ <i>y</i>',
        ),
        ("beta1 and dtheta", '<i>β</i><sub class="n">1</sub> and <i>dθ</i>'),
        ("from y0 to R1", 'from <i>y</i><sub class="n">0</sub> to R1'),
        (
            "x.shape, docs/recipe.md, need_dx",
            '<code class="id">x.shape</code>, <code class="id">docs/recipe.md</code>,'
            ' <code class="id">need_dx</code>',
        ),
        ("<Ax, y> = 1 & 2", "&lt;<i>Ax</i>, <i>y</i>&gt; = 1 &amp; 2"),
        ("I know what that is: 50,000 steps", "I know what that is: 50,000 steps"),
    ],
)
def test_prose_is_set(words, html):
    assert inline(words) == html
    assert plain(html) == without_spaces(words)


def test_a_digit_after_a_letter_is_an_index():
    z0, x1 = (f'<msub class="n">{mi(letter)}<mn>{n}</mn></msub>' for letter, n in ("z0", "x1"))
    assert z0 in formula("z = (1 - t) z0 + t z1") and x1 in formula("y = 2 x1")
    assert "<mi>r1</mi>" in formula("gamma = 10 r1")  # a penalty's name


def test_chapters_and_names_are_linked(book, monkeypatch):
    adam = '<a href="#nn-optim.Adam"><code>Adam</code></a>'
    assert book.text("see steps.py, `Adam` and tests/test_gan.py") == (
        f'see <a href="#gan-steps">steps.py</a>, {adam}'
        ' and <code class="id">tests/test_gan.py</code>'
    )
    assert book.text("gan/losses") == '<a href="#gan-losses">gan/losses</a>'
    assert book.text("minigan/rng.py") == '<a href="#rng">minigan/rng.py</a>'
    for here in "nn", "gan":  # losses.py is in two folders
        monkeypatch.setattr(book, "here", f"{here}/steps")
        assert book.text("losses.py") == f'<a href="#{here}-losses">losses.py</a>'


def test_imports_are_linked(book):
    code = book.code("gan/steps")
    assert 'minigan.<a href="#nn-sequential">nn.sequential</a>' in code


def test_a_table_keeps_its_columns(book):
    html = book.block(
        ["train:     each number is silenced, with", "           a mask", "otherwise: y = x"]
    )
    assert [
        plain("".join(part)) for part in re.findall(r"<td[^>]*>(.*?)</td>", html, re.DOTALL)
    ] == ["train:", "eachnumberissilenced,withamask", "otherwise:", "y=x"]
    assert "<table>" not in book.block(
        ["A sentence ends.  Another begins, and", "goes on for a line."]
    )
    cell = book.block(
        ["Tanh     by the quotient rule with", "         s = e^x, so", "ReLU     y = x"]
    )
    assert cell.count("<math") == 1  # the second line continues a sentence


def test_code_in_a_sentence_is_no_line_of_code(book):
    assert book.line("use `D.forward(x)` here").count("<code>") == 1
    assert book.line("D.forward(x)").count('<code class="id">') == 1


def test_a_drawing_stays_as_it_was_drawn(book):
    lines = ["        ┌────┐", "    0   │ 1 <│", "        └────┘"]
    assert (
        book.block(lines, 4) == '<pre class="drawing">    ┌────┐\n0   │ 1 &lt;│\n    └────┘</pre>\n'
    )


# ---- How it looks ----


def test_colours_can_be_read():
    """The contrast of text is at least 4.5 to 1 (WCAG 2.1, 1.4.3), in both palettes."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    css = (ROOT / "docs" / "book.css").read_text(encoding="utf-8")
    palettes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", part))
        for part in css.split("prefers-color-scheme: dark")[:2]
    ]
    assert len(palettes) == 2 and palettes[0].keys() == palettes[1].keys()
    assert {"ink", "paper", "panel"} <= palettes[0].keys()
    for palette in palettes:
        for name in palette.keys() - {"paper", "panel", "line"}:
            for behind in "paper", "panel":
                low, high = sorted((luminance(palette[name]), luminance(palette[behind])))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (name, behind)


CHROMIUM = (
    os.environ.get("CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
    " --enable-logging=stderr --window-size=1400,1000"
).split()
LISTEN = """<script>
window.errors = [];
addEventListener("error", event =>
  errors.push(String(event.message || event.target.outerHTML)), true);
addEventListener("securitypolicyviolation", event =>
  errors.push(`the page wanted ${event.blockedURI}`));
</script>"""
# A window cannot be as narrow as a phone, but a frame can. The page around it measures the book.
FRAME = """<!DOCTYPE html><meta charset="utf-8"><body style="margin: 0">
<iframe style="border: 0; width: WIDTHpx; height: 1000px" srcdoc="BOOK"></iframe>
<script>
onload = () => {
  const inside = document.querySelector("iframe").contentWindow, page = inside.document;
  page.getElementById("CHAPTER").scrollIntoView();
  const box = part => part.getBoundingClientRect();
  const column = name => box(page.querySelector(`#CHAPTER ${name}`));
  const wide = [...page.querySelectorAll("main *")].filter(part =>
    box(part).right > inside.innerWidth + 1 && !part.closest(".formula, .table"));
  const cut = [...page.querySelectorAll(".formula")].filter(part =>
    part.scrollWidth > part.clientWidth + 1
    && part.clientWidth < part.parentElement.clientWidth - 8);
  const size = parseFloat(inside.getComputedStyle(page.body).fontSize);
  const answer = {
    errors: inside.errors, width: inside.innerWidth, scroll: page.documentElement.scrollWidth,
    wide: wide.map(part => part.outerHTML.slice(0, 99)), cut: cut.map(part => part.textContent),
    beside: column(".code").left >= column(".prose").right,
    below: column(".code").top >= column(".prose").bottom,
    fraction: box(page.querySelector("mfrac")).height / size};
  const pre = document.createElement("pre");
  pre.id = "answer"; pre.style.display = "none"; pre.textContent = JSON.stringify(answer);
  document.body.append(pre);
};
</script></body>"""


def in_chromium(html, width, chapter, folder, dark=False):
    """(measurements at that width, a screenshot of the chapter, messages on the console)."""
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine (apt install chromium, or set CHROMIUM)")
    html = html.replace("<style>", LISTEN + "<style>", 1)
    page = (
        FRAME.replace("WIDTH", str(width))
        .replace("CHAPTER", chapter)
        .replace("BOOK", html_module.escape(html))
    )
    (folder / "frame.html").write_text(page, encoding="utf-8")
    result = subprocess.run(
        [
            CHROMIUM,
            *FLAGS,
            *["--blink-settings=preferredColorScheme=0"] * dark,
            f"--user-data-dir={folder / 'profile'}",
            "--dump-dom",
            f"--screenshot={folder / 'picture.png'}",
            (folder / "frame.html").as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=600,
    )
    answer = re.search(r'<pre id="answer"[^>]*>(.*?)</pre>', result.stdout)
    assert answer, result.stderr[-2000:]
    picture = Image.open(folder / "picture.png").convert("RGB").crop((0, 0, width, 1000))
    return (
        json.loads(html_module.unescape(answer[1])),
        picture,
        [line for line in result.stderr.split("\n") if ":CONSOLE" in line],
    )


@pytest.mark.long
@pytest.mark.parametrize(
    "width, chapter, dark",
    [
        (390, "nn-batchnorm", False),
        (1280, "nn-dense", True),
    ],
)
def test_it_shows_in_a_browser_without_an_error(file, tmp_path, width, chapter, dark):
    answer, picture, said = in_chromium(
        file.read_text(encoding="utf-8"), width, chapter, tmp_path, dark
    )
    assert answer["errors"] == [] and said == []
    assert answer["width"] == width and answer["scroll"] <= width and answer["wide"] == []
    assert answer["cut"] == []  # a formula uses the available space
    assert (answer["beside"], answer["below"]) == ((True, False) if width > 1000 else (False, True))
    assert answer["fraction"] > 1.5  # lines high: MathML is rendered, numerator above denominator
    counts = sorted(picture.getcolors(1 << 24), reverse=True)
    assert (sum(counts[0][1]) < 200) == dark  # the background
    assert (
        len(counts) > 100 and counts[0][0] < 0.97 * picture.width * picture.height
    )  # there is something on it
    quarters = [picture.crop((0, y, width, y + 250)) for y in range(0, 1000, 250)]
    assert all(len(quarter.getcolors(1 << 24)) > 20 for quarter in quarters)  # everywhere


@pytest.mark.long
def test_errors_and_wide_parts_are_noticed(file, tmp_path):
    html = file.read_text(encoding="utf-8").replace(
        "</main>", '<p style="width: 500px">planted</p><img src="http://localhost:9/x.png"></main>'
    )
    answer, _, said = in_chromium(
        html.replace("<script>", "<script>throw new Error('planted');", 1),
        390,
        "gan-steps",
        tmp_path,
    )
    assert any("planted" in error for error in answer["errors"]) and any(
        "localhost" in error for error in answer["errors"]
    )
    assert (
        answer["scroll"] > 390
        and any("500px" in part for part in answer["wide"])
        and any("planted" in line for line in said)
    )


@pytest.mark.parametrize("name, kind", [("a.svg", "svg+xml"), ("b.c.png", "png"), ("d.gif", "gif")])
def test_a_figure_has_the_type_that_browsers_expect(name, kind):
    url = make_book.data_url(name, b"content")
    assert url == f"data:image/{kind};base64,Y29udGVudA=="
