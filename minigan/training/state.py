"""The training state: both networks, and everything else that changes during training.

The idea
    gan/steps.py defines the two training steps. This module holds everything else that a step needs
    or changes: the optimizers, the moving average of the generator's weights, the random streams,
    and which images have been shown. The loop around it (loop.py) counts steps, evaluates samples
    and saves the run.

    One training step takes a batch of N real images, trains D on them and on N fakes, trains G on
    new noise or on the same fakes, and updates the moving average.

Where the random numbers come from
    One seed initialises eight independent random streams, one for each of

        the initial weights
        the order of the images
        the noise for training
        dropout masks, and the points where wgan-gp measures the gradient
        the noise of the sample grids
        the noise of the samples that are evaluated
        the clusters of images
        the order of the real images in G's steps, which only a loss on pairs needs
        random changes of the images that D sees (gan/augment.py), which come from the host

    Streams are independent, so a run that does not use one of them has the same numbers in the
    others.

    The grids are therefore generated from the same noise in every run with the same seed,
    latent_dim and noise distribution. On the same machine, with the same number of threads, the
    whole run is reproducible bit for bit. On other machines the matrix products may add in a
    different order, and the resulting rounding differences grow from step to step.

Where the arrays are
    The networks and the images, as bytes, are on the device from the start. The noise for training
    is generated there, and the losses and scores of a step stay there.

>>> from minigan.gan.recipes import RECIPES, replace
>>> images = np.zeros((8, 6, 5), "uint8")
>>> gan = TrainingState(replace(RECIPES["default"], batch_size=4), images)
>>> [loss_D, loss_G, score_real, score_fake] = gan.train_step()
>>> gan.steps_per_epoch, gan.t, gan.generate(gan.grid_latents).shape
(2, 1, (100, 6, 5))
"""

import copy
from typing import Any, NamedTuple

import numpy as np

from minigan.accel.data_parallel import data_parallel
from minigan.accel.device_layers import device_network
from minigan.accel.fused_steps import fused_steps
from minigan.accel.graph import RecordedSteps, record, record_steps
from minigan.accel.process_group import ONE_PROCESS, ProcessGroup
from minigan.backend import Array, asnumpy
from minigan.datasets.clusters import cluster_images
from minigan.datasets.pixels import scale
from minigan.datasets.stacked import StackedImages, to_backend
from minigan.gan.augment import random_transforms
from minigan.gan.gradient_penalty import make_penalty
from minigan.gan.latents import latents_for_each_class, sample_latents
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.models import make_networks
from minigan.gan.recipes import Recipe
from minigan.gan.steps import (
    discriminator_step,
    discriminator_step_two_passes,
    generate_fakes,
    generator_step,
)
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.optim import OPTIMIZER_ARRAYS
from minigan.nn.sequential import Sequential
from minigan.rng import get_rng_state, make_rng, set_rng_state
from minigan.training.sampling import generate, sampling_rngs
from minigan.training.schedule import (
    ema_decay,
    make_optimizers,
    penalty_weight,
    set_learning_rates,
)

GRID_SIZE = 100  # images in a sample grid
EVALUATED_SAMPLES = 2000  # images evaluated after every epoch
STREAMS = (
    "weights",
    "order",
    "noise",
    "dropout",
    "grid",
    "evaluation",
    "clusters",
    "order_G",
    "augment",
)
OLD_ARRAYS = {"drawer": "G_ema"}  # names in checkpoints from before 0.2.0


class Batch(NamedTuple):
    """N real images, as positions in the data set, and their labels."""

    indices: Array  # (N,), or (N, 3) in StackedImages
    labels: Array | None  # (N, C), one-hot; None without labels

    def part(self, rows: slice) -> "Batch":
        """Some of the images."""
        return Batch(self.indices[rows], None if self.labels is None else self.labels[rows])


def seed_of(seed: int, stream: str) -> np.random.SeedSequence:
    """The seed of one of the STREAMS, derived from the seed of the run."""
    return np.random.SeedSequence(seed).spawn(len(STREAMS))[STREAMS.index(stream)]


def find_clusters(
    recipe: Recipe, images: Any, *, seed: int, xp: Any = np
) -> tuple[np.ndarray | None, int]:
    """(clusters (n,), their number) of the images (n, ...) in a run with this seed on the backend
    xp; (None, 0) if the recipe uses none.
    """
    if not recipe.clusters:
        return None, 0
    rng = np.random.default_rng(seed_of(seed, "clusters"))
    return cluster_images(images, recipe.clusters, rng=rng, xp=xp)


