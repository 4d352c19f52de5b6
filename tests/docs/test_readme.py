"""The documents: printed commands run, links lead somewhere, figures agree with their sources.

A command is a line in a shell block, or a code span that begins like one. Bash runs it in a small
copy of the repository, with the files in docs/ that the repository ships. There
`python`, `python3` and `pip` are the script RUNNER. It adds options that make a command short and
passes it to Python. A command that cannot run here (READ_ONLY) is only compared with the --help of
its script, and an unknown command is refused.
"""

import gzip
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import demo, idx
from PIL import Image

import minigan
from minigan.cli import arguments, train
from minigan.datasets.idx import TEST_IMAGES, TEST_LABELS, load_images, load_labels
from minigan.datasets.pixels import MAX_PIXELS, MAX_SIDE, size_fits
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.legibility import load_conv_classifier, share_read
from minigan.gan.recipes import OLD_FIELDS, RECIPES, Recipe

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    "README.md",
    "docs/usage.md",
    "docs/results.md",
    "docs/recipe.md",
    "docs/recipes.md",
    "docs/losses.md",
    "docs/teaching.md",
    "exercises/README.md",
    "exercises/LAB.md",
    "docs/modes.md",
    "docs/parallel.md",
]
LINKED = [
    ROOT / "exercises" / "LAB.md",
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("data", "exercises", "tests")),
]
sys.path.append(str(ROOT / "docs"))
from reading_time import all_minutes, reading_order  # noqa: E402

