"""Every loss and penalty on the same networks, by the same measure: docs/losses.md.

    OPENBLAS_NUM_THREADS=1 python benchmarks/losses.py    train what has not been trained yet, then write the page; some three hours
    python benchmarks/losses.py --part 1/2                only every second run, to share the work of two processes
    python benchmarks/losses.py --only "hinge, r1"        only the rows of that name
    python benchmarks/losses.py --epochs 40               longer than the recipe's 16; longer runs are kept apart from shorter ones
    python benchmarks/losses.py --page                    only write the page

Every row is the recipe `default` with nothing changed but what its name says, trained with three
seeds. Every run appends a line to docs/losses.jsonl, so that it can be stopped and goes on where
it was. Seconds are the processor's, so that a busy machine does not matter. The page gets a table
and two figures: docs/losses.png, what each loss asks of the two players, and docs/losses-curves.png,
how the runs went and how long G's gradient was on the way.
"""
import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.adversarial import GAN_LOSSES
from minigan.backend import keep_memory
from minigan.data import SHIPPED
from minigan.drawing import draw_many
from minigan.evaluation import make_yardstick
from minigan.game import Game
from minigan.recipes import RECIPES, replace
from minigan.sources import load

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS, PAGE, RULES, CURVES = DOCS / "losses.jsonl", DOCS / "losses.md", DOCS / "losses.png", DOCS / "losses-curves.png"
SEEDS, EVERY = 3, 50  # steps between two looks at G's gradient
MARK = "<!-- what follows is written by benchmarks/losses.py -->"
ROWS = {
    **{name: dict(loss=name) for name in GAN_LOSSES},
    **{f"{name}, r1": dict(loss=name, penalty="r1") for name in GAN_LOSSES},
    "non-saturating, r1 of weight 1": dict(penalty="r1", penalty_weight=1.0),
    "non-saturating, r1 every 4 steps": dict(penalty="r1", penalty_every=4),
    "non-saturating, wgan-gp": dict(penalty="wgan-gp"),
    "wasserstein, wgan-gp": dict(loss="wasserstein", penalty="wgan-gp"),
    "hinge, spectral": dict(loss="hinge", spectral=True),
    "wasserstein, spectral": dict(loss="wasserstein", spectral=True),
}


def done():
    """{(row, seed, epochs): what was measured} of the runs so far."""
    rows = [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    return {(row["row"], row["seed"], row["epochs"]): row for row in rows}


def play(name, seed, epochs, images, yardstick):
    """Train; the line to write down. A run whose weights are no numbers any more ends there, with an FD of null."""
    game = Game(replace(RECIPES["default"], epochs=epochs, **ROWS[name]), images, seed)
    seconds, lengths, history = 0.0, [], []
    for _ in range(epochs):
        began = time.process_time()
        for _ in range(game.steps):
            game.step()
            if game.t % EVERY == 0:
                lengths.append(float(np.linalg.norm(game.G.dtheta)))
        seconds += time.process_time() - began
        if not all(np.isfinite(net.theta).all() for net in (game.G, game.D)):
            break
        history.append(yardstick.quick(game.draw(game.measured_z))["fd"])
    fine = len(history) == epochs
    measured = yardstick.full(draw_many(game.drawer, game.recipe, 10_000, seed=0)) if fine else {"fd": None, "coverage": None}
    return {"row": name, "seed": seed, "epochs": epochs, "seconds": seconds, "ms_a_step": 1e3 * seconds / game.t, "history": history,
            "lengths": lengths, **measured}


def draw_rules(path):
    """Over D's answer a: what each player pays, and the slope of that."""
    from matplotlib.figure import Figure

    figure, a = Figure(figsize=(11, 6), layout="constrained"), np.linspace(-4, 4, 801)
    axes = figure.subplots(2, 3, sharex=True)
    for width, (name, loss) in zip((5, 3.5, 2.5, 2.5, 1), GAN_LOSSES.items()):  # thinner and thinner, so that equals show
        for column, pays in zip(axes.T, (loss.of_D(a, 1.0), loss.of_D(a, 0.0), loss.of_G(a))):
            for ax, values in zip(column, pays):
                ax.plot(a, values, label=name, linewidth=width)
    for column, who in zip(axes.T, ("D, real image", "D, fake", "G, fake")):
        column[0].set(title=who, ylim=(-4, 8))
        column[1].set(xlabel="a, D's answer: to the right, more real", ylim=(-2.2, 2.2))
    axes[0, 0].set_ylabel("price")
    axes[1, 0].set_ylabel("slope")
    axes[0, 2].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=80)


