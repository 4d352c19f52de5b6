"""Train every recipe on the same data and compare the metrics: the table in docs/recipes.md.

    OPENBLAS_NUM_THREADS=1 python benchmarks/recipes.py
            train what is missing, then write the page (about an hour)
    python benchmarks/recipes.py --part 1/2
            only every second run, to divide the work between two processes
    python benchmarks/recipes.py --minutes 30
            with more time for each recipe
    python benchmarks/recipes.py --page
            only write the page

Each recipe is trained with its own settings for its epochs, or for --minutes (default 6) on one
core, whichever ends first, because published recipes run for hours. (`default` is trained for all
of its epochs, and `auto-write`, the slowest, for twelve minutes.) The time is processor time,
which does not depend on other programs that keep the machine busy. After each epoch the FD of 2,000
samples is recorded as well. Our own recipes are trained with three seeds, the others with one.
Every run appends a line to docs/recipes.jsonl, so that the benchmark continues after an
interruption; grids of 40 samples go to docs/recipes/.
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
from minigan.figures.plots import save_grid
from minigan.gan.recipes import RECIPES
from minigan.training.state import TrainingState

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS, PAGE, PICTURES = DOCS / "recipes.jsonl", DOCS / "recipes.md", DOCS / "recipes"
SEEDS = {"default": 3, "dense": 3}  # one for the others
MINUTES = {
    "default": 20,
    "auto-write": 12,
}  # all epochs of the first, and more than one of the second; --minutes for all others
MARK = "<!-- what follows is written by benchmarks/recipes.py -->"


def read_rows():
    """{(recipe, seed): measured values} of the finished runs."""
    rows = (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )
    return {(row["recipe"], row["seed"]): row for row in rows}


def train_row(recipe, seed, minutes, *, images, evaluator):
    """Train for at most that many minutes and return the row for recipes.jsonl."""
    gan, seconds, history = TrainingState(recipe, images, seed=seed), 0.0, []
    while gan.t < recipe.epochs * gan.steps_per_epoch and seconds < 60 * minutes:
        began = time.process_time()
        for _ in range(min(100, recipe.epochs * gan.steps_per_epoch - gan.t)):
            gan.train_step()
        seconds += time.process_time() - began
        if gan.t // gan.steps_per_epoch > len(history):
            history.append(
                [
                    round(seconds, 1),
                    round(evaluator.quick(gan.generate(gan.evaluation_latents))["fd"], 3),
                ]
            )
    generated = gan.sample(10_000, seed=0)
    if seed == 0:
        PICTURES.mkdir(exist_ok=True)
        save_grid(generated[:40], PICTURES / f"{recipe.name}.png")
    return {
        "recipe": recipe.name,
        "seed": seed,
        "seconds": seconds,
        "epochs": gan.t / gan.steps_per_epoch,
        "of": recipe.epochs,
        "ms_a_step": 1e3 * seconds / gan.t,
        "G": gan.G.theta.size,
        "D": gan.D.theta.size,
        "history": history,
        **evaluator.evaluate(generated),
    }


def write_page():
    """docs/recipes.md: everything above MARK is kept, the table below is written anew."""
    rows = read_rows()
    lines = [
        MARK,
        "",
        "| recipe | samples, not selected | FD | coverage | rarest class | trained | ms per step"
        " | weights of G, D |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in RECIPES:
        runs = [rows[name, seed] for seed in range(10) if (name, seed) in rows]
        if runs:
            fd = " ".join(f"{run['fd']:.2f}" for run in runs)
            first = runs[0]
            lines.append(
                f"| `{name}` | ![](recipes/{name}.png) | {fd} |"
                f" {np.mean([run['coverage'] for run in runs]):.2f} |"
                f" {np.mean([min(run['classes']) for run in runs]):.1%} |"
                f" {first['seconds'] / 60:.1f} min, {first['epochs']:.1f} of {first['of']} epochs |"
                f" {first['ms_a_step']:.0f} | {first['G']:,}, {first['D']:,} |"
            )
    above = PAGE.read_text().partition(MARK)[0] if PAGE.exists() else ""
    PAGE.write_text(above + "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    disable_malloc_trim()
    if not args.page:
        data = load_dataset(SHIPPED)
        images, evaluator = data.images, make_evaluator(data, True)
        part, parts = map(int, args.part.split("/"))
        names = [name for name in RECIPES if name != "long"]  # long_run.py trains that one
        for name, seed in [(name, seed) for name in names for seed in range(SEEDS.get(name, 1))][
            part - 1 :: parts
        ]:
            if (name, seed) not in read_rows():
                with np.errstate(all="ignore"):
                    minutes = MINUTES.get(name, args.minutes)
                    row = train_row(
                        RECIPES[name], seed, minutes, images=images, evaluator=evaluator
                    )
                with open(RESULTS, "a") as file:
                    file.write(json.dumps(row) + "\n")
                print(
                    f"{name}, seed {seed}: FD {row['fd']:.2f} after {row['seconds']:.0f} s",
                    flush=True,
                )
    write_page()
