"""minigan.GAN: training, sampling, evaluating, saving and loading from Python, and --import."""

import json
import pickle
import re
import shutil

import numpy as np
import pytest
from helpers import SMALL, arrays, assert_same_run, demo, history

import minigan
from minigan import api
from minigan.datasets.batches import batches
from minigan.datasets.load import load_dataset
from minigan.gan.losses import GAN_LOSSES, AdversarialLoss
from minigan.gan.models import ARCHITECTURES
from minigan.gan.recipes import RECIPES, replace
from minigan.gan.steps import discriminator_step, discriminator_step_two_passes
from minigan.nn import (
    Adam,
    BatchNorm2d,
    ConcatLabels,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Layer,
    LeakyReLU,
    Reshape,
    Sequential,
    Sigmoid,
    Tanh,
)
from minigan.training.checkpoint import load_checkpoint
from minigan.training.sampling import load_networks
from minigan.training.state import TrainingState

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (90, 6, 5), dtype=np.uint8)
LABELS = np.array(["one", "two", "three"])[np.arange(90) % 3]
TINY = dict(latent_dim=3, widths_G=(6,), widths_D=(6, 5), batch_size=20, epochs=2, dropout=0.0)
OWN = """
import numpy as np
import minigan
from minigan.nn import Dense, Layer, LeakyReLU, Reshape, Sequential, Tanh


class Softsign(Layer):
    is_activation = True

    def forward(self, x, *, train=False, rng=None):
        return x / (1 + abs(x)), x

    def backward(self, dy, x, *, need_dx=True, need_dparams=True):
        return dy / (1 + abs(x)) ** 2


def far_apart(a, t):
    target = 2 * t - 1
    return (a - target) ** 2 / 2, a - target


rng = np.random.default_rng(5)
G = Sequential([Dense(4, 8, rng=rng), Softsign(), Dense(8, 30, rng=rng), Tanh(), Reshape(6, 5)])
D = Sequential([Reshape(30), Dense(30, 8, rng=rng), LeakyReLU(0.2), Dense(8, 1, rng=rng)])
loss = minigan.AdversarialLoss(far_apart, lambda a: far_apart(a, 1.0), lambda a: (1 + a) / 2)
gan = minigan.GAN(G=G, D=D, loss=loss, name="mine", epochs=2, batch_size=20)
"""


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """The tables are as before after each test. The curves of runs take most of the time."""
    for name in "draw_test_figure", "save_losses", "save_scores", "save_fd":
        monkeypatch.setattr(f"minigan.figures.plots.{name}", lambda *_, **__: None)
    before = [(table, dict(table)) for table in (ARCHITECTURES, GAN_LOSSES)]
    yield
    for table, content in before:
        table.clear()
        table.update(content)


def networks(G=(), D=(), *, Z=4, pixels=30, seed=0):
    """Layers of a G and a D for IMAGES, with these between the first and the last."""
    rng = np.random.default_rng(seed)
    return (
        Sequential([Dense(Z, 8, rng=rng), *G, Dense(8, pixels, rng=rng), Tanh(), Reshape(6, 5)]),
        Sequential([Reshape(30), Dense(30, 8, rng=rng), LeakyReLU(0.2), *D, Dense(8, 1, rng=rng)]),
    )


def own(**options):
    G, D = networks()
    return minigan.GAN(G=G, D=D, **{"epochs": 2, "batch_size": 20, **options})


def forget(*tables):
    """Remove what is not minigan's from the tables, as in another process."""
    for name in [name for name in ARCHITECTURES if name.startswith("own-")]:
        del ARCHITECTURES[name]
    GAN_LOSSES.pop("far-apart", None)


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with my_gan.py, and the run that it has trained and saved, `run`."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / "my_gan.py").write_text(OWN, encoding="utf-8")
    names = {"__name__": "my_gan"}
    exec(OWN, names)
    names["gan"].fit(IMAGES, test=IMAGES[:30], verbose=False).save(folder / "run")
    for name, loss in list(GAN_LOSSES.items()):
        if name == "far-apart":
            del GAN_LOSSES[name]
    forget()
    return folder