OPTIONS = {  # added to a command that begins like this, so that it takes a second or two
    "demo.py": ["--epochs", "1", "--batch-size", "8", "--data", "digits"],
    "demo.py --data": ["--epochs", "1", "--batch-size", "4"],
    "demo.py --resume": ["--epochs", "2"],
    "demo.py sample": [],
    "demo.py walk": [],
    "demo.py runs": ["."],  # the folder of RUN_DIR
    "demo.py compare": [],
    "demo.py export": [],
    "demo.py check": [],
    "demo.py recipes": [],
    "demo.py summary": [],
    "demo.py diagram": [],
    "demo.py --help": [],
    "demo.py data": [],
    "-m minigan": ["recipes"],
    "-m minigan data": [],
    "demo.py evaluate": ["--count", "100"],
    "demo.py inspect": ["--steps", "1"],
    "demo.py toy": ["--steps", "3"],
    "demo.py --resume runs/softsign": [],
    "my_gan.py": [],
    "docs/reading_time.py": [],
    "-m exercises.mistakes": ["--page", "--out", "gallery"],  # test_mistakes.py trains them
    "-m pytest exercises": ["-p", "no:cacheprovider"],
    "exercises/watch_gans.py": [],
    "exercises/make_handout.py": [],
    "-m venv .venv": [],
}
READ_ONLY = {  # and why
    "demo.py --backend cupy": "needs a GPU; benchmarks/gpu_check.sh runs it",
    "demo.py --data /usr/share/datasets/fashion-mnist": "needs Debian's package",
    "demo.py --data stacked-mnist": "trains for minutes; test_stacked.py trains on triples",
    "demo.py evaluate runs/stacked": "evaluates that run; test_modes.py evaluates one",
    "demo.py --open": "opens a browser",
    "docs/make_book.py": "test_book.py makes the book",
    "docs/make_slides.py": "test_slides.py makes the slides",
    "exercises/train_digits.py": "needs a solution; test_exercises.py has one",
    "-m exercises.mistakes NAME": "stands for any of them",
    "benchmarks/consumers.py": "installs other packages; test_consumers.py tests it",
    "benchmarks/gpu_report.py": "needs what a GPU has measured; test_gpu_check.py tests it",
    "benchmarks/metrics_peers.py": "needs other packages; test_metrics_peers.py tests it",
    "benchmarks/live.py": "trains for minutes",
    "benchmarks/long_run.py": "takes half an hour",
    "benchmarks/parallel.py": "needs MPI, and minutes; test_mpi.py tests the runs",
    "benchmarks/race.py": "needs PyTorch, and ten minutes",
    "benchmarks/recipes.py": "takes an hour and more",
    "benchmarks/losses.py": "takes hours",
    "benchmarks/stacked_mnist.py": "takes hours; test_stacked_mnist.py tests it",
    "benchmarks/toys.py": "takes half an hour",
    "benchmarks/search.py": "takes hours",
    "benchmarks/step.py": "needs PyTorch, and minutes; test_golden.py tests the step",
    "-m pytest": "this test is part of it",
}
RUNNER = """#!{python} -ES
import os, re, subprocess, sys
options, read_only, path, python = {options!r}, {read_only!r}, {path!r}, {python!r}
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
line = " ".join(words)

def refuse(sentence):
    sys.exit(f"test_readme.py: {{name}} {{line}}: {{sentence}}")

def longest(table):
    keys = [key for key in table if line == key or line.startswith(key + " ")]
    return max(keys, key=len, default=None)

def declared_extras():
    section = open("setup.cfg").read().partition("extras_require]")[2].partition("\\n[")[0]
    return re.findall(r"^(\\w+) =$", section, re.M)

if name == "pip":  # needs a network: only the name of the extra is checked
    if re.fullmatch(r"install(?: [\\w-]+==[\\d.]+)+", line):  # pinned versions, for a benchmark
        sys.exit()
    install = re.fullmatch(r"install (?:-e )?\\.(?:\\[(\\w+)\\])?", line)
    install = install or refuse("no such install")
    if install[1] not in [None, *declared_extras()]:
        refuse(f"setup.cfg has the extras {{declared_extras()}} only")
    sys.exit()
if name == "jupyter":  # starts a server
    if words[0] != "lab" or not os.path.exists(words[1]):
        refuse("no such notebook")
    sys.exit()
if line == "-m venv .venv":  # what is installed into it would need a network
    os.makedirs(".venv/bin", exist_ok=True)
    for link in "python", "pip":
        if not os.path.lexists(".venv/bin/" + link):
            os.symlink(os.path.abspath("bin/" + link), ".venv/bin/" + link)
    sys.exit()
os.environ["PATH"] = path
read, run = longest(read_only), longest(options)
if read is not None and (run is None or len(read) > len(run)):
    script = words[:words.index("-m") + 2] if "-m" in words else words[:1]
    def show_help(*words):
        return subprocess.run([python, *words, "--help"], capture_output=True, text=True)
    help = show_help(*script)
    rest = words[len(script):]
    if rest and any(rest[0] in names.split(",") for names in re.findall(r"{{(.+?)}}", help.stdout)):
        help = show_help(*script, rest[0])  # of that command
    known = set(re.findall(r"--[-\\w]+", help.stdout))
    unknown = [word for word in words if word.startswith("--") and word not in known]
    if help.returncode or unknown:
        refuse(f"{{help.stderr}} {{unknown}} not in its --help")
    sys.exit()
if run is None:
    refuse("unknown command: enter it in OPTIONS, or with a reason in READ_ONLY")
os.execv(python, [python, *words, *options[run]])
"""
SCRIPT = r"^```python\n(# (my_\w+\.py)\n.*?)^```$"  # a file that a document prints
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
BASH = pytest.mark.skipif(os.name == "nt", reason="the commands are for bash")


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def commands(text):
    """All commands of a document in their order, without comments."""
    blocks = r"^```(?:sh|bash|shell|console)\n(.*?)^```$"
    found = [
        (block.start() + line.start(), line[0])
        for block in re.finditer(blocks, text, re.MULTILINE | re.DOTALL)
        for line in re.finditer(r"^.+$", block[0], re.MULTILINE)
        if not line[0].startswith("```")
    ]
    rest = BLOCK.sub(lambda block: " " * len(block[0]), text)
    begins = r"(?:[A-Z_]+=\S+ )*(?:\S*/)?(?:python3?|pip3?|bash|git|jupyter) \S"
    found += [
        (span.start(), span[1])
        for span in re.finditer(r"`([^`\n]+)`", rest)
        if re.match(begins, span[1]) and "gpu_check" not in span[1]
    ]
    return [line for _, text in sorted(found) if (line := re.sub(r"(^|\s)#.*", "", text).strip())]


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A copy of the repository with small data, and a finished run in RUN_DIR."""
    clone = tmp_path_factory.mktemp("clone")
    ignore = shutil.ignore_patterns("__pycache__", "tutorial.html")  # what git ignores
    for name in "minigan", "exercises", "benchmarks", "docs":
        shutil.copytree(ROOT / name, clone / name, ignore=ignore)
    for name in "demo.py", "setup.cfg":
        shutil.copy(ROOT / name, clone)
    usage = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
    for script, name in re.findall(SCRIPT, usage, re.MULTILINE | re.DOTALL):
        (clone / name).write_text(script, encoding="utf-8")
    (clone / "data").symlink_to(ROOT / "data")
    (clone / "tests").mkdir()
    for name in "fake_cupy.py", "fake_cuda.py":  # for benchmarks/step.py
        shutil.copy(ROOT / "tests" / name, clone / "tests")
    (clone / "bin").mkdir()
    runner = RUNNER.format(
        options=OPTIONS, read_only=READ_ONLY, path=os.environ["PATH"], python=sys.executable
    )
    for name in "python", "python3", "pip", "jupyter":
        (clone / "bin" / name).write_text(runner)
        (clone / "bin" / name).chmod(0o755)
    # of several processes one is enough here; test_mpi.py starts them all
    launcher = '#!/bin/bash\n[ "$1" = -n ] && [ "$2" -gt 1 ] || exit 2\nshift 2\nexec "$@"\n'
    (clone / "bin" / "mpiexec").write_text(launcher)
    (clone / "bin" / "mpiexec").chmod(0o755)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (80, 28, 28), dtype=np.uint8), np.arange(80) % 10
    (clone / "digits").mkdir()
    (clone / "digits" / "train-images-idx3-ubyte").write_bytes(idx(images))
    (clone / "digits" / "train-labels-idx1-ubyte.gz").write_bytes(
        gzip.compress(idx(labels.astype(np.uint8)))
    )
    (clone / "holiday-photos").mkdir()
    for i in range(4):
        photo = Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8))
        photo.save(clone / "holiday-photos" / f"{i}.png")
    np.save(clone / "my-digits.npy", rng.integers(0, 256, (130, 28, 28), dtype=np.uint8))
    np.savez(clone / "my-images.npz", images=rng.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8))
    result = bash("python demo.py --conditional --out RUN_DIR", clone)
    assert result.returncode == 0, result.stderr
    return clone


def bash(command, clone):
    env = {
        **os.environ,
        "PATH": str(clone / "bin"),
        "PYTHONPATH": "",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONIOENCODING": "utf-8",
    }
    return subprocess.run(
        [shutil.which("bash"), "-c", command],
        cwd=clone,
        env=env,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def printed():
    """{command: what it printed} of all commands that were run, so that none is run twice."""
    return {}


NEEDED_RUNS = {  # a command that uses a run whose training is printed in another document
    "python demo.py evaluate runs/seed-0": "runs/seed-0",
    "python demo.py evaluate runs/conditional-0": "runs/conditional-0",
    "python demo.py evaluate runs/dense-conditional-0": "runs/dense-conditional-0",
}


@pytest.mark.long
@BASH
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_a_document_runs_on_a_fresh_clone(document, clone, printed):
    found = commands(read(document))
    assert len(found) > 1
    for command in found:
        if command in printed:
            continue
        needed = NEEDED_RUNS.get(command)
        if needed and not (clone / needed).exists():
            shutil.copytree(clone / "RUN_DIR", clone / needed)
        result = bash(command, clone)
        unsolved = command.startswith("python -m pytest exercises")  # as long as none is solved
        expected = 1 if unsolved else 0
        report = f"{document}: {command}\n{result.stdout}{result.stderr}"
        assert result.returncode == expected, report
        assert not unsolved or re.search("^0 of [19] solved", result.stdout, re.MULTILINE), report
        printed[command] = result.stdout
        out = re.search(r"--out (\S+?);? ", command + " ")
        read_only = any(name in command for name in READ_ONLY)
        if out and "benchmarks/" not in command and not read_only:
            assert list(clone.glob(out[1].replace("$s", "*"))), f"{document}: {command}"


@pytest.mark.long
@pytest.mark.parametrize("document, count", [("README.md", 1), ("docs/usage.md", 2)])
def test_the_python_of_a_document_runs(document, count, tmp_path, monkeypatch):
    """On 300 digits, with 200 samples to evaluate."""
    blocks = re.findall(r"^```python\n(.*?)^```$", read(document), re.MULTILINE | re.DOTALL)
    blocks = [b for b in blocks if ">>>" not in b and not b.startswith("# my_")]
    assert len(blocks) == count
    few = load_images()[:300]
    monkeypatch.setattr("minigan.datasets.idx.load_images", lambda: few)
    monkeypatch.setattr(minigan.GAN.evaluate, "__defaults__", (200, 0))
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        names = {}
        exec(block, names)
        if "gan" in names:
            assert names["images"].shape == (100, 28, 28)
            assert names["gan"].history["epoch"][-1] == (5 if "fit(epochs=2)" in block else 3)
            assert (tmp_path / "runs" / "python" / "metrics.json").exists()
            shutil.rmtree("runs")
        else:
            assert np.isfinite(float(names["loss_G"]))


@BASH
def test_a_command_that_would_overwrite_a_shipped_file_fails_in_the_copy(clone):
    for wrong in (
        "python demo.py sample RUN_DIR --out docs/digits.png",
        "python demo.py toy --out docs/toy.gif",
    ):
        result = bash(wrong, clone)
        assert result.returncode == 2 and wrong.split()[-1] in result.stderr, wrong


@pytest.mark.parametrize("document", [*DOCUMENTS, "docs/answers.md", "docs/mistakes.md"])
def test_no_printed_demo_command_writes_to_a_file_that_ships_with_the_repository(document):
    for command in commands(read(document)):
        out = re.search(r"demo\.py .*--out (\S+)", command)
        assert not out or not (ROOT / out[1]).is_file(), f"{document}: {command}"


@BASH
def test_commands_are_found_and_wrong_ones_fail(clone):
    document = (
        "`python demo.py sample A`, `a = b`\n```sh\npython demo.py   # a comment\n"
        "for s in 0; do python x; done\n```\n`OPENBLAS_NUM_THREADS=1 python x.py`\n"
        "```\npython y\n```"
    )
    assert commands(document) == [
        "python demo.py sample A",
        "python demo.py",
        "for s in 0; do python x; done",
        "OPENBLAS_NUM_THREADS=1 python x.py",
    ]
    for wrong, words in {
        "python demo.py sample RUN_DIR --number 3": "--number",
        "python demo.py sampel RUN_DIR": "sampel",
        "python benchmarks/race.py --outfile a.png": "['--outfile'] not in its --help",
        "python benchmarks/parallel.py hosts --size 3": "['--size'] not in its --help",
        "python benchmarks/other.py": "unknown command",
        "python -m pytest --fast": "['--fast'] not in its --help",
        "pip install -e '.[cuda11]'": "setup.cfg has the extras",
        "git clone x": "git: command not found",
        "for s in 0; do python demo.py --seed $s --out a$s --epoch; done": "--epoch",
    }.items():
        result = bash(wrong, clone)
        assert result.returncode and words in result.stderr, (wrong, result.stderr)


# ---- changes of the code ----

DIFF = re.compile(
    r"^```diff\n--- a/([^\n]*)\n\+\+\+ b/([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def change(text, lines):
    """A text after the change that the lines of a diff describe; it must fit in one place."""
    before, after = (
        "".join(line[1:] + "\n" for line in lines if line[0] in sides) for sides in (" -", " +")
    )
    assert text.count(before) == 1 and before != after, before
    return text.replace(before, after)


@pytest.mark.long
@BASH
def test_the_printed_changes_of_the_code_can_be_trained(clone, tmp_path):
    diffs = DIFF.findall(read("docs/usage.md"))
    assert [old for old, _, _ in diffs] == ["demo.py", "minigan/gan/models.py"]
    changed = tmp_path / "changed"
    shutil.copytree(clone, changed, symlinks=True, ignore=shutil.ignore_patterns("runs", "RUN_DIR"))
    for old, new, lines in diffs:
        assert old == new
        text = change((changed / old).read_text(encoding="utf-8"), lines.splitlines())
        (changed / old).write_text(text, encoding="utf-8")
        result = bash(f"python demo.py --out {Path(old).stem}", changed)
        assert result.returncode == 0, result.stderr


def test_the_printed_changes_of_the_code_fit():
    for old, _, lines in DIFF.findall(read("docs/usage.md")):
        change(read(old), lines.splitlines())
    with pytest.raises(AssertionError, match="two"):
        change("one\ntwo\ntwo\n", [" two", "+three"])


def test_the_printed_summary_is_that_of_the_command():
    block = r"^python demo.py (summary [^\n]*)\n```\n\n```\n(.*?)^```$"
    command, printed = re.search(block, read("docs/usage.md"), re.MULTILINE | re.DOTALL).groups()
    assert demo(*command.split(), cwd=ROOT).stdout == printed


def test_the_effects_of_changes_are_those_of_the_search():
    rows = re.findall(
        r"^\| ([^|]+) \| (`[^`|]+`)? *\| ([\d.]+) \| ([\d.]+) \| [^|]*\|$",
        read("docs/usage.md").partition("## How do I change it?")[2].partition("\n## ")[0],
        re.MULTILINE,
    )
    assert len(rows) == 6
    for name, _, fd, precision in rows:
        row = rf"^\| {re.escape(name)} \|.*\| \*\*{fd}\*\* \| {precision} \|"
        assert re.search(row, read("docs/recipe.md"), re.MULTILINE), name


# ---- links ----


def slug(heading):
    """The anchor that GitHub gives to a heading."""
    text = re.sub(r"[`*]|\]\([^)]*\)", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def dead_links(path, text):
    """The links and images of a document whose target does not exist."""
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
            headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", content), re.MULTILINE)
            anchors = {slug(h) for h in headings} | set(re.findall(r'\bid="([^"]+)"', content))
            dead += [] if anchor in anchors else [link]
    return dead


@pytest.mark.parametrize("path", LINKED, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path):
    assert dead_links(path, path.read_text(encoding="utf-8")) == []


def test_every_link_of_the_notebook_leads_somewhere():
    path = ROOT / "docs" / "minigan.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    markdown = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    text = "\n\n".join(markdown)
    assert text.count("](../minigan/") > 3 and dead_links(path, text) == []


def test_the_readme_names_every_document_that_has_commands():
    text = read("README.md")
    missing = [name for name in DOCUMENTS if name.startswith("docs/") and f"({name}" not in text]
    assert not missing


def test_a_dead_link_is_found():
    document = (
        "[a](docs/speed.md) ![b](docs/nothing.png) [c](#the-tour) [d](#the-detour)"
        " [e](docs/recipe.md#with-labels) [f](docs/recipe.md#gone)"
    )
    dead = ["docs/nothing.png", "#the-detour", "docs/recipe.md#gone"]
    assert dead_links(ROOT / "README.md", document) == dead


def test_no_document_links_to_the_book_which_is_not_part_of_the_repository():
    for path in LINKED:
        assert not re.search(r"\]\([./\w]*tutorial\.html", path.read_text(encoding="utf-8")), path


# ---- figures ----


def agree(shown, counted):
    """Whether a reading time is up to date: to a fifth, or to a minute."""
    return abs(shown - counted) <= max(1, counted / 5)


def tour():
    """[(module, path, minutes)] of the README's tour, and [minutes] of its two sums."""
    row = r"^\| \[`([\w/]+)`\]\(minigan/([\w/]+)\.py\) \| .* \| (\d+) \|$"
    rows = [(m, p, int(n)) for m, p, n in re.findall(row, read("README.md"), re.MULTILINE)]
    sums = re.findall(r"^\| \*\*\w+ course\*\* \| \| (\d+) \|$", read("README.md"), re.MULTILINE)
    return rows, [int(n) for n in sums]


