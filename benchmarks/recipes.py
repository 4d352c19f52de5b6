"""Every recipe on the same data, by the same measure: the table in docs/recipes.md.

    OPENBLAS_NUM_THREADS=1 python benchmarks/recipes.py    train what has not been trained yet, then write the page; an hour
    python benchmarks/recipes.py --part 1/2                only every second run, to share the work of two processes
    python benchmarks/recipes.py --minutes 30              with more time for each
    python benchmarks/recipes.py --page                    only write the page

Each recipe is trained with its own settings until its epochs are done or --minutes (default 6) of one
core's time have been spent on it, whichever comes first: published recipes run for hours (only `default-conv`
may finish, and `auto-write`, the slowest, gets twelve). After each epoch the FD of 2,000 samples is noted, too. (The time
is the processor's, not the clock's, so that a busy machine does not matter.) Our own get three
seeds, the others one. Every run appends a line to docs/recipes.jsonl, so that it can be stopped and
goes on where it was; grids of 40 samples go to docs/recipes/.
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
from minigan.plots import save_grid
from minigan.recipes import RECIPES
from minigan.drawing import draw_many
from minigan.sources import load

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS, PAGE, PICTURES = DOCS / "recipes.jsonl", DOCS / "recipes.md", DOCS / "recipes"
SEEDS = {"default": 3, "default-conv": 3}  # of the others, one
MINUTES = {"default-conv": 20, "auto-write": 12}  # enough for all epochs of the one, and more than one of the other; all else, see --minutes
MARK = "<!-- what follows is written by benchmarks/recipes.py -->"


def done():
    """{(recipe, seed): what was measured} of the runs so far."""
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    return {(row["recipe"], row["seed"]): row for row in rows}


def play(recipe, seed, images, yardstick, minutes):
    """Train for so many minutes at most; the row to write down."""
    game, seconds, history = Game(recipe, images, seed), 0.0, []
    while game.t < recipe.epochs * game.steps and seconds < 60 * minutes:
        began = time.process_time()
        for _ in range(min(100, recipe.epochs * game.steps - game.t)):
            game.step()
        seconds += time.process_time() - began
        if game.t // game.steps > len(history):
            history.append([round(seconds, 1), round(yardstick.quick(game.draw(game.measured_z))["fd"], 3)])
    drawn = draw_many(game.drawer, recipe, 10_000, seed=0)
    if seed == 0:
        PICTURES.mkdir(exist_ok=True)
        save_grid(drawn[:40].reshape(-1, 28, 28), PICTURES / f"{recipe.name}.png")
    return {"recipe": recipe.name, "seed": seed, "seconds": seconds, "epochs": game.t / game.steps, "of": recipe.epochs,
            "ms_a_step": 1e3 * seconds / game.t, "G": game.G.theta.size, "D": game.D.theta.size, "history": history, **yardstick.full(drawn)}


def page():
    """docs/recipes.md: what stands above MARK is kept, the table below is made anew."""
    rows = done()
    lines = [MARK, "", "| recipe | samples, unchosen | FD | coverage | rarest class | trained | a step | weights of G, D |",
             "|---|---|---|---|---|---|---|---|"]
    for name in RECIPES:
        runs = [rows[name, seed] for seed in range(10) if (name, seed) in rows]
        if runs:
            fd = " ".join(f"{run['fd']:.2f}" for run in runs)
            first = runs[0]
            lines.append(f"| `{name}` | ![](recipes/{name}.png) | {fd} | {np.mean([run['coverage'] for run in runs]):.2f} |"
                         f" {np.mean([min(run['classes']) for run in runs]):.1%} | {first['seconds'] / 60:.1f} min,"
                         f" {first['epochs']:.1f} of {first['of']} epochs | {first['ms_a_step']:.0f} ms | {first['G']:,}, {first['D']:,} |")
    above = PAGE.read_text().partition(MARK)[0] if PAGE.exists() else ""
    PAGE.write_text(above + "\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    keep_memory()
    if not args.page:
        data = load(SHIPPED)
        images, (yardstick, _) = data.images, make_yardstick(data, True)
        part, parts = map(int, args.part.split("/"))
        for name, seed in [(name, seed) for name in RECIPES for seed in range(SEEDS.get(name, 1))][part - 1::parts]:
            if (name, seed) not in done():
                with np.errstate(all="ignore"):
                    row = play(RECIPES[name], seed, images, yardstick, MINUTES.get(name, args.minutes))
                with open(RESULTS, "a") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{name}, seed {seed}: FD {row['fd']:.2f} after {row['seconds']:.0f} s", flush=True)
    page()