def load_own(folder):
    names = {"__name__": "my_gan"}
    exec(OWN, names)
    return minigan.GAN.load(folder, G=names["G"], D=names["D"], loss=names["loss"])


# ---- A GAN of a recipe ----


def test_it_trains_like_the_command_line(tmp_path):
    np.savez(tmp_path / "data.npz", images=IMAGES)
    flags = [
        f"--set={name}={str(value).strip('()').replace(' ', '').strip(',')}"
        for name, value in TINY.items()
    ]
    result = demo("--data", "data.npz", "--recipe", "dense", *flags, "--out", "cli", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    gan = minigan.GAN("dense", **TINY)
    assert gan.fit(IMAGES, verbose=False) is gan
    gan.save(tmp_path / "python")
    assert_same_run(tmp_path / "python", tmp_path / "cli")
    other = minigan.GAN("dense", seed=1, **TINY).fit(IMAGES, verbose=False)
    other.save(tmp_path / "other")
    theirs = arrays(tmp_path / "other")["generator"]
    assert not np.array_equal(arrays(tmp_path / "python")["generator"], theirs)


def test_mnist_is_recognised(monkeypatch, tmp_path):
    """The run is that of demo.py: on data/, with the classifier, and without a copy of the data."""
    mnist = np.zeros((60_000, 28, 28), np.uint8)
    monkeypatch.setattr(api, "load_images", lambda: mnist)
    monkeypatch.setattr(api, "load_labels", lambda: np.zeros(60_000, np.uint8))
    assert api.is_mnist(mnist.copy(), None) and api.is_mnist(mnist, np.zeros(60_000))
    assert not api.is_mnist(mnist, np.ones(60_000)) and not api.is_mnist(mnist[:-1], None)
    assert not api.is_mnist(mnist + 1, None) and not api.is_mnist(mnist / 1.0, None)
    gan = minigan.GAN("dense", **TINY)
    options = gan.start(mnist, None, None, None, epochs=None, folder=tmp_path / "run")
    assert options.data == api.SHIPPED and options.arrays is None


def test_the_life_of_a_gan(tmp_path, capsys):
    gan = minigan.GAN("dense", **TINY)
    assert gan.G is None and "not trained yet" in repr(gan)
    gan.fit(IMAGES)
    printed = capsys.readouterr().out
    assert "save() keeps the run" in printed and "--" not in printed and "demo.py" not in printed
    images = gan.sample(7, seed=3)
    assert images.shape == (7, 6, 5) and images.dtype == np.float32
    assert 0 <= images.min() < images.max() <= 1
    np.testing.assert_array_equal(images[:3], gan.sample(3, 3))
    assert not np.array_equal(images, gan.sample(7))
    temporary = gan.folder
    assert gan.history["epoch"] == [1, 2] and temporary.is_dir()
    gan.save(tmp_path / "run")
    assert gan.folder == tmp_path / "run" and not temporary.exists()
    metrics = gan.evaluate(100)
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())
    again = minigan.GAN.load(tmp_path / "run", loss=gan.recipe.loss)
    assert again.recipe == gan.recipe and again.seed == 0 and str(gan.folder) in repr(again)
    np.testing.assert_array_equal(again.sample(7, 3), images)
    np.testing.assert_array_equal(again.G.theta, gan.G.theta)
    (tmp_path / "run").rename(tmp_path / "moved")
    moved = minigan.GAN.load(tmp_path / "moved")
    assert moved.evaluate(100)["run"] == metrics["run"]  # its images have moved with it


def test_a_temporary_folder_is_removed_with_its_gan():
    gan = own().fit(IMAGES, verbose=False)
    folder = gan.folder
    assert folder.is_dir()
    del gan
    assert not folder.parent.exists()