def test_the_tour_is_in_reading_order_and_its_minutes_are_right():
    rows, _ = tour()
    names, order = [name for name, _, _ in rows], [name for name, _ in reading_order()]
    assert names == [path for _, path, _ in rows]
    assert names == [name for name in order if name in names]
    tutorial = {name for name in order if name.startswith(("nn/", "gan/"))}
    assert tutorial - set(names) <= {"nn/gradcheck_hints", "nn/double_gradcheck"}
    counted = all_minutes()
    off = {name: counted[name] for name, _, shown in rows if not agree(shown, counted[name])}
    assert off == {}, "the README's minutes are off: python docs/reading_time.py counts these"
    assert agree(10, 12) and not agree(10, 13) and not agree(3, 5)


def test_the_sums_of_the_tour_are_those_of_its_rows():
    rows, sums = tour()
    names = [name for name, _, _ in rows]
    first = names.index("gan/recipes") + 1
    assert sums == [sum(n for _, _, n in rows[:first]), sum(n for _, _, n in rows[first:])]


def in_seed_order(rows):
    return [row["fd"] for row in sorted(rows, key=lambda row: row["seed"])]


def json_lines(name):
    return [json.loads(line) for line in read(f"docs/{name}.jsonl").splitlines()]


def test_the_metrics_are_those_of_the_files():
    readme, results = read("README.md"), " ".join(read("docs/results.md").split())
    for recipe, metrics in {
        "": ("kid", "score", "precision", "recall", "coverage"),
        "dense-": ("score", "recall", "coverage"),
    }.items():
        seeds = [json.loads(read(f"docs/seeds/{recipe or 'seed-'}{i}.json")) for i in range(3)]
        fd = ", ".join(f"{seed['run']['fd']:.2f}" for seed in seeds)
        assert f"| {fd} |" in readme and f"| {fd} |" in results
        real, noise = (
            seeds[0].get(new) or seeds[0][old]
            for new, old in (("real", "floor"), ("noise", "ceiling"))
        )
        for metric in metrics:
            digits = 3 if metric == "kid" else 2
            shown = ", ".join(f"{seed['run'][metric]:.{digits}f}" for seed in seeds)
            row = f"| {shown} | {real[metric]:.{digits}f} | {noise[metric]:.2f} |"
            assert row in results, metric
        assert f"real images {real['fd']:.2f}, noise {noise['fd']:.0f}" in readme
        if not recipe:
            read_with_confidence = ", ".join(f"{100 * run['run']['read']:.1f}" for run in seeds)
            assert f"| {read_with_confidence} % |" in readme
            row = f"| {read_with_confidence} % | {100 * real['read']:.1f} % |"
            assert row in results
            assert f"real images {100 * real['read']:.1f} %" in readme
            rarest = ", ".join(f"{100 * min(run['run']['classes']):.1f}" for run in seeds)
            assert f"| {rarest} % |" in results
    conditional = [
        json.loads(read(f"docs/seeds/dense-conditional-{i}.json"))["run"] for i in range(3)
    ]
    agreement = [100 * run["agreement"] for run in conditional]
    assert "{:.1f}, {:.1f} and {:.1f} %".format(*agreement) in results
    runs = [json.loads(read(f"docs/seeds/conditional-{i}.json"))["run"] for i in range(3)]
    fd = "FD of {:.2f}, {:.2f} and {:.2f}".format(*(run["fd"] for run in runs))
    legible = "{:.1f}, {:.1f} and {:.1f} %".format(*(100 * run["read"] for run in runs))
    agreement = "{:.1f}, {:.1f} and {:.1f} %".format(*(100 * run["agreement"] for run in runs))
    assert f"{fd}, the second classifier reads {legible} of" in results
    assert f"assigns {agreement} of them" in results
    assert f"{fd} and an agreement of {agreement}" in " ".join(read("docs/recipe.md").split())
    conditional_fd = [run["fd"] for run in conditional]
    assert "{:.2f}, {:.2f} and {:.2f}, about half".format(*conditional_fd) in results


