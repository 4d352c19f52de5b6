"""Train the relativistic loss with R1 and R2 on the ring and the grid: the toys in docs/modes.md.

    OPENBLAS_NUM_THREADS=1 python benchmarks/toys.py
            train what is missing, then write the table (about half an hour on one core)
    python benchmarks/toys.py --only "grid, all of it"
            only the row of that name
    python benchmarks/toys.py --page
            only write the table

Every run appends a line to docs/toys.jsonl, so that the benchmark continues after an interruption.
The two rows "all of it" are what `python demo.py toy --shape grid --loss relativistic --penalty
r1+r2` trains, with ten seeds. The other rows, with three, change one thing each. Modes and good
samples are those of 10,000 samples (minigan/figures/toys.py says how they are counted), and
seconds are processor time.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.accel.cpu import disable_malloc_trim
from minigan.figures.toys import TOYS, measure_modes, train_toy, with_loss
from minigan.gan.latents import sample_latents

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS, PAGE = DOCS / "toys.jsonl", DOCS / "modes.md"
BEGIN, END = "<!-- table of benchmarks/toys.py -->", "<!-- end of that table -->"
SAMPLES = 10_000


def rows():
    """{name: (toy, number of seeds)}."""
    best = {name: with_loss(TOYS[name], "relativistic", "r1+r2") for name in ("grid", "ring")}
    grid = best["grid"]
    return {
        "grid, all of it": (grid, 10),
        "ring, all of it": (best["ring"], 10),
        "grid, without options": (TOYS["grid"], 3),
        "grid, normal latents": (grid._replace(noise="normal", latent_dim=2), 3),
        "grid, no moving average": (grid._replace(ema_decay=0.0), 3),
        "grid, gamma stays 0.1": (grid._replace(final_gamma=0.1), 3),
        "grid, gamma stays 1": (grid._replace(gamma=1.0, final_gamma=1.0), 3),
        "grid, gamma stays 10": (grid._replace(gamma=10.0, final_gamma=10.0), 3),
        "grid, r1 alone": (grid._replace(penalty="r1"), 3),
        "grid, no penalty": (grid._replace(penalty=""), 3),
        "grid, non-saturating, r1+r2": (grid._replace(loss="non-saturating"), 3),
        "grid, non-saturating, no penalty": (grid._replace(loss="non-saturating", penalty=""), 3),
    }


def read_results():
    """{(row, seed): measured values} of the finished runs."""
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return {(one["row"], one["seed"]): one for one in map(json.loads, lines)}


def train_row(name, toy, seed):
    """Train, and return the line for toys.jsonl."""
    began = time.process_time()
    for _step, G, _D in train_toy(toy, toy.steps, seed=seed):
        pass
    seconds = time.process_time() - began
    z = sample_latents(toy, np.random.default_rng([seed, 1]), SAMPLES)
    x = G.forward(z)[0]
    hit, covered, good = measure_modes(x, toy) if np.isfinite(x).all() else (0, 0, 0.0)
    return dict(row=name, seed=seed, hit=hit, covered=covered, good=good, seconds=seconds)


def write_table():
    """The table in docs/modes.md, between BEGIN and END."""
    results = read_results()
    lines = [
        "| toy | seeds | modes hit | modes covered | good samples | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for name, (toy, seeds) in rows().items():
        runs = [results[name, seed] for seed in range(seeds) if (name, seed) in results]
        if not runs:
            continue
        hit, covered = (min(run[key] for run in runs) for key in ("hit", "covered"))
        good = [100 * run["good"] for run in runs]
        seconds = max(run["seconds"] for run in runs)
        n = len(toy.means)
        lines.append(
            f"| {name} | {len(runs)} | {hit} of {n} or more | {covered} of {n} or more |"
            f" {min(good):.1f} to {max(good):.1f} % | {seconds:.0f} |"
        )
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{PAGE} has no place for the table")
    PAGE.write_text(before + begin + "\n" + "\n".join(lines) + "\n" + end + after)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=list(rows()), metavar="ROW")
    parser.add_argument("--page", action="store_true")
    args = parser.parse_args()
    disable_malloc_trim()
    for name, (toy, seeds) in {} if args.page else rows().items():
        for seed in range(seeds):
            if args.only not in (None, name) or (name, seed) in read_results():
                continue
            with np.errstate(all="ignore"):
                line = train_row(name, toy, seed)
            with open(RESULTS, "a") as file:
                file.write(json.dumps(line) + "\n")
            print(line, flush=True)
    write_table()
