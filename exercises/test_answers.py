"""python -m pytest exercises: every exercise that is not solved yet fails with a message that says
what is missing.
"""

from pathlib import Path

import pytest

from exercises.checkers import EXERCISES
from exercises.checkers.tools import grade

FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    "exercise", EXERCISES, ids=lambda e: f"{e.name}-{e.part}" if e.part else e.name
)
def test_answer(exercise, record_property, pytestconfig):
    record_property("exercise", EXERCISES.index(exercise))
    path = FOLDER / f"{exercise.name}.py"
    hints = pytestconfig.getoption("--hint")
    sentence = grade(exercise.checker, path, exercise.part, hints=hints)
    if sentence:
        pytest.fail(sentence, pytrace=False)
