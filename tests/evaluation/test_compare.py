"""Several runs side by side: the numbers of each run, and an error for each bad folder."""

import json

import pytest

from minigan.evaluation.compare import (
    HISTORY_COLUMNS,
    format_comparison,
    plot_comparison,
    read_run,
)
from minigan.figures.plots import new_figure
from minigan.training.run_folder import RunError


@pytest.fixture
def runs(tmp_path):
    """Two runs, of three epochs and of one; the first one was evaluated."""
    for name, epochs, recipe in ("a", 3, "default"), ("longer-name", 1, "dcgan"):
        folder = tmp_path / name
        folder.mkdir()
        rows = [
            [e, 10.5 * e, 8.25 / e, 1.4 - 0.1 * e, 0.7 + 0.1 * e, 0.6, 0.4 + 0.01 * e]
            for e in range(1, epochs + 1)
        ]
        lines = [",".join(map(str, row)) for row in [HISTORY_COLUMNS, *rows]]
        (folder / "history.csv").write_text("\n".join(lines) + "\n")
        (folder / "settings.json").write_text(json.dumps({"recipe": {"name": recipe}, "seed": 4}))
    metrics = {"run": {"fd": 2.125, "recall": 0.5, "classes": [1, 2]}, "count": 9, "against": "a"}
    (tmp_path / "a" / "metrics.json").write_text(json.dumps(metrics))
    return {name: read_run(tmp_path / name) for name in ("a", "longer-name")}


def test_the_table_has_a_line_for_each_run(runs):
    head, first, second, hint = format_comparison(runs).splitlines()
    assert head.split() == ("run recipe seed epochs seconds last FD best FD FD recall".split())
    assert first.split() == ["a", "default", "4", "3", "32", "2.75", "2.75", "2.125", "0.500"]
    assert second.split() == ["longer-name", "dcgan", "4", "1", "10", "8.25", "8.25", "-", "-"]
    assert len(head) == len(first) == len(second)
    assert hint.endswith("python demo.py evaluate longer-name")
    hint = format_comparison(runs, command="python -m minigan").splitlines()[-1]
    assert hint.endswith("python -m minigan evaluate longer-name")  # as an installed package has it


def test_newer_metrics_are_shown_where_they_were_measured(runs):
    metrics = {"fd": 3.25, "kid": 0.0625, "read": 0.75, "memorisation": -0.125}
    newer = {**runs["a"], "metrics": metrics}
    head, first, second = format_comparison({"a": newer, "b": runs["a"]}).splitlines()
    assert head.split()[-5:] == ["FD", "KID", "read", "recall", "memorised"]
    assert first.split()[-5:] == ["3.250", "0.062", "0.750", "-", "-0.125"]
    assert second.split()[-5:] == ["2.125", "-", "-", "0.500", "-"]


def test_the_number_of_modes_has_no_decimals(runs):
    runs["a"]["metrics"] |= {"modes": 997.0, "kl_uniform": 0.25}
    row = format_comparison(runs).splitlines()[1].split()
    assert "997" in row and "0.250" in row


def test_a_metric_that_is_rounded_to_zero_has_no_minus_sign(runs):
    runs["a"]["metrics"] |= {"kid": -0.0004, "memorisation": -0.0006}
    runs["a"]["history"]["fd"][-1] = -1e-7
    line = format_comparison(runs).splitlines()[1].split()
    assert line[5:7] == ["0.00", "0.00"] and "0.000" in line and "-0.001" in line


def test_without_any_metrics_there_are_no_columns_for_them(runs):
    lines = format_comparison({"longer-name": runs["longer-name"]}).splitlines()
    assert lines[0].split()[-2:] == ["best", "FD"]


def test_a_metrics_file_from_before_0_2_0_can_be_read(runs, tmp_path):
    """It has "floor" and "ceiling" in place of "real" and "noise"."""
    part = {"fd": 3.5, "precision": 0.25, "coverage": 0.75, "recall": 0.125, "agreement": 0.5}
    old = {"run": part, "floor": {**part, "fd": 1.0}, "ceiling": {**part, "fd": 99.0}}
    path = tmp_path / "a" / "metrics.json"
    path.write_text(json.dumps({**old, "count": 100, "seed": 0, "against": "b", "features": ""}))
    assert read_run(tmp_path / "a")["metrics"] == part


def test_the_same_images_with_and_without_labels_are_the_same_images(runs):
    one = {**runs["a"], "data": ("/one/data",), "fingerprint": "01ab", "image_fingerprint": "01ab"}
    conditional = {**one, "data": ("/other/data",), "fingerprint": "23cd"}
    assert "different images" not in format_comparison({"a": one, "b": conditional})
    changed = {**one, "fingerprint": "45ef", "image_fingerprint": "45ef"}  # in the same place
    assert "different images" in format_comparison({"a": one, "b": changed})


def test_the_same_images_in_two_clones_are_the_same_images(runs):
    one = {**runs["a"], "data": ("/one/data", "", 0, 7), "fingerprint": "01ab"}
    other = {**one, "data": ("/other/data", "", 0, 7)}
    assert "different images" not in format_comparison({"a": one, "b": other})
    for fingerprint in "23cd", None:  # None: a run of version 0.1.0
        different = {**other, "fingerprint": fingerprint}
        assert "different images" in format_comparison({"a": one, "b": different})
        assert "different images" in format_comparison({"b": different, "a": one})


