"""How much of a run's time its page and its figures take while it goes on.

    python benchmarks/live.py [--recipe dense] [--epochs 16]

trains on MNIST, in a temporary folder, and counts how often index.html was written and the figures
were plotted before the end of the run, and the seconds that this took. At most 1 % of the time
should have gone there, on a fast machine and on a slow one.
"""

import argparse
import tempfile
from pathlib import Path

from minigan.evaluation.report import make_evaluator
from minigan.gan.recipes import RECIPES, replace
from minigan.training import run as run_module
from minigan.training.inputs import TrainingOptions
from minigan.training.loop import train
from minigan.training.run_page import SHARE, Repeated, RunPage


class CountedPage(RunPage):
    """A RunPage that counts what it does, and remembers how large the page was at most."""

    made: "CountedPage"

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.page, self.figures, self.largest = Counted(), Counted(self.figures.cost), 0
        CountedPage.made = self

    def write(self, *args):
        reason = super().write(*args)
        self.largest = max(self.largest, (self.folder / "index.html").stat().st_size)
        return reason


class Counted(Repeated):
    """Repeated work that is counted."""

    def __init__(self, first_guess=0.0):
        super().__init__(first_guess=first_guess)
        self.count = 0

    def do(self, work):
        super().do(work)
        self.count += 1


def main():
    """Train, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", choices=RECIPES, default="dense")
    parser.add_argument("--epochs", type=int, default=16)
    args = parser.parse_args()
    run_module.RunPage = CountedPage
    with tempfile.TemporaryDirectory() as folder:
        recipe = replace(RECIPES[args.recipe], epochs=args.epochs)
        train(TrainingOptions(recipe, folder=Path(folder) / "run"), make_evaluator)
    page = CountedPage.made
    seconds = page.page.seconds_since() + (page.page.last - page.started)
    print(f"{args.recipe}, {args.epochs} epochs: {seconds:.0f} s, page of {page.largest:,} bytes")
    for name, work in ("page", page.page), ("figures", page.figures):
        print(
            f"{name:8} {work.count:3} times, {work.spent:.2f} s = {work.spent / seconds:.2%};"
            f" the last {work.cost:.2f} s"
        )
    share = (page.page.spent + page.figures.spent) / seconds
    print(f"together {share:.2%}, of at most {SHARE:.0%}")
    return share > SHARE


if __name__ == "__main__":
    raise SystemExit(main())