def make_initial_networks(
    recipe: Recipe, shape: tuple[int, ...], *, n_classes: int = 0, seed: int = 0, xp: Any = np
) -> tuple[Sequential, Sequential]:
    """(G, D) with the initial weights of a run with this seed, on the backend xp.

    `shape` is the shape of an image.
    """
    G, D = make_networks(
        recipe, shape, n_classes=n_classes, rng=np.random.default_rng(seed_of(seed, "weights"))
    )
    return G.to(xp), D.to(xp)


class TrainingState:
    """The state of a training run on images (n, H, W) or (n, H, W, 3), uint8, on a backend xp.

    The images are an array, or StackedImages.

    t counts the training steps so far; an epoch has `steps_per_epoch` of them. G_ema is the network
    that generates images: G with the moving average of its weights, or G itself if the recipe uses
    no average. A conditional recipe needs labels (n,), from 0 to n_classes - 1; its grid is sorted
    by class, and all classes use the same noise. For a recipe with clusters, the labels are the
    clusters of the images (`find_clusters`, which is called if they are not given).

    `networks` (G, D) and `optimizers` (of G, of D) are made from the recipe unless they are given.
    On a device both steps are computed by accel/fused_steps.py where possible, and otherwise, or
    with fused=False, by gan/steps.py as on NumPy. On NumPy, networks with convolutions are trained
    on up to `cores` cores in parallel where possible (see accel/data_parallel.py).

    With a `group` of several processes, each has such an object and computes its own rows of every
    batch (see accel/process_group.py). All methods must then be called by all of them.
    """

    def __init__(
        self,
        recipe: Recipe,
        images: Any,
        *,
        labels: np.ndarray | None = None,
        n_classes: int = 0,
        seed: int = 0,
        xp: Any = np,
        networks: tuple[Sequential, Sequential] | None = None,
        optimizers: tuple[Any, Any] | None = None,
        fused: bool = True,
        cores: int = 1,
        group: ProcessGroup = ONE_PROCESS,
    ):
        if labels is None:
            labels, n_classes = find_clusters(recipe, images, seed=seed, xp=xp)
        check_training_data(recipe, images, labels, n_classes)
        n, *shape = images.shape
        self.recipe, self.xp, self.seed, self.n_classes, self.t = recipe, xp, seed, n_classes, 0
        self.steps_per_epoch = recipe.steps_per_epoch or n // recipe.batch_size
        self.loss, self.images = GAN_LOSSES[recipe.loss], to_backend(images, xp)
        self.labels = None if labels is None else xp.asarray(labels)
        self.one_hot = xp.eye(n_classes, dtype=recipe.dtype)  # row c is the label of class c
        self.G, self.D = networks or make_initial_networks(
            recipe, tuple(shape), n_classes=n_classes, seed=seed, xp=xp
        )
        if fused:
            self.G, self.D = device_network(self.G), device_network(self.D)
        self.optimizer_G, self.optimizer_D = optimizers or make_optimizers(recipe, self.G, self.D)
        averaged = recipe.ema_decay or recipe.ema_half_life
        self.G_ema = copy.deepcopy(self.G) if averaged else self.G
        self.averages = [
            ExponentialMovingAverage(vector, recipe.ema_decay, warm_up=not recipe.ema_half_life)
            for vector in (self.G_ema.theta, self.G_ema.buffers)
        ]
        self.shared: Any = None  # noise and fakes of D's step, until G's step
        self.order = np.random.default_rng(seed_of(seed, "order"))
        self.indices: Any = None  # positions of this epoch's images, in the order of training
        self.shown = 0  # number of batches of them that have been shown
        # the same three for the real images of G's steps, with a loss on pairs
        self.order_G = np.random.default_rng(seed_of(seed, "order_G"))
        self.indices_G: Any = None
        self.shown_G = 0
        self.augmentation = np.random.default_rng(seed_of(seed, "augment"))
        self.noise, self.dropout = (
            make_rng(xp, seed_of(seed, stream)) for stream in ("noise", "dropout")
        )
        self.grid_latents, self.evaluation_latents = self.fixed_latents(labels)
        self.fused = (
            fused_steps(
                self.G,
                self.D,
                self.loss,
                n=recipe.batch_size,
                n_G=recipe.batch_size_G or recipe.batch_size,
                real_label=recipe.real_label,
                pixel_min=recipe.pixel_min,
            )
            if fused
            and group.size == 1
            and not recipe.penalty
            and not recipe.shared_fakes
            and not recipe.augment
            and not isinstance(images, StackedImages)
            else None
        )
        # wgan-gp uses random numbers, and some scores depend on the whole batch; a pair does not
        score_of_whole = self.loss.score_over_batch and not self.loss.paired
        whole = recipe.penalty == "wgan-gp" or score_of_whole
        threads = xp is np and not whole and group.size == 1
        self.parallel = data_parallel(self.G, self.D, cores) if threads else None
        self.recorded: dict[bool, RecordedSteps] = {}  # by whether there is a penalty
        self.group = group
        group.share_networks(self.G, self.D)

    def fixed_latents(self, labels: np.ndarray | None) -> tuple[Any, Any]:
        """The latents of the sample grids and of the evaluated samples, with labels if there are
        any.
        """
        recipe, pairs = self.recipe, []
        for stream, n in ("grid", GRID_SIZE), ("evaluation", EVALUATED_SAMPLES):
            rng = np.random.default_rng(seed_of(self.seed, stream))
            z = sample_latents(recipe, rng, n)
            if labels is None:
                pairs.append(self.xp.asarray(z))
                continue
            if stream == "grid" and recipe.conditional:
                z, classes = latents_for_each_class(z, n, self.n_classes)
            else:
                classes = rng.choice(labels, n)
            pairs.append((self.xp.asarray(z), self.one_hot[self.xp.asarray(classes)]))
        return pairs[0], pairs[1]

    def train_step(self) -> tuple[Array, Array, Array, Array]:
        """One training step: (loss of D, loss of G, and both scores of D's step, mean D(x) and mean
        D(G(z)) unless the loss is on pairs), each of shape (), on the device.
        """
        self.set_learning_rates()
        batch = self.next_batch()
        loss_D, score_real, score_fake = self.discriminator_step(batch)
        loss_G = self.generator_step(batch)
        self.update_average()
        return loss_D, loss_G, score_real, score_fake

    def record(self, library: Any = None) -> str:
        """Record both steps as CUDA graphs (accel/graph.py), after the first training step.

        Returns "", or one line with the reason why they cannot be recorded. `library` takes the
        place of cuBLAS in tests.
        """
        if self.fused:
            return record(self.fused, library)
        self.recorded, reason = record_steps(self, library)
        return reason

    def set_learning_rates(self) -> None:
        """Set the learning rates of both optimizers to those of step t."""
        set_learning_rates(
            self.recipe, self.optimizer_G, self.optimizer_D, self.t, self.steps_per_epoch
        )

    def next_batch(self) -> Batch:
        """The next N images, in a new order in each epoch.

        D's warm-up steps are taken before the first batch is returned.
        """
        if self.t == 0 and self.indices is None:
            for _ in range(self.recipe.d_warmup_steps):
                self.plain_discriminator_step(self.choose_images(), 0.0)
            self.indices = None  # the first epoch begins here
        return self.choose_images()

    def choose_images(self) -> Batch:
        """The next N images, without warm-up steps."""
        N = self.recipe.batch_size
        if self.indices is None or self.shown == self.steps_per_epoch:  # a new epoch, a new order
            self.shown, self.indices = 0, self.order_of_epoch(self.order, N)
        self.shown += 1
        return self.make_batch(self.indices[(self.shown - 1) * N : self.shown * N])

    def choose_images_for_G(self) -> Batch:
        """The real images of G's next step, with a loss on pairs: as many as its fakes, in an order
        of their own.
        """
        n_G = self.recipe.batch_size_G or self.recipe.batch_size
        if self.indices_G is None or self.shown_G == self.steps_per_epoch:
            self.shown_G, self.indices_G = 0, self.order_of_epoch(self.order_G, n_G)
        self.shown_G += 1
        return self.make_batch(self.indices_G[(self.shown_G - 1) * n_G : self.shown_G * n_G])

    def order_of_epoch(self, rng: np.random.Generator, N: int) -> Array:
        """The positions of an epoch's images, in a new order, for batches of N."""
        n, count = len(self.images), self.steps_per_epoch * N
        if isinstance(self.images, StackedImages):
            return self.xp.asarray(self.images.draw(rng, count))
        chosen = (
            rng.integers(0, n, count)
            if self.recipe.with_replacement
            else np.resize(rng.permutation(n), count)
        )
        return self.xp.asarray(chosen)

    def make_batch(self, indices: Array) -> Batch:
        """The Batch of the images at these positions (N,), without labels if a recorded step is
        going to find them.
        """
        if self.labels is None or self.recorded:
            return Batch(indices, None)
        return Batch(indices, self.one_hot[self.labels[indices]])

    def discriminator_step(self, batch: Batch) -> tuple[Array, Array, Array]:
        """Train D on a batch and on N fakes; returns (loss, mean D(x), mean D(G(z))), or what
        gan/steps.py returns for a loss on pairs.
        """
        weight = self.weight_of_penalty()
        if self.recorded:
            return self.recorded[weight > 0].discriminator_step(batch.indices, weight)
        if not self.fused:
            return self.plain_discriminator_step(batch, weight)
        n, n_G = self.recipe.batch_size, self.recipe.batch_size_G or self.recipe.batch_size
        z = sample_latents(self.recipe, self.noise, n + n_G)
        return self.fused.discriminator_step(
            self.images,
            batch.indices,
            z,
            self.optimizer_D,
            labels=self.repeat_labels(batch, 2 * n + n_G),
            rng=self.dropout,
        )

    def weight_of_penalty(self) -> float:
        """The weight of D's penalty in this step; 0 if none is due."""
        recipe = self.recipe
        if not recipe.penalty or self.t % recipe.penalty_every:
            return 0.0
        weight = penalty_weight(recipe, self.t, self.steps_per_epoch)
        return weight * recipe.penalty_every * self.group.share(recipe.batch_size)

    def plain_discriminator_step(self, batch: Batch, weight: Any) -> tuple[Array, Array, Array]:
        """The same with gan/steps.py; without a penalty if its weight is 0. The weight is a number
        or an array of shape ().
        """
        recipe, penalty, group, N = self.recipe, None, self.group, self.recipe.batch_size
        rows = group.rows(N)
        batch, z = batch.part(rows), sample_latents(recipe, self.noise, N)[rows]
        real, rng = self.real_images(batch), group.rows_rng(self.dropout, N)
        if recipe.shared_fakes:
            self.shared = z, self.generate_fakes(z, batch, rng=rng)
        if not isinstance(weight, float) or weight:
            penalty = make_penalty(recipe.penalty, weight)
        mixing = any(layer.mixes_examples for layer in self.D.layers)
        step = discriminator_step_two_passes if mixing else discriminator_step
        options: dict[str, Any] = dict(
            real_label=recipe.real_label,
            loss=group.whole_loss(self.loss),
            penalty=penalty,
            rng=rng,
        )
        if recipe.shared_fakes:
            options["fakes"] = self.shared[1]
        options |= self.transforms(N)
        if self.parallel:
            return tuple(
                self.parallel.run(
                    step, self.D, self.optimizer_D, real, z, labels=batch.labels, **options
                )
            )
        optimizer = group.summing(self.optimizer_D)
        options |= dict(labels=batch.labels, batch_size=N)
        return group.mean(step(self.G, self.D, optimizer, real, z, **options), N)

    def generate_fakes(self, z: Array, batch: Batch, *, rng: Any) -> Any:
        """The fakes of both steps, and what G's backward needs: a list of parts if `parallel`."""
        options = dict(labels=batch.labels, rng=rng)
        if self.parallel:
            return self.parallel.generate_fakes(z, **options)
        return generate_fakes(self.G, z, **options)

    def generator_step(self, batch: Batch) -> Array:
        """Train G on new noise, or on the fakes that D's step has left to it (`shared_fakes`), with
        the labels of the batch if there are any; returns the loss.

        With a loss on pairs it learns on new noise, beside new real images and with their labels.
        """
        if self.recorded:
            return self.recorded[self.weight_of_penalty() > 0].generator_step()
        if self.fused:
            return self.fused.generator_step(self.optimizer_G)
        return self.plain_generator_step(batch)

    def plain_generator_step(self, batch: Batch) -> Array:
        """The same with gan/steps.py."""
        recipe, shared, real, group = self.recipe, self.shared, None, self.group
        self.shared = None  # so that the next step can reuse its memory
        N = recipe.batch_size_G or recipe.batch_size
        rows = group.rows(N)
        if shared:
            z, fakes = shared
        else:
            z, fakes = sample_latents(recipe, self.noise, N)[rows], None
        if self.loss.paired:
            batch = self.choose_images_for_G()
            real = self.real_images(batch.part(rows))
        labels = self.repeat_labels(batch, N)
        options: dict[str, Any] = dict(
            labels=None if labels is None else labels[rows],
            loss=group.whole_loss(self.loss),
            fakes=fakes,
            real=real,
            rng=group.rows_rng(self.dropout, N),
        )
        options |= self.transforms(N)
        if self.parallel:
            return self.parallel.run(generator_step, self.G, self.optimizer_G, z, **options)
        optimizer = group.summing(self.optimizer_G)
        loss = generator_step(self.G, self.D, optimizer, z, batch_size=N, **options)
        return group.mean(loss, N)

    def transforms(self, n: int) -> dict[str, Any]:
        """The options of a step for random changes of this process's rows of n real images and n
        fakes; {} without any.
        """
        recipe = self.recipe
        if not recipe.augment:
            return {}
        shape, rng = self.images.shape[1:], self.augmentation
        found = random_transforms(recipe.augment, 2 * n, shape, rng=rng)
        transforms = self.xp.asarray(found.reshape(n, 2, 3)[self.group.rows(n)])
        return dict(transforms=transforms, pixel_min=recipe.pixel_min)

    def update_average(self) -> None:
        """Update the moving average of G's weights and buffers; this ends training step t."""
        if self.G_ema is not self.G:
            for average, vector in zip(self.averages, (self.G.theta, self.G.buffers)):
                average.decay = ema_decay(self.recipe, self.t, self.steps_per_epoch)
                average.step(vector)
        self.t += 1

    def real_images(self, batch: Batch) -> Array:
        """The images of a batch, (N, H, W[, 3]), scaled as the networks expect them."""
        return scale(self.images[batch.indices], self.recipe.dtype, self.recipe.pixel_min)

    def repeat_labels(self, batch: Batch, n: int) -> Array | None:
        """The labels of a batch, repeated or cut to length n; None without labels."""
        labels = batch.labels
        return (
            labels
            if labels is None or n == len(labels)
            else self.xp.concatenate([labels] * -(-n // len(labels)))[:n]
        )

    def generate(self, latents: Any, *, xp: Any = np) -> Array:
        """Images (n, H, W[, 3]), float32 in [0, 1], from latents (n, Z), or (latents, labels), on
        the device; on the host, unless xp is the module of the device.
        """
        images = generate(self.G_ema, latents, self.recipe.pixel_min, xp=xp)
        return images.astype("float32", copy=False)

    def sample(self, n: int, *, seed: int) -> np.ndarray:
        """n images like those of `generate`, from latents sampled with the given seed.

        If there are labels, they are as frequent as among the training images. Image k of a seed is
        the same, bit for bit, for any n.
        """
        rng, label_rng = sampling_rngs(seed)
        z = self.xp.asarray(sample_latents(self.recipe, rng, n))
        if self.labels is None:
            return self.generate(z)
        chosen = self.xp.asarray(label_rng.integers(0, len(self.labels), n))
        return self.generate((z, self.one_hot[self.labels[chosen]]))

    def collect_optimizers(self) -> None:
        """Let every process have the whole of what its optimizers remember, as `arrays` and `save`
        need it: in training each updates a part.
        """
        for optimizer in self.optimizer_G, self.optimizer_D:
            self.group.collect_optimizer(optimizer)

    def arrays(self) -> dict[str, Array]:
        """{name: vector} for every vector that changes in place during training."""
        nets = {
            "G": self.G,
            "D": self.D,
            **({"G_ema": self.G_ema} if self.G_ema is not self.G else {}),
        }
        found = {
            f"{name}.{part}": getattr(net, part)
            for name, net in nets.items()
            for part in ("theta", "buffers")
        }
        for name, optimizer in ("G", self.optimizer_G), ("D", self.optimizer_D):
            found |= {
                f"{name}.{part}": getattr(optimizer, part)
                for part in OPTIMIZER_ARRAYS
                if hasattr(optimizer, part)
            }
        return found

    def save(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """(arrays on the host, a dict for JSON), from which `restore` recovers this state."""
        counts: dict[str, Any] = {
            "t": self.t,
            "shown": self.shown,
            "averaged": [average.n for average in self.averages],
            "optimized": [
                getattr(optimizer, "t", 0) for optimizer in (self.optimizer_G, self.optimizer_D)
            ],
            "streams": [get_rng_state(stream) for stream in (self.order, self.noise, self.dropout)],
        }
        if self.recipe.augment:
            counts["augmentation"] = get_rng_state(self.augmentation)
        arrays = {name: asnumpy(array) for name, array in self.arrays().items()}
        if self.indices is not None:
            arrays["indices"] = asnumpy(self.indices)
        if self.loss.paired:
            counts["shown_G"], counts["stream_G"] = self.shown_G, get_rng_state(self.order_G)
            if self.indices_G is not None:
                arrays["indices_G"] = asnumpy(self.indices_G)
        return arrays, counts

    def restore(self, arrays: dict[str, np.ndarray], counts: dict[str, Any]) -> None:
        """Restore the state that `save` returned.

        Raises ValueError or KeyError if it belongs to another run.
        """
        arrays = {current_name(name): array for name, array in arrays.items()}
        for name, array in self.arrays().items():
            if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
                raise ValueError(
                    f"{name} is {arrays[name].dtype} of shape {arrays[name].shape}, not"
                    f" {array.dtype} of shape {array.shape}"
                )
            array[...] = self.xp.asarray(arrays[name])
        self.t, self.shown = counts["t"], counts["shown"]
        self.indices = self.xp.asarray(arrays["indices"]) if "indices" in arrays else None
        if self.loss.paired:
            self.shown_G = counts["shown_G"]
            self.indices_G = self.xp.asarray(arrays["indices_G"]) if "indices_G" in arrays else None
            set_rng_state(self.order_G, counts["stream_G"])
        for average, n in zip(self.averages, counts["averaged"]):
            average.n = n
        for optimizer, t in zip((self.optimizer_G, self.optimizer_D), counts["optimized"]):
            optimizer.t = t
        for stream, state in zip((self.order, self.noise, self.dropout), counts["streams"]):
            set_rng_state(stream, state)
        if self.recipe.augment:
            set_rng_state(self.augmentation, counts["augmentation"])
        if None in (*counts["streams"], get_rng_state(self.noise)):  # saved or restored on CuPy
            # a stream that cannot be restored gets a new seed, so that it does not repeat itself
            seeds = [seed_of(self.seed, stream) for stream in ("noise", "dropout")]
            self.noise, self.dropout = (
                make_rng(
                    self.xp,
                    np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, self.t)),
                )
                for seed in seeds
            )


def check_training_data(
    recipe: Recipe, images: Any, labels: np.ndarray | None, n_classes: int
) -> None:
    """Raise ValueError if a recipe cannot be trained on images (n, ...) with labels (n,)."""
    if images.dtype != np.uint8:
        raise ValueError(
            f"images are {images.dtype}, but must be uint8, from 0 to 255: with value_range=(0, 1),"
            " minigan.GAN converts floats"
        )
    if len(images) < recipe.batch_size:
        raise ValueError(f"{len(images)} images are fewer than the batch_size, {recipe.batch_size}")
    if labels is not None and isinstance(images, StackedImages):
        raise ValueError("images that are made on the fly have no labels, and no clusters")
    if recipe.has_labels != (labels is not None):
        raise ValueError(
            f"the recipe {recipe.name} is {'' if recipe.has_labels else 'not '}conditional, so"
            f" labels must {'' if recipe.has_labels else 'not '}be given"
        )
    if labels is not None and (
        labels.shape != (len(images),)
        or labels.dtype.kind not in "iu"
        or not 0 <= labels.min() <= labels.max() < n_classes
    ):
        raise ValueError(
            f"labels must be {len(images)} integers from 0 to {n_classes - 1}, not {labels.dtype}"
            f" of shape {labels.shape}"
        )


def current_name(name: str) -> str:
    """The current name of an array in a checkpoint, whose name may be from before 0.2.0."""
    net, _, part = name.partition(".")
    return ".".join(
        [OLD_ARRAYS.get(net, net), *([{"state": "buffers"}.get(part, part)] if part else [])]
    )
