"""Evaluation of a whole run: metrics, figures, and the gradient that D gives to G."""

import gzip
import json

import numpy as np
import pytest
from helpers import SMALL, idx
from PIL import Image

from minigan.datasets.idx import SHIPPED, load_images
from minigan.datasets.load import load_dataset
from minigan.datasets.pixels import DataError
from minigan.evaluation import report
from minigan.evaluation.legibility import load_conv_classifier, share_read
from minigan.evaluation.memorisation import quantiles
from minigan.evaluation.report import evaluate, format_report, make_evaluator, pixel_gradient
from minigan.figures.plots import Look, make_grid
from minigan.figures.sheets import Sheet, draw_sheet
from minigan.gan.models import make_discriminator, make_generator
from minigan.gan.recipes import replace
from minigan.nn.gradcheck import central_difference
from minigan.nn.losses import softplus
from minigan.training.inputs import TrainingOptions
from minigan.training.loop import train
from minigan.training.sampling import load_networks, sample_images

PICTURES = ["gradient.png", "neighbours.png", "real-and-fake.png", "walk.gif", "walk.png"]
IMAGES = np.random.default_rng(0).integers(0, 256, (150, 12, 10), dtype=np.uint8)
BRIEF = replace(SMALL, epochs=1, steps_per_epoch=7)
MEMORISATION = {"nearer", "nearer_se", "memorisation", "memorisation_se"}


