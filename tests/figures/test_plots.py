"""Plots: every image in its place, the right reference lines, and files that can be opened."""

import contextlib
import os
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from PIL import Image

from minigan.figures import plots
from minigan.gan.losses import GAN_LOSSES
from minigan.nn.losses import softplus

HISTORY = [
    {
        "epoch": i,
        "loss_D": 1.4 - 0.1 * i,
        "loss_G": 0.7 + i,
        "score_real": 0.6,
        "score_fake": 0.4,
        "fd": 100 / i,
    }
    for i in (1, 2, 3)
]


def test_a_grid_shows_every_image_in_its_place():
    images = np.stack([np.full((3, 2), v, "float32") for v in (0, 0.2, 0.4, 0.6, 1.5)])
    picture = plots.make_grid(images)
    assert picture.shape == (2 * 5 + 2, 3 * 4 + 2)  # 2 rows of 3, margins of 2
    assert picture[7:10, 2:4].tolist() == [[153, 153]] * 3  # the fourth: second row, first column
    assert picture[7:10, 6:8].max() == 255 and picture[7:10, 10:12].max() == 0
    assert plots.make_grid(images, columns=5).shape == (7, 22)
    assert plots.make_grid(images, background=90)[:2].tolist() == [[90] * 14] * 2


def test_a_grid_in_colour():
    images = np.random.default_rng(0).random((6, 8, 12, 3))
    picture = plots.make_grid(images)
    assert picture.shape == (2 * 10 + 2, 3 * 14 + 2, 3)
    np.testing.assert_array_equal(picture[12:20, 30:42], np.rint(255 * images[5]))


@pytest.mark.parametrize("zoom", [1, 3])
def test_saved_pixels_are_squares(tmp_path, zoom):
    images = np.random.default_rng(0).random((4, 5, 6))
    plots.save_grid(images, tmp_path / "grid.png", zoom=zoom)
    with Image.open(tmp_path / "grid.png") as picture:
        pixels = np.asarray(picture)
    np.testing.assert_array_equal(
        pixels, np.kron(plots.make_grid(images), np.ones((zoom, zoom), "uint8"))
    )


def test_red_is_above_0_and_blue_below():
    colour = plots.red_and_blue(np.array([[[2.0, -2.0, 0.0, 1.0]]]))
    assert colour.tolist() == [[[[1, 0, 0], [0, 0, 1], [1, 1, 1], [1, 0.5, 0.5]]]]
    assert plots.red_and_blue(np.array([[[[2.0, -2.0, 0.0]]]])).tolist() == [[[[1.0, 0.0, 0.5]]]]
    assert np.isfinite(plots.red_and_blue(np.zeros((1, 2, 2)))).all()


@pytest.fixture
def saved_curves(monkeypatch):
    """The options of every call of save_curves."""
    calls = []
    monkeypatch.setattr(plots, "save_curves", lambda history, path, **given: calls.append(given))
    return calls


LABELS = [(name, 1.0) for name in GAN_LOSSES] + [
    (name, 0.9) for name, loss in GAN_LOSSES.items() if loss.equilibrium_logit
]


@pytest.mark.parametrize("loss, real_label", LABELS)
def test_the_lines_of_losses_are_those_of_a_D_that_cannot_distinguish(
    loss, real_label, saved_curves
):
    plots.save_losses(HISTORY, "losses.png", real_label=real_label, loss=loss)
    t = real_label
    a = np.log(t / (2 - t))  # its logit, with a sigmoid
    bce = float(softplus(a) - t * a + softplus(a))
    expected = {
        "non-saturating": [bce, float(softplus(-a))],
        "minimax": [bce, float(-softplus(a))],
        "least-squares": [t * t / 4, (t / 2 - 1) ** 2 / 2],
        "hinge": [2.0],
        "wasserstein": [0.0],
        "relativistic": [np.log(2)],
    }[loss]
    assert list(saved_curves[0]["lines"]) == pytest.approx(expected)


