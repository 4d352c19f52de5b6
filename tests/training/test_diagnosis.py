"""Diagnoses: each failure has a name, and runs that were made to fail are recognised."""

import math

import pytest
from helpers import SMALL, SMALL_IMAGES, train_small

from minigan.datasets.idx import TEST_IMAGES, load_images
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.metrics import Evaluator
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import RECIPES, replace
from minigan.training.diagnosis import MIN_STEPS, diagnose, is_falling


def row(*, real=0.5, fake=0.4, spread=1.0, fd=3.0, shares={}):
    """A row of history.csv; `shares` are those of some digits, all others are 0.1."""
    return {
        "epoch": 3,
        "loss_D": 1.3,
        "loss_G": 0.9,
        "score_real": real,
        "score_fake": fake,
        "fd": fd,
        "spread": spread,
        **{f"share_{i}": shares.get(i, 0.1) for i in range(10)},
    }


@pytest.mark.parametrize(
    "metrics, fragments",
    [
        (row(), ["healthy"]),
        (row(fd=120.0, shares={8: 0.9}), ["still scribbling"]),
        (row(fd=120.0, shares={8: 0.9}, real=0.9, fake=0.1), ["collapsed", "90%", "eights"]),
        (row(shares={1: 0.94, 2: 0.0}), ["collapsed", "94%", "ones"]),
        (row(spread=0.2), ["collapsed", "20%"]),
        (
            row(real=0.99, fake=0.01),
            ["the discriminator has won", "0.99", "0.01", "--learning-rate"],
        ),
        (row(real=0.5, fake=0.5), ["the discriminator cannot"]),
        (row(real=0.5, fake=0.5, fd=0.9), ["healthy"]),  # good digits, as in a run of default
        ({**row(), "label_agreement": 0.05}, ["the classes look alike"]),
        ({**row(), "label_agreement": 0.6}, ["healthy"]),
        (row(shares={7: 0.004}), ["hardly any sevens", "0.4%"]),
        (row(fd=math.nan), ["diverged"]),
    ],
)
def test_diagnoses(metrics, fragments):
    diagnosis = diagnose(metrics)
    assert diagnosis.startswith(fragments[0])
    assert all(fragment in diagnosis for fragment in fragments)


@pytest.mark.parametrize(
    "metrics",
    [row(shares={1: 0.94, 2: 0.0}), row(spread=0.2), row(real=0.99, fake=0.01), row(fake=0.5)],
)
def test_the_first_steps_are_not_diagnosed(metrics):
    assert diagnose(metrics, steps=MIN_STEPS - 1).startswith("too early to tell")
    assert diagnose(metrics, steps=MIN_STEPS) == diagnose(metrics)
    assert diagnose({**metrics, "loss_D": math.nan}, steps=1).startswith("diverged")


def triples(*, modes=600, **metrics):
    """A row of StackedMNIST and a loss on pairs, whose D ranks most of them correctly."""
    kept = {name: value for name, value in row(**metrics).items() if "_" not in name}
    return {**kept, "difference": 1.2, "ordered": 0.97, "modes": modes}


@pytest.mark.parametrize(
    "metrics, loss",
    [
        (triples(fd=217.0), "relativistic"),  # a run of 600 steps showed 625 modes, but no digits
        (row(fd=120.0, real=0.9, fake=0.1), "non-saturating"),
    ],
)
def test_samples_that_are_not_digits_yet_are_not_healthy(metrics, loss):
    """Whatever D says, and however many modes the classifier reads in them."""
    assert diagnose(metrics, loss=loss).startswith("still scribbling: no digits yet, and FD is not")
    assert diagnose(metrics, loss=loss, fd_falling=True).endswith("but FD is falling")


def test_the_fd_of_triples_is_that_of_three_digits():
    assert diagnose(triples(fd=170.0), loss="relativistic") == "healthy"
    assert diagnose(triples(fd=520.0, modes=15), loss="relativistic").startswith("collapsed")
    equal = {"difference": 0.0, "ordered": 0.5}
    assert diagnose({**triples(fd=5.1), **equal}, loss="relativistic") == "healthy"
    found = diagnose({**triples(fd=40.0), **equal}, loss="relativistic")
    assert found.startswith("the discriminator cannot tell")
    other_images = row(fd=120.0, real=0.9, fake=0.1)
    del other_images["share_0"]
    assert "scribbling" not in diagnose(other_images)  # FD has another scale there


@pytest.mark.parametrize("metrics", [row(shares={1: 0.94, 2: 0.0}), row(spread=0.2)])
def test_nothing_has_collapsed_while_fd_is_falling(metrics):
    assert diagnose(metrics).startswith("collapsed")
    assert "FD is falling" in diagnose(metrics, fd_falling=True)