def trained(folder, data, recipe=BRIEF):
    """The folder of a run on the data at a path."""
    assert train(TrainingOptions(recipe, data=data, folder=folder), make_evaluator) == 0
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A run on images that are not digits, without test images."""
    data = tmp_path_factory.mktemp("own")
    (data / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
    return trained(data / "run", data)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("digits") / "run", SHIPPED)


@pytest.fixture(scope="module")
def result(digits):
    """What evaluate returns for the run on digits."""
    return evaluate(digits, count=200)


def test_a_run_on_digits_is_measured_beside_real_images_and_noise(digits, result):
    assert json.loads((digits / "metrics.json").read_text()) == result
    for part in "run", "real", "noise":
        names = {*report.METRIC_LABELS, "classes", "distances"} - {"agreement"}
        names -= {"modes", "kl_uniform", "kl_triples"}  # of stacked-mnist
        assert set(result[part]) == names
        assert len(result[part]["distances"]) == len(result["quantiles"])
        assert sum(result[part]["classes"]) == pytest.approx(1)
    assert result["real"]["fd"] < result["run"]["fd"]
    assert result["real"]["score"] > result["run"]["score"]
    assert result["real"]["kid"] < result["run"]["kid"] < 50
    second, test_images = load_conv_classifier(), load_images(name="t10k-images-idx3-ubyte")
    assert result["real"]["read"] == share_read(second, test_images.astype("float32") / 255)
    assert result["read_by"]["classifier_sha256"] == second.sha256
    assert result["read_by"] != result["features"]
    assert abs(result["real"]["nearer"] - 0.5) < 3 * result["real"]["nearer_se"] < 0.1
    assert abs(result["real"]["memorisation"]) < 3 * result["real"]["memorisation_se"] < 0.6
    assert result["noise"]["nearer"] == 0
    median = result["quantiles"].index(0.5)
    assert 4 < result["held_out_distances"][median] < 5 < result["noise"]["distances"][0]
    assert result["count"] == 200 and result["seed"] == 0
    assert result["against"] == "10000 MNIST's test images"
    assert result["features"]["classifier_accuracy"] > 0.988
    assert len(result["features"]["classifier_sha256"]) == 64
    for name in [*PICTURES, "classes.png", "memorisation.png"]:
        with Image.open(digits / name) as picture:
            picture.load()


@pytest.mark.long
def test_the_metrics_depend_on_the_seed_only(digits, result):
    assert evaluate(digits, count=200) == result
    assert evaluate(digits, count=200, seed=1)["run"] != result["run"]


def test_the_table_says_how_its_numbers_were_measured(result):
    text = format_report(result)
    lines = text.splitlines()
    assert lines[0].split() == ["this", "run", "real", "images", "noise"]
    fds = [f"{result[part]['fd']:.3f}" for part in ("run", "real", "noise")]
    assert lines[1].split()[-3:] == fds
    assert "99.05%" in text and "python -m minigan.evaluation.classifier" in text
    assert result["features"]["classifier_sha256"][:16] in text
    assert result["read_by"]["classifier_sha256"][:16] in text
    assert "confidence of 0.9 or more" in text and result["read_by"]["classifier_command"] in text
    old = {"run": result["run"], "floor": result["real"], "ceiling": result["noise"]}
    others = {k: v for k, v in result.items() if k not in ("run", "real", "noise")}
    assert format_report({**old, **others}) == text  # as metrics.json was before 0.2.0
    for metric in "read", "memorisation":
        shown = [line for line in lines if line.startswith(report.METRIC_LABELS[metric])]
        assert shown[0].split()[-3:] == [
            f"{result[part][metric]:.3f}" for part in ("run", "real", "noise")
        ]


def test_a_metric_that_is_rounded_to_zero_has_no_minus_sign(result):
    near_zero = {**result, "run": {**result["run"], "kid": -0.0004, "memorisation": -0.0006}}
    text = format_report(near_zero)
    assert "-0.000" not in text and "-0.001" in text


def test_a_file_without_the_newest_metrics_can_be_printed(result):
    """Earlier ones have no KID, no memorisation, and no second classifier."""
    older = dict(result)
    for part in "run", "real", "noise":
        newer = {"kid", "read", "distances", *MEMORISATION}
        older[part] = {key: value for key, value in result[part].items() if key not in newer}
    del older["quantiles"], older["held_out_distances"], older["read_by"]
    text = format_report(older)
    assert "Fréchet" in text and "KID" not in text and "memorised" not in text
    assert "read" not in text
    assert set(text.splitlines()) < set(format_report(result).splitlines())


def test_a_run_on_other_images_is_measured_with_pixel_features(own):
    result = evaluate(own, count=150)
    for part in "run", "real", "noise":
        assert set(result[part]) == {"fd", "kid", "precision", "coverage", "recall"}
    assert "read_by" not in result
    assert "8 x 8" in result["features"] and result["features"] in format_report(result)
    assert result["against"].startswith("150 training images")
    for name in PICTURES:
        assert (own / name).is_file()
    assert not (own / "classes.png").exists()
    assert not (own / "memorisation.png").exists(), "there are no held-out images"
    assert "held-out" not in format_report(result)


def test_test_images_are_used_where_there_are_some(tmp_path):
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(IMAGES[:30]))
    evaluator = make_evaluator(load_dataset(tmp_path), False)
    assert evaluator.reference == "test images" and len(evaluator.images) == 30


def test_data_that_has_changed_is_noticed(own, tmp_path):
    (own.parent / "train-images-idx3-ubyte.gz").rename(tmp_path / "kept")
    try:
        with pytest.raises(DataError, match="no pictures"):  # those of the run itself do not count
            evaluate(own, count=100)
        (own.parent / "train-images-idx3-ubyte").write_bytes(idx(IMAGES[:, :9]))
        with pytest.raises(DataError, match="other images than those .* of 12 x 10"):
            evaluate(own, count=100)
    finally:
        (own.parent / "train-images-idx3-ubyte").unlink(missing_ok=True)
        (tmp_path / "kept").rename(own.parent / "train-images-idx3-ubyte.gz")


@pytest.mark.long
def test_agreement_is_how_often_the_requested_digit_is_recognised(tmp_path, monkeypatch):
    """A generator that returns a real image of each label, but for every fourth a wrong one."""
    run = trained(tmp_path / "run", SHIPPED, replace(BRIEF, conditional=True))
    data = load_dataset(SHIPPED)
    of_digit = [np.flatnonzero(data.labels == digit)[:50] for digit in range(10)]

    def generate(G, latents, pixel_min):
        _, labels = latents
        digits = labels.argmax(axis=1)
        rows = [of_digit[(digit + (i % 4 == 0)) % 10][i % 50] for i, digit in enumerate(digits)]
        return data.images[rows].astype("float32") / 255

    monkeypatch.setattr(report, "generate", generate)
    result = evaluate(run, count=400)
    assert result["run"]["agreement"] == pytest.approx(0.75, abs=0.02)
    assert result["real"]["agreement"] > 0.97 and result["noise"]["agreement"] < 0.3
    assert report.METRIC_LABELS["agreement"] in format_report(result)


def test_the_networks_are_those_that_were_saved(own):
    settings, recipe, G, D = load_networks(own)
    with np.load(own / "model.npz") as file:
        np.testing.assert_array_equal(G.theta, file["average"])
        np.testing.assert_array_equal(D.theta, file["discriminator"])
    assert settings["height"] == 12
    assert sample_images(own, 5, seed=1).shape == (5, 12, 10)


@pytest.mark.parametrize("n_classes", [0, 3])
def test_the_pixel_gradient_is_that_of_the_generator_s_loss(n_classes):
    options = dict(n_classes=n_classes, dtype="float64", rng=np.random.default_rng(0))
    G, D = make_generator(3, [5], (2, 4), **options), make_discriminator((2, 4), [6], **options)
    z = np.random.default_rng(1).standard_normal((2, 3))
    labels = np.eye(3)[[0, 2]]
    pixels = G.forward((z, labels) if n_classes else z)[0].copy()

    def loss():
        logits = D.forward((pixels, labels) if n_classes else pixels)[0]
        return float(softplus(-logits).mean())

    gradient = pixel_gradient(G, D, (z, labels) if n_classes else z)
    assert gradient.shape == (2, 2, 4)
    np.testing.assert_allclose(gradient, -central_difference(loss, pixels), rtol=1e-6, atol=1e-10)
    assert not D.dtheta.any()


def test_neighbours_are_below_the_images_they_are_closest_to(own, monkeypatch):
    """If the generator had memorised training images, the figure would show each of them twice."""
    memorised = IMAGES[20:].astype("float32") / 255
    monkeypatch.setattr(report, "generate", lambda G, z, pixel_min: memorised[: len(z)])
    evaluate(own, count=100)
    with Image.open(own / "neighbours.png") as picture:
        pixels = np.asarray(picture)
    expected = make_grid(np.concatenate([memorised[:14]] * 3), columns=14)
    words = "Generated images, and the training images nearest to them"
    rows = ["generated", "nearest in pixels", "nearest in features"]
    np.testing.assert_array_equal(pixels, draw_sheet(Sheet(expected, words, rows, zoom=3)))


def test_the_pictures_can_be_pdf_black_on_white_and_in_other_rows(own):
    before = {path.name for path in own.iterdir()}
    look = Look(columns=4, invert=True, kind="pdf")
    evaluate(own, count=100, look=look)
    new = {path.name for path in own.iterdir()} - before - {"metrics.json", "walk.gif"}
    assert {"neighbours.pdf", "real-and-fake.pdf", "walk.pdf", "gradient.pdf"} <= new
    assert all((own / name).read_bytes().startswith(b"%PDF") for name in new)
    evaluate(own, count=100, look=look._replace(kind="png"))
    with Image.open(own / "real-and-fake.png") as picture:
        pixels = np.asarray(picture)
    height, width = make_grid(np.zeros((40, *IMAGES.shape[1:])), columns=4).shape
    assert pixels.shape[0] > 3 * height and 3 * width < pixels.shape[1] < 3 * width + 200
    with Image.open(own / "walk.gif") as animation:
        assert np.asarray(animation.convert("L"))[-20:, 10:20].mean() > 127


@pytest.mark.parametrize("copied", [True, False])
def test_a_generator_that_copies_is_found(copied, tmp_path, monkeypatch):
    """With test images, `evaluate` notices copies; new images of the same kind are none."""
    rng = np.random.default_rng(0)
    images = (rng.random((900, 6, 1)) * rng.random((900, 1, 5)) * 255).astype(np.uint8)
    training, held_out, new = images[:400], images[400:600], images[600:]
    np.savez(tmp_path / "data.npz", images=training, test_images=held_out)
    run = trained(tmp_path / "run", tmp_path / "data.npz")
    generated = (training[:300] if copied else new).astype("float32") / 255
    monkeypatch.setattr(report, "generate", lambda G, z, pixel_min: generated[: len(z)])
    shown, save = [], report.plots.save_memorisation
    monkeypatch.setattr(
        report.plots,
        "save_memorisation",
        lambda *args, **look: (shown.append(args), save(*args, **look)),
    )
    result = evaluate(run, count=300)
    assert quantiles(shown[0][0]) == result["run"]["distances"]
    assert quantiles(shown[0][1]) == result["held_out_distances"]
    for part in "run", "real", "noise":
        assert MEMORISATION < set(result[part])
        assert result[part]["memorisation_se"] > 0
    found = result["run"]
    if copied:
        assert found["memorisation"] == found["nearer"] == 1
        assert found["distances"] == pytest.approx([0] * 7, abs=0.01)
    else:
        assert abs(found["memorisation"]) < 3 * found["memorisation_se"] < 1
        assert abs(found["nearer"] - 0.5) < 3 * found["nearer_se"] < 0.2
    assert abs(result["real"]["memorisation"]) < 3 * result["real"]["memorisation_se"] < 1
    with Image.open(run / "memorisation.png") as picture:
        picture.load()


def test_the_evaluator_of_digits_compares_with_mnist_s_test_images():
    evaluator = make_evaluator(load_dataset(SHIPPED), True)
    expected = load_images(name="t10k-images-idx3-ubyte").reshape(10_000, 784)
    np.testing.assert_array_equal(evaluator.images, expected)
