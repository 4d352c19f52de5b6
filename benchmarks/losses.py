"""Train every loss and penalty on the same networks and compare the metrics: docs/losses.md.

    OPENBLAS_NUM_THREADS=1 python benchmarks/losses.py
            train what is missing, then write the page (about three hours)
    python benchmarks/losses.py --part 1/2
            only every second run, to divide the work between two processes
    python benchmarks/losses.py --only "hinge, r1"
            only the row of that name
    python benchmarks/losses.py --epochs 40
            longer runs than the recipe's 16 epochs; they are recorded separately
    python benchmarks/losses.py --page
            only write the page
    OPENBLAS_NUM_THREADS=1 python benchmarks/losses.py --cost
            only time the steps with different penalties, in turns (a minute), and print a table

Every row is the recipe `dense` with the change given by its name, trained with three seeds. Every
run appends a line to docs/losses.jsonl, so that the benchmark continues after an interruption.
Seconds are processor time, which does not depend on other programs that keep the machine busy. The
page contains a table and two figures: docs/losses.png, the losses of both networks, and
docs/losses-curves.png, FD and the gradient norm of G during training.
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
from minigan.figures.plots import distinct_colours, new_figure, save_figure, set_log_scale
from minigan.gan.losses import GAN_LOSSES
from minigan.gan.recipes import RECIPES, replace
from minigan.training.state import TrainingState

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS, PAGE, FUNCTIONS, CURVES = (
    DOCS / "losses.jsonl",
    DOCS / "losses.md",
    DOCS / "losses.png",
    DOCS / "losses-curves.png",
)
SEEDS, EVERY = 3, 50  # steps between two measurements of the gradient norm of G
COST_RECIPES, TURNS, STEPS_OF_A_TURN = ("dense", "default-conv", "default"), 7, 3
PAIRED = dict(loss="relativistic", shared_fakes=False)  # as demo.py sets it
COST_ROWS = {
    "non-saturating": dict(penalty="", shared_fakes=False),
    "non-saturating, r1": dict(penalty="r1", shared_fakes=False),
    "non-saturating, r1+r2": dict(penalty="r1+r2", shared_fakes=False),
    "relativistic": dict(penalty="", **PAIRED),
    "relativistic, r1+r2": dict(penalty="r1+r2", **PAIRED),
}
MARK = "<!-- what follows is written by benchmarks/losses.py -->"
ROWS = {
    **{name: dict(loss=name) for name in GAN_LOSSES},
    **{f"{name}, r1": dict(loss=name, penalty="r1") for name in GAN_LOSSES},
    "non-saturating, r1 of weight 1": dict(penalty="r1", penalty_weight=1.0),
    "non-saturating, r1 every 4 steps": dict(penalty="r1", penalty_every=4),
    "relativistic, r1+r2 of weight 1": dict(
        loss="relativistic", penalty="r1+r2", penalty_weight=1.0
    ),
    "non-saturating, wgan-gp": dict(penalty="wgan-gp"),
    "wasserstein, wgan-gp": dict(loss="wasserstein", penalty="wgan-gp"),
    "hinge, spectral": dict(loss="hinge", spectral=True),
    "wasserstein, spectral": dict(loss="wasserstein", spectral=True),
}


def read_rows():
    """{(row, seed, epochs): measured values} of the finished runs."""
    rows = (
        [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.exists() else []
    )
    return {(row["row"], row["seed"], row["epochs"]): row for row in rows}


def train_row(name, seed, epochs, *, images, evaluator):
    """Train and return the row for losses.jsonl. A run that diverges ends early, with FD null."""
    gan = TrainingState(replace(RECIPES["dense"], epochs=epochs, **ROWS[name]), images, seed=seed)
    seconds, norms, history = 0.0, [], []
    for _ in range(epochs):
        began = time.process_time()
        for _ in range(gan.steps_per_epoch):
            gan.train_step()
            if gan.t % EVERY == 0:
                norms.append(float(np.linalg.norm(gan.G.dtheta)))
        seconds += time.process_time() - began
        if not all(np.isfinite(net.theta).all() for net in (gan.G, gan.D)):
            break
        history.append(evaluator.quick(gan.generate(gan.evaluation_latents))["fd"])
    finished = len(history) == epochs
    measured = (
        evaluator.evaluate(gan.sample(10_000, seed=0))
        if finished
        else {"fd": None, "coverage": None}
    )
    return {
        "row": name,
        "seed": seed,
        "epochs": epochs,
        "seconds": seconds,
        "ms_a_step": 1e3 * seconds / gan.t,
        "history": history,
        "lengths": norms,
        **measured,
    }


def print_cost(images):
    """Time the steps of COST_ROWS in turns, and print the table.

    A row is compared with the first one of its own turn, and the median over the turns is printed.
    """
    head = " | ".join(f"`{name}`" for name in COST_RECIPES)
    lines = {name: f"| {name} |" for name in COST_ROWS}
    for name in COST_RECIPES:
        gans = {}
        for row, change in COST_ROWS.items():
            recipe = replace(RECIPES[name], penalty_every=1, penalty_weight=1.0, clusters=0)
            gans[row] = TrainingState(replace(recipe, **change), images)
        ms = {row: [] for row in gans}
        for turn in range(TURNS + 1):  # the first only warms up
            for row, gan in gans.items():
                began = time.process_time()
                for _ in range(STEPS_OF_A_TURN):
                    gan.train_step()
                if turn:
                    ms[row].append(1e3 * (time.process_time() - began) / STEPS_OF_A_TURN)
        plain = np.array(ms["non-saturating"])
        for row, values in ms.items():
            ratio = np.median(values / plain)
            lines[row] += f" {ratio:.2f} ({np.median(values):.1f} ms) |"
    print(f"| loss, penalty at every step | {head} |")
    print("|---|" + "---|" * len(COST_RECIPES))
    print("\n".join(lines.values()))


def plot_functions(path):
    """The loss of each network over D's logit a, and its derivative."""
    with new_figure(11, 6.6) as figure:
        a, axes = np.linspace(-4, 4, 801), figure.subplots(2, 3, sharex=True)
        single = {name: loss for name, loss in GAN_LOSSES.items() if not loss.paired}
        for width, (name, loss) in zip(
            (5, 3.5, 2.5, 2.5, 1), single.items()
        ):  # thinner and thinner, so that identical curves are visible
            for column, pair in zip(
                axes.T,
                (
                    loss.discriminator_loss(a, 1.0),
                    loss.discriminator_loss(a, 0.0),
                    loss.generator_loss(a),
                ),
            ):
                for ax, values in zip(column, pair):
                    ax.plot(a, values, label=name, linewidth=width)
        for column, title in zip(axes.T, ("D, real image", "D, fake", "G, fake")):
            column[0].set(title=title, ylim=(-4, 8))
            column[1].set(xlabel="a, D's logit: to the right, more real", ylim=(-2.2, 2.2))
        axes[0, 0].set_ylabel("loss")
        axes[1, 0].set_ylabel("derivative with respect to a")
        figure.suptitle("Five losses and their derivatives")
        figure.legend(
            *axes[0, 0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=len(single),
            frameon=False,
        )
        save_figure(figure, path)


def plot_curves(rows, epochs, path):
    """FD over epochs of each row's seed 0, in three groups, and the gradient norm of G with each
    plain loss.
    """
    groups = {
        "FD without a penalty": [name for name in ROWS if name in GAN_LOSSES],
        "FD with R1 of weight 10": [name for name in ROWS if name.endswith(", r1")],
        "FD with other penalties": [
            name for name in ROWS if name not in GAN_LOSSES and not name.endswith(", r1")
        ],
    }
    with new_figure(12, 9) as figure:
        panels = figure.subplots(2, 2).ravel()
        limits = [
            fd for name in ROWS if (row := rows.get((name, 0, epochs))) for fd in row["history"]
        ]
        for axes, (title, names) in zip(panels, groups.items()):
            for name, colour in zip(names, distinct_colours(len(names))):
                if row := rows.get((name, 0, epochs)):
                    steps = range(1, len(row["history"]) + 1)
                    axes.plot(steps, row["history"], marker=".", label=name, color=colour)
            axes.set(title=title, xlabel="epoch", ylabel="Fréchet distance, 0 is best")
            set_log_scale(axes)
            axes.set_ylim(0.9 * min(limits), 1.1 * max(limits))
        norm, names = panels[3], groups["FD without a penalty"]
        for name, colour in zip(names, distinct_colours(len(names))):
            if row := rows.get((name, 0, epochs)):
                steps = EVERY * np.arange(1, len(row["lengths"]) + 1)
                norm.plot(steps, row["lengths"], label=name, linewidth=0.7, color=colour)
        norm.set(title="Gradient norm of G without a penalty", xlabel="step", yscale="log")
        norm.set_ylabel("gradient norm of G")
        for axes in panels:
            axes.grid(alpha=0.2)
            axes.legend(
                loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=3, frameon=False, fontsize=8
            )
        save_figure(figure, path)


def write_page(epochs):
    """docs/losses.md: everything above MARK is kept, everything below is written anew."""
    rows = read_rows()
    lines = [
        MARK,
        "",
        f"{epochs} epochs. FD of 10,000 samples; best and last: of 2,000 after an epoch, seed 0.",
        "",
        "| loss, penalty | FD of each seed | coverage | best, last | ms per step | relative to"
        " plain |",
        "|---|---|---|---|---|---|",
    ]
    plain = np.median(
        [
            row["ms_a_step"]
            for (name, _, n), row in rows.items()
            if name == "non-saturating" and n == epochs
        ]
        or [np.nan]
    )
    for name in ROWS:
        runs = [rows[name, seed, epochs] for seed in range(SEEDS) if (name, seed, epochs) in rows]
        if runs:
            finished = [run for run in runs if run["fd"] is not None]
            fd = " ".join(
                f"{run['fd']:.2f}" if run["fd"] is not None else "diverged" for run in runs
            )
            history, step = runs[0]["history"], np.median([run["ms_a_step"] for run in runs])
            best_and_last = f"{min(history):.1f}, {history[-1]:.1f}" if history else ""
            coverage = f"{np.mean([run['coverage'] for run in finished]):.2f}" if finished else ""
            lines.append(
                f"| {name} | {fd} | {coverage} | {best_and_last} | {step:.1f} | {step / plain:.2f}"
                " |"
            )
    plot_functions(FUNCTIONS)
    plot_curves(rows, epochs, CURVES)
    above = PAGE.read_text().partition(MARK)[0] if PAGE.exists() else ""
    PAGE.write_text(
        above
        + "\n".join(lines)
        + "\n\n![FD and gradient norms during training](losses-curves.png)\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=RECIPES["dense"].epochs)
    parser.add_argument("--part", default="1/1", metavar="I/N")
    parser.add_argument("--only", choices=list(ROWS), metavar="ROW")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--cost", action="store_true")
    args = parser.parse_args()
    disable_malloc_trim()
    if args.cost:
        print_cost(load_dataset(SHIPPED).images)
        sys.exit()
    if not args.page:
        data = load_dataset(SHIPPED)
        images, evaluator = data.images, make_evaluator(data, True)
        part, parts = map(int, args.part.split("/"))
        for seed, name in [
            (seed, name) for seed in range(SEEDS) for name in ROWS if args.only in (None, name)
        ][part - 1 :: parts]:
            if (name, seed, args.epochs) not in read_rows():
                with np.errstate(all="ignore"):
                    row = train_row(name, seed, args.epochs, images=images, evaluator=evaluator)
                with open(RESULTS, "a") as file:
                    file.write(json.dumps(row) + "\n")
                print(
                    f"{name}, seed {seed}: FD {row['fd']} after {row['seconds']:.0f} s,"
                    f" {row['ms_a_step']:.1f} ms per step",
                    flush=True,
                )
    write_page(args.epochs)
