"""The exercises' checkers: each rejects the empty exercise and typical wrong answers, with the
right hint.

Each also accepts the solution and unusual right answers. wrong_answers.py has all of them, as edits
of the solutions. What a student has written in exercises/ does not matter here.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from wrong_answers import RIGHT, WRONG

from exercises import make_handout, train_digits, watch_gans
from exercises.checkers import EXERCISES, digits
from exercises.checkers.tools import grade, load

FOLDER = Path(__file__).resolve().parents[2] / "exercises"
IN_LAB = {  # lines of the solution of exercise 9 that LAB.md tells
    "loss_D, _, _ = discriminator_step(G, D, optimizer_D, real, z_D, rng=rng)",
    "loss_G = generator_step(G, D, optimizer_G, z_G, rng=rng)",
}
BY_NAME = {exercise.part or exercise.name.partition("_")[2]: exercise for exercise in EXERCISES}


@pytest.fixture(autouse=True)
def short_training(request, monkeypatch, tmp_path):
    """Exercise 9 trains for 60 steps, except where the solution is tested; FD is then about 175."""
    monkeypatch.chdir(tmp_path)  # where it writes its picture
    if "solution" not in request.node.name:
        monkeypatch.setattr(digits, "STEPS", 60)
        monkeypatch.setattr(digits, "GOOD_FD", 195)


def replace_code(text, old, new):
    """text with all occurrences of some code replaced, whatever the spaces and line breaks between
    its tokens.
    """
    core = old.strip()
    before, after = old[: old.index(core)], old[old.index(core) + len(core) :]
    tokens = re.findall(r"\w+|[^\w\s]", core)
    pattern = re.escape(tokens[0])
    for left, right in zip(tokens, tokens[1:]):
        both_words = re.fullmatch(r"\w+", left) and re.fullmatch(r"\w+", right)
        pattern += (r"\s+" if both_words else r"\s*") + re.escape(right)
    text, count = re.subn(re.escape(before) + pattern + re.escape(after), lambda _: new, text)
    assert count, f"{old!r} is not in the solution"
    return text


def answer(exercise, edits, folder):
    """The solution with these edits, in a file; in exercise 3 made in one function only."""
    text = (FOLDER / "solutions" / f"{exercise.name}.py").read_text(encoding="utf-8")
    head, tail = "", ""
    if exercise.part:
        head, marker, text = text.partition(f"def {exercise.part}(")
        text, following, tail = text.partition("\n\n\ndef gan_")
        text, tail = marker + text, following + tail
    for old, new in edits.items():
        if exercise.part and old == "import numpy":
            head = replace_code(head, old, new)
        else:
            text = replace_code(text, old, new)
    path = folder / f"{exercise.name}.py"
    path.write_text(head + text + tail, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", BY_NAME)
def test_the_solution_is_accepted(name):
    exercise = BY_NAME[name]
    path = FOLDER / "solutions" / f"{exercise.name}.py"
    assert grade(exercise.checker, path, exercise.part) is None


@pytest.mark.parametrize("name, variant", [(name, v) for name in RIGHT for v in RIGHT[name]])
def test_unusual_right_answers_are_accepted(name, variant, tmp_path):
    exercise = BY_NAME[name]
    path = answer(exercise, RIGHT[name][variant], tmp_path)
    assert grade(exercise.checker, path, exercise.part) is None


@pytest.mark.parametrize("name, mistake", [(name, m) for name in WRONG for m in WRONG[name]])
def test_wrong_answers_are_rejected_with_the_right_hint(name, mistake, tmp_path):
    exercise, (edits, hint) = BY_NAME[name], WRONG[name][mistake]
    sentence = grade(exercise.checker, answer(exercise, edits, tmp_path), exercise.part)
    assert sentence and hint in sentence.partition(" (Right so far")[0], sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", BY_NAME)
def test_the_empty_exercise_is_rejected(name):
    """Unless somebody has solved it in this very copy."""
    exercise = BY_NAME[name]
    path = FOLDER / f"{exercise.name}.py"
    sentence = grade(exercise.checker, path, exercise.part)
    if sentence is None and "NotImplementedError" not in path.read_text(encoding="utf-8"):
        pytest.skip(f"{name} is solved here")
    assert sentence.startswith(path.name) and sentence.endswith((".", "?", ".)"))
    assert "\n" not in sentence


def test_every_demand_of_a_checker_has_rejected_something(tmp_path):
    rejected, demands = set(), set()  # (file, line)
    for name in WRONG:
        for edits, _ in WRONG[name].values():
            # anything may be raised: some exceptions come from the student's code
            with np.errstate(), pytest.raises((Exception, SystemExit)) as found:
                list(BY_NAME[name].checker(load(answer(BY_NAME[name], edits, tmp_path))))
            rejected |= {(Path(entry.path).name, entry.lineno + 1) for entry in found.traceback}
    for path in (FOLDER / "checkers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("demand", "like"):
                demands.add((path.name, node.lineno, node.end_lineno))
    assert len(demands) > 60
    unused = [
        (name, first)
        for name, first, last in sorted(demands)
        if not any((name, line) in rejected for line in range(first, last + 1))
    ]
    assert unused == []


def test_an_answer_leaves_nothing_behind(tmp_path):
    before = np.geterr()
    edits, _ = WRONG["own_loss"]["exponential losses, warnings off"]
    grade(BY_NAME["own_loss"].checker, answer(BY_NAME["own_loss"], edits, tmp_path))
    assert np.geterr() == before


def test_the_broken_gans_show_what_their_authors_observed(tmp_path):
    def watch(name, edits=None):
        path = answer(
            BY_NAME[name], WRONG[name]["as given"][0] if edits is None else edits, tmp_path
        )
        outcome = watch_gans.watch(getattr(load(path), name))
        return outcome, max(abs(np.array(outcome.generated) - watch_gans.PIXELS[0]))

    healthy = watch_gans.watch(watch_gans.healthy)
    assert healthy.lowest_loss_D < 0.5 and abs(healthy.score_real - 0.5) < 0.1
    assert max(abs(np.array(healthy.generated) - watch_gans.PIXELS[0])) < 10
    outcome, error = watch("gan_1")
    assert outcome.loss_D < 0.01 and outcome.loss_G < 0.01 and error > 100
    outcome, error = watch("gan_2")
    assert outcome.lowest_loss_D > 0.5 and outcome.score_real > 0.6 and outcome.score_fake > 0.6
    outcome, error = watch("gan_3")
    assert all(pixel > 240 for pixel in outcome.generated[::2])
    assert all(90 < pixel < 180 for pixel in outcome.generated[1::2])
    outcome, error = watch("gan_4")
    assert outcome.lowest_loss_D > 1.2 and error > 100
    assert abs(outcome.score_real - 0.5) < 0.1 and abs(outcome.score_fake - 0.5) < 0.1
    outcome, error = watch("gan_5")
    assert outcome.lowest_loss_D > np.log1p(np.exp(-1)) + np.log(2)
    fixed = [name for name in WRONG if name.startswith("gan_")]
    assert len(fixed) == 5 and all(watch(name, {})[1] < 10 for name in fixed)


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda e: e.part or e.name)
def test_an_exercise_names_existing_modules_and_does_not_contain_its_solution(exercise):
    text = load(FOLDER / f"{exercise.name}.py").__doc__
    modules = re.findall(r"minigan/[\w/]+\.py", text)
    assert modules and all((FOLDER.parent / module).is_file() for module in modules)
    solution = (FOLDER / "solutions" / f"{exercise.name}.py").read_text(encoding="utf-8")
    code = solution.rpartition('"""')[2].splitlines()
    hint = text.partition("Hint")[2]
    assert hint and not any(line.strip() in hint for line in code if len(line.strip()) > 12)


