"""StackedMNIST: images made of three digits when they are needed, and runs on them."""

import json

import fake_cupy
import numpy as np
import pytest
from helpers import SMALL, arrays, train_small

from minigan.datasets import load
from minigan.datasets.idx import SHIPPED, TEST_IMAGES, load_images
from minigan.datasets.load import Dataset, load_dataset
from minigan.datasets.pixels import DataError
from minigan.datasets.stacked import STACKED_MNIST, StackedImages, to_backend
from minigan.gan.recipes import replace
from minigan.training.run_data import load_run_data, recorded_path
from minigan.training.run_folder import fingerprint, load_model
from minigan.training.state import TrainingState

DIGITS = np.random.default_rng(0).integers(0, 256, (90, 6, 5), dtype=np.uint8)
IMAGES = StackedImages(DIGITS)
PAIRED = replace(SMALL, loss="relativistic", penalty="r1+r2")


def test_an_image_has_a_digit_in_each_colour():
    positions = np.array([[0, 1, 2], [89, 89, 7]])
    images = IMAGES[positions]
    assert images.shape == (2, 6, 5, 3) and images.dtype == np.uint8
    for image, digits in zip(images, positions):
        for colour in range(3):
            assert (image[..., colour] == DIGITS[digits[colour]]).all()
    assert IMAGES.shape == (90, 6, 5, 3) and len(IMAGES) == 90
    assert IMAGES.digits is DIGITS, "nothing is copied"


def test_the_fixed_sample_is_random_and_always_the_same():
    sample = IMAGES[:]
    assert sample.shape == IMAGES.shape and (sample == StackedImages(DIGITS.copy())[:]).all()
    chosen = np.array([5, 17, 5])
    assert (IMAGES[chosen] == sample[chosen]).all() and (IMAGES[17] == sample[17]).all()
    for colour in range(3):  # each digit once
        one = sample[..., colour].reshape(90, -1)
        assert len(np.unique(one, axis=0)) == 90
    assert (IMAGES.sample[:, 0] == np.arange(90)).all()
    for a, b in (0, 1), (0, 2), (1, 2):
        assert (IMAGES.sample[:, a] == IMAGES.sample[:, b]).sum() < 8


