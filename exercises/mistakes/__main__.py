"""The gallery of mistakes: each broken run beside the healthy one, from the same seed, on the same images.

    OPENBLAS_NUM_THREADS=1 python -m exercises.mistakes         what is not trained yet, then docs/mistakes.md; five minutes of one core
    python -m exercises.mistakes stale_cache beta1              only these
    python -m exercises.mistakes stale_cache --steps 200 --out runs/gallery      a quick look, elsewhere
    python -m exercises.mistakes --page                         only write the page and its pictures

Every run that is done is a line in mistakes.jsonl, so that all this can be stopped and goes on where it was.
"""
import argparse
import base64
import inspect
import io
import json
import re
import sys
import time
from pathlib import Path

import numpy as np

from exercises.mistakes import MISTAKES
from minigan.backend import keep_memory
from minigan.data import SHIPPED, DataError
from minigan.evaluation import make_yardstick
from minigan.plots import save_grid
from minigan.sources import load

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
SEED, STEPS, EVERY, SHOWN = 0, 936, 12, 25  # two epochs of the recipe `default`; a point of a curve is the mean of 12 steps
EPOCH = 468  # what is said in numbers is the mean of the last 468 steps
SIDES = "healthy", "broken"
INTRO = """# Eight mistakes, and what one sees

Each of these stands in code from which people have learned; below each are the threads in which they met. Each is re-enacted in
[`exercises/mistakes/`](../exercises/mistakes), in a few lines over the engine, and trained beside a healthy run: the same seed,
the same images, {steps:,} steps (a whole run of the recipe `default` has 7,488). FD is the Fréchet distance of 2,000 samples to
the test images ([`metrics.py`](../minigan/metrics.py)), 0 is best; the {shown} samples are the first ones, unchosen.
One seed each: three seeds of `default` were 5 % apart after four epochs ([recipe.md](recipe.md)), so small differences mean
nothing. What was measured is said as it came, also where it is less than its fame. The page is made by

```sh
OPENBLAS_NUM_THREADS=1 python -m exercises.mistakes
```

"""


def name_of(mistake):
    """The name of its file."""
    return mistake.__name__.rpartition(".")[2]


def sharing(mistake, side):
    """The mistakes that this run is one side of, itself among them: some have the same healthy run."""
    if side == "broken":
        return [mistake]
    return [other for other in MISTAKES if (other.RECIPE, other.Healthy) == (mistake.RECIPE, mistake.Healthy)]


def key(mistake, side, steps):
    """What a run is called in mistakes.jsonl: after the first that shares it."""
    return name_of(sharing(mistake, side)[0]), side, steps


def play(mistake, side, steps, images, yardstick):
    """Train one side of a mistake: the line to write down. A run whose losses are no numbers any more ends there."""
    game, told = (mistake.Healthy if side == "healthy" else mistake.Broken)(mistake.RECIPE, images, SEED), []
    began, stopped, looks = time.process_time(), None, [other.look for other in sharing(mistake, side) if hasattr(other, "look")]

    def look():
        return {name: value for one in looks for name, value in one(game).items()}
    with np.errstate(all="ignore"):
        for t in range(steps):
            losses_and_scores = [float(value) for value in game.step()]
            length = float(np.linalg.norm(game.G.dtheta))
            told.append([*losses_and_scores, length, *(look().values() if t % EVERY == 0 else [])])
            if not np.isfinite(told[-1]).all():
                stopped = game.t
                break
    names = ["loss of D", "loss of G", "D(x)", "D(G(z))", "length of G's gradient"]
    curves = {name: [np.mean([row[i] for row in told[t:t + EVERY]]) for t in range(0, len(told), EVERY)]
              for i, name in enumerate(names)}
    curves |= {name: [row[len(names) + i] for row in told[::EVERY]] for i, name in enumerate(look())}
    row = {**dict(zip(("mistake", "side", "steps"), key(mistake, side, steps))),
           "seconds": round(time.process_time() - began, 1), "stopped": stopped,
           "curves": {name: [float(f"{value:.4g}") for value in values] for name, values in curves.items()}}
    if stopped is None:
        drawn, file = game.draw(game.measured_z), io.BytesIO()
        save_grid(drawn[:SHOWN].reshape(-1, *images.shape[1:]), file, zoom=1)
        measured = yardstick.quick(drawn)
        row |= {"fd": measured["fd"], "shares": [round(measured[f"share_{i}"], 4) for i in range(10) if f"share_{i}" in measured],
                "samples": base64.b64encode(file.getvalue()).decode()}
    return row


def done(path):
    """{(mistake, side, steps): line} of the runs so far. Raises ValueError, with a sentence, where a line is damaged."""
    rows = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines() if path.exists() else [], 1):
        try:
            row = json.loads(line)
            rows[row["mistake"], row["side"], row["steps"]] = row
        except (ValueError, LookupError, TypeError):
            raise ValueError(f"{path}, line {number}, is damaged: delete that line, and its run is trained again") from None
    return rows


