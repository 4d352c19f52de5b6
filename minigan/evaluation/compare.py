"""Comparison: several runs in one table and one figure.

The idea
    Which learning rate is better, and which recipe is faster? Each run has recorded its progress
    (history.csv), its settings (settings.json) and, if it was evaluated, its metrics
    (metrics.json). The Fréchet distance is plotted against training time, because an epoch of some
    recipes takes ten times as long as one of others. Losses and scores are plotted against epochs.
    They do not show which run is better: a small discriminator loss may mean that the discriminator
    has won or that the generator has collapsed. Losses of different recipes, and scores of
    different adversarial losses, cannot be compared at all.

    A run need not be finished: one epoch is enough.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> read_run(folder)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
minigan.training.run_folder.RunError: ... has no history.csv: name folders of runs ...
"""

import csv
import json
import math
from pathlib import Path
from typing import Any, BinaryIO

from minigan.figures.plots import (
    DEFAULT_LOOK,
    Look,
    distinct_colours,
    escape_label,
    format_number,
    new_figure,
    save_figure,
    set_log_scale,
)
from minigan.gan.losses import GAN_LOSSES
from minigan.training.run_data import in_folder
from minigan.training.run_folder import RunError

PAIR_COLUMNS = GAN_LOSSES["relativistic"].score_names  # of runs with a loss on pairs
HISTORY_COLUMNS = (  # required columns of history.csv; PAIR_COLUMNS replace the last two
    "epoch",
    "elapsed",
    "fd",
    "loss_D",
    "loss_G",
    "score_real",
    "score_fake",
)
COMPARED_METRICS = {  # name in metrics.json: column heading
    "fd": "FD",
    "kid": "KID",
    "modes": "modes",
    "kl_uniform": "KL",
    "read": "read",
    "precision": "precision",
    "coverage": "coverage",
    "recall": "recall",
    "agreement": "agreement",
    "memorisation": "memorised",
}


def read_run(folder: Path) -> dict[str, Any]:
    """Read the results of a run as a dict.

    "recipe" is the name of its recipe, "seed" a number, "history" {column: list of numbers}, and
    "metrics" {name: number}, which is empty if the run was not evaluated. If it was, "measured"
    says how the metrics were computed. Three entries identify the training images: "data", a tuple
    with their place, "fingerprint", which in a conditional run also depends on the labels, and
    "image_fingerprint", which does not, and which runs of earlier versions lack. "digits" says
    whether FD was measured with the features of the digit classifier.

    Raises RunError if a file is missing or was not written by training.
    """
    folder = Path(folder)
    run: dict[str, Any] = {"metrics": {}}
    path = folder / "history.csv"
    if not path.is_file():
        raise RunError(
            f"{folder} has no history.csv: name folders of runs that have trained for an epoch or"
            " more"
        )
    try:
        run["history"] = read_history(path)
        path = folder / "settings.json"
        settings = json.loads(path.read_text())
        data = settings.get("data")  # two runs may each have a file of this name in their folder
        run["data"] = (
            data and str(in_folder(folder, data)),
            *(settings.get(name) for name in ("classes", "size", "n_images")),
        )
        run["fingerprint"] = settings.get("fingerprint")
        run["image_fingerprint"] = settings.get("image_fingerprint")
        run["digits"] = settings.get("digits")
        run["recipe"], run["seed"] = str(settings["recipe"]["name"]), int(settings["seed"])
        path = folder / "metrics.json"
        if path.is_file():
            content = json.loads(path.read_text())
            metrics = content["run"]
            run["metrics"] = {
                name: float(metrics[name]) for name in COMPARED_METRICS if name in metrics
            }
            run["measured"] = f"{content['count']} images, compared with {content['against']}"
            run["measured_after"] = content.get("epochs")  # earlier versions did not write it
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        reason = str(error)[:80] or type(error).__name__
        raise RunError(f"{path} is damaged, or was not written by training ({reason})") from None
    return run


def read_history(path: Path) -> dict[str, list[float]]:
    """{column: its numbers} of a history.csv; raises ValueError, KeyError or TypeError."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError("it holds no epoch")
    paired = PAIR_COLUMNS[0] in rows[0]
    names = (*HISTORY_COLUMNS[:-2], *PAIR_COLUMNS) if paired else HISTORY_COLUMNS
    history = {name: [float(row[name]) for row in rows] for name in names}
    if not all(math.isfinite(value) for values in history.values() for value in values):
        raise ValueError("it holds NaN or infinity")
    return history


def used_same_images(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two runs, as read_run returns them, used the same images, also after a move."""
    images, fingerprint = one.get("image_fingerprint"), one.get("fingerprint")
    if images and other.get("image_fingerprint"):
        return images == other["image_fingerprint"]
    return one["data"] == other["data"] or fingerprint == other.get("fingerprint") is not None


