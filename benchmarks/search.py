"""The search for the recipe `dense`, and its results: the table in docs/recipe.md.

    OPENBLAS_NUM_THREADS=1 python benchmarks/search.py
            train what is missing, then print the table
    python benchmarks/search.py --part 1/2
            only every second row, to divide the work between two processes
    python benchmarks/search.py --table
            only print the table

Every row is that recipe with some changes, trained for ten epochs unless it says otherwise, and
evaluated on 10,000 samples as by `demo.py evaluate`. Every run appends a line to docs/recipe.jsonl,
so that the search continues after an interruption. The seconds are processor time on one core.
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
from minigan.evaluation.report import make_evaluator
from minigan.gan.recipes import RECIPES, replace
from minigan.training.state import TrainingState

RESULTS = Path(__file__).parent.parent / "docs" / "recipe.jsonl"
EPOCHS = 10  # fewer than the recipe's, to save time
OLD = dict(
    batch_size=64,
    learning_rate=1e-3,
    beta1=0.5,
    beta2=0.999,
    dropout=0.3,
    real_label=0.9,
    weight_decay_G=0.0,
)  # where the search began
EXTRAS = {
    "seed": 0,
    "ratio": 1.0,
    "instance_noise": 0.0,
    "weight_decay_D": 0.0,
    "scale": 1.0,
}  # changes that are not fields of a recipe, with their defaults

# {name: changes}; ratio is the learning rate of D over that of G, scale multiplies the images. In
# docs/recipe.jsonl the recipe is still called "default", as it was when it was searched for.
ROWS = {
    "default": {},
    "default, seed 1": dict(seed=1),
    "default, seed 2": dict(seed=2),
    "decay 0": dict(weight_decay_G=0.0),
    "decay 0.03": dict(weight_decay_G=0.03),
    "decay 0.15": dict(weight_decay_G=0.15),
    "decay 0.3": dict(weight_decay_G=0.3),
    "decay 0.07 of D, too": dict(weight_decay_D=0.07),
    "decay 0.07 of D only": dict(weight_decay_G=0.0, weight_decay_D=0.07),
    "no average": dict(ema_decay=0.0),
    "average .99": dict(ema_decay=0.99),
    "beta1 .5": dict(beta1=0.5),
    "beta1 .9": dict(beta1=0.9),
    "beta2 .9": dict(beta2=0.9),
    "beta2 .999": dict(beta2=0.999),
    "rate 7e-4": dict(learning_rate=7e-4),
    "rate 2e-3": dict(learning_rate=2e-3),
    "rate falling to a third": dict(final_lr_factor=0.33),
    "rate falling to 0": dict(final_lr_factor=0.0),
    "decay 0, rate falling to a third": dict(weight_decay_G=0.0, final_lr_factor=0.33),
    "decay 0, rate falling to 0": dict(weight_decay_G=0.0, final_lr_factor=0.0),
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
    "initial weights: he": dict(init="he"),
    "initial weights: normal": dict(init="normal"),
    "ReLU in G": dict(negative_slope_G=0.0),
    "noise of .2 on what D sees, falling to 0": dict(instance_noise=0.2),
    "images in [-.9, .9]": dict(scale=0.9),
    "where we began: batch 64, rate 1e-3 falling to 0, beta1 .5, beta2 .999, dropout .3, label .9,"
    " average .999, decay 0": dict(OLD, ema_decay=0.999, final_lr_factor=0.0),
    "the same, rate constant and average .9999": OLD,
    **{f"16 epochs, seed {seed}": dict(epochs=16, seed=seed) for seed in range(10)},
    "40 epochs": dict(epochs=40),
}


class ChangedGAN(TrainingState):
    """A GAN with scaled real images, and with noise on them that decreases to 0 during training."""

    def __init__(self, recipe, images, extras):
        super().__init__(recipe, images, seed=extras["seed"])
        self.scale, self.instance_noise = extras["scale"], extras["instance_noise"]
        self.rng = np.random.default_rng(extras["seed"])

    def real_images(self, batch):
        real = super().real_images(batch) * np.float32(self.scale)
        if self.instance_noise:
            left = 1 - self.t / (self.steps_per_epoch * self.recipe.epochs)
            noise = self.rng.standard_normal(real.shape, dtype="float32")
            real += np.float32(self.instance_noise * left) * noise
        return real


def train(changes, images, evaluator):
    """The metrics of 10,000 samples at the end, and FD after every fourth epoch."""
    extras = {**EXTRAS, **{name: value for name, value in changes.items() if name in EXTRAS}}
    recipe = replace(
        RECIPES["dense"],
        **{"epochs": EPOCHS, **{k: v for k, v in changes.items() if k not in EXTRAS}},
    )
    recipe = replace(recipe, learning_rate_D=recipe.learning_rate * extras["ratio"])
    gan, seconds, fds = ChangedGAN(recipe, images, extras), 0.0, {}
    gan.optimizer_D.weight_decay = extras["weight_decay_D"]
    for epoch in range(1, recipe.epochs + 1):
        began = time.process_time()
        for _ in range(gan.steps_per_epoch):
            gan.train_step()
        seconds += time.process_time() - began
        if epoch % 4 == 0:
            fds[epoch] = evaluator.quick(gan.sample(10_000, seed=0))["fd"]
    generated = gan.sample(10_000, seed=0)
    grey = float(((generated > 0.1) & (generated < 0.9)).mean())  # neither black nor white
    return {
        "seconds": seconds,
        "epochs": recipe.epochs,
        "fds": fds,
        "grey": grey,
        **evaluator.evaluate(generated),
    }


def print_table():
    """Print the results as a Markdown table."""
    rows = (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )
    print(
        "| changed | epochs | s | FD after 4 | 8 | at the end | precision | coverage | recall |"
        " rarest class | grey |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for row in sorted(
        rows, key=lambda row: list(ROWS).index(row["name"]) if row["name"] in ROWS else 999
    ):
        fds = {int(epoch): fd for epoch, fd in row["fds"].items()}
        print(
            f"| {row['name']} | {row['epochs']} | {row['seconds']:.0f} | {fds[4]:.1f} |"
            f" {fds[8]:.2f} | **{row['fd']:.2f}** | {row['precision']:.2f} | {row['coverage']:.2f}"
            f" | {row['recall']:.2f} | {min(row['classes']):.1%} | {row['grey']:.1%} |"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    disable_malloc_trim()
    if not args.table:
        part, parts = map(int, args.part.split("/"))
        data = load_dataset(SHIPPED)
        images, evaluator = data.images, make_evaluator(data, True)
        done = (
            {json.loads(line)["name"] for line in RESULTS.read_text().splitlines()}
            if RESULTS.exists()
            else set()
        )
        for name, changes in list(ROWS.items())[part - 1 :: parts]:
            if name not in done:
                with np.errstate(all="ignore"):
                    result = train(changes, images, evaluator)
                with open(RESULTS, "a") as file:
                    file.write(json.dumps({"name": name, **result}) + "\n")
                print(
                    f"{name}: FD {result['fd']:.2f}, coverage {result['coverage']:.2f}", flush=True
                )
    print_table()
