"""Exercise 9."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from exercises.checkers.tools import demand, locked
from minigan.accel.cpu import limit_blas_threads, preserve_blas_threads
from minigan.datasets.idx import SHIPPED, TEST_IMAGES, load_images
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.metrics import Evaluator
from minigan.figures.plots import make_grid
from minigan.figures.sheets import Sheet, save_sheet
from minigan.nn.sequential import Sequential

Z, P = 64, 784
STEPS, GOOD_FD = 400, 140  # noise has an FD of 200
SMALL, MAX_STEPS = 2000, 100  # images for the checks of `train`, and the number of its steps
PICTURE = Path("runs/exercise-9.png")


def check(answer: Any) -> Iterator[str]:
    """The steps of this exercise; NotYet where the answer, a module, is wrong."""
    yield "make_networks"
    G, D = networks(answer, 0)
    for name, net in ("G", G), ("D", D):
        demand(
            isinstance(net, Sequential),
            f"make_networks returns (G, D), two Sequentials, but {name} is {type(net).__name__}",
        )
        demand(
            net.theta.size < 1e6,
            f"{name} has {net.theta.size:,} parameters: use fewer than a million",
        )
    yield "the output of G"
    z = np.random.default_rng(0).standard_normal((20, Z), dtype="float32")
    images, small = (G.forward(scale * z)[0] for scale in (100, 1))
    demand(
        images.shape == (20, P), f"G maps z {z.shape} to {images.shape}, but it should be (20, 784)"
    )
    demand(
        images.min() < -0.5 and images.max() > 0.5 and abs(images).max() <= 1,
        f"G's images range from {images.min():.3g} to {images.max():.3g} where z is large: end G"
        " with a Tanh",
    )
    yield "the output of D"
    logits, twice = (D.forward(scale * small)[0] for scale in (1000, 2000))
    demand(logits.shape == (20, 1), f"D maps images to {logits.shape}, but it should be (20, 1)")
    demand(
        abs(logits).max() > 1,
        f"D's outputs range from {logits.min():.3g} to {logits.max():.3g} even for huge inputs: end"
        " D with a Dense layer, without a Sigmoid, because the losses take logits",
    )
    yield from loop(answer)

    yield f"digits after {STEPS} steps"
    images = load_images(SHIPPED).reshape(-1, P)
    G, D = networks(answer, 0)
    training = answer.train(G, D, locked(images), np.random.default_rng(0))
    with preserve_blas_threads():
        limit_blas_threads(1)  # hardly slower for small networks, and far faster on a busy machine
        for _ in islice(training, STEPS):
            pass
    z = np.random.default_rng(1).standard_normal((1000, Z), dtype="float32")
    generated = ((G.forward(z)[0] + 1) / 2).reshape(-1, 28, 28)
    with suppress(OSError):  # a folder that cannot be written is no mistake of the student
        PICTURE.parent.mkdir(exist_ok=True)
        title = f"100 digits after {STEPS} steps"
        save_sheet(Sheet(make_grid(generated[:100]), title=title), PICTURE)
    evaluator = Evaluator(load_images(SHIPPED, name=TEST_IMAGES)[:2000], load_classifier())
    fd = evaluator.quick(generated)["fd"]
    demand(
        fd < GOOD_FD,
        f"the Fréchet distance of your digits is {fd:.0f} (noise: about 200), and it should be"
        f" below {GOOD_FD}; {PICTURE} shows 100 of them. Do both networks learn? Try the optimizer"
        " that the exercise recommends",
    )


def networks(answer: Any, seed: int) -> tuple:
    """(G, D) of the answer; NotYet if it returns something else."""
    result = answer.make_networks(np.random.default_rng(seed))
    demand(
        isinstance(result, tuple) and len(result) == 2,
        f"make_networks returns (G, D), but yours returns {type(result).__name__}",
    )
    return result


def loop(answer: Any) -> Iterator[str]:
    """The steps that check `train` on a few images, of which each differs from all others."""
    images = np.random.default_rng(2).integers(0, 256, (SMALL, P), dtype=np.uint8)
    G, D = networks(answer, 1)
    start = G.theta.copy(), D.theta.copy()
    seen, forward = [], D.forward

    def recording_forward(x, *args, **options):
        seen.append(np.array(x))
        return forward(x, *args, **options)

    D.forward = recording_forward
    yield "what train yields"
    steps = answer.train(G, D, locked(images), np.random.default_rng(3))
    demand(hasattr(steps, "__next__"), "train is not a Python generator: yield after each step")
    losses = next(steps, None)
    demand(
        isinstance(losses, tuple) and len(losses) == 2 and all(np.ndim(x) == 0 for x in losses),
        "after each step, train should yield two numbers: yield loss_D, loss_G",
    )

    yield "the images that D receives"
    number = {row.tobytes(): i for i, row in enumerate(images)}
    real, _ = find_real(seen, number)
    demand(
        real,
        "D receives no real image in the range of G's images, where black is -1 and white is 1: the"
        " bytes have to be scaled",
    )

    yield "each image once in an epoch, in a new order"
    N = len(real)
    in_epoch = SMALL // N
    rest = min(in_epoch, MAX_STEPS)
    for _ in range(rest):
        demand(next(steps, None), "train ends after an epoch, but it should train forever")
    real, fakes = find_real(seen, number)
    epoch, following = real[: rest * N], real[rest * N :]
    demand(
        len(real) == (rest + 1) * N and len(set(epoch)) == len(epoch),
        f"in the first {rest} steps D receives {len(set(epoch)):,} different real images, but it"
        f" should be {rest * N:,}: show each image once before any is shown again",
    )
    demand(
        epoch != sorted(epoch),
        "D receives the images in the order of the data: show them in a random order",
    )
    demand(
        rest < in_epoch or following != real[:N],
        "the second epoch begins like the first: choose a new order for each epoch",
    )

    yield "both networks learn"
    for name, net, before in ("G", G, start[0]), ("D", D, start[1]):
        demand(
            (net.theta != before).mean() > 0.1,
            f"{name} has not changed in {rest + 1} steps: has it an optimizer of its own, made from"
            f" {name}.theta, and does a training step receive it?",
        )

    yield "new noise in each step"
    demand(
        len(set(fakes)) > 0.9 * len(fakes),
        "D receives some fakes more than once: draw new noise for each step of each network",
    )


def find_real(seen: list[np.ndarray], number: dict[bytes, int]) -> tuple[list[int], list[bytes]]:
    """(numbers of the real images, all other images) among the inputs of D."""
    rows = np.concatenate(seen)
    found = [row.tobytes() for row in np.rint((rows + 1) * 127.5).clip(0, 255).astype(np.uint8)]
    return [number[b] for b in found if b in number], [b for b in found if b not in number]