def test_more_epochs_are_those_of_a_longer_run(tmp_path):
    whole = minigan.GAN("dense", **TINY).fit(IMAGES, epochs=5, verbose=False)
    parts = minigan.GAN("dense", **TINY).fit(
        IMAGES, epochs=2, folder=tmp_path / "run", verbose=False
    )
    assert parts.folder == tmp_path / "run"
    parts = minigan.GAN.load(tmp_path / "run").fit(epochs=3, verbose=False)
    assert_same_run(whole.folder, parts.folder)
    with pytest.raises(ValueError, match=r"all 5 epochs are done: fit\(epochs=5\)"):
        parts.fit()
    with pytest.raises(ValueError, match="for other images make a new GAN"):
        parts.fit(IMAGES)


def test_an_interrupted_fit_goes_on(monkeypatch, tmp_path):
    whole = own(epochs=3).fit(IMAGES, verbose=False)
    gan, update = own(epochs=3), TrainingState.update_average

    def interrupt(state):
        update(state)
        if state.t == 6:
            raise_signal(2)

    from signal import raise_signal

    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "update_average", interrupt)
        gan.fit(IMAGES, verbose=False)
    assert len(gan.history["epoch"]) == 1 and gan.sample(2).shape == (2, 6, 5)
    gan.fit(verbose=False)
    assert_same_run(whole.folder, gan.folder)


def test_a_conditional_gan_takes_labels():
    gan = minigan.GAN("dense", **TINY, conditional=True)
    gan.fit(IMAGES, labels=LABELS, verbose=False)
    three = gan.sample(4, label="three")
    assert three.shape == (4, 6, 5) and not np.array_equal(three, gan.sample(4, label="two"))
    with pytest.raises(ValueError, match="has no class 'four': it has one, three, two"):
        gan.sample(4, label="four")
    with pytest.raises(ValueError, match=r"needs the class of each image: fit\(images, labels="):
        minigan.GAN("dense", **TINY, conditional=True).fit(IMAGES)


def test_values_that_depend_on_others_are_adapted():
    """As on the command line."""
    gan = minigan.GAN("default", conditional=True, batch_size=64)
    assert gan.recipe.clusters == 0 and gan.recipe.conditional
    assert minigan.GAN(loss="relativistic").recipe.shared_fakes is False
    assert minigan.GAN("keras-mlp", batch_size=64).recipe.batch_size_G == 128
    assert minigan.GAN().recipe == RECIPES["default"]
    assert minigan.GAN(replace(SMALL, epochs=7)).recipe.epochs == 7


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(recipe="defalt"), "there is no recipe 'defalt': there are default"),
        (dict(batchsize=3), "no 'batchsize'; did you mean batch_size"),
        (dict(epochs=0), "epochs is 0, but must be an integer of at least 1"),
        (dict(dropout=2), "dropout is 2.0, but must be a number of at least 0 and less than 1"),
        (dict(loss="hinge", real_label=0.9), "the hinge loss requires real_label to be 1"),
        (dict(clusters=5, conditional=True), "5 clusters would take the place of the labels"),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        minigan.GAN(**{"recipe": "dense", **options})


# ---- The images ----