def test_the_long_run_is_that_of_the_file():
    recipe = " ".join(read("docs/recipe.md").split())
    runs = [json.loads(read(f"docs/seeds/long-{seed}.json")) for seed in range(3)]
    run, last = runs[0], [run["rows"][-1] for run in runs]
    for name, digits in ("fd", 2), ("kid", 3), ("read", 3), ("coverage", 2), ("recall", 2):
        shown = [f"{row[name]:.{digits}f}" for row in run["rows"] if row["epoch"] % 10 == 0]
        title = name if name[0] in "rc" else name.upper()
        assert f"| {title} | {' | '.join(shown)} |" in recipe, name
    worse = "{:.2f}, {:.2f} and {:.2f}".format(*(run["worse"] for run in runs))
    assert f"the last FD is {worse} times the lowest mean" in recipe
    fd = "{:.2f}, {:.2f} and {:.2f}".format(*(row["fd"] for row in last))
    legible = "{:.1f}, {:.1f} and {:.1f} %".format(*(100 * row["read"] for row in last))
    assert f"end with an FD of {fd}, and the second classifier reads {legible}" in recipe
    assert f"an FD of {fd}, and the second classifier reads {legible}" in " ".join(
        read("docs/results.md").split()
    )
    for seed, run in enumerate(runs):
        settings = RECIPES["long"]
        assert (run["epochs"], run["seed"]) == (settings.epochs, seed) and len(shown) == 10
        assert run["set"] == {
            "clusters": settings.clusters,
            "final_lr_factor": settings.final_lr_factor,
        }


