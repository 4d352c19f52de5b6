"""The run folder: the files that a training run writes.

The idea
    A run folder documents the run and holds the trained networks. The history, the samples and the
    model are written after each epoch or, if epochs take less than a few seconds, after some of
    them (see run.py):

        settings.json      everything needed to repeat the run, including versions
        history.csv        one row per report: losses, scores, metrics of 2,000 samples, seconds
        samples/           epoch-0000.png, before training, then one per report, always from the
                           same latents
        index.html         a page that shows all of this in a browser, also while training goes on
        progress.gif       the samples as an animation; and losses.png, scores.png, fd.png
        log.txt            what was printed
        model.npz          the weights: NumPy alone can load them, and nothing in the file is
                           executed
        generators/        the generators of some epochs, for samples of earlier ones

    model.npz holds flat vectors (see nn/sequential.py): `generator`, `discriminator` and `average`,
    the moving average of the generator's weights. For each of them, the array with the suffix
    `_state` holds the buffers. The networks are rebuilt from `settings`.

>>> import tempfile
>>> folder = make_run_folder(Path(tempfile.mkdtemp()) / "mine")
>>> (folder / "note").write_text("a run was here") and make_run_folder(folder)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
minigan.training.run_folder.RunError: ...mine is not empty: choose another --out; nothing ...
"""

import csv
import hashlib
import json
import math
import os
import platform
import re
import zipfile
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

import minigan.nn
from minigan.datasets.numpy_files import read_header
from minigan.datasets.pixels import DAMAGE, format_shape, size_fits
from minigan.datasets.stacked import STACKED_MNIST, StackedImages
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import ARCHITECTURES, make_networks
from minigan.gan.recipes import Recipe, asdict, recipe_from_dict

MAX_CLASSES = 1000  # or clusters
# of settings.json, model.npz and checkpoints; 3 has the names of 0.2.0, and 1 had no buffers
FORMAT = 3
VECTORS = [
    network + part
    for network in ("generator", "discriminator", "average")
    for part in ("", "_state")
]


class RunError(ValueError):
    """A run folder or a model cannot be used; the message names it and says why."""


def make_run_folder(path: Path) -> Path:
    """Make the folder of a new run, with its samples/.

    Raises RunError unless it is new or empty.
    """
    path = Path(path)
    taken = f"{path} is not empty: choose another --out; nothing was overwritten"
    try:
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file: choose another --out; nothing was overwritten")
        if path.exists() and any(path.iterdir()):
            raise RunError(taken)
        path.mkdir(parents=True, exist_ok=True)
        (path / "samples").mkdir()  # of two processes, one succeeds
    except FileExistsError:
        raise RunError(taken) from None
    except OSError as error:
        raise RunError(f"cannot write to {path} ({error.strerror}): choose another --out") from None
    return path


def make_default_run_folder(recipe_name: str) -> Path:
    """Make runs/<time>-<recipe> in the current folder, or with -2, -3, ... after it if it exists.

    Raises RunError if nothing can be written there.
    """
    first = Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{recipe_name}"
    for number in range(1, 1000):
        path = first if number == 1 else first.with_name(f"{first.name}-{number}")
        if path.exists():
            continue
        try:
            return make_run_folder(path)
        except RunError:
            if not path.exists():  # otherwise another run has taken it just now
                raise
    raise RunError(f"{first} and its neighbours exist: choose an --out")


