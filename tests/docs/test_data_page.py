"""docs/data.md: every row of its tables names tests that exist."""

import re

from helpers import ROOT

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
ROWS = [
    line
    for line in PAGE.partition("## Memory")[0].splitlines()
    if line.startswith("|") and not line.startswith(("|---", "| data |", "| what |", "| picture |"))
]


def named_tests(text):
    """The names of tests in a text; `test_images` and `test_labels` are arrays."""
    return set(re.findall(r"`(test_\w+)`", text)) - {"test_images", "test_labels"}


def test_every_row_names_a_test_that_exists():
    files = [
        *(ROOT / "tests" / "datasets").glob("*.py"),
        *(ROOT / "tests" / "training").glob("*.py"),
    ]
    defined = set(
        re.findall(r"^def (test_\w+)", "".join(f.read_text() for f in files), re.MULTILINE)
    )
    assert len(ROWS) > 25
    for row in ROWS:
        assert named_tests(row), row
    assert named_tests(PAGE) <= defined
