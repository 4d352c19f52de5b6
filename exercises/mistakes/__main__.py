"""The gallery of mistakes: each broken run next to a healthy one, with the same seed and images.

    python -m exercises.mistakes stale_cache beta1
            train these two, with and without the mistake
    python -m exercises.mistakes stale_cache --steps 200
            a short run
    OPENBLAS_NUM_THREADS=1 python -m exercises.mistakes
            train all of them (five minutes on one core)
    OPENBLAS_NUM_THREADS=1 python -m exercises.mistakes --out docs
            train what is missing in docs/mistakes.jsonl, then write docs/mistakes.md
    python -m exercises.mistakes --page --out docs
            only write docs/mistakes.md and its figures

The pages and figures are written to runs/gallery unless --out names another folder. Every finished
run is stored there as a line in mistakes.jsonl, so that an interrupted gallery continues where it
stopped.
"""

import argparse
import base64
import inspect
import io
import json
import os
import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from exercises.mistakes import MISTAKES
from minigan.accel.cpu import disable_malloc_trim
from minigan.console import is_terminal, say
from minigan.datasets.idx import SHIPPED
from minigan.datasets.load import load_dataset
from minigan.datasets.pixels import DataError
from minigan.evaluation.metrics import Evaluator
from minigan.evaluation.report import make_evaluator
from minigan.figures.plots import save_grid

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
SEED = 0
STEPS = 936  # two epochs of the recipe `dense`
EVERY = 12  # steps that are averaged for one point of a curve
SHOWN = 25  # samples in a figure
EPOCH = 468  # the numbers in the text are means of the last 468 steps
SIDES = "healthy", "broken"
CURVES = "loss of D", "loss of G", "D(x)", "D(G(z))", "gradient norm of G"
OLD_CURVES = {  # names in the lines of mistakes.jsonl that were written before 0.2.0
    "length of G's gradient": "gradient norm of G",
    "variance behind batch norm": "variance after batch norm",
    "off black, typical": "error of black, median",
    "off black, mean": "error of black, mean",
}
INTRO = """# Eight mistakes and their symptoms

Each of these mistakes occurs in code from which people have learned. Every section lists the
threads in which its mistake was discussed. [`exercises/mistakes/`](../exercises/mistakes)
reproduces each in a few lines that override minigan's own training, and trains it next to a healthy
run: the same seed, the same images, {steps:,} steps (a whole run of the recipe `dense` has
7,488). FD is the Fréchet distance between 2,000 samples and the test images
([`metrics.py`](../minigan/evaluation/metrics.py)); 0 is best. The {shown} samples are the first
ones, not selected. Each run was made with a single seed. Three seeds of `dense` differed by 5 %
after four epochs ([recipe.md](recipe.md)), so small differences mean nothing. The measurements are
reported as they are, even where the effect is smaller than the mistake's reputation suggests. This
command writes the page:

```sh
OPENBLAS_NUM_THREADS=1 python -m exercises.mistakes --out docs
```

"""


def module_name(mistake: ModuleType) -> str:
    """The name of its file, without .py."""
    return mistake.__name__.rpartition(".")[2]


def modules_sharing(mistake: ModuleType, side: str) -> list[ModuleType]:
    """The mistakes that share this run, this one included: some have the same healthy run."""
    if side == "broken":
        return [mistake]
    setting = mistake.RECIPE, mistake.Healthy
    return [other for other in MISTAKES if (other.RECIPE, other.Healthy) == setting]


def run_key(mistake: ModuleType, side: str, steps: int) -> tuple[str, str, int]:
    """The key of a run in mistakes.jsonl; its name is that of the first mistake that shares it."""
    return module_name(modules_sharing(mistake, side)[0]), side, steps