def test_a_note_says_that_fds_of_other_features_cannot_be_compared(runs):
    one = {**runs["a"], "image_fingerprint": "01ab", "digits": True}
    assert "other features" not in format_comparison({"a": one, "b": one})
    assert "other features" in format_comparison({"a": one, "b": {**one, "digits": False}})


def test_notes_say_what_cannot_be_compared(runs):
    other = {**runs["a"], "data": ("elsewhere", "", 0, 7)}
    assert "different images" in format_comparison({**runs, "b": other})
    assert "different images" not in format_comparison(runs)
    assert runs["a"]["measured"] == "9 images, compared with a"
    other = {**runs["a"], "measured": "100 images, compared with b"}
    text = format_comparison({**runs, "b": other})
    assert "100 images, compared with b; 9 images, compared with a" in text
    assert "cannot be compared" not in format_comparison({**runs, "b": runs["a"]})


def test_a_note_says_that_a_run_was_trained_further_after_its_evaluation(runs, tmp_path):
    path = tmp_path / "a" / "metrics.json"
    for epochs, noted in (3, False), (2, True):
        path.write_text(json.dumps({**json.loads(path.read_text()), "epochs": epochs}))
        text = format_comparison({**runs, "a": read_run(tmp_path / "a")})
        assert ("a was evaluated after epoch 2, and trained up to epoch 3 since" in text) == noted


def test_the_figure_shows_what_the_runs_wrote(runs):
    with new_figure(13, 4) as figure:
        plot_comparison(figure, runs)
    distance, losses, scores = figure.axes
    curves = {line.get_label(): line for line in distance.lines}
    assert curves["a"].get_xdata().tolist() == [10.5, 21.0, 31.5]
    assert curves["a"].get_ydata().tolist() == [8.25, 4.125, 2.75]
    assert curves["longer-name"].get_ydata().tolist() == [8.25]
    loss_D, loss_G = losses.lines[:2]
    assert loss_D.get_ydata() == pytest.approx([1.3, 1.2, 1.1])
    assert loss_G.get_ydata() == pytest.approx([0.8, 0.9, 1.0])
    assert (loss_D.get_linestyle(), loss_G.get_linestyle()) == ("-", "--")
    assert loss_D.get_color() == loss_G.get_color() == curves["a"].get_color()
    assert curves["a"].get_color() != curves["longer-name"].get_color()
    score_real, score_fake = scores.lines[:2]
    assert score_real.get_ydata().tolist() == [0.6] * 3
    assert score_fake.get_ydata() == pytest.approx([0.41, 0.42, 0.43])


def test_a_run_with_a_loss_on_pairs_is_compared_by_its_differences(runs, tmp_path):
    path = tmp_path / "a" / "history.csv"
    text = path.read_text().replace("score_real,score_fake", "difference,ordered")
    path.write_text(text)
    with new_figure(13, 4) as figure:
        plot_comparison(figure, {**runs, "a": read_run(tmp_path / "a")})
    _, losses, scores = figure.axes
    assert [line.get_linestyle() for line in scores.lines] == [":"] + ["-", "--"] * (len(runs) - 1)
    assert scores.lines[0].get_ydata() == pytest.approx([0.41, 0.42, 0.43])
    assert "dotted" in scores.get_ylabel() and len(losses.lines) == 2 * len(runs)


@pytest.mark.parametrize(
    "file, text, fragment",
    [
        ("history.csv", None, "has no history.csv"),
        ("history.csv", "epoch,fd\n1,2\n", "history.csv is damaged"),
        ("history.csv", ",".join(HISTORY_COLUMNS) + "\n", "holds no epoch"),
        ("history.csv", ",".join(HISTORY_COLUMNS) + "\n1,1,nan,1,1,1,1\n", "NaN"),
        ("history.csv", b"\xff\xfe\0", "history.csv is damaged"),
        ("settings.json", "{}", "settings.json is damaged"),
        ("settings.json", None, "cannot read"),
        ("metrics.json", "[]", "metrics.json is damaged"),
        ("metrics.json", '{"run": {"fd": "?"}}', "metrics.json is damaged"),
    ],
)
def test_a_bad_folder_is_an_error_that_names_the_file(runs, tmp_path, file, text, fragment):
    path = tmp_path / "a" / file
    path.unlink()
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RunError, match=fragment):
        read_run(tmp_path / "a")


@pytest.mark.parametrize("columns", [3, 2, 1])
def test_sixteen_runs_have_sixteen_colours_and_a_legend_that_covers_nothing(runs, columns):
    many = {f"runs/20261128-2040{i:02}-default": runs["a"] for i in range(15)} | {"$a_b": runs["a"]}
    with new_figure(1 + 4.2 * columns, 14 / columns + 4) as figure:
        plot_comparison(figure, many, columns=columns)
        figure.canvas.draw()
        [legend] = figure.legends
        box = legend.get_window_extent()
        for axes in figure.axes:
            assert axes.get_title() or not axes.axison
            assert not box.overlaps(axes.get_tightbbox()), axes.get_title()
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
    colours = {tuple(line.get_color()) for line in figure.axes[0].lines}
    assert len(colours) == len(legend.texts) == 16