def one_thread_runs():
    """(metrics of `dense`, the same with --conditional), and their columns in results.md."""
    plain, conditional = (
        json.loads(read(f"docs/seeds/dense-one-thread-{name}0.json"))
        for name in ("", "conditional-")
    )
    return plain, conditional, [plain["run"], conditional["run"], plain["real"], plain["noise"]]


def test_kid_and_memorisation_are_those_of_the_files():
    results = " ".join(read("docs/results.md").split())
    dense, conditional, columns = one_thread_runs()
    for metric in "nearer", "memorisation":
        shown = " | ".join(f"{part[metric]:.2f} ± {part[metric + '_se']:.2f}" for part in columns)
        assert f"| {shown} | 1 |" in results, metric
    run, real, noise = (dense[part] for part in ("run", "real", "noise"))
    assert f"| 10,000 | 1 | {run['fd']:.2f} | {run['kid']:.3f} |" in results
    assert f"KID of {real['kid']:.3f} and noise has one of {noise['kid']:.2f}" in results
    assert run["nearer"] < 0.5 < conditional["run"]["nearer"] - 3 * run["nearer_se"]
    assert abs(run["memorisation"]) < run["memorisation_se"]
    difference = conditional["run"]["memorisation"] - real["memorisation"]
    assert abs(difference) < conditional["run"]["memorisation_se"]
    assert f"that of exact copies is {real['fd']:.2f}" in results
    for metric in "precision", "recall":
        both = conditional["run"][metric], real[metric]
        assert "{} {:.2f}, real images {:.2f}".format(metric, *both) in results