def train_side(
    mistake: ModuleType, side: str, steps: int, images: np.ndarray, *, evaluator: Evaluator
) -> dict[str, Any]:
    """Train one side of a mistake and return its row for mistakes.jsonl.

    A run ends at the first step in which a loss or a measured value is not finite.
    """
    gan = (mistake.Healthy if side == "healthy" else mistake.Broken)(
        mistake.RECIPE, images, seed=SEED
    )
    sharing = [other for other in modules_sharing(mistake, side) if hasattr(other, "measure")]

    def measure():
        return {name: value for other in sharing for name, value in other.measure(gan).items()}

    history, measured, stopped, started = [], [], None, time.process_time()
    with np.errstate(all="ignore"):
        for t in tqdm(
            range(steps),
            f"{module_name(mistake)}, {side}",
            leave=False,
            unit=" steps",
            disable=not is_terminal(sys.stderr),
        ):
            values = [float(value) for value in gan.train_step()]
            losses, scores = values[:2], values[2:]
            history.append([*losses, *scores, float(np.linalg.norm(gan.G.dtheta))])
            if t % EVERY == 0:
                measured.append(measure())
            if not np.isfinite([*history[-1], *measured[-1].values()]).all():
                stopped = gan.t
                break
    seconds = time.process_time() - started
    curves = {
        name: [
            np.mean([row[i] for row in history[t : t + EVERY]])
            for t in range(0, len(history), EVERY)
        ]
        for i, name in enumerate(CURVES)
    }
    curves |= {name: [row[name] for row in measured] for name in measured[0]}
    row = {
        **dict(zip(("mistake", "side", "steps"), run_key(mistake, side, steps))),
        "seconds": round(seconds, 1),
        "stopped": stopped,
        "curves": {
            name: [float(f"{value:.4g}") for value in values] for name, values in curves.items()
        },
    }
    if stopped is None:
        generated, file = gan.generate(gan.evaluation_latents), io.BytesIO()
        save_grid(generated[:SHOWN], file, zoom=1)
        metrics = evaluator.quick(generated)
        shares = [metrics[f"share_{i}"] for i in range(10) if f"share_{i}" in metrics]
        row["fd"], row["shares"] = metrics["fd"], [round(share, 4) for share in shares]
        row["samples"] = base64.b64encode(file.getvalue()).decode()
    return row


def read_rows(path: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """{(mistake, side, steps): row} of the finished runs. Raises ValueError for a damaged line."""
    rows = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            row["curves"] = {
                OLD_CURVES.get(name, name): values for name, values in row["curves"].items()
            }
            rows[row["mistake"], row["side"], row["steps"]] = row
        except (ValueError, LookupError, TypeError, AttributeError):
            raise ValueError(
                f"{path}, line {number}, is damaged: delete that line, and its run will be trained"
                " again"
            ) from None
    return rows


def with_means(row: dict[str, Any]) -> dict[str, Any]:
    """The row, with {name: mean over the last epoch} added for each of its curves."""
    count = EPOCH // EVERY
    return row | {name: float(np.mean(values[-count:])) for name, values in row["curves"].items()}


def plot_mistake(mistake: ModuleType, rows: list[dict[str, Any]], path: Path) -> None:
    """Write the figure: healthy left, broken right; samples at the top and the symptom below."""
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(9, 6), layout="constrained")
    top, bottom = figure.subplots(2, 2, height_ratios=(1, 0.8))
    for axes, side, row in zip(top, SIDES, rows):
        if row["stopped"]:
            text = f"no samples:\nNaN at step {row['stopped']}"
            axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=13)
            axes.set(title=side)
        else:
            samples = Image.open(io.BytesIO(base64.b64decode(row["samples"])))
            axes.imshow(samples, cmap="gray", vmin=0, vmax=255)
            axes.set(title=f"{side}: FD {row['fd']:.1f}")
        axes.set(xticks=[], yticks=[])
    if hasattr(mistake, "plot_panels"):
        mistake.plot_panels(bottom, rows)
    else:
        bottom[1].sharey(bottom[0])
        for axes, row in zip(bottom, rows):
            for name in mistake.curves:
                values = row["curves"][name]
                axes.plot(np.arange(len(values)) * EVERY, values, label=name)
            axes.set(xlabel="step", yscale=getattr(mistake, "yscale", "linear"))
            axes.legend(frameon=False)
            axes.grid(alpha=0.2)
    file = io.BytesIO()
    figure.savefig(file, dpi=80)
    # 64 colours reduce the size to a third; the figures are part of the book
    Image.open(file).convert("RGB").quantize(64).save(path)


def find_fixes(source: str) -> list[tuple[str, str]]:
    """[(wrong line, right line or "")] of a module.

    `# fixed:` and the right line follow each wrong line.
    """
    found = re.findall(r"^( *)(\S.*)\n *# fixed: (.*)$", source, re.MULTILINE)
    return [
        (indent + wrong, "" if right == "without this line" else indent + right)
        for indent, wrong, right in found
    ]


def link(thread: str) -> str:
    """owner/repo#7 or owner/repo as a link; anything else unchanged."""
    found = re.fullmatch(r"([\w.-]+/[\w.-]+)(#(\d+))?", thread)
    if not found:
        return thread
    issue = f"/issues/{found[3]}" if found[3] else ""
    return f"[{thread}](https://github.com/{found[1]}{issue})"


