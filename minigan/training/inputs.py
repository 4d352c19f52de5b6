"""What a run is made from: the options that a user gives, and the training images.

The idea
    TrainingOptions holds what a user chose. `load_training_data` loads the images and checks all of
    it at once: whether the batch is no larger than the data, whether the networks fit the size of
    the images, and whether there are labels if the networks need some. Whatever does not fit raises
    an error that says what to change, before anything is written.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minigan.accel.cpu import limit_blas_threads, release_unused_memory
from minigan.accel.process_group import ONE_PROCESS, ProcessGroup
from minigan.datasets.idx import SHIPPED
from minigan.datasets.load import Dataset, load_dataset, make_dataset, with_class_order
from minigan.datasets.pixels import format_shape
from minigan.datasets.raw import RawData
from minigan.datasets.stacked import StackedImages
from minigan.gan.models import ARCHITECTURES
from minigan.gan.recipes import Recipe
from minigan.training.run_data import check_same_data
from minigan.training.run_folder import MAX_CLASSES, RunError, class_names
from minigan.training.state import find_clusters

MAX_LATENT_DIM = 4096


@dataclass
class TrainingOptions:
    """The settings that a user gives, and for a resumed run its settings and checkpoint."""

    recipe: Recipe
    data: Path = SHIPPED
    folder: Path | None = None  # the run folder; None: runs/<time>-<recipe>
    seed: int = 0
    backend: str = "numpy"
    classes: str = ""  # train on images with these labels only, such as "3,8"
    size: int = 0  # scale images to size x size
    value_range: tuple[float, float] | None = None  # the values that are black and white
    transpose: bool = False  # exchange rows and columns of every image
    strict: bool = False  # refuse a folder with an unreadable picture
    checkpoint_every: float = 30.0  # seconds
    threads: int = 0  # of NumPy's matrix products; 0: see limit_blas_threads
    graph: bool = False  # record both steps as CUDA graphs, on CuPy
    epochs_given: bool = False  # whether the user chose the number of epochs
    notes: list[str] = field(default_factory=list)  # printed before training starts
    command: str = "python demo.py"  # the command as the user types it, for hints; "" in Python
    arguments: list[str] = field(default_factory=list)  # what followed it, for the log
    open_page: bool = False  # open the page of the run in a browser
    imports: str = ""  # " --import FILE.py", if the user gave it, for hints
    arrays: RawData | None = None  # images from Python, as check_raw returns them, or None
    temporary: bool = False  # whether the folder is removed when Python ends
    settings: dict | None = None  # settings of the resumed run; None for a new run
    checkpoint: tuple[dict, dict] | None = None  # (arrays, words) to resume from
    group: ProcessGroup = ONE_PROCESS  # the processes that share the run


class TrainingData(NamedTuple):
    """The training images, uint8, and their labels, if the networks receive any."""

    images: Any  # (n, H, W), or (n, H, W, 3) in colour: an array, or StackedImages
    labels: np.ndarray | None  # (n,), from 0 to n_classes - 1: classes, clusters, or None
    n_classes: int  # or clusters; 0 without labels
    dataset: Dataset
    digits: bool  # whether this is the MNIST in data/

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(H, W), or (H, W, 3) in colour."""
        return self.images.shape[1:]


def load_training_data(options: TrainingOptions, xp: Any = np) -> TrainingData:
    """Load the training images and check that the recipe can be trained on them. Clusters are found
    on the backend xp.

    Raises DataError or RunError.
    """
    recipe, data, settings, folder = options.recipe, options.data, options.settings, options.folder
    if recipe.latent_dim > MAX_LATENT_DIM:
        raise RunError(f"--latent-dim {recipe.latent_dim} is too large: at most {MAX_LATENT_DIM}")
    if options.arrays:
        dataset = make_dataset(options.arrays)
    else:
        dataset = options.group.once_per_host(
            lambda: load_dataset(
                data,
                classes=options.classes,
                size=options.size,
                strict=options.strict,
                value_range=options.value_range,
                transpose=options.transpose,
            ),
            same=str(data.resolve()),
        )
    if settings:
        dataset = with_class_order(dataset, class_names(settings))
    images, labels = dataset.images, dataset.labels if recipe.conditional else None
    shape = images.shape[1:]
    if settings:
        assert folder is not None
        check_same_data(dataset, settings, data, folder)
    if recipe.batch_size > len(images):
        raise RunError(
            f"there are only {len(images)} images{' of these classes' if options.classes else ''}"
            f" in {data}:"
            f" use --batch-size {len(images)} or less, not {recipe.batch_size}"
        )
    rows = min(recipe.batch_size, recipe.batch_size_G or recipe.batch_size)
    if options.group.size > rows:
        raise RunError(
            f"{options.group.size} processes are more than the {rows} images of a batch: use"
            f" mpiexec -n {rows} or less, or a larger --batch-size"
        )
    architecture = ARCHITECTURES[recipe.networks]
    multiple, fixed = architecture.size_multiple, architecture.fixed
    if fixed and shape != fixed.image_shape:
        raise RunError(
            f"{data} holds images of {format_shape(shape)}, but G generates images of"
            f" {format_shape(fixed.image_shape)}: use other images, or change G and D"
        )
    if shape[0] % multiple or shape[1] % multiple:
        raise RunError(
            f"{data} holds images of {format_shape(shape)}, and the recipe {recipe.name} needs"
            f" multiples of {multiple}: use"
            f" --size {min(shape[:2]) // multiple * multiple or multiple}, or a recipe for any"
            " size, such as --recipe default"
        )
    if recipe.conditional and labels is None:
        why = "".join(f"; {note}" for note in dataset.notes if "no classes" in note)
        raise RunError(
            f"{data} has no labels, which --conditional needs: pictures get labels from"
            f" sub-folders, and arrays from `labels` beside `images`{why}"
        )
    if recipe.conditional and len(dataset.names) > MAX_CLASSES:
        raise RunError(
            f"{len(dataset.names):,} classes are too many for --conditional: at most {MAX_CLASSES}"
        )
    n_classes = len(dataset.names) if recipe.conditional else 0
    if recipe.clusters and isinstance(images, StackedImages):
        raise RunError(
            f"{data} cannot be divided into clusters, because its images are made on the fly: use"
            " --clusters 0"
        )
    if recipe.clusters:
        limit_blas_threads(options.threads)
        labels, n_classes = options.group.from_first(
            lambda: find_clusters(recipe, images, seed=options.seed, xp=xp)
        )
    if fixed and n_classes != fixed.n_classes:
        raise RunError(
            f"{data} has {n_classes} {'clusters' if recipe.clusters else 'classes'}, but the"
            f" networks take labels of {fixed.n_classes}: make both numbers the same"
        )
    release_unused_memory()
    return TrainingData(
        images,
        labels,
        n_classes,
        dataset,
        settings["digits"] if settings else data.resolve() == SHIPPED and shape == (28, 28),
    )