def make_settings(
    recipe: Recipe,
    dataset: Any,
    path: Path,
    *,
    seed: int,
    backend: str,
    digits: bool = False,
    classes: str = "",
    size: int = 0,
    value_range: tuple[float, float] | None = None,
    transpose: bool = False,
    clusters: np.ndarray | None = None,
    n_clusters: int = 0,
) -> dict[str, Any]:
    """The content of settings.json for a run on a Dataset loaded from `path`.

    `digits` says that the data is the MNIST in data/; classes, size, value_range and transpose are
    as in load_dataset. A conditional run stores the names of its classes and their `shares` of the
    images, a run with clusters the shares of these; clusters (n,) go from 0 to n_clusters - 1.
    """
    images, of_labels = dataset.images, {}
    labels, n_labels = clusters, n_clusters
    if recipe.conditional:
        labels, n_labels = dataset.labels, len(dataset.names)
        of_labels["names"] = list(dataset.names)
    if labels is not None:
        of_labels["shares"] = (np.bincount(labels, minlength=n_labels) / len(labels)).tolist()
    return {
        "format": FORMAT,
        "recipe": asdict(recipe),
        "seed": seed,
        "backend": backend,
        "data": str(path if path == STACKED_MNIST else Path(path).resolve()),
        "digits": digits,
        "n_images": len(images),
        "height": images.shape[1],
        "width": images.shape[2],
        "channels": 3 if images.ndim == 4 else 1,
        "classes": classes,
        "size": size,
        "range": list(map(float, value_range)) if value_range else None,
        "transpose": transpose,
        "fingerprint": fingerprint(images, dataset.labels if recipe.conditional else None),
        "image_fingerprint": fingerprint(images),
        **of_labels,
        **({"layers": fixed.layers} if (fixed := ARCHITECTURES[recipe.networks].fixed) else {}),
        "versions": {
            "minigan": minigan.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
            "system": platform.system(),
        },
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def fingerprint(images: Any, labels: np.ndarray | None = None) -> str:
    """The first 16 hex digits of a SHA-256 of the images and, if given, of their labels.

    Of StackedImages the digits count, in another order than in a run on the digits themselves.
    """
    stored = images.digits[::-1] if isinstance(images, StackedImages) else images
    digest = hashlib.sha256(np.ascontiguousarray(stored).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.hexdigest()[:16]


def write_atomically(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file under a temporary name and then rename it, so that it is never incomplete."""
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            write(file)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


class RunFiles:
    """The files that a command adds to a run folder, such as the figures of `evaluate`, or to a
    folder in it, which is made when the first file is saved.

    What cannot be written, for example because the folder is read-only, is remembered instead of
    ending the command, so that it can still print its results. `check` then says what is missing.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.written: list[str] = []
        self.unwritten: list[str] = []
        self.reason = ""

    def save(self, name: str, write: Callable[[BinaryIO], Any]) -> None:
        """Write a file of this name with write(file)."""
        try:
            self.folder.mkdir(exist_ok=True)
            write_atomically(self.folder / name, write)
            self.written.append(name)
        except OSError as error:
            self.unwritten.append(name)
            self.reason = error.strerror or str(error)

    def check(self) -> None:
        """Raise RunError if a file could not be written."""
        if self.unwritten:
            raise RunError(
                f"cannot write to {self.folder} ({self.reason}), so {', '.join(self.unwritten)}"
                f" {'is' if len(self.unwritten) == 1 else 'are'} missing: copy the run to a folder"
                " that can be written to have them"
            )


def save_model(folder: Path, settings: dict, **vectors: np.ndarray) -> None:
    """Save the flat vectors (P,) and the settings in model.npz."""
    content: dict[str, Any] = {"settings": json.dumps(settings), **vectors}
    write_atomically(folder / "model.npz", lambda file: np.savez(file, **content))


def save_settings(folder: Path, settings: dict) -> None:
    """Save settings.json, indented for human readers."""
    write_atomically(
        folder / "settings.json",
        lambda file: file.write(json.dumps(settings, indent=2).encode() + b"\n"),
    )


def count_epochs(folder: Path) -> int:
    """The number of epochs that a run has trained for: the last one in history.csv, or 0.

    Raises RunError if there is no such file, or if it was not written by training.
    """
    path = Path(folder) / "history.csv"
    try:
        with open(path, newline="") as file:
            return max((int(row["epoch"]) for row in csv.DictReader(file)), default=0)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    except (csv.Error, KeyError, TypeError, ValueError):
        raise RunError(f"{path} is damaged, or was not written by training") from None


def generator_path(folder: Path, epoch: int) -> Path:
    """Where a run folder keeps the generator of an epoch."""
    return Path(folder) / "generators" / f"epoch-{epoch:04}.npz"


def kept_generators(folder: Path) -> list[int]:
    """The epochs whose generators a run folder has kept."""
    names = [path.stem.removeprefix("epoch-") for path in Path(folder).glob("generators/*.npz")]
    return sorted(int(name) for name in names if name.isdecimal())


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """Read {name: array} from one of minigan's .npz files; raises OSError or one of DAMAGE.

    Nothing in the file is executed (no pickle). Compressed files are refused, so a small file
    cannot contain a huge array. Numbers written in the other byte order are converted.
    """
    with open(path, "rb") as opened:
        with zipfile.ZipFile(opened) as parts:
            if any(part.compress_type != zipfile.ZIP_STORED for part in parts.infolist()):
                raise ValueError("it is compressed, but minigan's files are not")
            length = os.fstat(opened.fileno()).st_size
            for part in parts.infolist():  # NumPy would allocate whatever an array claims
                with parts.open(part) as array:
                    header = read_header(array)
                if math.prod(header.shape) * header.dtype.itemsize > length:
                    raise ValueError(f"{part.filename} claims more numbers than the file holds")
        opened.seek(0)
        with np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}  # reading a part checks its checksum
    return {name: a.astype(a.dtype.newbyteorder("="), copy=False) for name, a in arrays.items()}


def read_settings(folder: Path) -> dict[str, Any]:
    """The content of settings.json, of which nothing has been checked. Raises RunError."""
    path = Path(folder) / "settings.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(settings, dict):
            return settings
    except OSError as error:
        raise RunError(
            f"cannot read {path} ({error.strerror or error}): name the folder of a run"
        ) from None
    except ValueError:
        pass
    raise RunError(f"{path} is damaged")


def load_model(folder: Path) -> tuple[dict, Recipe, dict[str, np.ndarray]]:
    """Load (settings, recipe, {name: vector} for each of VECTORS) from a run folder.

    Raises RunError if model.npz is missing, damaged, or was not written by training.
    """
    path = Path(folder) / "model.npz"
    if not path.is_file():
        raise RunError(
            f"{folder} has no model.npz: name the folder of a run, such as runs/<time>-default"
        )
    return read_model(path)


def read_model(
    path: Path, *, names: Sequence[str] = VECTORS, half: bool = False
) -> tuple[dict, Recipe, dict[str, np.ndarray]]:
    """Read (settings, recipe, {name: vector}) from a file like model.npz. Raises RunError.

    `names` are the vectors that it should hold. With `half` they are stored as float16.
    """
    try:
        file = read_npz(path)
        settings = json.loads(str(file["settings"]))
        check_known(path.parent, settings)
        recipe = read_recipe(settings)
        if settings["format"] == 1:  # this format had no buffers
            file = {name: np.empty(0, recipe.dtype) for name in VECTORS} | file
        vectors = {name: file[name] for name in names}
        sizes = count_parameters(recipe, settings, vectors)
    except RunError:  # from check_known
        raise
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None
    except DAMAGE as error:
        reason = (
            f"{error} is missing"
            if isinstance(error, KeyError)
            else str(error).partition("\n")[0] or type(error).__name__
        )
        raise RunError(f"{path} is damaged, or is not a minigan model ({reason})") from None
    dtype = "float16" if half else recipe.dtype
    for name, vector in vectors.items():
        if vector.shape != (sizes[name],) or vector.dtype != dtype:
            raise RunError(
                f"{path} is damaged: its settings require {dtype} of shape ({sizes[name]},)"
                f" for the {name}, but it holds {vector.dtype} of shape {vector.shape}"
            )
        if not np.isfinite(vector).all():
            raise RunError(
                f"{path} contains NaN or infinity: training diverged; train again with a smaller"
                " --learning-rate"
            )
    vectors = {name: v.astype(recipe.dtype, copy=False) for name, v in vectors.items()}
    return settings, recipe, vectors


def check_known(folder: Path, settings: Any) -> None:
    """Raise RunError if a run has networks or a loss of its own that have not been entered.

    Nothing in a run folder is executed. Code for own layers and losses comes from the user, with
    --import or as arguments of GAN.load, and is entered in ARCHITECTURES and GAN_LOSSES.
    """
    recipe = settings.get("recipe") if isinstance(settings, dict) else None
    if not isinstance(recipe, dict):
        return  # read_recipe says what is wrong
    networks, loss = recipe.get("networks", "dense"), recipe.get("loss", "non-saturating")
    if isinstance(networks, str) and networks not in ARCHITECTURES:
        classes = own_classes(settings.get("layers"))
        own = f"of its own, with layers of the class {', '.join(classes)}" if classes else ""
        raise RunError(
            f"{folder} was trained with networks {own or repr(networks[:40])}, which are not"
            " minigan's: add --import FILE.py, the Python file that makes them"
        )
    if isinstance(loss, str) and loss not in GAN_LOSSES:
        raise RunError(
            f"{folder} was trained with the loss {loss[:40]!r}, which is not minigan's: add"
            " --import FILE.py, the Python file that defines it"
        )


def own_classes(layers: Any) -> list[str]:
    """The names of the classes of `layers` in settings.json, those first that are not minigan's."""
    networks = layers.values() if isinstance(layers, dict) else ()
    texts = [text for net in networks if isinstance(net, list) for text in net]
    found = [m[0] for text in texts if isinstance(text, str) and (m := re.match(r"\w+", text))]
    known = set(minigan.nn.__all__)
    names = list(dict.fromkeys(name[:40] for name in found))
    return ([name for name in names if name not in known] or names)[:5]


def read_recipe(settings: dict) -> Recipe:
    """The Recipe in settings, after checking the type of every value. Raises ValueError."""
    if settings["format"] not in range(1, FORMAT + 1):
        raise ValueError(
            f"its format is {settings['format']}, and this minigan reads formats up to {FORMAT}"
        )
    # runs of earlier versions lack these
    lacked = {"channels": 1, "classes": "", "size": 0, "transpose": False, "threads": 0}
    values = {**lacked, **settings}
    for name, kind in dict(
        height=int,
        width=int,
        channels=int,
        data=str,
        digits=bool,
        classes=str,
        size=int,
        transpose=bool,
        threads=int,
    ).items():
        if type(values[name]) is not kind:
            raise ValueError(f"{name} is {values[name]!r}")
    value_range = settings.get("range") or [0.0, 1.0]
    if not (
        type(value_range) is list
        and [type(value) for value in value_range] == [float, float]
        and all(map(math.isfinite, value_range))
        and value_range[0] != value_range[1]
    ):
        raise ValueError(f"range is {value_range!r}")
    recipe, shape = recipe_from_dict(settings["recipe"]), image_shape(settings)
    names: Any = class_names(settings)
    shares: Any = settings.get("shares")
    if recipe.has_labels and not (
        type(shares) is list
        and 0 < len(shares) <= MAX_CLASSES
        and all(type(s) is float and 0 <= s <= 1 for s in shares)
        and abs(sum(shares) - 1) < 1e-6
    ):
        raise ValueError(f"its {'classes' if recipe.conditional else 'clusters'} have no shares")
    if recipe.conditional and not (
        type(names) is list
        and len(names) == len(shares)
        and all(type(name) is str for name in names)
    ):
        raise ValueError("its classes have no names")
    if not size_fits(shape[0], shape[1], values["channels"]):
        raise ValueError(f"its images are {format_shape(shape)} with {values['channels']} channels")
    multiple = ARCHITECTURES[recipe.networks].size_multiple
    if shape[0] % multiple or shape[1] % multiple:
        raise ValueError(
            f"its images are {format_shape(shape)}, and its networks need multiples of {multiple}"
        )
    fixed = ARCHITECTURES[recipe.networks].fixed
    if fixed and (shape, class_count(settings)) != (fixed.image_shape, fixed.n_classes):
        raise ValueError(
            f"its images are {format_shape(shape)}, of {class_count(settings)} classes, but its"
            f" networks are for {format_shape(fixed.image_shape)} and {fixed.n_classes}"
        )
    return recipe


def class_names(settings: dict) -> list[str]:
    """The names of the classes of a conditional run; an empty list for an unconditional one."""
    return settings.get("names", []) if settings.get("recipe", {}).get("conditional") else []


def class_count(settings: dict) -> int:
    """C, the number of classes, or of clusters that take their place; 0 without labels."""
    recipe = settings.get("recipe", {})
    return len(settings["shares"]) if recipe.get("conditional") or recipe.get("clusters") else 0


def image_shape(settings: dict) -> tuple[int, ...]:
    """(H, W), or (H, W, 3) in colour, of the images in settings."""
    return (settings["height"], settings["width"], 3)[: 3 if settings.get("channels") == 3 else 2]


def count_parameters(
    recipe: Recipe, settings: dict, vectors: dict[str, np.ndarray] | None = None
) -> dict[str, int]:
    """The required length of each vector of a model.

    If two adjacent layer widths alone would need more weights than the vectors hold, ValueError is
    raised before any network is built.
    """
    architecture = ARCHITECTURES[recipe.networks]
    for name, widths in (
        ("generator", (recipe.latent_dim, *recipe.widths_G)),
        ("discriminator", recipe.widths_D),
    ):
        pairs = zip((1, *widths), widths) if architecture.connects_widths else ()
        if not vectors or name not in vectors:
            continue
        if max((a * b for a, b in pairs), default=0) > vectors[name].size:
            raise ValueError(
                f"its settings require more weights than the {vectors[name].size} of its {name}"
            )
    G, D = make_networks(
        recipe,
        image_shape(settings),
        n_classes=class_count(settings),
        rng=np.random.default_rng(0),
    )
    return dict(
        zip(VECTORS, [vector.size for net in (G, D, G) for vector in (net.theta, net.buffers)])
    )