def test_the_share_of_legible_digits_is_that_of_the_files():
    results = " ".join(read("docs/results.md").split())
    dense, conditional, columns = one_thread_runs()
    shown = " | ".join(f"{100 * part['read']:.1f} %" for part in columns)
    assert f"| {shown} |" in results
    for name, classifier in (
        ("features", load_classifier()),
        ("read_by", load_conv_classifier()),
    ):
        for file in dense, conditional:
            assert file[name]["classifier_sha256"] == classifier.sha256
        assert f"{100 * classifier.accuracy:.2f} %" in results
    images, labels = load_images(name=TEST_IMAGES) / np.float32(255), load_labels(name=TEST_LABELS)
    differ = labels != np.roll(labels, 1)
    averages = (images + np.roll(images, 1, axis=0))[differ] / 2
    share = share_read(load_conv_classifier(), averages)
    assert (
        f"averages of two test images of different classes it reads {100 * share:.0f} %" in results
    )


def test_the_pinned_versions_of_the_peers_are_those_of_the_script():
    script = read("benchmarks/metrics_peers.py")
    pins = re.findall(r"^pip install (.*==.*)$", read("docs/results.md"), re.MULTILINE)
    assert len(pins) == 1 and f"    pip install {pins[0]}\n" in script
    assert dict(re.findall(r"([\w-]+)==([\d.]+)", pins[0])) == dict(
        re.findall(r'^    "([\w-]+)": "([\d.]+)",$', script, re.MULTILINE)
    )


