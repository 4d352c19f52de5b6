"""The exercises' checkers are tested: each rejects the hole and typical wrong answers, with the hint that belongs to
them, and accepts the solution, and right answers that look otherwise.

wrong_answers.py has them, as edits of the solution. What a student has done in exercises/ does not matter here.
"""
import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from wrong_answers import RIGHT, WRONG

FOLDER = Path(__file__).resolve().parent.parent / "exercises"
sys.path.insert(0, str(FOLDER.parent))
from exercises import watch_gans
from exercises.checkers import EXERCISES
from exercises.checkers.tools import grade, load

BY_NAME = {exercise.part or exercise.name.partition("_")[2]: exercise for exercise in EXERCISES}

def answer(exercise, edits, folder):
    """The solution with these edits, in a file; in exercise 3 they are made in one function only."""
    head, marker, text = (FOLDER / "solutions" / f"{exercise.name}.py").read_text(encoding="utf-8"), "", ""
    if exercise.part:
        head, marker, text = head.partition(f"def {exercise.part}(")
    else:
        head, text = "", head
    for right, wrong in edits.items():
        if right == "import numpy" and exercise.part:
            head = head.replace(right, wrong, 1)
            continue
        own, next_def, rest = text.partition("\n\n\ndef gan_")
        assert (own if exercise.part else text).count(right) >= 1, f"{right!r} is not in the solution of {exercise.name}"
        text = own.replace(right, wrong) + next_def + rest if exercise.part else text.replace(right, wrong)
    path = folder / f"{exercise.name}.py"
    path.write_text(head + marker + text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", BY_NAME)
def test_the_solution_is_accepted(name):
    exercise = BY_NAME[name]
    assert grade(exercise.checker, FOLDER / "solutions" / f"{exercise.name}.py", exercise.part) is None


@pytest.mark.parametrize("name, look", [(name, look) for name in RIGHT for look in RIGHT[name]])
def test_right_answers_that_look_otherwise_are_accepted(name, look, tmp_path):
    assert grade(BY_NAME[name].checker, answer(BY_NAME[name], RIGHT[name][look], tmp_path), BY_NAME[name].part) is None


@pytest.mark.parametrize("name, mistake", [(name, mistake) for name in WRONG for mistake in WRONG[name]])
def test_wrong_answers_are_rejected_with_the_hint_that_belongs_to_them(name, mistake, tmp_path):
    edits, hint = WRONG[name][mistake]
    sentence = grade(BY_NAME[name].checker, answer(BY_NAME[name], edits, tmp_path), BY_NAME[name].part)
    assert sentence and hint in sentence.partition(" (Right so far")[0], sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("name", BY_NAME)
def test_the_hole_is_rejected(name):
    """Unless somebody has solved it in this very copy."""
    exercise = BY_NAME[name]
    path = FOLDER / f"{exercise.name}.py"
    sentence = grade(exercise.checker, path, exercise.part)
    if sentence is None and "NotImplementedError" not in path.read_text(encoding="utf-8"):
        pytest.skip(f"{name} is solved here")
    assert sentence.startswith(path.name) and sentence.endswith((".", "?", ".)")) and "\n" not in sentence


def test_every_demand_of_a_checker_has_rejected_something(tmp_path):
    rejected, demands = set(), set()  # (file, line)
    for name in WRONG:
        for edits, _ in WRONG[name].values():
            with np.errstate(), pytest.raises((Exception, SystemExit)) as found:  # anything: some come out of the student's code
                list(BY_NAME[name].checker(load(answer(BY_NAME[name], edits, tmp_path))))
            rejected |= {(Path(entry.path).name, entry.lineno + 1) for entry in found.traceback}
    for path in (FOLDER / "checkers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("demand", "like"):
                demands.add((path.name, node.lineno, node.end_lineno))
    assert len(demands) > 60
    assert [d for d in sorted(demands) if not any((d[0], line) in rejected for line in range(d[1], d[2] + 1))] == []


def test_an_answer_leaves_nothing_behind(tmp_path):
    before = np.geterr()
    edits, _ = WRONG["own_loss"]["exponential prices, warnings off"]
    grade(BY_NAME["own_loss"].checker, answer(BY_NAME["own_loss"], edits, tmp_path))
    assert np.geterr() == before


def test_the_symptoms_that_the_five_owners_tell_are_what_one_sees(tmp_path):
    def seen(name, mistake="as it came"):
        step = watch_gans.healthy if name == "healthy" else getattr(
            load(answer(BY_NAME[name], WRONG[name][mistake][0] if mistake else {}, tmp_path)), name)
        loss_D, least, loss_G, p_real, p_fake, drawn = watch_gans.watch(step)
        return loss_D, least, loss_G, p_real, p_fake, max(abs(np.array(drawn) - watch_gans.PIXELS[0]))

    loss_D, least, loss_G, p_real, p_fake, off = seen("healthy")
    assert least < 0.5 and off < 10 and abs(p_real - 0.5) < 0.1
    loss_D, least, loss_G, p_real, p_fake, off = seen("gan_1")
    assert loss_D < 0.01 and loss_G < 0.01 and off > 100
    loss_D, least, loss_G, p_real, p_fake, off = seen("gan_2")
    assert least > 0.5 and p_real > 0.6 and p_fake > 0.6
    *_, drawn = watch_gans.watch(load(answer(BY_NAME["gan_3"], WRONG["gan_3"]["as it came"][0], tmp_path)).gan_3)
    assert all(pixel > 240 for pixel in drawn[::2]) and all(90 < pixel < 180 for pixel in drawn[1::2])
    loss_D, least, loss_G, p_real, p_fake, off = seen("gan_4")
    assert least > 1.2 and abs(p_real - 0.5) < 0.1 and abs(p_fake - 0.5) < 0.1 and off > 100
    loss_D, least, loss_G, p_real, p_fake, off = seen("gan_5")
    assert least > np.log1p(np.exp(-1)) + np.log(2)
    assert all(seen(name, None)[5] < 10 for name in WRONG if name.startswith("gan_"))       # mended, all of them learn


def test_each_exercise_says_what_to_do_and_keeps_the_solution_apart():
    for exercise in EXERCISES:
        text = load(FOLDER / f"{exercise.name}.py").__doc__
        for part in ("The task", "Read before", "Shapes", "Check\n    python -m pytest exercises -k", "Hint",
                     f"({exercise.minutes} minutes)"):
            assert part in text, (exercise.name, part)
        for page in re.findall(r"minigan/\w+\.py", text):
            assert (FOLDER.parent / page).is_file(), page
        assert re.search(rf"`{exercise.name}.py`.*\| {exercise.minutes} \|", (FOLDER / "README.md").read_text(encoding="utf-8"))
        hint = text.partition("Hint")[2]
        solution = (FOLDER / "solutions" / f"{exercise.name}.py").read_text(encoding="utf-8").rpartition('"""')[2]
        assert not any(line.strip() in hint for line in solution.splitlines() if len(line.strip()) > 12)


@pytest.fixture
def desk(tmp_path):
    """A copy of the exercises in which all are solved."""
    shutil.copytree(FOLDER, tmp_path / "exercises", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FOLDER.parent / "setup.cfg", tmp_path)
    for path in (FOLDER / "solutions").glob("ex*.py"):
        shutil.copy(path, tmp_path / "exercises")
    return tmp_path


def pytest_run(desk, *args):
    env = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    return subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "exercises", *args], cwd=desk,
                          capture_output=True, text=True, env=env)


