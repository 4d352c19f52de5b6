"""Train the recipe `long`, or another one, and measure whether it becomes better or worse.

    OPENBLAS_NUM_THREADS=1 python benchmarks/long_run.py --seed 0 --out long-0.json

Every fifth epoch, 10,000 samples are measured against the test images. Their noise is not that of
the 2,000 samples that a run itself measures. The file is written after each measurement. "worse" is
the last FD divided by the lowest mean of three neighbouring ones. `--set NAME=VALUE` changes a
setting of the recipe, as it does for `demo.py`.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from minigan.accel.cpu import disable_malloc_trim
from minigan.cli.arguments import setting
from minigan.datasets.idx import SHIPPED
from minigan.datasets.load import load_dataset
from minigan.evaluation.legibility import load_conv_classifier, share_read
from minigan.evaluation.report import make_evaluator
from minigan.gan.recipes import RECIPES, replace
from minigan.training.state import TrainingState

EVERY, SAMPLES = 5, 10_000  # epochs from one measurement to the next; samples for each
METRICS = "fd", "kid", "precision", "coverage", "recall"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default="long", choices=list(RECIPES))
    parser.add_argument("--epochs", type=int, help="default: those of the recipe")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="repeatable"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.json")
    args = parser.parse_args()
    disable_malloc_trim()
    recipe = replace(RECIPES[args.recipe], **dict(args.set))
    recipe = replace(recipe, epochs=args.epochs or recipe.epochs)
    data = load_dataset(SHIPPED)
    evaluator, second = make_evaluator(data, True), load_conv_classifier()
    gan, rows, seconds = TrainingState(recipe, data.images, seed=args.seed), [], 0.0
    for epoch in range(1, recipe.epochs + 1):
        start = time.process_time()
        for _ in range(gan.steps_per_epoch):
            gan.train_step()
        seconds += time.process_time() - start
        if epoch % EVERY and epoch != recipe.epochs:
            continue
        images = gan.sample(SAMPLES, seed=1000 + epoch)
        measured = evaluator.evaluate(images)
        row = {"epoch": epoch, "seconds": round(seconds, 1), "read": share_read(second, images)}
        rows.append(row | {name: measured[name] for name in METRICS})
        print("  ".join(f"{name} {value:.3g}" for name, value in rows[-1].items()), flush=True)
        fd = [row["fd"] for row in rows]
        lowest = min(np.convolve(fd, np.ones(3) / 3, "valid"), default=None) if fd[2:] else None
        worse = {} if lowest is None else {"worse": fd[-1] / float(lowest)}
        content = {"recipe": args.recipe, "epochs": recipe.epochs, "seed": args.seed}
        content |= {"set": dict(args.set), **worse, "rows": rows}
        args.out.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
