"""A race: the quality of the digits over the seconds of training.

    python benchmarks/race.py --out race.png      trains five GANs, two to three minutes each

Plots the Fréchet distance (10,000 samples and the test images, as in `demo.py evaluate`) over the
seconds of training, all on the same cores in the same process, in parallel as in `demo.py`, one
after the other, each for the epochs of its recipe or at most --seconds:

    default          minigan's own recipe, with convolutions and clusters
    dense            its fully connected recipe, the default of earlier versions
    PyTorch twin     the networks, losses, optimizer and EMA of dense in PyTorch, if it is installed
    pytorch-mlp      the networks and settings of the notebook that followed yunjey's tutorial
    keras-mlp-fixed  those of the Great Learning article, with the data in [-1, 1]

The published recipes run on minigan, so they compare recipes, whereas the twin compares minigan
with PyTorch. Only training is timed, not evaluation; grouping the images into clusters is training.
`--only default,dense` trains these two only. At the end the script prints after which part of the
seconds of dense the default reaches the last FD of dense. The points are also written to a .json
file next to the figure, from which `--redraw` plots the figure again.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.accel.cpu import disable_malloc_trim, limit_blas_threads
from minigan.datasets.idx import SHIPPED
from minigan.datasets.load import load_dataset
from minigan.evaluation.metrics import frechet_distance, moments
from minigan.evaluation.report import make_evaluator
from minigan.gan.latents import sample_latents
from minigan.gan.recipes import RECIPES
from minigan.training.state import TrainingState

try:
    from peers import Twin
except ImportError:
    Twin = None
TWIN = "PyTorch twin of dense"
RACED = "default", "dense", TWIN, "pytorch-mlp", "keras-mlp-fixed"


def race(make, recipe, *, seconds, every, evaluator):
    """[(seconds of training, steps, FD)] of the GAN or Twin that make() returns, measured about
    every `every` seconds, for the epochs of its recipe or at most `seconds`.
    """
    began = time.perf_counter()
    gan = make()
    trained, steps, points = time.perf_counter() - began, 0, []
    most = recipe.epochs * (recipe.steps_per_epoch or len(gan.images) // recipe.batch_size)
    while trained < seconds and steps < most:
        goal = trained + every
        while trained < goal and steps < most:
            began = time.perf_counter()
            for _ in range(min(50, most - steps)):
                gan.train_step()
                steps += 1
            trained += time.perf_counter() - began
        features = evaluator.features(samples(gan, recipe))
        points.append(
            (trained, steps, float(frechet_distance(evaluator.moments, moments(features))))
        )
        print(f"{points[-1][0]:7.1f} s  {steps:6} steps  FD {points[-1][2]:7.2f}", flush=True)
    return points


def samples(gan, recipe):
    """10,000 images of a GAN or a Twin."""
    if isinstance(gan, TrainingState):
        return gan.sample(10_000, seed=99)
    return gan.generate(sample_latents(recipe, np.random.default_rng(99), 10_000))


def ratio(results):
    """The seconds in which `default` reaches the last FD of `dense`, as a part of its seconds.

    The FD of `default` is interpolated linearly between two measurements.
    """
    goal, total = results["dense"][-1][2], results["dense"][-1][0]
    points = results["default"]
    for (t0, _, fd0), (t1, _, fd1) in zip(points, points[1:]):
        if fd1 <= goal:
            return (t0 + (t1 - t0) * (fd0 - goal) / (fd0 - fd1)) / total
    return float("nan")


def plot(results, real, path):
    """Plot FD over seconds; `real` is the FD of real images."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in results.items():
        axes.plot(
            [p[0] for p in points], [p[2] for p in points], marker="o", markersize=3, label=name
        )
    axes.axhline(real, color="grey", linewidth=1, linestyle="--")
    axes.annotate(
        "real images",
        (0, real),
        xytext=(4, 4),
        textcoords="offset points",
        color="grey",
        fontsize=9,
    )
    axes.set(
        xlabel="seconds of training",
        ylabel="Fréchet distance of 10,000 samples, 0 is best",
        yscale="log",
        xlim=(0, None),
    )
    axes.legend(frameon=False)
    axes.grid(alpha=0.2, which="both")
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--seconds", type=float, default=240, help="the most seconds for each (default 240)"
    )
    parser.add_argument(
        "--every", type=float, default=10, help="seconds between two measurements (default 10)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(RACED), help=f"some of {', '.join(RACED)}")
    parser.add_argument("--out", type=Path, default=Path("race.png"))
    parser.add_argument(
        "--redraw", action="store_true", help="only plot the points of the last race again"
    )
    args = parser.parse_args()
    disable_malloc_trim()
    saved, cores = args.out.with_suffix(".json"), limit_blas_threads()
    if not args.redraw:
        data = load_dataset(SHIPPED)
        images, evaluator = data.images, make_evaluator(data, True)
        real = evaluator.quick(images[:10_000].astype("float32") / 255)["fd"]
        results = {}
        for label in args.only.split(","):
            recipe = RECIPES["dense" if label == TWIN else label]
            kind = partial(TrainingState, cores=cores)
            if label == TWIN:
                if not Twin:
                    continue
                kind = Twin
            print(label)
            results[label] = race(
                partial(kind, recipe, images, seed=args.seed),
                recipe,
                seconds=args.seconds,
                every=args.every,
                evaluator=evaluator,
            )
        saved.write_text(json.dumps({"real": real, "results": results}, indent=1) + "\n")
    saved_race = json.loads(saved.read_text())
    real = saved_race.get("real", saved_race.get("floor"))  # "floor" before 0.2.0
    plot(saved_race["results"], real, args.out)
    if {"default", "dense"} <= set(saved_race["results"]):
        part = ratio(saved_race["results"])
        print(f"default reaches the last FD of dense in {part:.2f} of its time")
    print(f"plotted: {args.out}")