@pytest.mark.parametrize(
    "fds, falling",
    [
        ([10.0], True),  # nothing to compare it with
        ([10.0, 9.0], True),
        ([10.0, 9.6], False),
        ([10.0, 4.0, 5.0, 5.0], True),  # one of the last three is lower than all before them
        ([10.0, 4.0, 5.0, 5.0, 5.0], False),
        ([10.0, 4.0, 5.0, 5.0, 3.9], False),
        ([10.0, 4.0, 5.0, 5.0, 3.7], True),
        ([math.nan, 4.0], False),
    ],
)
def test_fd_is_falling_if_a_recent_one_is_the_lowest(fds, falling):
    assert is_falling(fds) == falling


def test_a_run_whose_fd_falls_from_10_to_3_is_not_called_collapsed(tmp_path, capsys):
    """Its samples are alike in all of its 16 epochs; then FD stays where it is."""
    fds = iter([*(10 * 0.92**i for i in range(16)), *[2.8] * 8])

    class FallingFD:
        def quick(self, images, requested=None):
            return {"fd": next(fds), "spread": 0.3}

    train_small(
        tmp_path / "run",
        replace(SMALL, epochs=24, batch_size=1),
        SMALL_IMAGES[:25],
        evaluator=lambda *given: FallingFD(),
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    words = [" ".join(line.split()).partition("images/s ")[2] for line in lines]
    assert words[:11] == [f"too early to tell: {25 * i} steps" for i in range(1, 12)]
    assert words[11:18] == ["the samples are still too alike, but FD is falling"] * 7
    assert all(text.startswith("collapsed: the samples differ") for text in words[18:])
    assert len(words) == 24


def test_classes_may_look_alike_while_fd_is_falling():
    alike = {**row(), "label_agreement": 0.05}
    assert diagnose(alike, fd_falling=True).startswith("the classes still look alike")


@pytest.mark.parametrize("loss", [name for name in GAN_LOSSES if not GAN_LOSSES[name].paired])
def test_only_probabilities_count_as_certainty(loss):
    """With hinge or least squares, the targets of D's scores are 1 and 0, and G still learns."""
    diagnosis = diagnose(row(real=0.99, fake=0.01), loss=loss)
    if loss in ("non-saturating", "minimax"):
        assert diagnosis.startswith("the discriminator has won")
    else:
        assert diagnosis == "healthy"


@pytest.mark.parametrize(
    "difference, ordered, metrics, start",
    [
        (0.4, 0.62, {}, "healthy"),
        (
            7.2,
            0.998,
            {},
            "the discriminator has won: it ranks 99.8% of the pairs correctly, by",
        ),
        (2.0, 0.998, {}, "healthy"),  # it is right, but not by far
        (0.0, 0.503, {}, "the discriminator cannot tell"),
        (1.0, 0.7, {"fd": 120.0}, "still scribbling"),
        (4.0, 0.9, {"fd": 120.0, "shares": {8: 0.9}}, "collapsed: 90%"),
        (math.inf, 0.7, {}, "diverged"),
    ],
)
def test_a_loss_on_pairs_is_diagnosed_by_its_differences(difference, ordered, metrics, start):
    values = row(**metrics)
    del values["score_real"], values["score_fake"]
    values |= {"difference": difference, "ordered": ordered}
    assert diagnose(values, loss="relativistic").startswith(start)


def test_digits_that_the_run_does_not_have_are_not_missed():
    metrics = row(shares={i: 0.5 if i in (3, 8) else 0.0 for i in range(10)})
    assert diagnose(metrics, classes="3,8") == "healthy"
    assert diagnose(metrics) != "healthy"


FAILING = replace(
    RECIPES["dense"],
    epochs=2,
    batch_size=64,
    dropout=0.0,
    real_label=1.0,
    ema_decay=0.9,
    weight_decay_G=0.0,
    beta1=0.9,
    beta2=0.999,
)
RUNS = {  # a recipe that was made to fail, and the diagnosis of its last epoch
    "a generator of two units": (
        replace(FAILING, widths_G=(2,), learning_rate=1e-3),
        "the discriminator has won",
    ),
    "far too fast": (
        replace(FAILING, dropout=0.3, real_label=0.9, beta1=0.5, learning_rate=0.05),
        "collapsed: ",
    ),
    "nothing wrong": (replace(RECIPES["dense"], epochs=3, batch_size=32), "healthy"),
    "nothing wrong with the default": (
        replace(RECIPES["default"], epochs=3, batch_size=32),
        "healthy",
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("recipe, words", RUNS.values(), ids=RUNS.keys())
def test_runs_that_fail_are_recognised(tmp_path, capsys, recipe, words):
    evaluator = Evaluator(load_images(name=TEST_IMAGES)[:2000], load_classifier())
    folder = tmp_path / "run"
    train_small(folder, recipe, load_images()[:12_800], evaluator=lambda *given: evaluator)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch ")]
    assert len(lines) == recipe.epochs
    assert words in lines[-1]
    if words == "healthy":
        assert not any("collapsed" in line or "has won:" in line for line in lines)