def write_section(mistake: ModuleType, rows: list[dict[str, Any]]) -> str:
    """The section of mistakes.md about one mistake, in Markdown."""
    title, _, text = inspect.getdoc(mistake).partition("\n")
    text = re.sub(r"^(?=\S)(.*)$", r"**\1**\n", inspect.cleandoc(text), flags=re.MULTILINE)
    text = re.sub(r"^    ", "", text, flags=re.MULTILINE)
    name, fixes = module_name(mistake), find_fixes(inspect.getsource(mistake))
    diff = "\n".join(f"-{wrong}" + (f"\n+{right}" if right else "") for wrong, right in fixes)
    distances = ", ".join(
        f"{side} " + ("none (NaN)" if row["stopped"] else f"{row['fd']:.1f}")
        for side, row in zip(SIDES, rows)
    )
    return "\n\n".join(
        [
            f"## {title}",
            f"![healthy and broken, side by side](mistakes/{name}.png)",
            text,
            "**Measured**",
            f"{mistake.symptom(*map(with_means, rows))} FD: {distances}.",
            f"**The fix**, in [`{name}.py`](../exercises/mistakes/{name}.py)",
            f"```diff\n{diff}\n```",
            "**Where people met it**",
            "\n".join(f"- {link(thread)}: {what}" for thread, what in mistake.THREADS.items()),
        ]
    )


def write_page(out: Path, steps: int) -> None:
    """Write mistakes.md and the figures, for all mistakes whose two runs are finished."""
    rows, sections = read_rows(out / "mistakes.jsonl"), []
    (out / "mistakes").mkdir(exist_ok=True)
    for mistake in MISTAKES:
        pair = [rows[key] for side in SIDES if (key := run_key(mistake, side, steps)) in rows]
        if len(pair) == len(SIDES):
            plot_mistake(mistake, pair, out / "mistakes" / f"{module_name(mistake)}.png")
            sections.append(write_section(mistake, pair))
    text = INTRO.format(steps=steps, shown=SHOWN) + "\n\n".join(sections) + "\n"
    text = re.sub(
        r"(?<=\]\()(?!https?:|mistakes/)[^)#]+",
        lambda link: Path(os.path.relpath(DOCS / link[0], out)).as_posix(),
        text,
    )
    (out / "mistakes.md").write_text(text, encoding="utf-8")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"{message}\n")


def main(args: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    by_name = {module_name(mistake): mistake for mistake in MISTAKES}
    parser = Parser(
        "python -m exercises.mistakes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(by_name))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/gallery"),
        metavar="FOLDER",
        help="default: runs/gallery",
    )
    parser.add_argument("--page", action="store_true", help="write the page without training")
    options = parser.parse_args(args)
    if unknown := [name for name in options.names if name not in by_name]:
        parser.error(f"there is no mistake {unknown[0]!r}; there are {', '.join(by_name)}")
    if options.steps < 1:
        parser.error(f"--steps must be 1 or more, not {options.steps}")
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        results = options.out / "mistakes.jsonl"
        finished = read_rows(results)
        missing = {
            key: (by_name[name], side)
            for name in options.names or by_name
            for side in SIDES
            if (key := run_key(by_name[name], side, options.steps)) not in finished
        }
        if missing and not options.page:
            train_missing(missing, results)
        elif not missing:
            say("all of these runs are finished, so nothing is trained")
        write_page(options.out, options.steps)
    except (DataError, ValueError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"cannot write to {options.out}: {error.strerror or error}")
    say(f"written: {options.out / 'mistakes.md'}, and figures in {options.out / 'mistakes'}")
    return 0


def train_missing(missing: dict[tuple[str, str, int], tuple], results: Path) -> None:
    """Train these runs, {key: (mistake, side)}, and append a line to `results` after each."""
    disable_malloc_trim()
    say(f"training {len(missing)} runs; {results} keeps each as soon as it is finished")
    data = load_dataset(SHIPPED)
    evaluator = make_evaluator(data, True)
    for number, ((_, _, steps), (mistake, side)) in enumerate(missing.items(), 1):
        row = train_side(mistake, side, steps, data.images, evaluator=evaluator)
        with open(results, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        outcome = f"NaN at step {row['stopped']}" if row["stopped"] else f"FD {row['fd']:.1f}"
        say(
            f"{number} of {len(missing)}: {row['mistake']}, {side}: {outcome},"
            f" {row['seconds']:.0f} s"
        )


if __name__ == "__main__":
    sys.exit(main())