def test_the_lines_are_labelled_with_their_values(saved_curves):
    plots.save_losses(HISTORY, "losses.png")
    plots.save_losses(HISTORY, "losses.png", loss="minimax", real_label=0.9)
    plots.save_scores(HISTORY, "scores.png")
    plots.save_scores(HISTORY, "scores.png", real_label=0.9)
    values = [
        [label.partition(":")[0] for label in given["lines"].values()] for given in saved_curves
    ]
    assert values == [["2 log 2", "log 2"], ["1.376", "-0.598"], ["1/2"], ["0.45"]]
    assert [list(given["lines"]) for given in saved_curves[2:]] == [[0.5], [0.45]]


def test_a_loss_on_pairs_has_differences_in_place_of_scores(saved_curves):
    plots.save_losses(HISTORY, "losses.png", loss="relativistic")
    plots.save_scores(HISTORY, "scores.png", loss="relativistic")
    losses, scores = saved_curves
    assert list(losses["lines"].values()) == ["log 2: both, if D cannot distinguish"]
    assert list(scores["columns"]) == ["difference", "ordered"]
    assert list(scores["lines"]) == [0.0, 0.5]


@pytest.mark.parametrize("generated", [np.arange(1.0, 3, 0.01), np.zeros(50), np.full(50, 15.0)])
def test_memorisation_shows_both_distributions_and_their_quantiles(
    generated, tmp_path, monkeypatch
):
    figures, held_out = [], np.arange(2.0, 6, 0.1)
    new_figure = plots.new_figure

    @contextlib.contextmanager
    def remember(*size):
        with new_figure(*size) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(plots, "new_figure", remember)
    plots.save_memorisation(generated, held_out, tmp_path / "memorisation.png")
    figure = figures[0]
    above, below = figure.axes
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.texts] == [
        f"generated images, median {np.median(generated):.2f}",
        f"held-out real images, median {np.median(held_out):.2f}",
    ]
    for patch, distances in zip(above.patches, (generated, held_out)):
        left, right = patch.get_extents().transformed(above.transData.inverted()).intervalx
        assert left <= distances.min() + 0.5 and right >= distances.max() - 0.5
    for line, distances in zip(below.lines[::3], (generated, held_out)):
        assert line.get_xdata() == pytest.approx(np.quantile(distances, [0.05, 0.95]))
    for line, distances in zip(below.lines[1::3], (generated, held_out)):
        assert line.get_xdata() == pytest.approx(np.quantile(distances, [0.25, 0.75]))
    assert figure.get_suptitle() and above.get_ylabel() and below.get_xlabel()
    renderer = figure.canvas.get_renderer()
    box = legend.get_window_extent(renderer)
    words = [below.xaxis.label, *below.get_xticklabels(), *below.get_yticklabels()]
    for other in above, below, *words:
        assert not box.overlaps(other.get_window_extent(renderer))
    assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1


def test_memorisation_of_a_single_distance_is_no_error(tmp_path):
    plots.save_memorisation(np.zeros(5), np.zeros(1), tmp_path / "memorisation.png")


def test_curves_and_bars_are_written(tmp_path):
    plots.save_losses(HISTORY, tmp_path / "losses.png")
    plots.save_scores(HISTORY, tmp_path / "scores.png")
    plots.save_fd(HISTORY, tmp_path / "fd.png")
    plots.save_classes([0.1] * 10, np.full(10, 0.1), tmp_path / "classes.png")
    weights = np.random.default_rng(0).standard_normal((13, 4, 5))
    plots.save_weights([("title", weights, "caption")] * 2, tmp_path / "weights.png")
    plots.save_memorisation(
        np.arange(1.0, 3, 0.01), np.arange(2.0, 6, 0.1), tmp_path / "memorisation.png"
    )
    for name in "losses", "scores", "fd", "classes", "weights", "memorisation":
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10


HOSTILE = {  # what a matplotlibrc may say
    "text.usetex": True,  # without LaTeX, drawing any text fails
    "font.family": ["a font that is missing"],
    "axes.facecolor": "red",
    "axes.xmargin": 0.3,
    "figure.dpi": 30,
    "savefig.dpi": 30,
    "savefig.bbox": "tight",
    "lines.linewidth": 9,
    "figure.constrained_layout.use": False,
}


