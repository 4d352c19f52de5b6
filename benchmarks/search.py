"""What was tried to find the default recipe, and what it gave: the table in docs/recipe.md.

    python benchmarks/search.py               train what has not been trained yet, a line each
    python benchmarks/search.py --part 1/2    only every second row, to share the work of two processes
    python benchmarks/search.py --table       print the table

Every row is the default recipe with something changed, trained for as many epochs as it says, and
measured on 10,000 samples as `demo.py evaluate` does. Results are appended to docs/recipe.jsonl, so
it can be stopped and goes on where it was. The seconds are those of one core (OPENBLAS_NUM_THREADS=1).
"""
import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.backend import keep_memory
from minigan.data import SHIPPED
from minigan.evaluation import make_yardstick
from minigan.game import Game
from minigan.recipes import RECIPES, replace
from minigan.drawing import draw_many
from minigan.sources import load

RESULTS = Path(__file__).parent.parent / "docs" / "recipe.jsonl"
EPOCHS = 10  # fewer than the default's, for time
OLD = dict(batch_size=64, learning_rate=1e-3, beta1=0.5, beta2=0.999, dropout=0.3, real_label=0.9, decay_G=0.0)  # where we began
EXTRAS = {"seed": 0, "ratio": 1.0, "instance_noise": 0.0, "decay_D": 0.0, "scale": 1.0}  # no part of a recipe: defaults

ROWS = {  # name: what is changed; ratio is the rate of D over that of G, scale that of the images
    "default": {},
    "default, seed 1": dict(seed=1),
    "default, seed 2": dict(seed=2),
    "decay 0": dict(decay_G=0.0),
    "decay 0.03": dict(decay_G=0.03),
    "decay 0.15": dict(decay_G=0.15),
    "decay 0.3": dict(decay_G=0.3),
    "decay 0.07 of D, too": dict(decay_D=0.07),
    "decay 0.07 of D only": dict(decay_G=0.0, decay_D=0.07),
    "no average": dict(average=0.0),
    "average .99": dict(average=0.99),
    "beta1 .5": dict(beta1=0.5),
    "beta1 .9": dict(beta1=0.9),
    "beta2 .9": dict(beta2=0.9),
    "beta2 .999": dict(beta2=0.999),
    "rate 7e-4": dict(learning_rate=7e-4),
    "rate 2e-3": dict(learning_rate=2e-3),
    "rate falling to a third": dict(final_rate=0.33),
    "rate falling to 0": dict(final_rate=0.0),
    "decay 0, rate falling to a third": dict(decay_G=0.0, final_rate=0.33),
    "decay 0, rate falling to 0": dict(decay_G=0.0, final_rate=0.0),
    "D twice as fast as G": dict(learning_rate=1e-3, ratio=2.0),
    "D half as fast as G": dict(learning_rate=2e-3, ratio=0.5),
    "batch 64, rate 1e-3": dict(batch_size=64, learning_rate=1e-3),
    "batch 256, rate 2e-3": dict(batch_size=256, learning_rate=2e-3),
    "label .9": dict(real_label=0.9),
    "no dropout": dict(dropout=0.0),
    "dropout .3": dict(dropout=0.3),
    "latent 16": dict(latent_dim=16),
    "latent 128": dict(latent_dim=128),
    "D 1024-512": dict(widths_D=(1024, 512)),
    "G 512-1024": dict(widths_G=(512, 1024)),
    "D 256-256, G 256-256": dict(widths_D=(256, 256), widths_G=(256, 256)),
    "initial weights: he": dict(rule="he"),
    "initial weights: normal": dict(rule="normal"),
    "ReLU in G": dict(slope_G=0.0),
    "noise of .2 on what D sees, falling to 0": dict(instance_noise=0.2),
    "images in [-.9, .9]": dict(scale=0.9),
    "where we began: batch 64, rate 1e-3 falling to 0, beta1 .5, beta2 .999, dropout .3, label .9, average .999, decay 0":
        dict(OLD, average=0.999, final_rate=0.0),
    "the same, rate constant and average .9999": OLD,
    **{f"16 epochs, seed {seed}": dict(epochs=16, seed=seed) for seed in range(10)},
    "40 epochs": dict(epochs=40),
}


def train(changes, images, yardstick):
    """Figures of 10,000 samples at the end, and FD after every fourth epoch."""
    extras = {**EXTRAS, **{name: value for name, value in changes.items() if name in EXTRAS}}
    recipe = replace(RECIPES["default"], **{"epochs": EPOCHS, **{k: v for k, v in changes.items() if k not in EXTRAS}})
    recipe = replace(recipe, learning_rate_D=recipe.learning_rate * extras["ratio"])
    game, seconds, fds = Game(recipe, images, extras["seed"]), 0.0, {}
    game.optimizer_D.decay = extras["decay_D"]
    rng, plain = np.random.default_rng(extras["seed"]), game.next_images

    def next_images():
        left = 1 - game.t / (game.steps * recipe.epochs)
        real = plain() * np.float32(extras["scale"])
        if extras["instance_noise"]:
            real += np.float32(extras["instance_noise"] * left) * rng.standard_normal(real.shape, dtype="float32")
        return real
    game.next_images = next_images
    for epoch in range(1, recipe.epochs + 1):
        began = time.process_time()
        for _ in range(game.steps):
            game.step()
        seconds += time.process_time() - began
        if epoch % 4 == 0:
            fds[epoch] = yardstick.quick(draw_many(game.drawer, recipe, 10_000, seed=0))["fd"]
    drawn = draw_many(game.drawer, recipe, 10_000, seed=0)
    grey = float(((drawn > 0.1) & (drawn < 0.9)).mean())  # neither black nor white
    return {"seconds": seconds, "epochs": recipe.epochs, "fds": fds, "grey": grey, **yardstick.full(drawn)}


def table():
    """The results as a Markdown table."""
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    print("| changed | epochs | s | FD after 4 | 8 | at the end | precision | coverage | recall | rarest class | grey |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in sorted(rows, key=lambda row: list(ROWS).index(row["name"]) if row["name"] in ROWS else 999):
        fds = {int(epoch): fd for epoch, fd in row["fds"].items()}
        print(f"| {row['name']} | {row['epochs']} | {row['seconds']:.0f} | {fds[4]:.1f} | {fds[8]:.2f} | **{row['fd']:.2f}** |"
              f" {row['precision']:.2f} | {row['coverage']:.2f} | {row['recall']:.2f} | {min(row['classes']):.1%} | {row['grey']:.1%} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    keep_memory()
    if not args.table:
        part, parts = map(int, args.part.split("/"))
        data = load(SHIPPED)
        images, (yardstick, _) = data.images, make_yardstick(data, True)
        done = {json.loads(line)["name"] for line in RESULTS.read_text().splitlines()} if RESULTS.exists() else set()
        for name, changes in list(ROWS.items())[part - 1::parts]:
            if name not in done:
                with np.errstate(all="ignore"):
                    result = train(changes, images, yardstick)
                with open(RESULTS, "a") as file:
                    file.write(json.dumps({"name": name, **result}) + "\n")
                print(f"{name}: FD {result['fd']:.2f}, coverage {result['coverage']:.2f}", flush=True)
    table()
