"""The diagram: the layers, shapes, labels and gradients of the networks that it is drawn from."""

import contextlib
import io
from types import SimpleNamespace

import numpy as np
import pytest

from minigan.cli import summary
from minigan.cli.diagram import network_rows
from minigan.figures import diagram
from minigan.figures.diagram import Diagram
from minigan.figures.plots import Look
from minigan.gan.recipes import RECIPES, replace
from minigan.nn.conv import Conv2d, ConvTranspose2d


def diagram_of(recipe):
    """The Diagram of a recipe, and its networks."""
    args = SimpleNamespace(run=None, recipe=recipe, set=[], size=None)
    recipe, G, D, (z, image, labels) = summary.networks_of(args)
    shapes = z.shape[1:], image.shape[1:], () if labels is None else labels.shape[1:]
    rows = network_rows(G, z, labels), network_rows(D, image, labels)
    return Diagram(*rows, *shapes, recipe), G, D


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were drawn."""
    figures, new_figure = [], diagram.new_figure

    @contextlib.contextmanager
    def remember(*size):
        with new_figure(*size) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(diagram, "new_figure", remember)
    return figures


CONDITIONAL = replace(RECIPES["dense"], conditional=True)
PAIRED = replace(RECIPES["default"], loss="relativistic", shared_fakes=False, augment="flip")


@pytest.mark.parametrize(
    "recipe", [*RECIPES.values(), CONDITIONAL, PAIRED], ids=lambda recipe: recipe.name
)
def test_every_layer_and_shape_is_drawn_within_its_box(recipe, drawn):
    shown, G, D = diagram_of(recipe)
    diagram.save_gan_diagram(shown, io.BytesIO(), Look(kind="svg"))
    figure = drawn[0]
    renderer = figure.canvas.get_renderer()
    boxes = {t: t.get_window_extent(renderer) for t in figure.axes[0].texts}
    texts = [t.get_text() for t in boxes]
    for layer in [*G.layers, *D.layers]:
        assert texts.count(repr(layer)) >= 2  # once in each step
    for shape in (shown.z, shown.image, *(row.shape for row in shown.G + shown.D)):
        assert any(str(shape) in text for text in texts)
    assert (str(shown.labels) in texts) == bool(recipe.has_labels)
    assert texts.count("real") == (2 if recipe.loss == "relativistic" else 1)
    for text, box in boxes.items():
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, text
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, text
    words = list(boxes)
    for i, one in enumerate(words):  # no two texts overlap
        for other in words[i + 1 :]:
            a, b = (boxes[text].padded(-1.5) for text in (one, other))
            assert not a.overlaps(b), (one.get_text(), other.get_text())


def test_layers_are_red_where_their_weights_change(drawn):
    shown, _, _ = diagram_of(RECIPES["default"])
    diagram.save_gan_diagram(shown, io.BytesIO(), Look(kind="svg"))
    axes = drawn[0].axes[0]
    height = axes.get_ylim()[0]
    red = np.array(matplotlib_colour(diagram.LEARNS))
    places = [
        (patch.get_x() > 400, patch.get_y() > height / 2)
        for patch in axes.patches
        if hasattr(patch, "get_x") and np.allclose(patch.get_facecolor(), red)
    ]
    with_weights = {net: sum(row.learns for row in net_rows) for net, net_rows in networks(shown)}
    assert places.count((True, False)) == with_weights["D"]  # in the discriminator step
    assert places.count((False, True)) == with_weights["G"]
    assert len(places) == sum(with_weights.values())


def networks(shown):
    return ("G", shown.G), ("D", shown.D)


def matplotlib_colour(name):
    from matplotlib.colors import to_rgba

    return to_rgba(name)


def test_labels_arrive_at_the_layers_that_take_them():
    shown, G, D = diagram_of(RECIPES["default"])
    for rows, net in (shown.G, G), (shown.D, D):
        takers = [repr(layer) for layer in net.layers if layer.takes_labels]
        assert [row.lines[0] for row in rows if row.labels] == takers


def test_the_numbers_of_the_convolution_are_those_of_the_layers(drawn, monkeypatch):
    def numbers():
        diagram.save_convolution_diagram(io.BytesIO(), Look(kind="svg"))
        texts = [text.get_text() for text in drawn[-1].axes[0].texts]
        return [int(text) for text in texts if text.lstrip("-").isdigit()]

    x, kernel, y = np.split(np.array(numbers()[:38]), [25, 34])
    windows = np.lib.stride_tricks.sliding_window_view(x.reshape(5, 5), (3, 3))[::2, ::2]
    assert (windows * kernel.reshape(3, 3)).sum(axis=(2, 3)).ravel().tolist() == y.tolist()
    small, kernel, y = np.split(np.array(numbers()[38:]), [4, 13])
    expected = np.zeros((5, 5))
    for i, number in enumerate(small):
        rows, columns = 2 * (i // 2), 2 * (i % 2)
        expected[rows : rows + 3, columns : columns + 3] += number * kernel.reshape(3, 3)
    assert y.tolist() == expected.ravel().tolist()
    for layer in Conv2d, ConvTranspose2d:
        plain = layer.forward

        def doubled(self, x, plain=plain, **options):
            y, cache = plain(self, x, **options)
            return 2 * y, cache

        before = numbers()
        monkeypatch.setattr(layer, "forward", doubled)
        assert numbers() != before