def test_floats_need_a_stated_range():
    """The sentence is that of the command line, in words of Python."""
    floats, gan = IMAGES / 255, minigan.GAN("dense", **TINY)
    with pytest.raises(ValueError, match=r"images holds float64 from 0 to 1.*value_range=\(0, 1\)"):
        gan.fit(floats)
    for values, value_range in (floats, (0, 1)), (floats * 2 - 1, (-1, 1)):
        other = minigan.GAN("dense", **TINY).fit(values, value_range=value_range, verbose=False)
        np.testing.assert_array_equal(
            other.sample(3),
            minigan.GAN("dense", **TINY).fit(IMAGES, verbose=False).sample(3),
        )
    with pytest.raises(ValueError, match="images are float64, but must be uint8"):
        TrainingState(SMALL, floats)
    with pytest.raises(ValueError, match="the images are nearly black: add value_range="):
        gan.fit(IMAGES // 200)


def test_the_array_is_not_changed_and_its_order_is_kept(tmp_path):
    before = IMAGES.copy()
    gan = own().fit(IMAGES, test=IMAGES[:20], verbose=False)
    np.testing.assert_array_equal(IMAGES, before)
    assert IMAGES.flags.writeable
    with np.load(gan.folder / "images.npz") as file:
        np.testing.assert_array_equal(file["images"], before)
        np.testing.assert_array_equal(file["test_images"], before[:20])
    data = load_dataset(gan.folder / "images.npz", value_range=(0, 255))
    assert data.test is not None and len(data.test) == 20


@pytest.mark.parametrize(
    "images, message",
    [
        (IMAGES[:10], "there are only 10 images in images: use batch_size=10 or less, not 20"),
        (IMAGES[:0], "images is empty"),
        (IMAGES[:, None], r"shape (90, 1, 6, 5), but images must be (N, height, width)"),
        (IMAGES[:, :5], "images of 5 x 5, but G generates images of 6 x 5"),
        (np.array(["a"] * 90), "images holds"),
    ],
)
def test_images_that_do_not_fit_are_refused(images, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        own().fit(images)


# ---- Networks and a loss of one's own ----


def test_own_networks_are_trained_and_not_changed(tmp_path):
    G, D = networks()
    before = G.theta.copy(), D.theta.copy()
    gan = minigan.GAN(G=G, D=D, epochs=2, batch_size=20)
    assert gan.G is G and gan.recipe.latent_dim == 4
    gan.fit(IMAGES, verbose=False)
    np.testing.assert_array_equal(G.theta, before[0])
    np.testing.assert_array_equal(D.theta, before[1])
    first = load_checkpoint(gan.folder)[0]  # the newest
    assert not np.array_equal(first["G.theta"], before[0])
    assert gan.G is not G and not np.array_equal(gan.G.theta, G.theta)
    state = TrainingState(gan.recipe, IMAGES)
    np.testing.assert_array_equal(state.G.theta, before[0])  # training begins with their weights
    z = np.zeros((1, 4), "float32")
    np.testing.assert_allclose(gan.G.forward(z)[0][0].shape, (6, 5))


def test_a_generator_that_ends_with_a_sigmoid_has_black_at_0():
    G, D = networks()
    G = Sequential([*G.layers[:-2], Sigmoid(), Reshape(6, 5)])
    assert minigan.GAN(G=G, D=D).recipe.pixel_min == 0 and own().recipe.pixel_min == -1


def test_own_conditional_networks():
    rng = np.random.default_rng(0)
    G = Sequential([ConcatLabels(3), Dense(7, 30, rng=rng), Tanh(), Reshape(6, 5)])
    D = Sequential([ConcatLabels(3), Dense(33, 1, rng=rng)])
    gan = minigan.GAN(G=G, D=D, epochs=1, batch_size=20)
    assert gan.recipe.conditional and gan.recipe.latent_dim == 4
    gan.fit(IMAGES, labels=LABELS, verbose=False)
    assert gan.sample(3, label="two").shape == (3, 6, 5)
    with pytest.raises(ValueError, match="has 2 classes, but the networks take labels of 3"):
        minigan.GAN(G=G, D=D, batch_size=20).fit(IMAGES, labels=np.arange(90) % 2)
    clustered = minigan.GAN(G=G, D=D, batch_size=20, clusters=3)
    assert not clustered.recipe.conditional and clustered.recipe.clusters == 3


def test_own_convolutions_with_colour(tmp_path):
    rng = np.random.default_rng(0)
    G = Sequential(
        [
            Reshape(1, 1, 4),
            ConvTranspose2d(4, 5, (3, 2), rng=rng),
            BatchNorm2d(5),
            LeakyReLU(0.2),
            ConvTranspose2d(5, 3, 2, stride=2, rng=rng),
            Tanh(),
        ]
    )
    D = Sequential([Conv2d(3, 4, 2, stride=2, rng=rng), Reshape(24), Dense(24, 1, rng=rng)])
    colour = np.random.default_rng(1).integers(0, 256, (40, 6, 4, 3), dtype=np.uint8)
    gan = minigan.GAN(G=G, D=D, epochs=1, batch_size=20).fit(colour, verbose=False)
    gan.save(tmp_path / "run")
    assert minigan.GAN.load(tmp_path / "run", G=G, D=D).sample(2).shape == (2, 6, 4, 3)


class NoDouble(Layer):
    """x / 2, without a double_backward."""

    def forward(self, x, *, train=False, rng=None):
        return x / 2, None

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        return dy / 2


G_, D_ = networks()


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(G=G_), "give both networks, or neither"),
        (dict(G=G_, D=[]), "D is a list: make it a Sequential"),
        (dict(G=networks(Z=9)[0], D=D_, latent_dim=8), "G does not take z of shape (2, 8)"),
        (dict(G=Sequential(networks()[0].layers[:3]), D=D_), "G returns (30,) for each z"),
        (dict(G=G_, D=Sequential(networks()[1].layers[:3])), "D returns (8,) for each image"),
        (
            dict(G=G_, D=Sequential([Reshape(31), Dense(31, 1, rng=RNG)])),
            "D does not take G's images of shape (2, 6, 5)",
        ),
        (
            dict(G=networks([NoDouble()])[0], D=networks(D=[NoDouble()])[1], penalty="r1"),
            "NoDouble() has none",
        ),
        (dict(G=Sequential([Tanh(), Dense(4, 3, rng=RNG)]), D=D_), "give it as latent_dim"),
        (dict(G=G_, D=D_, clusters=4), "needs networks that take labels"),
        (dict(G=G_, D=D_, dtype="float64"), "dtype is float64, but G has weights of float32"),
        (
            dict(G=Sequential([ConcatLabels(2), *networks(Z=6)[0].layers]), D=D_),
            "G takes labels of 2 classes, and D of 0",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        minigan.GAN(**options)


def test_an_own_loss_is_used(tmp_path):
    """One like a published one trains the same networks."""

    def like_hinge(a, t):
        return GAN_LOSSES["hinge"].discriminator_loss(a, t)

    loss = GAN_LOSSES["hinge"]._replace(discriminator_loss=like_hinge)
    ours, theirs = (own(loss=one).fit(IMAGES, verbose=False) for one in (loss, "hinge"))
    np.testing.assert_array_equal(ours.sample(3), theirs.sample(3))
    assert not np.array_equal(ours.sample(3), own().fit(IMAGES, verbose=False).sample(3))
    assert ours.recipe.loss == "like-hinge"


def test_a_loss_that_cannot_be_used_is_refused():
    def mean(a, t):
        return ((a - t) ** 2).mean(), 2 * (a - t)

    def hinge(a, t):
        return a, a

    for loss, message in (
        (AdversarialLoss(mean, lambda a: mean(a, 1)), "both of the shape of a"),
        (AdversarialLoss(lambda a, t: (a, a), lambda a: (a, a)), "give that function another name"),
        (AdversarialLoss(hinge, lambda a: (a, a)), "'hinge' cannot be used"),
    ):
        with pytest.raises(ValueError, match=message):
            minigan.GAN(loss=loss)
    assert GAN_LOSSES["hinge"].discriminator_loss is not hinge


def test_two_gans_with_layers_that_print_the_same(tmp_path):
    """Each uses its own networks, although both have the same name in the tables."""

    class Times(Layer):
        def __init__(self, factor):
            self.factor = factor

        def forward(self, x, *, train=False, rng=None):
            return self.factor * x, None

        def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
            return self.factor * dy

    gans, samples = [], []
    for factor in 0.5, 2.0:
        G, D = networks([Times(np.float32(factor))])
        gans.append(minigan.GAN(G=G, D=D, epochs=1, batch_size=20).fit(IMAGES, verbose=False))
        samples.append(gans[-1].sample(3))
    assert gans[0].recipe == gans[1].recipe
    np.testing.assert_array_equal(gans[0].sample(3), samples[0])
    assert not np.array_equal(*samples)


# ---- Saving and loading, and the commands ----


def test_a_run_holds_no_code_and_names_its_classes(mine):
    for path in (mine / "run").rglob("*.npz"):
        with np.load(path, allow_pickle=False) as file:
            assert all(not file[name].dtype.hasobject for name in file.files)
    settings = json.loads((mine / "run" / "settings.json").read_text())
    assert settings["layers"]["generator"][1] == "Softsign()" and settings["data"] == "images.npz"
    assert settings["recipe"]["loss"] == "far-apart" and settings["recipe"]["name"] == "mine"


def test_without_its_networks_one_sentence_says_what_is_missing(mine):
    for call in (
        lambda: minigan.GAN.load(mine / "run"),
        lambda: load_networks(mine / "run"),
    ):
        with pytest.raises(ValueError, match=r"layers of the class Softsign.*--import FILE.py"):
            call()
    with pytest.raises(ValueError, match="give GAN.load the arguments G, D and loss"):
        minigan.GAN.load(mine / "run")
    for args in (["sample", "run", "--out", "x.png"], ["evaluate", "run"], ["--resume", "run"]):
        result = demo(*args, cwd=mine)
        assert result.returncode == 2 and result.stderr.count("\n") == 1
        assert "Softsign" in result.stderr and "--import FILE.py" in result.stderr
    names = {"__name__": "my_gan"}
    exec(OWN, names)
    del GAN_LOSSES["far-apart"]
    with pytest.raises(ValueError, match="the loss 'far-apart', which is not minigan's"):
        minigan.GAN.load(mine / "run", G=names["G"], D=names["D"])


def test_other_networks_are_refused(mine):
    names = {"__name__": "my_gan"}
    exec(OWN, names)
    G, D = networks()
    with pytest.raises(
        ValueError, match=r"layer 1 of the generator was Softsign\(\), and is Dense"
    ):
        minigan.GAN.load(mine / "run", G=G, D=D)
    with pytest.raises(ValueError, match="give both networks"):
        minigan.GAN.load(mine / "run", D=names["D"])
    with pytest.raises(ValueError, match="with the loss 'far-apart', not 'hinge'"):
        minigan.GAN.load(mine / "run", G=names["G"], D=names["D"], loss="hinge")
    with pytest.raises(ValueError, match="cannot read .*settings.json"):
        minigan.GAN.load(mine / "nowhere")


def test_it_is_loaded_with_its_networks(mine, tmp_path):
    gan = load_own(mine / "run")
    assert gan.sample(2).shape == (2, 6, 5) and gan.recipe.name == "mine"
    forget()
    np.testing.assert_array_equal(gan.sample(2), gan.sample(2))  # it enters them again
    shutil.copytree(mine / "run", tmp_path / "longer")
    longer = load_own(tmp_path / "longer").fit(epochs=1, verbose=False)
    assert longer.history["epoch"] == [1, 2, 3]


@pytest.mark.parametrize("all_", [False, pytest.param(True, marks=pytest.mark.long)])
def test_commands_work_with_import(mine, tmp_path, all_):
    shutil.copytree(mine, tmp_path, dirs_exist_ok=True)
    given = ["--import", "my_gan.py"]
    commands = (
        (["sample", "run", "--count", 5, "--out", "five.npy"], 0),
        (["evaluate", "run", "--count", 100], 0),
        (["inspect", "run", "--steps", 1], 0),
        (["walk", "run", "--frames", 2, "--out", "walk.gif"], 0),
        (["summary", "run"], 0),
        (["compare", "run", "run", "--out", "both.png"], 0),
        (["export", "run", "--to", "html", "--out", "page.html"], 2),
        (["export", "run", "--to", "onnx", "--out", "run.onnx"], 2),
        (["check"], 0),
        (["--resume", "run", "--epochs", 3], 0),
    )
    for args, status in commands if all_ else [commands[0], commands[-1]]:
        forget()
        result = demo(*args, *given, cwd=tmp_path)
        assert result.returncode == status, (args, result.stderr)
        assert status == 0 or "Softsign() cannot be exported" in result.stderr
    assert "sample run --import my_gan.py --out" in result.stdout
    np.testing.assert_array_equal(np.load(tmp_path / "five.npy"), load_own(mine / "run").sample(5))
    assert len(history(tmp_path / "run")) == 3
    assert (tmp_path / "run" / "metrics.json").exists() == all_


def test_networks_of_known_layers_are_exported(tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "plain.py").write_text(
        OWN.replace("Softsign()", "LeakyReLU(0.1)"), encoding="utf-8"
    )
    names = {"__name__": "plain"}
    exec((tmp_path / "plain.py").read_text(), names)
    names["gan"].fit(IMAGES, verbose=False).save(tmp_path / "run")
    forget()
    for to in "html", "torch":
        result = demo("export", "run", "--to", to, "--import", "plain.py", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    forget()
    result = demo("export", "run", "--to", "html", "--out", "new.html", cwd=tmp_path)
    assert "of the class Dense, LeakyReLU, Tanh, Reshape" in result.stderr


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "name a Python file, FILE.py"),
        ("x = 1\nx.y\n", "line 2: AttributeError: 'int' object has no attribute 'y'"),
        ("def f(:\n", "SyntaxError"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit: 3"),
        (OWN + "gan.fit([[[1]]])\n", "file.py trains when it is imported: move that part below"),
    ],
)
def test_a_file_that_cannot_be_imported(content, message, tmp_path):
    if content:
        (tmp_path / "file.py").write_text(content, encoding="utf-8")
    result = demo("recipes", "--import", "file.py", cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1
    assert message in result.stderr, result.stderr


def test_an_imported_file_may_enter_a_recipe_and_import_its_neighbour(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "neighbour.py").write_text("NAME = 'mine'\n", encoding="utf-8")
    (tmp_path / "sub" / "file.py").write_text(
        "from neighbour import NAME\nfrom minigan.gan.recipes import RECIPES, replace\n"
        "RECIPES[NAME] = replace(RECIPES['dense'], name=NAME)\n",
        encoding="utf-8",
    )
    assert demo("recipes", "mine", cwd=tmp_path).returncode == 2
    try:
        result = demo("recipes", "mine", "--import=sub/file.py", cwd=tmp_path)
        assert result.returncode == 0 and "widths_G" in result.stdout
        assert (
            demo("summary", "--recipe", "mine", "--import", "sub/file.py", cwd=tmp_path).returncode
            == 0
        )
    finally:
        RECIPES.pop("mine", None)


@pytest.mark.parametrize("change", ["networks", "loss", "layers"])
def test_a_name_in_a_run_folder_is_never_imported(mine, tmp_path, change):
    """Whatever the settings say, nothing is executed, and the answer is one sentence."""
    run = tmp_path / "run"
    shutil.copytree(mine / "run", run)
    (tmp_path / "evil.py").write_text("raise SystemError('executed')\n", encoding="utf-8")
    settings = json.loads((run / "settings.json").read_text())
    if change == "layers":
        settings["layers"] = {"generator": ["evil", 7, None], "discriminator": "evil"}
    else:
        del settings["layers"]
        settings["recipe"] |= {"networks": "dense", change: "evil"}
    content = arrays(run)
    content["settings"] = np.array(json.dumps(settings))
    np.savez(run / "model.npz", **content)
    (run / "settings.json").write_text(json.dumps(settings))
    result = demo("sample", "run", "--out", "x.png", cwd=tmp_path)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "evil" in result.stderr


def test_a_pickle_in_the_place_of_a_model_is_refused(mine, tmp_path):
    shutil.copytree(mine / "run", tmp_path / "run")
    (tmp_path / "run" / "model.npz").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(ValueError, match="damaged, or is not a minigan model"):
        load_own(tmp_path / "run")


@pytest.mark.parametrize(
    "method, options, message",
    [
        ("sample", dict(n=0), "n is 0, but must be an integer of at least 1"),
        ("sample", dict(n=2.5), "n is 2.5, but must be an integer of at least 1"),
        ("sample", dict(seed=-1), "seed is -1, but must be an integer of at least 0"),
        ("evaluate", dict(count=99), "count is 99, but must be an integer of at least 100"),
        ("evaluate", dict(seed="0"), "seed is '0', but must be an integer of at least 0"),
    ],
)
def test_numbers_that_cannot_be_used_are_refused(method, options, message, mine):
    with pytest.raises(ValueError, match=re.escape(message)):
        getattr(load_own(mine / "run"), method)(**options)


def test_save_overwrites_nothing(mine, tmp_path):
    gan = load_own(mine / "run")
    gan.save(mine / "run")  # where it is already
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(ValueError, match="full is not empty: choose another folder; nothing was"):
        gan.save(tmp_path / "full")
    for call in (minigan.GAN("dense").sample, minigan.GAN("dense").evaluate):
        with pytest.raises(ValueError, match=r"has not been trained: call fit\(images\) first"):
            call()
    with pytest.raises(ValueError, match="has not been trained"):
        minigan.GAN("dense").save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


# ---- A loop of one's own ----


def test_batches_show_every_image_once_per_epoch():
    images = np.arange(0, 250, 10, dtype=np.uint8).reshape(25, 1, 1)
    labels = np.arange(25) % 3
    rng = np.random.default_rng(0)
    found = list(batches(images, 5, epochs=2, labels=labels, dtype="float64", rng=rng))
    assert len(found) == 10
    for epoch in found[:5], found[5:]:
        x, one_hot = (np.concatenate(part) for part in zip(*epoch))
        order = np.rint((x + 1) * 127.5 / 10).astype(int).ravel()
        assert sorted(order) == list(range(25)) and list(order) != list(range(25))
        np.testing.assert_array_equal(one_hot.argmax(1), labels[order])
    assert not np.array_equal(found[0][0], found[5][0])
    (x,) = batches(images / 250, 25, value_range=(0, 1), pixel_min=0.0, rng=rng)
    assert x.dtype == np.float32 and x.min() == 0 and abs(x.max() - 240 / 250) < 0.003


@pytest.mark.parametrize(
    "images, size, options, message",
    [
        (IMAGES, 91, {}, "a batch of 91 is larger than the data, 90 images"),
        (IMAGES, 0, {}, "at least 1 image"),
        (IMAGES.reshape(90, 30), 5, {}, "must be (n, height, width)"),
        (IMAGES / 255, 5, {}, "are black and white: add value_range=(0, 1) if these are"),
        (IMAGES, 5, dict(labels=[1, 2]), "90 images, but labels of shape (2,)"),
    ],
)
def test_batches_that_do_not_fit_are_refused(images, size, options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        next(batches(images, size, rng=np.random.default_rng(0), **options))


@pytest.mark.parametrize("step", [discriminator_step, discriminator_step_two_passes])
@pytest.mark.parametrize("loss", ["non-saturating", "relativistic"])
def test_a_step_refuses_z_of_another_number(step, loss):
    G, D = networks()
    real, z = np.zeros((5, 6, 5), "float32"), np.zeros((4, 4), "float32")
    before = D.theta.copy()
    with pytest.raises(ValueError, match="5 real images but 4 fakes"):
        step(G, D, Adam(D.theta, lr=0.1), real, z, loss=GAN_LOSSES[loss], rng=RNG)
    np.testing.assert_array_equal(D.theta, before)


@pytest.mark.parametrize("loss", ["non-saturating", "relativistic"])
def test_a_step_refuses_images_of_another_shape_than_fakes(loss):
    G, D = networks()
    real, z = np.zeros((4, 30), "float32"), np.zeros((4, 4), "float32")
    with pytest.raises(ValueError, match=r"shape \(30,\), but G generates \(6, 5\): use images"):
        discriminator_step(G, D, Adam(D.theta, lr=0.1), real, z, loss=GAN_LOSSES[loss], rng=RNG)
