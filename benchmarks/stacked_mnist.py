"""Count the modes of StackedMNIST that small networks produce: the two tables in docs/modes.md.

    python benchmarks/stacked_mnist.py --plan
            time the steps of all rows, in turns, and print how long each table takes
    python benchmarks/stacked_mnist.py --table own
            one pair of networks, four losses, the same time for each, 60 minutes or --minutes; and
            the last with another gamma, and for six times as long
    python benchmarks/stacked_mnist.py --table own --only "paired, r1+r2" --seeds 3
            three seeds of one row
    python benchmarks/stacked_mnist.py --table pacgan
            the networks of PacGAN's small protocol, for 100,000 steps, or --steps
    python benchmarks/stacked_mnist.py --page
            only write the tables

Rows get equal time by getting steps: the first call times the steps of all rows in turns, and the
number of steps of each row is what fits into the minutes. These numbers are kept in
docs/stacked-mnist.json, so that a row that is resumed later, or on a busier machine, still takes
the same steps. The first call should therefore be on a quiet machine. Every measurement is written
to that file: the figures of 25,600 samples, ten times in a row. A row that was interrupted goes
on from its last checkpoint in --folder.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.accel.cpu import disable_malloc_trim, limit_blas_threads
from minigan.datasets.load import load_dataset
from minigan.datasets.stacked import STACKED_MNIST
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.modes import MODE_SAMPLES, evaluate_modes
from minigan.figures.plots import save_grid
from minigan.gan.latents import sample_latents
from minigan.gan.recipes import RECIPES, replace
from minigan.nn.activations import LeakyReLU, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.reshape import Reshape
from minigan.nn.sequential import Sequential
from minigan.training.checkpoint import load_checkpoint, save_checkpoint
from minigan.training.run_folder import RunError, write_atomically
from minigan.training.state import TrainingState

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS, PAGE = DOCS / "stacked-mnist.json", DOCS / "modes.md"
BATCH, STEPS_PER_EPOCH = 128, 60_000 // 128
MEASUREMENTS, CHECKPOINT_EVERY = 10, 300  # in a row; seconds
TURNS, TIMED_STEPS = 7, 10
OWN = replace(
    RECIPES["default"],
    name="stacked",
    clusters=0,
    shared_fakes=False,
    penalty="",
    penalty_every=1,
)
PAIRED = dict(
    loss="relativistic",
    penalty="r1+r2",
    penalty_weight=1.0,
    final_penalty_weight=0.1,
)
ROWS = {
    "own": {
        "non-saturating": OWN,
        "hinge": replace(OWN, loss="hinge"),
        "non-saturating, r1": replace(OWN, penalty="r1", penalty_weight=1.0),
        "paired, r1+r2": replace(OWN, **PAIRED),
        "paired, r1+r2, gamma stays 1": replace(OWN, **PAIRED | {"final_penalty_weight": 0.0}),
        "paired, r1+r2, gamma stays 1, six times as long": replace(
            OWN, **PAIRED | {"final_penalty_weight": 0.0}
        ),
    },
    "pacgan": {
        f"D of {part} of G's channels": replace(
            OWN,
            latent_dim=256,
            noise="normal",
            widths_G=(64, 32, 16, 8),
            widths_D=widths_D,
            learning_rate=1e-3,
            weight_decay_G=0.0,
            **PAIRED,
        )
        for part, widths_D in (("half", (4, 8, 16)), ("a quarter", (2, 4, 8)))
    },
}
# rows with the steps of "paired, r1+r2", and how many times as many
SAME_STEP = {
    "paired, r1+r2, gamma stays 1": 1,
    "paired, r1+r2, gamma stays 1, six times as long": 6,
}
PUBLISHED = {  # Lin et al. 2018: the best of each in 500,000 steps, mean of 50 runs
    "D of half of G's channels": ("PacDCGAN3", 866.6, 0.90),
    "D of a quarter of G's channels": ("PacDCGAN4", 667.4, 1.81),
}
PUBLISHED_STEPS = 500_000


def small_networks(recipe, rng):
    """(G, D) of PacGAN's small protocol: the networks of Metz et al. 2017, without batch norm in D.

    Convolutions of 3 x 3 with stride 2. D has no batch norm, because its gradient is penalised.
    """
    first, *widths = recipe.widths_G
    options = dict(init=recipe.init, dtype=recipe.dtype, rng=rng)
    G = [Dense(recipe.latent_dim, 4 * 4 * first, **options), Reshape(4, 4, first)]
    for n_in, n_out, more in zip([first, *widths], [*widths, 3], (0, 1, 1, 0)):
        stride = 1 if n_out == 3 else 2
        G += [BatchNorm2d(n_in, dtype=recipe.dtype), LeakyReLU(0.0)]
        G += [
            ConvTranspose2d(
                n_in, n_out, 3, stride=stride, padding=1, output_padding=more, **options
            )
        ]
    D, side = [], 28
    for n_in, n_out in zip([3, *recipe.widths_D], recipe.widths_D):
        D += [Conv2d(n_in, n_out, 3, stride=2, padding=1, **options), LeakyReLU(0.3)]
        side = math.ceil(side / 2)
    D += [Reshape(side * side * n_out), Dense(side * side * n_out, 1, **options)]
    return Sequential([*G, Tanh()]), Sequential(D)


def make_gan(table, recipe, images, *, seed, cores):
    """The GAN of a row."""
    networks = None
    if table == "pacgan":
        networks = small_networks(recipe, np.random.default_rng([seed, 3]))
    return TrainingState(recipe, images, seed=seed, networks=networks, cores=cores)


def with_steps(recipe, steps):
    """The recipe with its schedules spread over that many steps."""
    epochs = math.ceil(steps / STEPS_PER_EPOCH)
    burn_in = epochs / 5 if recipe.final_penalty_weight else 0.0
    return replace(recipe, epochs=epochs, burn_in=burn_in)


def clock_for(cores):
    """The clock that times the steps: on one core processor time, which a busy machine and a pause
    hardly change, and on several the time that passes.
    """
    return time.process_time if cores == 1 else time.perf_counter


def time_steps(images, cores):
    """{table: {row: milliseconds of a step}}, all rows timed in turns; the median of TURNS."""
    clock = clock_for(cores)
    gans = {
        (table, name): make_gan(table, with_steps(recipe, 1000), images, seed=0, cores=cores)
        for table, rows in ROWS.items()
        for name, recipe in rows.items()
        if name not in SAME_STEP
    }
    found = {row: [] for row in gans}
    for turn in range(TURNS + 1):  # the first only warms up
        for row, gan in gans.items():
            began = clock()
            for _ in range(TIMED_STEPS):
                gan.train_step()
            if turn:
                found[row].append(1e3 * (clock() - began) / TIMED_STEPS)
    ms = {table: {} for table in ROWS}
    for (table, name), times in found.items():
        ms[table][name] = float(np.median(times))
    return ms


def ms_of(results, table, name):
    """The milliseconds of a step of a row."""
    return results["ms"][table]["paired, r1+r2" if name in SAME_STEP else name]


def read_results():
    """The content of stacked-mnist.json: ms of a step, and rows {table: {"name|seed": row}}."""
    if RESULTS.exists():
        return json.loads(RESULTS.read_text())
    return {"ms": {}, "cores": 0, "minutes": 0, "real": {}, "rows": {"own": {}, "pacgan": {}}}


def write_results(results):
    """Write stacked-mnist.json."""
    text = json.dumps(results, indent=1) + "\n"
    write_atomically(RESULTS, lambda file: file.write(text.encode()))


def write_row(table, key, row, results):
    """Write a row, with the rows that another call has written in the meantime."""
    if RESULTS.exists():
        results["rows"] = read_results()["rows"]
    results["rows"][table][key] = row
    write_results(results)


def measure(gan, classifier, digits):
    """The figures of 25,600 samples of a GAN."""
    z = sample_latents(gan.recipe, np.random.default_rng(99), MODE_SAMPLES)
    parts = {"run": lambda rows: gan.generate(gan.xp.asarray(z[rows]))}
    return evaluate_modes(classifier, parts, digits)["run"]


def train_row(table, name, seed, steps, results, *, images, classifier, folder, cores):
    """Train a row to its last step, from its last checkpoint if there is one."""
    recipe = with_steps(ROWS[table][name], steps)
    gan = make_gan(table, recipe, images, seed=seed, cores=cores)
    key = f"{name}|{seed}"
    row = results["rows"][table].get(key) or {"steps": steps, "history": []}
    folder = folder / f"{table}-{name}-{seed}".replace(" ", "-").replace(",", "").replace("'", "")
    folder.mkdir(parents=True, exist_ok=True)
    seconds, clock = 0.0, clock_for(cores)
    try:
        arrays, words, _ = load_checkpoint(folder)
        gan.restore(arrays, words["counts"])
        seconds = words["seconds"]
    except RunError:
        pass  # there is none
    row["history"] = [one for one in row["history"] if one["step"] <= gan.t]
    every = max(1, steps // MEASUREMENTS)
    saved = time.perf_counter()
    while gan.t < steps:
        began = clock()
        gan.train_step()
        seconds += clock() - began
        due = gan.t % every == 0 or gan.t == steps
        if not due and time.perf_counter() - saved <= CHECKPOINT_EVERY:
            continue
        if not np.isfinite(gan.G.theta).all():
            row["diverged"] = gan.t
            break
        if due:  # before the checkpoint, so that an interrupted measurement is made again
            figures = measure(gan, classifier, images.digits)
            row["history"].append({"step": gan.t, "seconds": round(seconds, 1), **figures})
            write_row(table, key, row, results)
            save_grid(gan.generate(gan.grid_latents), folder / "samples.png")
            print(f"{table}: {name}, seed {seed}:", row["history"][-1], flush=True)
        arrays, counts = gan.save()
        save_checkpoint(folder, gan.t, arrays, {"counts": counts, "seconds": seconds})
        saved = time.perf_counter()
    row["done"] = True
    write_row(table, key, row, results)


def write_tables():
    """Both tables in docs/modes.md, each between its two comments."""
    results, text = read_results(), PAGE.read_text()
    for table in ROWS:
        begin, end = f"<!-- table {table} -->", "<!-- end of the table -->"
        before, found, rest = text.partition(begin)
        _, closing, after = rest.partition(end)
        if not (found and closing):
            sys.exit(f"{PAGE} has no place for the table {table}")
        lines = "\n".join(table_lines(table, results))
        text = f"{before}{begin}\n{lines}\n{closing}{after}"
    PAGE.write_text(text)


def table_lines(table, results):
    """A table in Markdown."""
    lines = [
        "| row | seed | ms per step | steps | minutes | modes | KL from uniform"
        " | KL from triples |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names, rows = [*ROWS[table]], results["rows"][table]
    for key in sorted(rows, key=lambda key: names.index(key.split("|")[0])):
        row, (name, seed) = rows[key], key.split("|")
        last = row["history"][-1] if row["history"] else None
        if "diverged" in row:
            lines.append(f"| {name} | {seed} | | {row['diverged']:,}: diverged | | | | |")
        elif last:
            of = "" if row.get("done") else f" of {row['steps']:,}"
            lines.append(
                f"| {name} | {seed} | {1e3 * last['seconds'] / last['step']:.0f} |"
                f" {last['step']:,}{of} | {last['seconds'] / 60:.0f} | {last['modes']} |"
                f" {last['kl_uniform']:.3f} | {last['kl_triples']:.3f} |"
            )
    for name, (method, modes, kl) in PUBLISHED.items() if table == "pacgan" else ():
        lines.append(
            f"| {method}, {name}, published | 50 | | {PUBLISHED_STEPS:,} | | {modes} | {kl:.2f} | |"
        )
    if real := results["real"]:
        lines.append(
            f"| real triples | | | | | {real['modes']} | {real['kl_uniform']:.3f} |"
            f" {real['kl_triples']:.3f} |"
        )
    return lines


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--table", choices=list(ROWS), default="own")
    add("--only", metavar="ROW", help="a single row")
    add("--seeds", type=int, default=1, help="seeds of each row (default 1)")
    add("--minutes", type=float, help="for each row of the table own (default 60, or as before)")
    add("--steps", type=int, default=100_000, help="of the table pacgan (default 100,000)")
    add("--folder", type=Path, default=Path("runs/stacked-mnist"), help="for the checkpoints")
    add("--plan", action="store_true", help="only time the steps")
    add("--page", action="store_true", help="only write the tables")
    args = parser.parse_args()
    if args.only and args.only not in ROWS[args.table]:
        parser.error(f"--only: the rows are {', '.join(map(repr, ROWS[args.table]))}")
    if args.page:
        return write_tables()
    disable_malloc_trim()
    cores = limit_blas_threads()
    images, classifier, results = (
        load_dataset(STACKED_MNIST).images,
        load_classifier(),
        read_results(),
    )
    if not results["ms"] or args.plan:
        results |= {"ms": time_steps(images, cores), "cores": cores, "minutes": args.minutes or 60}
        positions = images.draw(np.random.default_rng(99), MODE_SAMPLES)
        parts = {"real": lambda rows: images[positions[rows]]}
        results["real"] = evaluate_modes(classifier, parts, images.digits)["real"]
        if not args.plan:
            write_results(results)
    if args.minutes and not results["rows"]["own"]:
        results["minutes"] = args.minutes
    if args.minutes not in (None, results["minutes"]):
        parser.error(f"--minutes: {RESULTS} holds rows of {results['minutes']} minutes; move it")
    steps = {
        "own": {
            name: int(
                60_000 * results["minutes"] * SAME_STEP.get(name, 1) / ms_of(results, "own", name)
            )
            for name in ROWS["own"]
        },
        "pacgan": {name: args.steps for name in ROWS["pacgan"]},
    }
    for table, rows in steps.items():
        ms = {name: ms_of(results, table, name) for name in rows}
        hours = {name: n * ms[name] / 3.6e6 for name, n in rows.items()}
        for name, n in rows.items():
            print(f"{table}: {name}: {ms[name]:.1f} ms, {n:,} steps, {hours[name]:.1f} h")
        print(f"{table}: {sum(hours.values()):.1f} hours for a seed of each row, on {cores} cores")
    if args.plan:
        return print("real triples:", results["real"])
    for seed in range(args.seeds):
        for name in ROWS[args.table]:
            row = results["rows"][args.table].get(f"{name}|{seed}", {})
            if args.only in (None, name) and not row.get("done"):
                n = row.get("steps") or steps[args.table][name]
                with np.errstate(all="ignore"):
                    train_row(
                        args.table,
                        name,
                        seed,
                        n,
                        results,
                        images=images,
                        classifier=classifier,
                        folder=args.folder,
                        cores=cores,
                    )
    write_tables()


if __name__ == "__main__":
    main()
