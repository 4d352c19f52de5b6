"""A race: the quality of the digits over the seconds of training.

    python benchmarks/race.py --out race.png      trains four GANs, two minutes each (--seconds 120)

Plots the Fréchet distance (10,000 samples and the test images, as in `demo.py evaluate`) over the
seconds of training, all on the same cores in the same process, one after the other:

    default minigan's own recipe PyTorch twin the same networks, losses, optimizer and EMA in
    PyTorch, if it is installed pytorch-mlp the networks and settings of the notebook that followed
    yunjey's tutorial keras-mlp-fixed those of the Great Learning article, with the data in [-1, 1]

The published recipes run on minigan, so they compare recipes, whereas the twin compares minigan
with PyTorch. Only training is timed, not evaluation. The points are also written to a .json file
next to the figure, from which `--redraw` plots the figure again.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.accel.cpu import disable_malloc_trim
from minigan.datasets.idx import SHIPPED
from minigan.datasets.load import load_dataset
from minigan.evaluation.metrics import frechet_distance, moments
from minigan.evaluation.report import make_evaluator
from minigan.gan.latents import sample_latents
from minigan.gan.recipes import RECIPES
from minigan.training.state import GAN

try:
    from peers import Twin
except ImportError:
    Twin = None


def race(gan, recipe, *, seconds, every, evaluator):
    """[(seconds of training, steps, FD)] of a GAN or a Twin, measured every `every` seconds."""
    z = sample_latents(recipe, np.random.default_rng(99), 10_000)
    trained, steps, points = 0.0, 0, []
    while trained < seconds:
        goal = trained + every
        while trained < goal:
            began = time.perf_counter()
            for _ in range(100):
                gan.train_step()
            trained += time.perf_counter() - began
            steps += 100
        features = evaluator.features(gan.generate(z))
        points.append(
            (trained, steps, float(frechet_distance(evaluator.moments, moments(features))))
        )
        print(f"{points[-1][0]:7.1f} s  {steps:6} steps  FD {points[-1][2]:7.2f}", flush=True)
    return points


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
        "--seconds", type=float, default=120, help="seconds of training for each (default 120)"
    )
    parser.add_argument(
        "--every", type=float, default=10, help="seconds between two measurements (default 10)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("race.png"))
    parser.add_argument(
        "--redraw", action="store_true", help="only plot the points of the last race again"
    )
    args = parser.parse_args()
    disable_malloc_trim()
    saved = args.out.with_suffix(".json")
    if not args.redraw:
        data = load_dataset(SHIPPED)
        images, evaluator = data.images, make_evaluator(data, True)
        real = evaluator.quick(images[:10_000].astype("float32") / 255)["fd"]
        results, names = {}, ["default", "pytorch-mlp", "keras-mlp-fixed"]
        for name, twin in [
            ("default", False),
            ("default", True),
            *((name, False) for name in names[1:]),
        ]:
            if twin and not Twin:
                continue
            label = "PyTorch twin of default" if twin else name
            print(label)
            gan = (
                Twin(RECIPES[name], images, seed=args.seed)
                if twin
                else GAN(RECIPES[name], images, seed=args.seed)
            )
            results[label] = race(
                gan,
                RECIPES[name],
                seconds=args.seconds,
                every=args.every,
                evaluator=evaluator,
            )
        saved.write_text(json.dumps({"real": real, "results": results}, indent=1) + "\n")
    saved_race = json.loads(saved.read_text())
    real = saved_race.get("real", saved_race.get("floor"))  # "floor" before 0.2.0
    plot(saved_race["results"], real, args.out)
    print(f"plotted: {args.out}")