def test_who_has_solved_all_is_told_so(desk):
    result = pytest_run(desk)
    assert result.returncode == 0, result.stdout
    assert "8 of 8 solved" in result.stdout and "12 passed" in result.stdout


def test_who_is_on_the_way_is_told_how_far(desk):
    (desk / "exercises" / "ex1_relu.py").write_text("from minigan.layer import Layer\n\n\nclass ReLU(Layer):\n    pass\n")
    (desk / "exercises" / "ex2_gate.py").write_text("class Gate:\n    def (\n")
    solved = (desk / "exercises" / "ex3_broken_gans.py").read_text(encoding="utf-8")
    (desk / "exercises" / "ex3_broken_gans.py").write_text(solved.replace("/ 127.5 - 1\n    y,", "/ 255\n    y,"), encoding="utf-8")
    result = pytest_run(desk)
    assert result.returncode == 1
    assert "ex1_relu.py: ReLU has no forward." in result.stdout
    assert "ex2_gate.py: line 2 is not Python" in result.stdout
    assert "5 of 8 solved. Next: exercises/ex1_relu.py" in result.stdout and "4 of 5 mended" in result.stdout
    assert "Traceback" not in result.stdout + result.stderr and "short test summary" not in result.stdout
    one = pytest_run(desk, "-k", "relu")
    assert one.returncode == 1 and "0 of 1 solved" in one.stdout and "1 failed, 11 deselected" in one.stdout


def test_watching_what_cannot_be_run_ends_with_one_sentence(desk):
    (desk / "exercises" / "ex3_broken_gans.py").write_text("import numpy as np\ndef gan_1(\n")
    result = subprocess.run([sys.executable, desk / "exercises" / "watch_gans.py"], cwd=desk, capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": str(FOLDER.parent)})
    assert result.returncode == 2 and result.stderr.startswith("ex3_broken_gans.py, gan_1: line 2 is not Python")
    assert "Traceback" not in result.stderr
