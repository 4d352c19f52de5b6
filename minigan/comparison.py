"""Comparison: several runs in one table and one figure.

The idea
    Which rate is better, which recipe is faster? Each run has written down how it went
    (history.csv), what it was (settings.json), and, if it was evaluated, how good it is
    (metrics.json). Side by side they answer. The Fréchet distance is drawn over the seconds of
    training, because an epoch costs some recipes ten times as much as others; losses and scores
    are drawn over epochs. Losses of different recipes cannot be compared, nor can scores of different
    losses: a discriminator that wins has a small loss, and so has one whose generator has collapsed.

    A run need not be finished: after one epoch there is something to compare.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> read_run(folder)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
minigan.runs.RunError: ... has no history.csv: name folders of runs that have trained for an epoch or more
"""
import csv
import json
import math
from pathlib import Path

from minigan.plots import logarithmic
from minigan.runs import RunError

COLUMNS = ("epoch", "elapsed", "fd", "loss_D", "loss_G", "score_real", "score_fake")  # that are needed of history.csv
MEASURES = {"fd": "FD", "precision": "precision", "coverage": "coverage", "recall": "recall", "agreement": "agreement"}


def read_run(folder):
    """{"recipe": its name, "seed": ..., "history": {column: its numbers}, "metrics": {} or what evaluate wrote, ...} of a run.

    Raises RunError where a file is missing, or not what training writes.
    """
    folder, found = Path(folder), {"metrics": {}}
    path = folder / "history.csv"
    if not path.is_file():
        raise RunError(f"{folder} has no history.csv: name folders of runs that have trained for an epoch or more")
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
        found["history"] = {name: [float(row[name]) for row in rows] for name in COLUMNS}
        if not rows or not all(math.isfinite(value) for values in found["history"].values() for value in values):
            raise ValueError("it holds no epoch, or no numbers")
        path = folder / "settings.json"
        settings = json.loads(path.read_text())
        found["data"] = tuple(settings.get(name) for name in ("data", "classes", "size", "n_images"))
        found["recipe"], found["seed"] = str(settings["recipe"]["name"]), int(settings["seed"])
        path = folder / "metrics.json"
        if path.is_file():
            whole = json.loads(path.read_text())
            found["metrics"] = {name: float(whole["run"][name]) for name in MEASURES if name in whole["run"]}
            found["measured"] = f"{whole['count']} images, against {whole['against']}"
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged, or was not written by a training ({str(error)[:80] or type(error).__name__})") from None
    return found


def table(runs):
    """{name: what read_run returns} in words: a line a run. `last FD` is of 2,000 samples, the other figures of evaluate's 10,000."""
    measured = [name for name in MEASURES if any(name in run["metrics"] for run in runs.values())]
    width = max(len(name) for name in ["run", *runs])
    lines = [f"{'run':{width}}  {'recipe':15} {'seed':>4} {'epochs':>6} {'seconds':>7} {'last FD':>8} {'best FD':>8}"
             + "".join(f"{MEASURES[name]:>10}" for name in measured)]
    for name, run in runs.items():
        past, metrics = run["history"], run["metrics"]
        lines.append(f"{name:{width}}  {run['recipe'][:15]:15} {run['seed']:4} {len(past['fd']):6} {past['elapsed'][-1]:7.0f}"
                     f" {past['fd'][-1]:8.2f} {min(past['fd']):8.2f}"
                     + "".join(f"{metrics[m]:10.3f}" if m in metrics else f"{'-':>10}" for m in measured))
    if len({run["data"] for run in runs.values()}) > 1:
        lines.append("note: they were trained on different images, so their FDs say little about each other")
    if len(how := {run["measured"] for run in runs.values() if run["metrics"]}) > 1:
        lines.append(f"note: not all were measured alike, so the figures on the right cannot be compared: {'; '.join(sorted(how))}")
    missing = [name for name, run in runs.items() if not run["metrics"]]
    if missing:
        lines.append(f"not measured with 10,000 images yet: python demo.py evaluate {missing[0]}" + (" ..." if len(missing) > 1 else ""))
    return "\n".join(lines)


def draw_comparison(runs):
    """A matplotlib figure of the same: FD over seconds, losses and scores over epochs, a colour a run."""
    from matplotlib.figure import Figure  # slow to import, so only now

    figure = Figure(figsize=(13, 4), layout="constrained")
    distance, losses, scores = figure.subplots(1, 3)
    for i, (name, run) in enumerate(runs.items()):
        past, colour = run["history"], f"C{i % 10}"
        dots = {"color": colour, "marker": "o", "markersize": 2.5}
        distance.plot(past["elapsed"], past["fd"], label=name, **dots)
        for axes, of_D, of_G in (losses, "loss_D", "loss_G"), (scores, "score_real", "score_fake"):
            axes.plot(past["epoch"], past[of_D], **dots)
            axes.plot(past["epoch"], past[of_G], linestyle="--", **dots)
    distance.set(xlabel="seconds of training", ylabel="Fréchet distance, 0 is best", xlim=(0, None))
    logarithmic(distance)
    losses.set(xlabel="epoch", ylabel="losses: D solid, G dashed")
    scores.set(xlabel="epoch", ylabel="D(x) solid, D(G(z)) dashed")
    for axes in losses, scores:
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in distance, losses, scores:
        axes.grid(alpha=0.2)
    distance.legend(frameon=False)
    return figure
