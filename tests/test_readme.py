"""The front door: every command that README.md, docs/usage.md and docs/results.md show is run in its own words, every link leads
somewhere, and the README's figures are those of the files that they come from.

A command is what stands in a block of shell, or between backticks if it begins like one. bash runs it, in a small copy of the
repository where `python`, `python3` and `pip` are the stand-in below. It passes the command on to Python with what makes it short added at
its end; what cannot be run here it reads only, against the script's --help; and what nobody told it about it refuses.
"""
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data import idx

import minigan

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "docs/usage.md", "docs/results.md"]
LINKED = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *(ROOT / folder / "README.md" for folder in ("data", "exercises", "tests"))]
sys.path.append(str(ROOT / "docs"))
from reading_time import all_minutes, reading_order  # noqa: E402

ADDED = {  # to what a command begins with: a budget of a second or two
    "demo.py": ["--epochs", "1", "--batch-size", "8", "--data", "digits"],
    "demo.py --data": ["--epochs", "1", "--batch-size", "4"],
    "demo.py --resume": ["--epochs", "2"],
    "demo.py sample": [], "demo.py walk": [], "demo.py compare": [], "demo.py export": [], "demo.py check": [], "demo.py recipes": [],
    "demo.py --help": [],
    "demo.py evaluate": ["--count", "100"],
    "demo.py inspect": ["--steps", "1"],
    "demo.py toy": ["--steps", "3"],
    "docs/reading_time.py": [],
    "-m exercises.mistakes": ["--page", "--out", "gallery"],  # test_mistakes.py trains them
    "-m pytest exercises": ["-p", "no:cacheprovider"],
    "-m venv .venv": [],
}
READ_ONLY = {  # and why
    "demo.py --backend cupy": "needs a GPU; benchmarks/gpu_check.sh runs it",
    "demo.py --data /usr/share/datasets/fashion-mnist": "needs Debian's package",
    "docs/make_book.py": "test_book.py makes the book",
    "benchmarks/race.py": "needs PyTorch, and eight minutes",
    "benchmarks/recipes.py": "takes an hour and more",
    "benchmarks/step.py": "needs PyTorch, and minutes; test_golden.py and test_gan.py hold the step to account",
    "-m pytest": "this test is part of it; .ci/run runs the README's very line",
}
STAND_IN = '''#!{python} -ES
import os, re, subprocess, sys
added, read_only, path, python = {added!r}, {read_only!r}, {path!r}, {python!r}
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
line = " ".join(words)

def refuse(sentence):
    sys.exit(f"tests/test_readme.py: {{name}} {{line}}: {{sentence}}")

def known(table):
    return max((key for key in table if line == key or line.startswith(key + " ")), key=len, default=None)

if name == "pip":  # needs a network: what it is asked for must exist
    wanted = re.fullmatch(r"install -e \\.(?:\\[(\\w+)\\])?", line) or refuse("no such install")
    extras = re.findall(r"^(\\w+) =$", open("setup.cfg").read().partition("extras_require]")[2].partition("\\n[")[0], re.M)
    sys.exit(0 if wanted[1] in [None, *extras] else refuse(f"setup.cfg has the extras {{extras}} only"))
if line == "-m venv .venv":  # needs a network for what goes into it
    os.makedirs(".venv/bin", exist_ok=True)
    for link in "python", "pip":
        if not os.path.lexists(".venv/bin/" + link):
            os.symlink(os.path.abspath("bin/" + link), ".venv/bin/" + link)
    sys.exit()
os.environ["PATH"] = path
read, run = known(read_only), known(added)
if read is not None and (run is None or len(read) > len(run)):
    script = words[:words.index("-m") + 2] if "-m" in words else words[:1]
    told = subprocess.run([python, *script, "--help"], capture_output=True, text=True)
    strange = [word for word in words if word.startswith("--") and not re.search(re.escape(word) + r"(?![-\\w])", told.stdout)]
    sys.exit(refuse(f"{{told.stderr}} {{strange}} not in its --help") if told.returncode or strange else 0)
if run is None:
    refuse("no test knows how to run it: put it into ADDED, or with a reason into READ_ONLY")
os.execv(python, [python, *words, *added[run]])
'''


BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def commands(text):
    """All commands of a page, in its order, comments taken off."""
    blocks = r"^```(?:sh|bash|shell|console)\n(.*?)^```$"
    found = [(block.start() + line.start(), line[0]) for block in re.finditer(blocks, text, re.MULTILINE | re.DOTALL)
             for line in re.finditer(r"^.+$", block[0], re.MULTILINE) if not line[0].startswith("```")]
    rest = BLOCK.sub(lambda block: " " * len(block[0]), text)
    found += [(span.start(), span[1]) for span in re.finditer(r"`([^`\n]+)`", rest)
              if re.match(r"(?:[A-Z_]+=\S+ )*(?:\S*/)?(?:python3?|pip3?|bash|git|jupyter) \S", span[1])]
    return [line for _, text in sorted(found) if (line := re.sub(r"(^|\s)#.*", "", text).strip())]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A copy of the repository with small data, a finished run RUN_DIR, and a stand-in for Python."""
    tmp_path = tmp_path_factory.mktemp("desk")
    ignore = shutil.ignore_patterns("__pycache__", "*.png", "*.html", "*.jsonl", "*.gif")
    for name in "minigan", "exercises", "benchmarks", "docs":
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignore)
    shutil.copy(ROOT / "minigan" / "webpage.html", tmp_path / "minigan")
    for name in "demo.py", "setup.cfg":
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "fake_device.py", tmp_path / "tests")  # benchmarks/step.py counts launches with it
    (tmp_path / "bin").mkdir()
    for name in "python", "python3", "pip":
        (tmp_path / "bin" / name).write_text(STAND_IN.format(added=ADDED, read_only=READ_ONLY, path=os.environ["PATH"], python=sys.executable))
        (tmp_path / "bin" / name).chmod(0o755)
    rng = np.random.default_rng(0)
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "train-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (80, 28, 28), dtype=np.uint8)))
    (tmp_path / "digits" / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(80, dtype=np.uint8) % 10)))
    (tmp_path / "holiday-photos").mkdir()
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(tmp_path / "holiday-photos" / f"{i}.png")
    np.savez(tmp_path / "my-images.npz", images=rng.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8))
    assert bash("python demo.py --conditional --out RUN_DIR", tmp_path).returncode == 0
    return tmp_path


def bash(command, desk):
    env = {**os.environ, "PATH": str(desk / "bin"), "PYTHONPATH": "", "OPENBLAS_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run([shutil.which("bash"), "-c", command], cwd=desk, env=env, capture_output=True, encoding="utf-8", stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def printed():
    """{command: what it printed} of all that have been run, so that none is run twice."""
    return {}


TAKEN_FOR_GRANTED = {"python demo.py evaluate runs/seed-0": "runs/seed-0", "python demo.py evaluate runs/conditional-0": "runs/conditional-0"}


BASH = pytest.mark.skipif(os.name == "nt", reason="the pages' commands are bash's")


@BASH
@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_can_be_run(page, desk, printed):
    found = commands((ROOT / page).read_text(encoding="utf-8"))
    assert len(found) > 5
    for command in found:
        if command in printed:
            continue
        run = TAKEN_FOR_GRANTED.get(command)
        if run and not (desk / run).exists():
            shutil.copytree(desk / "RUN_DIR", desk / run)
        result = bash(command, desk)
        expected = 1 if command == "python -m pytest exercises" else 0  # all have their holes
        assert result.returncode == expected, f"{page}: {command}\n{result.stdout}{result.stderr}"
        assert not expected or "0 of 8 solved" in result.stdout, result.stdout
        printed[command] = result.stdout
        named = re.search(r"--out (\S+?);? ", command + " ")
        assert not named or "benchmarks/" in command or list(desk.glob(named[1].replace("$s", "*"))), f"{page}: {command} made no {named[1]}"


@BASH
def test_nothing_that_a_page_says_is_overlooked(desk):
    page = "`python demo.py sample A`, `a = b`\n```sh\npython demo.py   # a comment\nfor s in 0; do python x; done\n```\n`OPENBLAS_NUM_THREADS=1 python x.py`\n```\npython y\n```"
    assert commands(page) == ["python demo.py sample A", "python demo.py", "for s in 0; do python x; done", "OPENBLAS_NUM_THREADS=1 python x.py"]
    for wrong, words in {
        "python demo.py sample RUN_DIR --number 3": "unrecognized arguments: --number",
        "python demo.py sampel RUN_DIR": "there is no command 'sampel'",
        "python benchmarks/race.py --outfile a.png": "['--outfile'] not in its --help",
        "python benchmarks/other.py": "no test knows how to run it",
        "python -m pytest --fast": "['--fast'] not in its --help",
        "pip install -e '.[cuda11]'": "setup.cfg has the extras",
        "git clone x": "git: command not found",
        "for s in 0 1; do python demo.py --seed $s --out a$s --epoch; done": "expected one argument",
    }.items():
        result = bash(wrong, desk)
        assert result.returncode and words in result.stderr, (wrong, result.stderr)


# ---- links ----

def slug(heading):
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\]\([^)]*\)", "", heading).strip().lower()).replace(" ", "-")


def dead_links(path, text):
    """What a page links to, or shows, that is not there."""
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text)):
        name, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = path.parent / name if name else path
        if not target.exists():
            dead.append(link)
        elif anchor:
            content = target.read_text(encoding="utf-8")
            there = {slug(h) for h in re.findall(r"^#+ (.*)$", BLOCK.sub("", content), re.MULTILINE)} | set(re.findall(r'\bid="([^"]+)"', content))
            dead += [] if anchor in there else [link]
    return dead


@pytest.mark.parametrize("path", LINKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    assert dead_links(path, path.read_text(encoding="utf-8")) == []


def test_every_link_of_the_notebook_leads_somewhere():
    path = ROOT / "docs" / "minigan.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    words = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert words.count("](../minigan/") > 3 and dead_links(path, words) == []


def test_a_dead_link_is_seen():
    page = "[a](docs/speed.md) ![b](docs/nothing.png) [c](#the-tour) [d](#the-detour) [e](docs/recipe.md#with-labels) [f](docs/recipe.md#gone)"
    assert dead_links(ROOT / "README.md", page) == ["docs/nothing.png", "#the-detour", "docs/recipe.md#gone"]


# ---- figures ----

README = (ROOT / "README.md").read_text(encoding="utf-8")


def near(shown, counted):
    """Whether a time of reading is still right: to a fifth, or to a minute."""
    return abs(shown - counted) <= max(1, counted / 5)


def test_the_tour_is_in_reading_order_and_its_minutes_are_right():
    rows = re.findall(r"^\| \[`(\w+)`\]\(minigan/(\w+)\.py\) \| .* \| (\d+) \|$", README, re.MULTILINE)
    order, counted = [name for name, _ in reading_order()], all_minutes()
    assert [name for name, _, _ in rows] == [file for _, file, _ in rows] == order[:order.index("spectral") + 1]
    off = {name: counted[name] for name, _, shown in rows if not near(int(shown), counted[name])}
    assert off == {}, "the README's minutes are off: python docs/reading_time.py counts these"
    total = int(re.search(r"^\| all of them \| .* \| (\d+) \|$", README, re.MULTILINE)[1])
    assert total == sum(int(shown) for _, _, shown in rows), "the last row of the tour is the sum of those above"
    assert f"stand {len(order) - len(rows)} more pages" in README
    assert near(10, 12) and not near(10, 13) and not near(3, 5)


def test_the_results_are_those_of_the_files():
    results = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    seeds = [json.loads((ROOT / "docs" / "seeds" / f"seed-{i}.json").read_text()) for i in range(3)]
    fd = ", ".join(f"{seed['run']['fd']:.2f}" for seed in seeds)
    for page in README, results:
        assert f"| {fd} |" in page
    for figure, digits in ("score", 2), ("recall", 2), ("coverage", 2):
        shown = ", ".join(f"{seed['run'][figure]:.{digits}f}" for seed in seeds)
        assert f"| {shown} | {seeds[0]['floor'][figure]:.{digits}f} | {seeds[0]['ceiling'][figure]:.{digits}f} |" in results, figure
    assert f"real images {seeds[0]['floor']['fd']:.2f}, noise {seeds[0]['ceiling']['fd']:.0f}" in README
    rows = [json.loads(line) for line in (ROOT / "docs" / "recipes.jsonl").read_text().splitlines()]
    best = [row for row in rows if row["recipe"] == "default-conv"]
    assert len(best) == 3 and "| " + ", ".join(f"{row['fd']:.2f}" for row in sorted(best, key=lambda row: row["fd"])) + " |" in README
    told = [json.loads((ROOT / "docs" / "seeds" / f"conditional-{i}.json").read_text())["run"] for i in range(3)]
    assert "{:.1f}, {:.1f} and {:.1f} %".format(*(100 * run["agreement"] for run in told)) in results
    assert "{:.2f}, {:.2f} and {:.2f}, half".format(*(run["fd"] for run in told)) in " ".join(results.split())
    speed = re.search(r"^\| default \| 128 \| \d+ \| 2 \|(?: \S+ \|){2}.*?\| ([\d.]+) \(", (ROOT / "docs" / "speed.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert f"| {speed[1]} | `python benchmarks/step.py --compile`" in README


@BASH
def test_as_many_gradients_as_it_says(desk, printed):
    command = "python demo.py check"
    count = re.search(r"^(\d+) of (\d+) gradients agree", printed.get(command) or bash(command, desk).stdout, re.MULTILINE)
    assert f"| {count[1]} of {count[2]}, to 7 digits and more | `python demo.py check` |" in README


def test_it_is_cited_as_what_it_is():
    cff = dict(re.findall(r"^([\w-]+): \"?(.*?)\"?$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE))
    bibtex = dict(re.findall(r"^  (\w+) += \{+(.*?)\}+,?$", README, re.MULTILINE))
    year, authors = re.search(r"Copyright \(c\) (\d+) (.*)", (ROOT / "LICENSE").read_text(encoding="utf-8")).groups()
    assert cff["version"] == bibtex["version"] == minigan.__version__ and cff["license"] == "MIT"
    assert cff["title"] == bibtex["title"] and bibtex["year"] == year
    assert bibtex["author"] == authors and f"  - name: {authors}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
