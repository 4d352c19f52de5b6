"""Train the GAN of exercise 9 for a minute, and show how digits emerge:

    python exercises/train_digits.py                      your GAN, in exercises/ex9_digits.py
    python exercises/train_digits.py --seconds 300        longer

A line is printed every few seconds, with the Fréchet distance between 1,000 samples and real
images (0 is best, and noise has about 200). The picture has a row of samples for each of these
lines, with the seconds and the distance, always from the same noise, and a row of real images
below them.
"""

import argparse
import io
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from exercises.checkers.digits import P, Z
from exercises.checkers.tools import explain, load
from minigan.accel.cpu import disable_malloc_trim, limit_blas_threads
from minigan.cli.arguments import Parser, default_out, positive_float, seed
from minigan.console import say
from minigan.datasets.idx import SHIPPED, TEST_IMAGES, load_images
from minigan.evaluation.classifier import load_classifier
from minigan.evaluation.metrics import Evaluator
from minigan.figures.plots import make_grid
from minigan.figures.sheets import Sheet, save_sheet

ROWS, COLUMNS = 10, 12


def train(answer, seconds: float, *, seed: int) -> Sheet:
    """Train the GAN of a module for some seconds of computing; returns the picture."""
    images = load_images(SHIPPED).reshape(-1, P)
    evaluator = Evaluator(load_images(SHIPPED, name=TEST_IMAGES)[:2000], load_classifier())
    rng = np.random.default_rng(seed)
    G, D = answer.make_networks(rng)
    z = np.random.default_rng(1).standard_normal((1000, Z), dtype="float32")
    steps, rows, labels, t = answer.train(G, D, images, rng), [], [], 0
    say("    step  seconds     FD   loss D   loss G")
    for part in range(1, ROWS + 1):
        started = time.perf_counter()
        while time.perf_counter() - started < seconds / ROWS:
            loss_D, loss_G = next(steps)
            t += 1
        trained = part * seconds / ROWS
        generated = ((G.forward(z)[0] + 1) / 2).reshape(-1, 28, 28)
        fd = evaluator.quick(generated)["fd"]
        say(f"{t:8,} {trained:8.0f} {fd:6.1f} {float(loss_D):8.2f} {float(loss_G):8.2f}")
        rows.append(generated[:COLUMNS])
        labels.append(f"{trained:.3g} s, FD {fd:.0f}")
    real = images[rng.integers(len(images), size=COLUMNS)].reshape(-1, 28, 28) / np.float32(255)
    return Sheet(
        make_grid(np.concatenate([*rows, real]), columns=COLUMNS),
        title="Digits during training",
        rows=[*labels, "real"],
    )


def main(args: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(
        "python exercises/train_digits.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "answer",
        nargs="?",
        type=Path,
        default=Path(__file__).resolve().parent / "ex9_digits.py",
        metavar="FILE",
        help="a solution of exercise 9 (default: exercises/ex9_digits.py)",
    )
    parser.add_argument("--seconds", type=positive_float, default=60.0, help="default 60")
    parser.add_argument("--seed", type=seed, default=0, help="default 0")
    options = parser.parse_args(args)
    disable_malloc_trim()
    limit_blas_threads(1)  # hardly slower for small networks, and far faster on a busy machine
    try:
        picture = train(load(options.answer), options.seconds, seed=options.seed)
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    except Exception as error:
        unwritten = isinstance(error, NotImplementedError)
        reason = str(error) if unwritten else explain(error, options.answer)
        print(f"{options.answer.name}: {reason}.", file=sys.stderr)
        return 2
    content, folder = io.BytesIO(), Path("runs")
    save_sheet(picture, content)
    folder.mkdir(exist_ok=True)
    out = default_out(folder, "my-digits.png")
    out.write_bytes(content.getvalue())
    say(f"{out} shows your digits, one row for each line above, and real ones at the bottom")
    return 0


if __name__ == "__main__":
    sys.exit(main())