def format_comparison(runs: dict[str, dict[str, Any]], *, command: str = "python demo.py") -> str:
    """Format {name: result of read_run} as a table with a line for each run, and notes below it.

    `command` is what the user types before the name of a command, for a hint. `last FD` and
    `best FD` are computed from 2,000 samples, and the other metrics from those of `evaluate`,
    10,000 by default.
    """
    shown = [name for name in COMPARED_METRICS if any(name in r["metrics"] for r in runs.values())]
    width = max(len(name) for name in ["run", *runs])
    lines = [
        f"{'run':{width}}  {'recipe':15} {'seed':>4} {'epochs':>6} {'seconds':>7} {'last FD':>8}"
        f" {'best FD':>8}" + "".join(f"{COMPARED_METRICS[name]:>10}" for name in shown)
    ]
    for name, run in runs.items():
        history, metrics = run["history"], run["metrics"]
        fd, seconds = history["fd"], history["elapsed"][-1]
        epochs = int(history["epoch"][-1])
        lines.append(
            f"{name:{width}}  {run['recipe'][:15]:15} {run['seed']:4} {epochs:6} {seconds:7.0f}"
            f" {format_number(fd[-1], 2):>8} {format_number(min(fd), 2):>8}"
            + "".join(f"{format_metric(m, metrics):>10}" for m in shown)
        )
    first = next(iter(runs.values()))
    if not all(used_same_images(first, run) for run in runs.values()):
        lines.append(
            "note: the runs were trained on different images, so their FDs cannot be compared"
        )
    elif len({run.get("digits") for run in runs.values()}) > 1:
        lines.append(
            "note: FD was measured with features of the digit classifier for the runs on data/, and"
            " with other features for the others, so these FDs cannot be compared"
        )
    measured = sorted({run["measured"] for run in runs.values() if run["metrics"]})
    if len(measured) > 1:
        lines.append(
            "note: the runs were evaluated differently, so the metrics on the right cannot be"
            f" compared: {'; '.join(measured)}"
        )
    for name, run in runs.items():
        epochs, after = int(run["history"]["epoch"][-1]), run.get("measured_after")
        if after not in (None, epochs):
            lines.append(
                f"note: {name} was evaluated after epoch {after}, and trained up to epoch {epochs}"
                f" since, so the metrics on the right are out of date: {command} evaluate {name}"
            )
    missing = [name for name, run in runs.items() if not run["metrics"]]
    if missing:
        more = " ..." if len(missing) > 1 else ""
        lines.append(f"not evaluated with 10,000 images yet: {command} evaluate {missing[0]}{more}")
    return "\n".join(lines)


def format_metric(name: str, metrics: dict[str, float]) -> str:
    """A metric of a run, or - if it has none; the number of modes is an integer."""
    if name not in metrics:
        return "-"
    return format_number(metrics[name], 0 if name == "modes" else 3)


def save_curves_of_runs(
    runs: dict[str, dict[str, Any]], path: Path | BinaryIO, *, look: Look = DEFAULT_LOOK
) -> None:
    """Save the figure of plot_comparison; its panels are in rows of look.columns."""
    columns = min(look.columns or 3, 3)
    rows = -(-3 // columns)
    legend_rows = -(-len(runs) // legend_columns(runs, columns))
    with new_figure(1 + 4.2 * columns, 3.8 * rows + 0.25 * legend_rows) as figure:
        plot_comparison(figure, runs, columns=columns)
        save_figure(figure, path, look)


def legend_columns(runs: dict[str, dict[str, Any]], columns: int) -> int:
    """How many names of runs fit below `columns` panels."""
    longest = max(len(name) for name in runs)
    return max(1, min(len(runs), 48 * columns // (longest + 6)))


def plot_comparison(figure: Any, runs: dict[str, dict[str, Any]], *, columns: int = 3) -> None:
    """Plot FD against seconds, and losses and scores against epochs; one colour per run.

    For a loss on pairs, the share of pairs that D ranks correctly is in the place of the scores.
    """
    panels = figure.subplots(-(-3 // columns), columns, squeeze=False).ravel()
    for unused in panels[3:]:
        unused.set_axis_off()
    distance, losses, scores = panels[:3]
    for (name, run), colour in zip(runs.items(), distinct_colours(len(runs))):
        history, style = run["history"], {"color": colour, "marker": "o", "markersize": 2.5}
        distance.plot(history["elapsed"], history["fd"], label=escape_label(name), **style)
        pairs = [(losses, "loss_D", "loss_G")]
        if "ordered" in history:
            scores.plot(history["epoch"], history["ordered"], linestyle=":", **style)
        else:
            pairs.append((scores, "score_real", "score_fake"))
        for axes, solid, dashed in pairs:
            axes.plot(history["epoch"], history[solid], **style)
            axes.plot(history["epoch"], history[dashed], linestyle="--", **style)
    distance.set(xlabel="seconds of training", xlim=(0, None))
    distance.set(ylabel="Fréchet distance, 0 is best", title="Quality of the images")
    set_log_scale(distance)
    losses.set(xlabel="epoch", ylabel="losses: D solid, G dashed", title="Losses")
    ylabel = "D(x) solid, D(G(z)) dashed"
    if any("ordered" in run["history"] for run in runs.values()):
        ylabel += "\nor share of D(x) > D(G(z)), dotted"
    scores.set(xlabel="epoch", ylabel=ylabel, title="Outputs of the discriminator")
    for axes in losses, scores:
        axes.xaxis.get_major_locator().set_params(integer=True)
    for axes in distance, losses, scores:
        axes.grid(alpha=0.2)
    figure.legend(
        *distance.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=legend_columns(runs, columns),
        frameon=False,
    )
