"""Several runs side by side: the right figures of the right run, and one sentence for each bad folder."""
import json

import pytest

from minigan.comparison import COLUMNS, draw_comparison, read_run, table
from minigan.runs import RunError


@pytest.fixture
def runs(tmp_path):
    """Two runs, of three epochs and of one; the first is measured."""
    for name, epochs, recipe in ("a", 3, "default"), ("longer-name", 1, "dcgan"):
        folder = tmp_path / name
        folder.mkdir()
        rows = [[e, 10.5 * e, 8.25 / e, 1.4 - 0.1 * e, 0.7 + 0.1 * e, 0.6, 0.4 + 0.01 * e] for e in range(1, epochs + 1)]
        (folder / "history.csv").write_text("\n".join(",".join(map(str, row)) for row in [COLUMNS, *rows]) + "\n")
        (folder / "settings.json").write_text(json.dumps({"recipe": {"name": recipe}, "seed": 4}))
    (tmp_path / "a" / "metrics.json").write_text(json.dumps({"run": {"fd": 2.125, "recall": 0.5, "classes": [1, 2]}, "count": 9, "against": "a"}))
    return {name: read_run(tmp_path / name) for name in ("a", "longer-name")}


def test_the_table_has_a_line_for_each_run(runs):
    head, first, second, hint = table(runs).splitlines()
    assert head.split() == ["run", "recipe", "seed", "epochs", "seconds", "last", "FD", "best", "FD", "FD", "recall"]
    assert first.split() == ["a", "default", "4", "3", "32", "2.75", "2.75", "2.125", "0.500"]
    assert second.split() == ["longer-name", "dcgan", "4", "1", "10", "8.25", "8.25", "-", "-"]
    assert len(head) == len(first) == len(second) and hint.endswith("evaluate longer-name")


def test_without_any_metrics_there_are_no_columns_for_them(runs):
    lines = table({"longer-name": runs["longer-name"]}).splitlines()
    assert lines[0].split()[-2:] == ["best", "FD"]


def test_what_cannot_be_compared_is_said(runs):
    other = {**runs["a"], "data": ("elsewhere", "", 0, 7)}
    assert "trained on different images" in table({**runs, "b": other}) and "different images" not in table(runs)
    other = {**runs["a"], "measured": "100 images, against b"}
    assert "cannot be compared: 100 images, against b; 9 images, against a" in table({**runs, "b": other})
    assert "cannot be compared" not in table({**runs, "b": runs["a"]})


def test_the_figure_draws_what_the_runs_wrote(runs):
    distance, losses, scores = draw_comparison(runs).axes
    drawn = {line.get_label(): line for line in distance.lines}
    assert drawn["a"].get_xdata().tolist() == [10.5, 21.0, 31.5] and drawn["a"].get_ydata().tolist() == [8.25, 4.125, 2.75]
    assert drawn["longer-name"].get_ydata().tolist() == [8.25]
    of_D, of_G = losses.lines[:2]
    assert of_D.get_ydata() == pytest.approx([1.3, 1.2, 1.1]) and of_G.get_ydata() == pytest.approx([0.8, 0.9, 1.0])
    assert (of_D.get_linestyle(), of_G.get_linestyle()) == ("-", "--")
    assert of_D.get_color() == of_G.get_color() == drawn["a"].get_color() != drawn["longer-name"].get_color()
    assert scores.lines[0].get_ydata().tolist() == [0.6] * 3 and scores.lines[1].get_ydata() == pytest.approx([0.41, 0.42, 0.43])


@pytest.mark.parametrize("file, text, sentence", [
    ("history.csv", None, "has no history.csv: name folders of runs"),
    ("history.csv", "epoch,fd\n1,2\n", "history.csv is damaged"),
    ("history.csv", ",".join(COLUMNS) + "\n", "holds no epoch"),
    ("history.csv", ",".join(COLUMNS) + "\n1,1,nan,1,1,1,1\n", "or no numbers"),
    ("history.csv", b"\xff\xfe\0", "history.csv is damaged"),
    ("settings.json", "{}", "settings.json is damaged"),
    ("settings.json", None, "cannot read"),
    ("metrics.json", "[]", "metrics.json is damaged"),
])
def test_bad_folders_get_a_sentence(runs, tmp_path, file, text, sentence):
    path = tmp_path / "a" / file
    path.unlink()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RunError, match=sentence):
        read_run(tmp_path / "a")