def draw_curves(rows, epochs, path):
    """FD over epochs of each row's seed 0, and the length of G's gradient under each plain loss."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    distance, length = figure.subplots(1, 2)
    for name in ROWS:
        if row := rows.get((name, 0, epochs)):
            style = "--" if "r1" in name else ":" if "," in name else "-"
            color = f"C{list(GAN_LOSSES).index(name.partition(',')[0])}"
            distance.plot(range(1, len(row["history"]) + 1), row["history"], style, marker=".", label=name, color=color)
            if name in GAN_LOSSES:
                length.plot(EVERY * np.arange(1, len(row["lengths"]) + 1), row["lengths"], label=name, linewidth=0.7)
    distance.set(xlabel="epoch", ylabel="Fréchet distance of 2,000 samples, 0 is best", yscale="log")
    length.set(xlabel="step", ylabel="length of G's gradient", yscale="log")
    for axes in distance, length:
        axes.grid(alpha=0.2)
        axes.legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=80)


def page(epochs):
    """docs/losses.md: what stands above MARK is kept, all below is made anew."""
    rows = done()
    lines = [MARK, "", f"{epochs} epochs. FD of 10,000 samples; best and last: of 2,000, after an epoch, seed 0.", "",
             "| loss, penalty | FD, a seed each | coverage | best, last | a step | of the plain one's |", "|---|---|---|---|---|---|"]
    plain = np.median([row["ms_a_step"] for (name, _, n), row in rows.items() if name == "non-saturating" and n == epochs] or [np.nan])
    for name in ROWS:
        runs = [rows[name, seed, epochs] for seed in range(SEEDS) if (name, seed, epochs) in rows]
        if runs:
            fine = [run for run in runs if run["fd"] is not None]
            fd = " ".join(f"{run['fd']:.2f}" if run["fd"] is not None else "diverged" for run in runs)
            first, step = runs[0]["history"], np.median([run["ms_a_step"] for run in runs])
            course = f"{min(first):.1f}, {first[-1]:.1f}" if first else ""
            coverage = f"{np.mean([run['coverage'] for run in fine]):.2f}" if fine else ""
            lines.append(f"| {name} | {fd} | {coverage} | {course} | {step:.1f} ms | {step / plain:.2f} |")
    draw_rules(RULES)
    draw_curves(rows, epochs, CURVES)
    above = PAGE.read_text().partition(MARK)[0] if PAGE.exists() else ""
    PAGE.write_text(above + "\n".join(lines) + "\n\n![how each row went](losses-curves.png)\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=RECIPES["default"].epochs)
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--only", choices=list(ROWS), metavar="ROW")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    keep_memory()
    if not args.page:
        data = load(SHIPPED)
        images, (yardstick, _) = data.images, make_yardstick(data, True)
        part, parts = map(int, args.part.split("/"))
        for seed, name in [(seed, name) for seed in range(SEEDS) for name in ROWS if args.only in (None, name)][part - 1::parts]:
            if (name, seed, args.epochs) not in done():
                with np.errstate(all="ignore"):
                    row = play(name, seed, args.epochs, images, yardstick)
                with open(RESULTS, "a") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{name}, seed {seed}: FD {row['fd']} after {row['seconds']:.0f} s, {row['ms_a_step']:.1f} ms a step", flush=True)
    page(args.epochs)
