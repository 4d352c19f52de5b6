"""The memory that training and evaluating need, by the accounting of the operating system.

    OPENBLAS_NUM_THREADS=1 python benchmarks/memory.py                # 60,000 images of 64 x 64
    OPENBLAS_NUM_THREADS=1 python benchmarks/memory.py --pictures     # the same as PNG files

Makes a data set in colour, of which one image in six is a test image, and runs two commands on it,
each in a process of its own: training, which is cut down to a few steps because only memory counts,
and `evaluate` with its usual 10,000 images. The table gives the largest resident set of each
process (ru_maxrss, which Linux gives in KB) beside what it may be: 1.5 times the size of the images
plus 300 MB for training, and 1 GB more for `evaluate`. The exit status is 1 if a process needs
more.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MB = 1e6
AT_ONCE = 500  # images; this process stays small, because a new process begins with its size
STEPS = 5  # of the shortened training
TRAIN = f"""
import sys
from minigan.cli.main import exit_with, main
from minigan.gan.recipes import RECIPES, replace
from minigan.training.loop import train
RECIPES["short"] = replace(
    RECIPES["default"], name="short", steps_per_epoch={STEPS}, epochs=2
)
exit_with(main(sys.argv[1:], train))
"""


def make_images(n, side, *, rng):
    """Yield n images of coloured squares (AT_ONCE, side, side, 3), uint8."""
    zoom = side // 8
    for start in range(0, n, AT_ONCE):
        small = rng.integers(0, 256, (min(AT_ONCE, n - start), 8, 8, 3), dtype=np.uint8)
        yield small.repeat(zoom, axis=1).repeat(zoom, axis=2)


def write_npz(path, counts, side, *, rng):
    """Write {name: number of images} to a .npz file, a few images at a time."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, n in counts.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                header = {"shape": (n, side, side, 3), "fortran_order": False, "descr": "|u1"}
                np.lib.format.write_array_header_1_0(file, header)
                for images in make_images(n, side, rng=rng):
                    file.write(images.tobytes())


def write_pictures(path, counts, side, *, rng):
    """Write {name: number of images} as PNG files in folders of these names."""
    from PIL import Image

    for name, n in counts.items():
        (path / name).mkdir(parents=True)
        images = (image for part in make_images(n, side, rng=rng) for image in part)
        for i, image in enumerate(images):
            Image.fromarray(image).save(path / name / f"{i:06}.png", compress_level=1)


def measure(*words, cwd):
    """(largest resident set in MB, seconds) of `python *words`; its output is shown if it fails."""
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=cwd,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{words} failed:\n{output.decode()}")
    kilobyte = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return usage.ru_maxrss * kilobyte / MB, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=60_000, help="default 60000")
    parser.add_argument("--side", type=int, default=64, help="a multiple of 8 (default 64)")
    parser.add_argument("--pictures", action="store_true", help="PNG files instead of a .npz file")
    args = parser.parse_args()
    test, rng = args.images // 6, np.random.default_rng(0)
    size = args.images * args.side * args.side * 3 / MB
    with tempfile.TemporaryDirectory() as folder:
        if args.pictures:
            counts = {"train": args.images - test, "test": test}
            write_pictures(Path(folder) / "data", counts, args.side, rng=rng)
            data = "data"
        else:
            counts = {"images": args.images - test, "test_images": test}
            write_npz(Path(folder) / "data.npz", counts, args.side, rng=rng)
            data = "data.npz"
        allowed = 1.5 * size + 300
        print(f"{args.images:,} images of {args.side} x {args.side} in colour: {size:.0f} MB")
        print(f"{'':10}{'MB':>8}{'allowed':>10}{'seconds':>10}")
        enough = True
        for name, words in (
            ("training", ["-c", TRAIN, "--recipe", "short", "--data", data, "--out", "run"]),
            ("evaluate", [str(ROOT / "demo.py"), "evaluate", "run"]),
        ):
            used, seconds = measure(*words, cwd=folder)
            print(f"{name:10}{used:8.0f}{allowed:10.0f}{seconds:10.0f}", flush=True)
            enough = enough and used <= allowed
            allowed += 1000
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