def test_the_distances_of_the_best_recipe_are_in_the_order_of_the_seeds():
    best = [row for row in json_lines("recipes") if row["recipe"] == "default-conv"]
    fd = [f"{value:.2f}" for value in in_seed_order(best)]
    assert len(fd) == 3 and sorted(fd) != fd, "sorting must be noticed"
    assert f"| {' '.join(fd)} |" in read("docs/recipes.md")


def test_documents_that_differ_on_a_seed_agree_with_their_files_and_are_explained():
    results = " ".join(read("docs/results.md").split())
    for name, key, wanted, document in (
        ("recipes", "recipe", "dense", "docs/recipes.md"),
        ("losses", "row", "non-saturating", "docs/losses.md"),
    ):
        rows = [row for row in json_lines(name) if row[key] == wanted and row["epochs"] == 16]
        fd = [f"{value:.2f}" for value in in_seed_order(rows)]
        assert f"| {' '.join(fd)} |" in read(document)
        assert "{}, {} and {}".format(*fd) in results


def test_more_epochs_are_the_same_in_all_documents():
    recipe = read("docs/recipe.md")
    history = [line.split(",") for line in read("docs/answers/long.csv").splitlines()]
    column = history[0].index("fd")
    by_epoch = {int(row[0]): float(row[column]) for row in history[1:]}
    table = re.search(
        r"^\| after epoch ((?:\| \d+ )+)\|\n.*\n\| .*? ((?:\| [\d.]+ )+)\|", recipe, re.M
    )
    epochs, shown = (re.findall(r"[\d.]+", table[i]) for i in (1, 2))
    assert shown == [f"{by_epoch[int(epoch)]:.2f}" for epoch in epochs] and len(shown) > 3
    best = min(by_epoch, key=by_epoch.get)
    long = {
        row["row"]: row for row in json_lines("losses") if row["epochs"] == 40 and row["seed"] == 0
    }
    plain, penalised = long["non-saturating"], long["non-saturating, r1 of weight 1"]
    for name in "docs/recipe.md", "docs/losses.md":
        text = " ".join(read(name).split())
        assert f"about {best} epochs" in text
        assert f"{plain['fd']:.2f}" in text and f"{penalised['fd']:.2f}" in text
    assert f"about {best} epochs" in " ".join(read("docs/usage.md").split())
    assert f"is {plain['fd']:.2f} after 40" in " ".join(read("docs/recipes.md").split())
    assert f"| {min(plain['history']):.2f}, {best} | {plain['history'][-1]:.2f}," in read(
        "docs/losses.md"
    )


def test_the_rows_with_pairs_are_those_of_their_commands():
    """In recipe.md: every how many steps there is a penalty, and the epochs."""
    text, parser = read("docs/recipe.md"), arguments.Parser()
    train.add_arguments(parser)
    commands = re.findall(r"demo\.py (--loss relativistic --penalty r1\+r2 .*)", text)
    recipes = [
        train.training_options(parser.parse_args(shlex.split(line, comments=True))).recipe
        for line in commands
    ]
    rows = re.findall(r"^\| pairs, R1 and R2 at every (.*)step \| .*? \| (\d+) \|", text, re.M)
    assert [(recipe.penalty_every, recipe.epochs) for recipe in recipes] == [
        ({"eighth ": 8, "": 1}[every], int(epochs)) for every, epochs in rows
    ]
    assert len(rows) == 2


def test_the_time_that_a_penalty_takes_is_the_same_in_all_documents():
    rows = [row for row in json_lines("losses") if row["epochs"] == 16]
    plain, r1 = (
        np.median([row["ms_a_step"] for row in rows if row["row"] == name])
        for name in ("non-saturating", "non-saturating, r1 of weight 1")
    )
    for name in "docs/usage.md", "docs/recipe.md", "docs/losses.md":
        factors = re.findall(r"([\d.]+) times as long", " ".join(read(name).split()))
        assert factors == [f"{r1 / plain:.2f}"], name
    with_help = subprocess.run(
        [sys.executable, ROOT / "demo.py", "--help"], capture_output=True, text=True
    )
    assert f"{r1 / plain:.1f} times as long" in " ".join(with_help.stdout.split())


