"""From Python: the class GAN, which trains, samples, evaluates, saves and loads in a line each.

The idea
    A GAN has the settings of a recipe, or networks and a loss of your own. `fit` trains it on an
    array of images, with the loop of loop.py, and leaves a run folder (run_folder.py), as the
    command line does. `save` keeps this folder, and then every command works on it. `fit` on the
    images of MNIST gives the same weights as `python demo.py`, bit for bit.

Networks of your own
    G turns z (N, Z) into images (N, H, W) or (N, H, W, 3). D turns these into logits (N, 1). Both
    are a Sequential of any layers, yours included. If both have a layer that takes labels, the GAN
    is conditional. Training changes copies of them, which are `gan.G` and `gan.D` afterwards.

    A run folder holds numbers and names, and no code. To use a run with networks or a loss of its
    own, give them again: `GAN.load(folder, G=G, D=D, loss=loss)`, or, on the command line,
    `--import FILE.py`. This executes the file, and each GAN that it makes enters its networks and
    its loss under their names. Training belongs under `if __name__ == "__main__":` there.

Shapes
    images (n, H, W) or (n, H, W, 3), uint8, or numbers of any type if `value_range` says which of
    them are black and white; samples (n, H, W) or (n, H, W, 3), float32 in [0, 1].

>>> from minigan.nn import Dense, LeakyReLU, Reshape, Sequential, Tanh
>>> rng = np.random.default_rng(0)
>>> G = Sequential([Dense(4, 35, rng=rng), Tanh(), Reshape(7, 5)])
>>> D = Sequential([Reshape(35), Dense(35, 8, rng=rng), LeakyReLU(0.2), Dense(8, 1, rng=rng)])
>>> gan = GAN(G=G, D=D, epochs=2, batch_size=8)
>>> images = rng.integers(0, 256, (40, 7, 5), dtype=np.uint8)
>>> gan.fit(images, verbose=False).sample(3).shape
(3, 7, 5)
>>> gan.fit(images / 255)
Traceback (most recent call last):
    ...
ValueError: this GAN has been trained: fit(epochs=5) goes on, and for other images make a new GAN
>>> GAN(G=G, D=D, batch_size=8).fit(images / 255)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
ValueError: images holds float64 from 0 to 1, and it is uncertain which values are black ...
"""

import io
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from minigan.accel.cpu import (
    disable_malloc_trim,
    limit_blas_threads,
    preserve_blas_threads,
    threads_of_resumed_run,
)
from minigan.backend import BackendError
from minigan.datasets.idx import SHIPPED, TRAIN_IMAGES, find_idx, load_images, load_labels
from minigan.datasets.load import check_raw
from minigan.datasets.pixels import DataError
from minigan.datasets.raw import RawData
from minigan.datasets.value_range import range_in_python
from minigan.evaluation.compare import read_history
from minigan.evaluation.report import evaluate, make_evaluator
from minigan.gan.losses import GAN_LOSSES, AdversarialLoss
from minigan.gan.models import ARCHITECTURES, Architecture
from minigan.gan.recipes import RECIPES, Recipe, asdict, change_recipe
from minigan.nn.sequential import Sequential
from minigan.training.checkpoint import load_run
from minigan.training.inputs import TrainingOptions
from minigan.training.loop import train
from minigan.training.own_networks import (
    BUILT_IN_LOSSES,
    describe_difference,
    own_architecture,
    own_loss,
    recipe_of_networks,
)
from minigan.training.run_data import read_options, recorded_path
from minigan.training.run_folder import (
    RunError,
    make_run_folder,
    read_recipe,
    read_settings,
)
from minigan.training.sampling import load_networks, sample_images