def test_the_draws_depend_on_the_seed_alone():
    first, again, other = (IMAGES.draw(np.random.default_rng(seed), 4000) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
    for colour in range(3):  # uniform, and each independent of the others
        assert len(np.unique(first[:, colour])) == 90
        assert abs(np.corrcoef(first.T)[colour, (colour + 1) % 3]) < 0.06


def test_the_digits_are_those_of_mnist():
    data = load_dataset(STACKED_MNIST)
    assert (data.images.digits == load_images()).all() and data.labels is None
    assert (data.test == StackedImages(load_images(name=TEST_IMAGES))[:]).all()
    assert len(data.test) == 10_000
    with pytest.raises(DataError, match="--classes"):
        load_dataset(STACKED_MNIST, classes="3,8")
    turned = load_dataset(STACKED_MNIST, transpose=True)
    assert (turned.images.digits == load_images().swapaxes(1, 2)).all()


def test_a_folder_of_that_name_is_noted(tmp_path, monkeypatch):
    digits = Dataset(DIGITS, None, [], DIGITS, None, [])
    monkeypatch.chdir(tmp_path)
    assert not any("full path" in note for note in load.stack(digits).notes)
    (tmp_path / "stacked-mnist").mkdir()
    assert any("full path" in note for note in load.stack(digits).notes)
    with pytest.raises(DataError, match="no image|no picture|holds no"):
        load_dataset(tmp_path / "stacked-mnist")


# ---- Runs ----


@pytest.mark.parametrize("recipe", [SMALL, PAIRED], ids=["plain", "paired"])
def test_a_resumed_run_equals_an_uninterrupted_one(recipe, tmp_path):
    whole = replace(recipe, epochs=3)
    train_small(tmp_path / "whole", whole, IMAGES)
    train_small(tmp_path / "parts", replace(recipe, epochs=1), IMAGES)
    train_small(tmp_path / "parts", whole, IMAGES, resume=True)
    one, two = arrays(tmp_path / "whole"), arrays(tmp_path / "parts")
    for name in "generator", "discriminator", "average":
        assert (one[name] == two[name]).all(), name


def test_a_state_continues_in_the_middle_of_an_epoch():
    gan, other = TrainingState(PAIRED, IMAGES), TrainingState(PAIRED, IMAGES)
    for _ in range(6):  # an epoch has 4 steps
        gan.train_step()
    other.restore(*gan.save())
    for _ in range(5):
        losses, again = gan.train_step(), other.train_step()
        assert [float(loss) for loss in losses] == [float(loss) for loss in again]
    assert (gan.G.theta == other.G.theta).all() and (gan.D.theta == other.D.theta).all()


def test_every_epoch_draws_other_images():
    gan = TrainingState(PAIRED, IMAGES)
    drawn = [gan.next_batch().indices for _ in range(2 * gan.steps_per_epoch)]
    of_G = [gan.choose_images_for_G().indices for _ in range(2 * gan.steps_per_epoch)]
    assert all(indices.shape == (SMALL.batch_size, 3) for indices in drawn + of_G)
    assert len(np.unique(np.concatenate(drawn + of_G), axis=0)) > 2 * len(drawn) * 20 - 3
    assert (gan.real_images(gan.next_batch()).shape) == (20, 6, 5, 3)
    again, other = TrainingState(PAIRED, IMAGES), TrainingState(PAIRED, IMAGES, seed=1)
    assert (again.next_batch().indices == drawn[0]).all()
    assert (other.next_batch().indices != drawn[0]).any()


def test_labels_are_refused():
    with pytest.raises(ValueError, match="made on the fly"):
        TrainingState(replace(SMALL, clusters=4), IMAGES)


@pytest.mark.parametrize("recipe", [SMALL, PAIRED], ids=["plain", "paired"])
def test_on_a_device_the_steps_are_the_same(recipe):
    host, device = (TrainingState(recipe, IMAGES, xp=xp) for xp in (np, fake_cupy))
    assert to_backend(IMAGES, fake_cupy).digits is not DIGITS
    batches = [gan.next_batch() for gan in (host, device)]
    assert (batches[0].indices == batches[1].indices.get()).all()
    real = [gan.real_images(batch) for gan, batch in zip((host, device), batches)]
    assert (real[0] == real[1].get()).all()
    with fake_cupy.no_sync():
        device.discriminator_step(batches[1])
        device.generator_step(batches[1])


def test_the_run_knows_its_data_by_name(tmp_path, monkeypatch):
    train_small(tmp_path / "run", replace(SMALL, epochs=1), IMAGES, path=STACKED_MNIST)
    settings = load_model(tmp_path / "run")[0]
    assert settings["data"] == "stacked-mnist"
    assert settings["digits"] is False and settings["channels"] == 3
    assert recorded_path(tmp_path / "run", settings) == STACKED_MNIST
    assert settings["fingerprint"] == fingerprint(IMAGES) != fingerprint(DIGITS)
    digits = Dataset(DIGITS, None, [], None, None, [])
    monkeypatch.setattr(load, "load_dataset", lambda *args, **options: digits)
    monkeypatch.setattr(
        "minigan.training.run_data.load_dataset", lambda *args, **options: load.stack(digits)
    )
    assert load_run_data(tmp_path / "run", settings).images.digits is DIGITS
    other = load.stack(digits._replace(images=DIGITS + 1))
    monkeypatch.setattr("minigan.training.run_data.load_dataset", lambda *a, **options: other)
    with pytest.raises(DataError, match="other images"):
        load_run_data(tmp_path / "run", settings)
    (tmp_path / "run" / "settings.json").write_text(json.dumps({**settings, "data": str(SHIPPED)}))
    monkeypatch.setattr(
        "minigan.training.run_data.load_dataset", lambda *args, **options: load.stack(digits)
    )
    load_run_data(tmp_path / "run", settings, STACKED_MNIST)
    assert json.loads((tmp_path / "run" / "settings.json").read_text())["data"] == "stacked-mnist"