def test_the_readme_lists_every_exercise_with_its_difficulty_and_minutes():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for exercise in EXERCISES:
        row = rf"`{exercise.name}.py`.*\| {exercise.difficulty} \| {exercise.minutes} \|"
        assert re.search(row, readme), exercise.name


TO_HINT_AT = {  # a wrong answer of each exercise
    **{name: "as given" for name in BY_NAME if name.startswith("gan_")},
    "relu": "derivative 1 everywhere",
    "gate": "the path through the gate is missing",
    "bce": "a sum",
    "adam": "no bias correction",
    "dropout": "no scaling",
    "transposed": "overlaps are overwritten",
    "own_loss": "sums",
    "digits": "bytes",
}


@pytest.mark.parametrize("name", BY_NAME)
def test_a_hint_is_given_only_if_it_is_asked_for(name, tmp_path):
    """Not even the step that fails; and where a mistake is to be found, not what is right."""
    exercise, (edits, hint) = BY_NAME[name], WRONG[name][TO_HINT_AT[name]]
    path = answer(exercise, edits, tmp_path)
    none, step, all_of_it = (
        grade(exercise.checker, path, exercise.part, hints=hints) for hints in (0, 1, 2)
    )
    where, right_so_far = all_of_it.partition(": ")[0], all_of_it.partition(" (Right so far")[1:]
    if exercise.part:
        assert none == f"{path.name}, {name}: the mistake is still there; for a hint, add --hint 1."
    else:
        wanted = f"{path.name}: it is not right yet; for a hint, add --hint 1."
        assert none == wanted + "".join(right_so_far)
    assert where != path.name and where not in none
    wanted = f"{where}: this is not right yet; for what is wrong, add --hint 2."
    assert step == wanted + "".join(right_so_far)
    assert hint in all_of_it and hint not in step
    path.write_text("def gan_1(\n")
    assert "is not valid Python" in grade(exercise.checker, path, exercise.part, hints=0)