def last(row):
    """The line, and beside it {name: mean over the last epoch} of its curves."""
    return {**row, **{name: float(np.mean(values[-EPOCH // EVERY:])) for name, values in row["curves"].items()}}


def draw(mistake, rows, path):
    """The picture: healthy on the left, broken on the right; samples above, and below what shows the symptom."""
    from matplotlib.figure import Figure
    from PIL import Image

    figure = Figure(figsize=(9, 6), layout="constrained")
    (above, below) = figure.subplots(2, 2, height_ratios=(1, 0.8))
    for axes, side, row in zip(above, SIDES, rows):
        if row["stopped"]:
            axes.text(0.5, 0.5, f"nothing to draw:\nNaN at step {row['stopped']}", ha="center", va="center", fontsize=13)
            axes.set(title=side)
        else:
            axes.imshow(Image.open(io.BytesIO(base64.b64decode(row["samples"]))), cmap="gray", vmin=0, vmax=255)
            axes.set(title=f"{side}: FD {row['fd']:.1f}")
        axes.set(xticks=[], yticks=[])
    if hasattr(mistake, "panel"):
        mistake.panel(below, rows)
    else:
        below[1].sharey(below[0])
        for axes, row in zip(below, rows):
            for name in mistake.seen:
                axes.plot(np.arange(len(row["curves"][name])) * EVERY, row["curves"][name], label=name)
            axes.set(xlabel="step", yscale=getattr(mistake, "yscale", "linear"))
            axes.legend(frameon=False)
            axes.grid(alpha=0.2)
    file = io.BytesIO()
    figure.savefig(file, dpi=80)
    Image.open(file).convert("RGB").quantize(64).save(path)  # a third of the size, and they go into the book


def mends(source):
    """[(indented wrong line, right line or "")] of a page: under a wrong line stands `# mended:` and the right one."""
    found = re.findall(r"^( *)(\S.*)\n *# mended: (.*)$", source, re.MULTILINE)
    return [(indent + wrong, "" if right == "without this line" else indent + right) for indent, wrong, right in found]


def link(thread):
    """owner/repo#7 or owner/repo as a link; others as they are."""
    found = re.fullmatch(r"([\w.-]+/[\w.-]+)(#(\d+))?", thread)
    return thread if not found else f"[{thread}](https://github.com/{found[1]}" + (f"/issues/{found[3]})" if found[3] else ")")


def section(mistake, rows):
    """What the page says of one mistake."""
    title, _, text = inspect.getdoc(mistake).partition("\n")
    text = re.sub(r"^(?=\S)(.*)$", r"**\1**\n", inspect.cleandoc(text), flags=re.MULTILINE)
    text = re.sub(r"^    ", "", text, flags=re.MULTILINE)
    name, pairs = name_of(mistake), mends(inspect.getsource(mistake))
    diff = "\n".join(f"-{wrong}" + (f"\n+{right}" if right else "") for wrong, right in pairs)
    distances = ", ".join(f"{side} " + ("none (NaN)" if row["stopped"] else f"{row['fd']:.1f}") for side, row in zip(SIDES, rows))
    return "\n\n".join([
        f"## {title}", f"![healthy and broken, side by side](mistakes/{name}.png)", text,
        "**Measured**", f"{mistake.symptom(*map(last, rows))} FD: {distances}.",
        f"**The line that mends it**, in [`{name}.py`](../exercises/mistakes/{name}.py)", f"```diff\n{diff}\n```",
        "**Where people met it**", "\n".join(f"- {link(thread)}: {what}" for thread, what in mistake.THREADS.items())])


def page(out, steps):
    """mistakes.md and the pictures of all mistakes that both runs of are done."""
    rows, sections = done(out / "mistakes.jsonl"), []
    (out / "mistakes").mkdir(exist_ok=True)
    for mistake in MISTAKES:
        pair = [rows.get(key(mistake, side, steps)) for side in SIDES]
        if all(pair):
            draw(mistake, pair, out / "mistakes" / f"{name_of(mistake)}.png")
            sections.append(section(mistake, pair))
    (out / "mistakes.md").write_text(INTRO.format(steps=steps, shown=SHOWN) + "\n\n".join(sections) + "\n", encoding="utf-8")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(2, f"{message}\n")


def main(args=None):
    """The command; returns its exit status."""
    by_name = {name_of(mistake): mistake for mistake in MISTAKES}
    parser = Parser("python -m exercises.mistakes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(by_name))
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--out", type=Path, default=DOCS, metavar="FOLDER", help="default: docs")
    parser.add_argument("--page", action="store_true", help="train nothing")
    args = parser.parse_args(args)
    if unknown := [name for name in args.names if name not in by_name]:
        parser.error(f"no mistake is called {unknown[0]!r}; there are {', '.join(by_name)}")
    if args.steps < 1:
        parser.error(f"--steps is 1 or more, not {args.steps}")
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        results = args.out / "mistakes.jsonl"
        rows, wanted = done(results), [(by_name[name], side) for name in args.names or by_name for side in SIDES]
        wanted = {key(mistake, side, args.steps): (mistake, side) for mistake, side in wanted}
        if args.page or all(name in rows for name in wanted):
            wanted = {}
        else:
            keep_memory()
            data = load(SHIPPED)
            yardstick, _ = make_yardstick(data, True)
        for name, (mistake, side) in wanted.items():
            if name in done(results):
                continue
            row = play(mistake, side, args.steps, data.images, yardstick)
            with open(results, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{row['mistake']}, {side}: " + (f"NaN at step {row['stopped']}" if row["stopped"] else f"FD {row['fd']:.1f}")
                  + f", {row['seconds']:.0f} s", flush=True)
        page(args.out, args.steps)
    except (DataError, ValueError) as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"cannot write to {args.out}: {error.strerror or error}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