class GAN:
    """A GAN with the settings of a recipe (default: the recipe `default`), or with networks G and D
    of your own (default: those settings of the recipe `dense` that do not concern the networks).

    `loss` is a name in GAN_LOSSES, or an AdversarialLoss of your own. Any other field of a recipe
    can be given by its name, such as epochs=5 or learning_rate=1e-3. The name of a GAN with its own
    networks is shown where others have that of their recipe. Raises ValueError.

    G and D are the trained networks, on the host: G has the moving average of its weights. Before
    training they are those that were given, or None. `folder` is the run folder, or None.
    """

    def __init__(
        self,
        recipe: str | Recipe | None = None,
        *,
        G: Sequential | None = None,
        D: Sequential | None = None,
        loss: str | AdversarialLoss | None = None,
        name: str = "own",
        seed: int = 0,
        backend: str = "numpy",
        threads: int = 0,
        **settings: Any,
    ):
        self.seed, self.backend, self.threads = seed, backend, threads
        self.folder: Path | None = None
        self.G, self.D = G, D
        self.temporary: weakref.finalize | None = None  # removes the folder of a run without a name
        self.architecture: tuple[str, Architecture] | None = None
        self.loss: tuple[str, AdversarialLoss] | None = None
        self.epochs_given = "epochs" in settings
        if isinstance(loss, str):
            settings["loss"] = loss
        elif loss is not None:
            self.loss = own_loss(loss)
            settings["loss"] = self.loss[0]
        base = find_recipe(recipe or ("default" if G is None and D is None else "dense"))
        if G is None or D is None:
            if not (G is None and D is None):
                raise ValueError(f"G={G!r} and D={D!r}: give both networks, or neither")
        else:
            self.architecture = own_architecture(G, D, settings.pop("latent_dim", 0))
            clusters = settings.setdefault("clusters", 0)
            base = recipe_of_networks(base, *self.architecture, clusters=clusters, name=name)
        self.enter()
        self.recipe = change_recipe(base, **settings)
        if G is not None and str(G.theta.dtype) != self.recipe.dtype:
            raise ValueError(f"dtype is {self.recipe.dtype}, but G has weights of {G.theta.dtype}")

    def enter(self) -> None:
        """Enter the networks and the loss in the tables from which runs take them by name."""
        if self.architecture:
            ARCHITECTURES.update([self.architecture])
        if self.loss:
            GAN_LOSSES.update([self.loss])

    def fit(
        self,
        images: Any = None,
        *,
        labels: Any = None,
        test: Any = None,
        epochs: int | None = None,
        value_range: tuple[float, float] | None = None,
        folder: str | Path | None = None,
        verbose: bool = True,
    ) -> "GAN":
        """Train on images (n, H, W) or (n, H, W, 3), and return this GAN.

        The images are bytes, or `value_range` says which numbers are black and white, such as
        (0, 1). A conditional GAN needs labels (n,), numbers or words. Samples are compared with
        `test`, images that are not used for training, if there are any. The run is kept in
        `folder`, new or empty, from the start; without one, `save` keeps it. Without images, a GAN
        that has been trained is trained for more epochs on the same ones, as with --resume.

        Ctrl-C saves and stops; another fit() goes on. Raises ValueError.
        """
        if importing:
            raise ValueError(
                f"{importing[-1]} trains when it is imported: move that part below"
                ' `if __name__ == "__main__":`'
            )
        with in_python_words():
            options = (
                self.start(images, labels, test, value_range, epochs=epochs, folder=folder)
                if images is not None
                else self.go_on(epochs)
            )
            options.command, options.temporary = "", self.temporary is not None
            disable_malloc_trim()
            output = nullcontext() if verbose else redirect_stdout(io.StringIO())
            with preserve_blas_threads(), output:
                status = train(options, make_evaluator)
            assert options.folder is not None
            self.folder, self.recipe = options.folder, options.recipe
            _, _, self.G, self.D = load_networks(self.folder)
        if status not in (0, 130):  # a signal other than that of Ctrl-C ends the program
            raise SystemExit(status)
        return self

    def start(
        self,
        images: Any,
        labels: Any,
        test: Any,
        value_range: tuple[float, float] | None,
        *,
        epochs: int | None,
        folder: str | Path | None,
    ) -> TrainingOptions:
        """The options of the first training. Raises ValueError."""
        if self.folder:
            raise ValueError(
                "this GAN has been trained: fit(epochs=5) goes on, and for other images make a new"
                " GAN"
            )
        self.enter()
        recipe = change_recipe(self.recipe, **({"epochs": epochs} if epochs else {}))
        data, arrays = SHIPPED, None
        if not is_mnist(images, labels):
            data, arrays = Path("images"), read_arrays(images, labels, test, value_range)
            if recipe.conditional and labels is None:
                raise ValueError(
                    "a conditional GAN needs the class of each image: fit(images, labels=labels)"
                )
        if folder is None:
            path = tempfile.mkdtemp(prefix="minigan-")
            # when this object is no longer used, or when Python ends
            self.temporary = weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
            folder = Path(path) / "run"
        return TrainingOptions(
            recipe=recipe,
            data=data,
            folder=Path(folder),
            seed=self.seed,
            backend=self.backend,
            threads=self.threads,
            value_range=(0.0, 255.0) if arrays else None,
            epochs_given=self.epochs_given or bool(epochs),
            arrays=arrays,
        )

    def go_on(self, epochs: int | None) -> TrainingOptions:
        """The options of further training. Raises ValueError."""
        folder = self.trained()
        settings, checkpoint, _ = load_run(folder)
        recipe, history = read_recipe(settings), checkpoint[1]["history"]
        done = history[-1]["epoch"] if history else 0
        if epochs:
            recipe = change_recipe(recipe, epochs=done + epochs)
        elif done == recipe.epochs:
            raise ValueError(f"all {done} epochs are done: fit(epochs=5) trains for five more")
        return TrainingOptions(
            recipe=recipe,
            data=recorded_path(folder, settings),
            folder=folder,
            seed=settings["seed"],
            backend=settings["backend"],
            threads=self.threads or threads_of_resumed_run(settings.get("threads", 0)),
            **read_options(settings),
            settings={**settings, "recipe": asdict(recipe)},
            checkpoint=checkpoint,
        )

    def trained(self) -> Path:
        """The run folder, after `enter`. Raises ValueError if there is none yet."""
        if not self.folder:
            raise ValueError("this GAN has not been trained: call fit(images) first")
        self.enter()
        return self.folder

    def sample(self, n: int = 100, seed: int = 0, *, label: str | None = None) -> np.ndarray:
        """n images (n, H, W) or (n, H, W, 3), float32 in [0, 1], the same for the same seed.

        A conditional GAN generates equally many of each class, or only those of the class `label`.
        Raises ValueError.
        """
        check_integer(n, "n", least=1)
        check_integer(seed, "seed", least=0)
        with in_python_words():
            digit = None if label is None else str(label)
            return sample_images(self.trained(), n, seed=seed, digit=digit)

    def evaluate(self, count: int = 10_000, seed: int = 0) -> dict[str, Any]:
        """The metrics of `count` samples, of as many real images, and of noise, as `demo.py
        evaluate` prints them (`format_report`); figures are added to the run folder.

        `metrics["run"]["fd"]` is the Fréchet distance of the samples, and 0 is best;
        `metrics["real"]["fd"]` is that of real images. Raises ValueError.
        """
        check_integer(count, "count", least=100)  # fewer measure nothing
        check_integer(seed, "seed", least=0)
        with in_python_words(), preserve_blas_threads():
            limit_blas_threads(self.threads)
            return evaluate(self.trained(), count, seed=seed)

    @property
    def history(self) -> dict[str, list[float]]:
        """{column of history.csv: its numbers}, such as "epoch", "fd", "loss_D" and "loss_G"."""
        return read_history(self.trained() / "history.csv")

    def save(self, folder: str | Path) -> None:
        """Keep the run in a folder, new or empty, for `load` and for every command."""
        source = self.trained()
        if Path(folder).resolve() == source.resolve():
            return
        with in_python_words():
            target = make_run_folder(Path(folder))
            try:
                ignored = shutil.ignore_patterns(".lock*", "*.partial")
                shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)
            except (OSError, shutil.Error) as error:
                shutil.rmtree(target, ignore_errors=True)
                raise RunError(f"cannot write to {folder} ({error})") from None
        self.folder = target
        if self.temporary:
            self.temporary()
            self.temporary = None

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        G: Sequential | None = None,
        D: Sequential | None = None,
        loss: str | AdversarialLoss | None = None,
    ) -> "GAN":
        """The GAN of a run folder, whichever way it was trained.

        Its own networks and its own loss have to be given, unless a GAN with the same ones has been
        made before; their weights are replaced. Raises ValueError if others were used in training.
        """
        folder = Path(folder)
        with in_python_words():
            settings = read_settings(folder)
            recipe = settings.get("recipe")
            recipe = recipe if isinstance(recipe, dict) else {}  # load_networks says what is wrong
            own: dict[str, Any] = {}
            if not (G is None and D is None):
                own = dict(G=G, D=D, latent_dim=recipe.get("latent_dim"))
            gan = cls(loss=loss, **own)
            if gan.architecture and gan.architecture[0] != recipe.get("networks"):
                raise RunError(
                    f"{folder} was trained with other networks than these:"
                    f" {describe_difference(settings.get('layers'), gan.architecture[1])}"
                )
            if loss is not None and gan.recipe.loss != recipe.get("loss"):
                raise RunError(
                    f"{folder} was trained with the loss {recipe.get('loss')!r}, not"
                    f" {gan.recipe.loss!r}"
                )
            settings, gan.recipe, gan.G, gan.D = load_networks(folder)
        gan.folder, gan.seed, gan.backend = folder, settings["seed"], settings["backend"]
        if (name := gan.recipe.networks) and ARCHITECTURES[name].fixed:
            gan.architecture = name, ARCHITECTURES[name]
        if (name := gan.recipe.loss) not in BUILT_IN_LOSSES:
            gan.loss = name, GAN_LOSSES[name]
        return gan

    def __repr__(self) -> str:
        state = f"trained, in {self.folder}" if self.folder else "not trained yet"
        return f"GAN of the recipe {self.recipe.name}, {state}"