def test_without_an_option_the_command_gives_no_mistake_away(desk):
    for name, mistake, words in (
        ("gan_3", "as given", "still there"),
        ("relu", "derivative 1 everywhere", "not right yet"),
    ):
        edits, hint = WRONG[name][mistake]
        shutil.copy(answer(BY_NAME[name], edits, desk), desk / "exercises")
        said = [pytest_run(desk, "-k", name, *option).stdout for option in ([], ["--hint", "2"])]
        assert words in said[0] and hint not in said[0] and hint in said[1]


def test_the_digits_of_a_solution_are_trained_and_shown(tmp_path, capsys, monkeypatch):
    """For a fraction of a second: how many steps that is depends on the machine."""
    solution = str(FOLDER / "solutions" / "ex9_digits.py")
    sheets, save = [], train_digits.save_sheet
    monkeypatch.setattr(
        train_digits, "save_sheet", lambda sheet, file: (sheets.append(sheet), save(sheet, file))
    )
    for number in "", "-2":
        assert train_digits.main([solution, "--seconds", "0.1"]) == 0
        head, *lines, last = capsys.readouterr().out.splitlines()
        assert "FD" in head and len(lines) == train_digits.ROWS
        picture = tmp_path / "runs" / f"my-digits{number}.png"
        assert f"my-digits{number}.png" in last
        with Image.open(picture) as image:
            assert image.width > 2 * (12 * 30 + 2) and image.height > 2 * (11 * 30 + 2)  # words
        first, *_, last = sheets.pop().rows
        assert re.fullmatch(r"0.01 s, FD \d+", first) and last == "real"


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "cannot read "),
        ("def make_networks(rng):\n    raise NotImplementedError('not yet')\n", ": not yet."),
        ("def make_networks(rng):\n    return 1 / 0\n", "line 2 raises ZeroDivisionError"),
    ],
)
def test_digits_that_cannot_be_trained_get_one_sentence(text, message, tmp_path, capsys):
    path = tmp_path / "mine.py"
    if text:
        path.write_text(text)
    assert train_digits.main([str(path)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_handout_has_no_solution_and_can_be_used(tmp_path, capsys):
    if solved := [path for path in FOLDER.glob("ex*.py") if not is_empty(path)]:
        pytest.skip(f"{solved[0].name} is solved here")
    assert make_handout.main([]) == 0 and "without solutions" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "handout.zip") as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / make_handout.NAME
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert not any("solution" in str(path.relative_to(folder)) for path in files)
    solutions = "".join(p.read_text(encoding="utf-8") for p in (FOLDER / "solutions").glob("*.py"))
    empty = "".join(p.read_text(encoding="utf-8") for p in FOLDER.glob("ex*.py"))
    given_away = {
        line.strip()
        for line in solutions.splitlines()
        if len(line.strip()) > 30 and line.strip() not in empty and not line.startswith("from ")
    }
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in files
        if path.suffix in (".py", ".md") and path.relative_to(folder).parts[0] != "minigan"
    )
    assert len(given_away) > 60
    assert {line for line in given_away if line in text} == IN_LAB
    for path in files:
        if path.suffix == ".md" and "data" not in path.parts:
            links = re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8"))
            assert all((path.parent / link).exists() for link in links), (path, links)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "exercises", "-k", "relu"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )
    assert "0 of 1 solved" in run.stdout, run.stdout + run.stderr
    assert make_handout.main([]) == 2 and "nothing was overwritten" in capsys.readouterr().err