def speed_up(recipe, threads, column):
    """The first ratio in docs/speed.md for this recipe, number of threads and column, or -."""
    heads = []
    for line in read("docs/speed.md").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if "recipe" in cells and "threads" in cells:
            heads = cells
        elif heads and len(cells) == len(heads):
            row = dict(zip(heads, cells))
            ratio = re.match(r"[\d.]+", row.get(column, ""))
            if (row["recipe"], row["threads"]) == (recipe, str(threads)) and ratio:
                return ratio[0]
        else:
            heads = []
    return "-"


def test_the_speed_up_is_that_of_speed_md():
    rows = re.findall(
        r"^\| `([\w-]+)` ((?:\| [\d.-]+ / [\d.-]+ ){3})\|$", read("README.md"), re.MULTILINE
    )
    shown = {
        name: [cell.split(" / ") for cell in cells.strip("| ").split(" | ")] for name, cells in rows
    }
    columns = "PyTorch / minigan", "lean / minigan", "compiled / minigan"
    assert len(shown) == 7
    assert shown == {
        name: [[speed_up(name, threads, column) for threads in (2, 1)] for column in columns]
        for name in shown
    }
    assert speed_up("dense", 2, columns[0]) > "1" and speed_up("dense", 3, columns[0]) == "-"


@BASH
def test_as_many_gradients_agree_as_it_says(clone, printed):
    command = "python demo.py check"
    output = printed.get(command) or bash(command, clone).stdout
    right, all_of_them = re.search(
        r"^(\d+) of (\d+) gradients agree", output, re.MULTILINE
    ).groups()
    row = r"\| all of more than (\d+), to 7 digits or more \| `(.*?)` \|"
    at_least, shown = re.search(row, read("README.md")).groups()
    assert shown == command and right == all_of_them and int(right) > int(at_least)


def test_the_largest_images_are_those_that_usage_names():
    text = " ".join(read("docs/usage.md").split())
    assert f"at most {MAX_SIDE:,} pixels a side and {MAX_PIXELS:,} numbers" in text
    sizes = r"(\d+) x (\d+) in (grey|colour) are (accepted|not)|so are (\d+) x (\d+) in (colour)"
    named = re.findall(sizes, text)
    assert len(named) >= 2
    for height, width, kind, verdict, *others in named:
        if others[0]:
            height, width, kind, verdict = *others, "accepted"
        channels = 3 if kind == "colour" else 1
        assert size_fits(int(height), int(width), channels) == (verdict == "accepted"), named


# ---- changes and citation ----


def resolve(name):
    """The object that a dotted name inside minigan means; AttributeError if there is none."""
    parts = f"minigan.{name.removeprefix('minigan.')}".split(".")
    for i in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:i]))
        except ImportError:
            continue
        for part in parts[i:]:
            found = getattr(found, part)
        return found
    raise AttributeError(name)


def changes(heading):
    """[(old cell, new cell)] of a table of docs/changes.md."""
    section = read("docs/changes.md").partition(f"### {heading}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    return [row for row in rows if "`" in row[0]]


@pytest.mark.parametrize("heading", ["Modules", "Functions and classes"])
def test_every_new_name_of_the_changes_exists(heading):
    rows = changes(heading)
    assert len(rows) > 40
    for _, new in rows:
        names = re.findall(r"`([\w.]+)`", new)
        assert names, new
        for name in names:
            resolve(name)
    with pytest.raises(AttributeError):
        resolve("nn.dense.Nothing")


def test_every_module_that_is_gone_is_in_the_changes():
    listed = {name for old, _ in changes("Modules") for name in re.findall(r"`(\w+)`", old)}
    assert set(minigan.moved.MODULES) | set(minigan.moved.MEMBERS) == listed


def test_the_renamed_recipe_fields_are_all_in_the_changes():
    fields = {}
    for old, new in changes("Recipe fields"):
        fields |= dict(zip(re.findall(r"\w+", old), re.findall(r"\w+", new)))
    assert fields == OLD_FIELDS
    assert set(fields.values()) <= set(Recipe.__dataclass_fields__)


def test_the_citation_agrees_with_the_package():
    cff = dict(re.findall(r"^([\w-]+): \"?(.*?)\"?$", read("CITATION.cff"), re.MULTILINE))
    bibtex = dict(re.findall(r"^  (\w+) += \{+(.*?)\}+,?$", read("README.md"), re.MULTILINE))
    year, authors = re.search(r"Copyright \(c\) (\d+) (.*)", read("LICENSE")).groups()
    assert cff["version"] == bibtex["version"] == minigan.__version__ and cff["license"] == "MIT"
    assert cff["title"] == bibtex["title"] and bibtex["year"] == year
    assert bibtex["author"] == authors and f"  - name: {authors}\n" in read("CITATION.cff")