def test_figures_depend_on_no_settings_of_matplotlib(tmp_path, caplog):
    plots.save_losses(HISTORY, tmp_path / "plain.png")
    with matplotlib.rc_context(HOSTILE):
        plots.save_losses(HISTORY, tmp_path / "hostile.png")
        plots.draw_test_figure()
        assert matplotlib.rcParams["axes.facecolor"] == "red"  # they are the user's again
    assert (tmp_path / "hostile.png").read_bytes() == (tmp_path / "plain.png").read_bytes()
    assert caplog.text == ""  # no warning about the font


BACKENDS = """
import os, sys, warnings
warnings.simplefilter("error")  # not -W error, with which pyparsing warns of matplotlib's grammar
from minigan.figures import plots

plots.draw_test_figure()
import matplotlib
assert os.environ["MPLBACKEND"] == sys.argv[1]
print(matplotlib.rcParams._get("backend"))
"""


@pytest.mark.parametrize("name", ["module://not_installed.backend", "nonsense", "svg"])
def test_a_backend_that_is_not_installed_does_not_matter(name):
    """Notebooks set MPLBACKEND for every program that they start. One that works is kept."""
    result = subprocess.run(
        [sys.executable, "-c", BACKENDS, name],
        env={**os.environ, "MPLBACKEND": name},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0 and result.stderr == "", result.stderr
    assert (result.stdout.strip() == name) == (name != "nonsense")


@pytest.mark.parametrize("n", [1, 10, 16, 20, 60])
def test_no_colour_is_used_twice(n):
    colours = [matplotlib.colors.to_hex(colour) for colour in plots.distinct_colours(n)]
    assert len(set(colours)) == len(colours) == n


@pytest.fixture
def figures(monkeypatch):
    """The figures that were drawn."""
    drawn, new_figure = [], plots.new_figure

    @contextlib.contextmanager
    def remember(*size):
        with new_figure(*size) as figure:
            drawn.append(figure)
            yield figure

    monkeypatch.setattr(plots, "new_figure", remember)
    return drawn


def test_fd_png_shows_real_images_and_the_value_at_the_end(figures, tmp_path):
    plots.save_fd(HISTORY, tmp_path / "fd.png", real=31.5)
    axes = figures[0].axes[0]
    assert axes.get_yscale() == "log" and axes.get_title()
    assert [line.get_ydata()[0] for line in axes.lines] == [100, 31.5]
    texts = sorted(text.get_text().split()[0] for text in axes.texts)
    assert texts == ["31.5", f"{100 / 3:.3g}"]
    plots.save_fd(HISTORY, tmp_path / "fd.png")
    assert len(figures[1].axes[0].lines) == 1


@pytest.mark.parametrize("heights", [(1.0, 1.01, 1.02, 2.0), (2.0, 2.0), (1.0, 2.0), (1.5,)])
def test_labels_are_beside_the_axes_and_do_not_overlap(heights):
    with plots.new_figure(7, 4) as figure:
        axes = figure.add_subplot()
        axes.plot([0, 1], [1, 2])
        labels = [(height, f"{i}: two\nlines of it", "grey") for i, height in enumerate(heights)]
        plots.label_heights(axes, labels)
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in axes.texts]
        inside = axes.get_window_extent()
    assert all(box.x0 > inside.x1 and box.x1 <= figure.bbox.x1 for box in boxes)
    boxes.sort(key=lambda box: box.y0)
    for low, high in zip(boxes, boxes[1:]):
        assert low.y1 <= high.y0 + 1


@pytest.mark.parametrize("name", ["losses", "scores"])
def test_legends_and_words_cover_no_curve(name, figures, tmp_path):
    save = {"losses": plots.save_losses, "scores": plots.save_scores}[name]
    save(HISTORY, tmp_path / "a.png")
    figure = figures[0]
    axes, renderer = figure.axes[0], figure.canvas.get_renderer()
    inside = axes.get_window_extent(renderer)
    words = [*axes.texts, *figure.legends, axes.title]
    assert len(words) >= 3 and axes.get_title()
    for word in words:
        assert not inside.overlaps(word.get_window_extent(renderer)), word