def is_empty(path):
    """Whether nobody has written a solution into an exercise of this very copy."""
    if path.stem != "ex3_broken_gans":
        return "NotImplementedError" in path.read_text(encoding="utf-8")
    return all(grade(BY_NAME[f"gan_{i}"].checker, path, f"gan_{i}") for i in range(1, 6))


def test_a_handout_with_a_solution_is_refused(monkeypatch, desk, capsys):
    monkeypatch.setattr(make_handout, "ROOT", desk)
    assert make_handout.main([]) == 2
    assert "contains a solution (ReLU)" in capsys.readouterr().err
    assert not Path("handout.zip").exists()
    shutil.copy(FOLDER / "ex1_relu.py", desk / "exercises")
    assert make_handout.main([]) == 2 and "(a layer's backward)" in capsys.readouterr().err


@pytest.fixture
def desk(tmp_path):
    """A copy of the exercises in which all are solved."""
    shutil.copytree(FOLDER, tmp_path / "exercises", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FOLDER.parent / "setup.cfg", tmp_path)
    for path in (FOLDER / "solutions").glob("ex*.py"):
        shutil.copy(path, tmp_path / "exercises")
    return tmp_path


def pytest_run(desk, *args):
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "exercises", *args],
        cwd=desk,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
    )


@pytest.mark.long
def test_all_exercises_solved(desk):
    result = pytest_run(desk)
    assert result.returncode == 0, result.stdout
    assert "9 of 9 solved" in result.stdout and "13 passed" in result.stdout


def test_some_exercises_solved(desk):
    relu, gate, gans = (
        desk / "exercises" / f"{name}.py" for name in ("ex1_relu", "ex2_gate", "ex3_broken_gans")
    )
    relu.write_text("from minigan.nn.layer import Layer\n\n\nclass ReLU(Layer):\n    pass\n")
    gate.write_text("class Gate:\n    def (\n")
    gans.write_text(
        replace_code(gans.read_text(encoding="utf-8"), "/ 127.5 - 1\n    y,", "/ 255\n    y,"),
        encoding="utf-8",
    )
    result = pytest_run(desk)
    assert result.returncode == 1
    assert "ex1_relu.py: ReLU has no forward." in result.stdout
    assert "ex2_gate.py: line 2 is not valid Python" in result.stdout
    assert "6 of 9 solved. Next: exercises/ex1_relu.py" in result.stdout
    assert "4 of 5 fixed" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr
    assert "short test summary" not in result.stdout
    one = pytest_run(desk, "-k", "relu")
    assert one.returncode == 1 and "0 of 1 solved" in one.stdout
    assert "1 failed, 12 deselected" in one.stdout


def test_watching_invalid_code_ends_with_one_sentence_and_status_2(desk):
    (desk / "exercises" / "ex3_broken_gans.py").write_text("import numpy as np\ndef gan_1(\n")
    result = subprocess.run(
        [sys.executable, desk / "exercises" / "watch_gans.py"],
        cwd=desk,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(FOLDER.parent)},
    )
    assert result.returncode == 2
    assert result.stderr.startswith("ex3_broken_gans.py, gan_1: line 2 is not valid Python")
    assert "Traceback" not in result.stderr
