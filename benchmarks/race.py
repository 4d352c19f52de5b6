"""A race: how good are the digits after how many seconds?

    python benchmarks/race.py --out race.png      (needs --seconds 120, the default, for each of four)

Draws the Fréchet distance (10,000 samples against the test images, as `demo.py evaluate` measures
it) over the seconds of training, all on the same cores in the same process, one after the other:

    default           minigan's own recipe
    PyTorch twin      the same networks, losses, optimizer and average in PyTorch (if it is installed)
    pytorch-mlp       the networks and settings of the notebook that followed yunjey's tutorial
    keras-mlp-fixed   those of the Great Learning article, with the data in [-1, 1]

The published recipes run on minigan, so that recipe is compared with recipe; the twin compares
minigan with PyTorch. Only training is timed: measuring is not. Points are written to a .json
beside the picture, which `--redraw` draws again.
"""
import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.backend import keep_memory
from minigan.build import make_noise
from minigan.data import SHIPPED
from minigan.evaluation import make_yardstick
from minigan.game import Game
from minigan.metrics import frechet_distance, moments
from minigan.recipes import RECIPES
from minigan.sources import load

try:
    from peers import Twin
except ImportError:
    Twin = None


def race(player, recipe, seconds, every, yardstick):
    """[(seconds of training, steps, FD)], one row each `every` seconds; player has step() and draw(z)."""
    z = make_noise(recipe, np.random.default_rng(99), 10_000)
    trained, steps, points = 0.0, 0, []
    while trained < seconds:
        goal = trained + every
        while trained < goal:
            began = time.perf_counter()
            for _ in range(100):
                player.step()
            trained += time.perf_counter() - began
            steps += 100
        features, _ = yardstick.look(player.draw(z))
        points.append((trained, steps, float(frechet_distance(yardstick.moments, moments(features)))))
        print(f"{points[-1][0]:7.1f} s  {steps:6} steps  FD {points[-1][2]:7.2f}", flush=True)
    return points


def plot(results, floor, path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in results.items():
        axes.plot([p[0] for p in points], [p[2] for p in points], marker="o", markersize=3, label=name)
    axes.axhline(floor, color="grey", linewidth=1, linestyle="--")
    axes.annotate("real images", (0, floor), xytext=(4, 4), textcoords="offset points", color="grey", fontsize=9)
    axes.set(xlabel="seconds of training", ylabel="Fréchet distance of 10,000 samples, 0 is best", yscale="log", xlim=(0, None))
    axes.legend(frameon=False)
    axes.grid(alpha=0.2, which="both")
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of training, for each (default 120)")
    parser.add_argument("--every", type=float, default=10, help="seconds between two measurements (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("race.png"))
    parser.add_argument("--redraw", action="store_true", help="only draw the points of the last race again")
    args = parser.parse_args()
    keep_memory()
    saved = args.out.with_suffix(".json")
    if not args.redraw:
        data = load(SHIPPED)
        images, (yardstick, _) = data.images, make_yardstick(data, True)
        floor = yardstick.quick(images[:10_000].reshape(-1, 784).astype("float32") / 255)["fd"]
        results, names = {}, ["default", "pytorch-mlp", "keras-mlp-fixed"]
        for name, twin in [("default", False), ("default", True), *((name, False) for name in names[1:])]:
            if twin and not Twin:
                continue
            label = "PyTorch twin of default" if twin else name
            print(label)
            player = Twin(RECIPES[name], images, seed=args.seed) if twin else Game(RECIPES[name], images, args.seed)
            results[label] = race(player, RECIPES[name], args.seconds, args.every, yardstick)
        saved.write_text(json.dumps({"floor": floor, "results": results}, indent=1) + "\n")
    told = json.loads(saved.read_text())
    plot(told["results"], told["floor"], args.out)
    print(f"drawn: {args.out}")