def find_recipe(recipe: str | Recipe) -> Recipe:
    """The recipe of that name, or the recipe itself. Raises ValueError."""
    if isinstance(recipe, Recipe):
        return recipe
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {recipe!r}: there are {', '.join(RECIPES)}")
    return RECIPES[recipe]


def check_integer(value: Any, name: str, *, least: int) -> None:
    """Raise ValueError unless the argument of that name is an integer of at least `least`."""
    if not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} is {value!r}, but must be an integer of at least {least}")


def is_mnist(images: Any, labels: Any) -> bool:
    """Whether these are the images of MNIST in data/, in their order, and its labels if given."""
    images = np.asarray(images)
    if images.shape != (60_000, 28, 28) or find_idx(SHIPPED, TRAIN_IMAGES) is None:
        return False
    same = labels is None or np.array_equal(labels, load_labels())
    return same and images.dtype == np.uint8 and np.array_equal(images, load_images())


def read_arrays(
    images: Any, labels: Any, test: Any, value_range: tuple[float, float] | None
) -> RawData:
    """Images, their labels and test images as bytes, checked as those of a file. Raises ValueError.

    They are read-only, so that training shuffles a copy: the run folder keeps their order.
    """
    images, labels, test = (None if a is None else np.asarray(a) for a in (images, labels, test))
    if not np.size(images):
        raise ValueError(f"images is empty, of shape {np.shape(images)}")
    raw = check_raw(RawData(images, labels, test), "images", value_range=value_range)
    return raw._replace(
        images=read_only(raw.images), test=None if raw.test is None else read_only(raw.test)
    )


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, but not for changing."""
    view = array.view()
    view.flags.writeable = False
    return view


@contextmanager
def in_python_words() -> Iterator[None]:
    """A context in which errors about options of the command line name arguments of Python.

    >>> with in_python_words():
    ...     raise DataError("use --batch-size 8 or --range 0,1")
    Traceback (most recent call last):
        ...
    ValueError: use batch_size=8 or value_range=(0, 1)
    """
    try:
        yield
    except (BackendError, DataError, RunError) as error:
        text = range_in_python(str(error)).replace("choose another --out", "choose another folder")
        text = re.sub(
            r"add --import FILE.py, ",
            "give GAN.load the arguments G, D and loss, or add --import FILE.py, ",
            text,
        )
        text = re.sub(
            r"--(?!import)([a-z]+(?:-[a-z]+)*)( (?=[\d]))?",
            lambda flag: flag[1].replace("-", "_") + ("=" if flag[2] else ""),
            text,
        )
        raise ValueError(text) from None


importing: list[Path] = []  # files that --import is executing


@contextmanager
def no_training(file: Path) -> Iterator[None]:
    """A context in which `fit` is refused, while --import executes a file."""
    importing.append(file)
    try:
        yield
    finally:
        importing.pop()
