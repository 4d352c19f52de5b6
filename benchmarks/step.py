"""A training step, compared with its matrix products alone, and with PyTorch.

    python benchmarks/step.py
            the table: three recipes, 1 and 2 threads (a few minutes)
    python benchmarks/step.py --networks dcgan --threads 1
            other recipes, or other numbers of threads
    python benchmarks/step.py --json FILE
            also write the numbers
    python benchmarks/step.py --batches
            batch sizes from 32 to 1024
    python benchmarks/step.py --profile
            the milliseconds spent in each module
    python benchmarks/step.py --launches
            the kernels that a step launches on a GPU
    python benchmarks/step.py --grow docs/growth.png
            step and gemm time of fully connected networks over width and batch size
    python benchmarks/step.py --backend cupy
            on a GPU (PyTorch on the same card)
    python benchmarks/step.py --backend cupy --graph
            on a GPU, also with both steps recorded as CUDA graphs (see minigan/accel/graph.py)

In a training step, minigan fetches and scales N real images, samples noise, trains D, trains G, and
updates the EMA if the recipe has one. The step is compared with

    serial       for convolutional networks: without minigan/accel/data_parallel.py
    gemm         the matrix products of the step alone: the same shapes, the same BLAS, results
                 written into existing arrays, and nothing else
    torch        PyTorch as it is usually written: eager, fused Adam; G's step also computes D's
                 gradients
    torch, lean  the same without D's gradients in G's step
    compiled     torch, lean with torch.compile

All of them run in one process, alternately, for a fraction of a second each, so that a busy machine
affects all equally; the first tenth of a second of each turn does not count. Times are medians over
the turns, and ratios are medians of the ratios within each turn, followed by their first and third
quartiles. Without PyTorch its columns are empty. The BLAS kernels and the number of threads are
printed. Launches are the kernels that a step would launch on a GPU, counted on the tests' fake
CuPy. The number in brackets is for the plain layers, without the kernels of minigan/accel; on a
GPU, this version is also timed.

To compare two versions of minigan, run this script in the tree of each, with --json, on the same
machine.
"""

import argparse
import contextlib
import functools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

try:
    import threadpoolctl
except ImportError:  # it may be missing on a machine with a GPU, where it is not needed
    threadpoolctl = None

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import fake_cuda
import fake_cupy

from minigan.accel.cpu import disable_malloc_trim
from minigan.accel.device_layers import DeviceNetwork
from minigan.backend import BackendError, load_backend
from minigan.datasets.idx import load_images
from minigan.figures.plots import new_figure, save_figure
from minigan.gan.models import make_networks
from minigan.gan.recipes import RECIPES, Recipe, replace
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.layer import Layer
from minigan.nn.sequential import Sequential
from minigan.training import state
from minigan.training.state import TrainingState

try:
    import torch
    from peers import Twin
except ImportError:
    torch = None

NETWORKS = ("default", "keras-mlp-fixed", "pytorch-mlp")  # unless --networks names others
BATCHES = (32, 64, 128, 256, 512, 1024)
SHAPE = (28, 28)


def product_shapes(net: Sequential, *shape: int) -> list[tuple[int, int, int, bool]]:
    """(R, K, M, transposed) of each product (R, K) @ (K, M) in a forward.

    R is the number of rows per example, and `shape` is the shape of one example.
    """
    sizes, x = [], np.zeros((1, *shape), "float32")
    for layer in net.layers:
        y, _ = layer.forward(x)
        if isinstance(layer, Dense):
            sizes.append((1, *layer.W.shape, False))
        elif isinstance(layer, Conv2d):
            positions = y.shape[1] * y.shape[2]
            sizes.append((positions, layer.W[..., 0].size, layer.out_channels, False))
        elif isinstance(layer, ConvTranspose2d):
            positions = x.shape[1] * x.shape[2]
            sizes.append((positions, layer.in_channels, layer.W[..., 0].size, True))
        x = y
    return sizes


class Gemm:
    """The matrix products of a training step, and nothing else."""

    def __init__(self, recipe: Recipe, xp: Any):
        self.xp, self.rng, self.t = xp, np.random.default_rng(0), 0
        self.penalty_every = recipe.penalty_every
        N, N_G = recipe.batch_size, recipe.batch_size_G or recipe.batch_size
        G, D = make_networks(recipe, SHAPE, rng=self.rng)
        G, D = product_shapes(G, recipe.latent_dim), product_shapes(D, *SHAPE)
        self.products = [
            *self.forward(N, G),  # D's step: the fakes, and the logits of real images and fakes
            *self.forward(2 * N, D),
            *self.backward(2 * N, D, dx_of_first=False, dparams=True),
            *([] if recipe.shared_fakes else self.forward(N_G, G)),  # G's step
            *self.forward(N_G, D),
            *self.backward(N_G, D, dx_of_first=True, dparams=False),
            *self.backward(N_G, G, dx_of_first=False, dparams=True),
        ]
        self.penalty_products = []
        if recipe.penalty:  # forward, backward and dW, and the forward of ddx (gradient_penalty.py)
            self.penalty_products = [
                *self.forward(N, D),
                *self.backward(N, D, dx_of_first=True, dparams=True),
                *self.forward(N, D),
            ]

    def array(self, *shape):
        return self.xp.asarray(self.rng.standard_normal(shape, dtype="float32"))

    def forward(self, n, sizes):
        """(a, b, out) of each product of a forward of n examples."""
        return [
            (self.array(n * R, K), self.array(K, M), self.array(n * R, M)) for R, K, M, _ in sizes
        ]

    def backward(self, n, sizes, *, dx_of_first, dparams):
        """(a, b, out) of each product of a backward of n examples."""
        products = []
        for i, (R, K, M, transposed) in reversed(list(enumerate(sizes))):
            dy = self.array(n * R, M)
            if dparams:
                a, b = (self.array(n * R, K), dy)
                if transposed:
                    a, b = self.array(n * R, M), self.array(n * R, K)
                products.append((a.T, b, self.array(a.shape[1], b.shape[1])))
            if i or dx_of_first:
                products.append((dy, self.array(K, M).T, self.array(n * R, K)))
        return products

    def train_step(self) -> None:
        """Compute the products of one training step."""
        due = self.t % self.penalty_every == 0
        for a, b, out in self.products + (self.penalty_products if due else []):
            self.xp.matmul(a, b, out=out)
        self.t += 1

    def flops(self) -> int:
        """The floating-point operations of one step, without the penalty."""
        return sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in self.products)


def time_alternately(
    runners: dict[str, Any],
    synchronize: Callable,
    *,
    rounds: int = 15,
    seconds: float = 0.25,
    warm_up: float = 0.1,
) -> dict[str, np.ndarray]:
    """{name: seconds per training step, in each round}: each runner for `seconds`, then the next.

    Before each measurement, the runner runs for `warm_up` seconds that are not counted, because for
    a tenth of a second the threads of the previous runner may still wait for work on a core that
    this one needs.
    """
    counts, times = {}, {name: [] for name in runners}
    for name, runner in runners.items():
        for _ in range(3):
            runner.train_step()
        synchronize()
        began = time.perf_counter()
        for _ in range(3):
            runner.train_step()
        synchronize()
        counts[name] = max(1, round(seconds / ((time.perf_counter() - began) / 3)))
    names = list(runners)
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            began = time.perf_counter()
            while time.perf_counter() - began < warm_up:
                runners[name].train_step()
                synchronize()
            began = time.perf_counter()
            for _ in range(counts[name]):
                runners[name].train_step()
            synchronize()
            times[name].append((time.perf_counter() - began) / counts[name])
    return {name: np.array(values) for name, values in times.items()}


def ratio(times: dict[str, np.ndarray], name: str, reference: str) -> list[float] | None:
    """Median, first and third quartile of one time divided by another, round by round."""
    if name not in times or reference not in times:
        return None
    return np.percentile(times[name] / times[reference], [50, 25, 75]).tolist()


def compare(
    recipe: Recipe,
    images: np.ndarray,
    xp: Any,
    threads: int | None,
    *,
    rounds: int,
    compiled: bool = False,
    graph: bool = False,
) -> dict[str, Any]:
    """Everything measured about one recipe."""
    runners = {
        "minigan": TrainingState(recipe, images, xp=xp, cores=threads or 1),
        "gemm": Gemm(recipe, xp),
    }
    if runners["minigan"].parallel:
        runners["serial"] = TrainingState(recipe, images, xp=xp)
    if runners["minigan"].fused or isinstance(runners["minigan"].D, DeviceNetwork):
        runners["unfused"] = TrainingState(recipe, images, xp=xp, fused=False)
    if graph:
        recorded, reason = record_steps(recipe, images, xp=xp)
        print(reason or "both steps are recorded", file=sys.stderr)
        runners |= recorded
    if torch:
        if threads:
            torch.set_num_threads(threads)
        device = "cpu" if xp is np else "cuda"
        runners["torch"] = Twin(recipe, images, device=device)
        runners["torch, lean"] = Twin(recipe, images, device=device, lean=True)
    with limit_threads(threads):
        if torch and compiled:
            try:
                twin = Twin(recipe, images, device=device, lean=True, compiled=True)
                twin.train_step()
                runners["compiled"] = twin
            except Exception as error:
                reason = str(error).splitlines()[0][:100]
                print(f"torch.compile failed here: {reason}", file=sys.stderr)
        synchronize = (lambda: None) if xp is np else xp.cuda.Device().synchronize
        times = time_alternately(runners, synchronize, rounds=rounds)
    return {
        "batch": recipe.batch_size,
        "launches": count_launches(recipe, images),
        "unfused": count_launches(recipe, images, fused=False),
        "threads": threads,
        "gflop": runners["gemm"].flops() / 1e9,
        "ms": {name: 1e3 * float(np.median(t)) for name, t in times.items()},
        "minigan to gemm": ratio(times, "minigan", "gemm"),
        **{
            f"{name} to minigan": ratio(times, name, "minigan")
            for name in times
            if name not in ("minigan", "gemm")
        },
    }


def record_steps(
    recipe: Recipe, images: np.ndarray, **options: Any
) -> tuple[dict[str, TrainingState], str]:
    """({"recorded": a TrainingState with both steps recorded as CUDA graphs}, ""), or ({}, the
    reason why they cannot be recorded); `options` are those of TrainingState.
    """
    gan = TrainingState(recipe, images, **options)
    gan.train_step()
    reason = gan.record()
    return ({}, reason) if reason else ({"recorded": gan}, "")


def count_launches(
    recipe: Recipe, images: np.ndarray, *, fused: bool = True, graph: bool = False
) -> int:
    """How many launches a training step would need on a device, whatever the batch size; with
    `graph`, both steps are recorded. Raises RuntimeError if they cannot be.
    """
    recipe = replace(
        recipe, batch_size=4, batch_size_G=8 if recipe.batch_size_G else 0, d_warmup_steps=0
    )
    gan = TrainingState(recipe, images[:8], xp=fake_cupy, fused=fused)
    gan.train_step()
    if graph and (reason := gan.record(fake_cuda.CuBLAS())):
        raise RuntimeError(reason)
    before = fake_cupy.launches
    fake_cupy.launched.clear()
    gan.train_step()
    return fake_cupy.launches - before


def list_launches(name: str, images: np.ndarray) -> None:
    """Print the launches of a training step, most frequent first."""
    for how, options in (
        ("plain layers", dict(fused=False)),
        ("with the kernels of accel/", {}),
        ("with --graph", dict(graph=True)),
    ):
        count = count_launches(RECIPES[name], images, **options)
        kernels = ", ".join(f"{n} {kernel}" for kernel, n in fake_cupy.launched.most_common())
        print(f"{name}, {how}: {count}\n    {kernels}")


def limit_threads(threads: int | None) -> Any:
    """A context in which the BLAS uses this number of threads."""
    if not threadpoolctl:
        return contextlib.nullcontext()
    return threadpoolctl.threadpool_limits(threads, user_api="blas")


def describe_blas() -> str:
    """The BLAS that NumPy uses, in words."""
    if not threadpoolctl:
        return "the BLAS is unknown, because threadpoolctl is not installed"
    found = [
        f"{lib['internal_api']} {lib['version']}, {lib.get('architecture', '?')} kernels,"
        f" {lib['num_threads']} threads unless limited"
        for lib in threadpoolctl.threadpool_info()
        if lib["user_api"] == "blas"
    ]
    return "; ".join(found) or "no BLAS found"


HEAD = (
    "| recipe | batch | launches | threads | gemm, ms | minigan, ms | minigan / gemm | torch /"
    " minigan | torch, lean / minigan | compiled / minigan"
    " |\n|---|---|---|---|---|---|---|---|---|---|"
)


def show_row(name: str, row: dict[str, Any]) -> None:
    """Print a row of the table, in Markdown."""

    def quartiles(value):
        return f"{value[0]:.2f} ({value[1]:.2f}-{value[2]:.2f})" if value else "-"

    ms, launches = row["ms"], str(row["launches"])
    if row["unfused"] != row["launches"]:
        launches += f" ({row['unfused']})"
    others = "torch", "torch, lean", "compiled"
    cells = [
        *(name, row["batch"], launches, row["threads"] or "GPU"),
        *(f"{ms['gemm']:.1f}", f"{ms['minigan']:.1f}", f"**{quartiles(row['minigan to gemm'])}**"),
        *(quartiles(row.get(f"{other} to minigan")) for other in others),
    ]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)
    for other in "serial", "unfused", "recorded":
        if other in ms:
            print(
                f"  {name}, {other}: {ms[other]:.2f} ms, {quartiles(row[f'{other} to minigan'])}"
                f" times minigan's {ms['minigan']:.2f}",
                flush=True,
            )


class Profiler:
    """Adds up the time spent in functions, without that of the functions they call."""

    def __init__(self):
        self.seconds: dict[str, float] = {}  # by label
        self.children: list[float] = []  # of each function that is running, the time of its calls

    def timed(self, label: str, function: Callable) -> Callable:
        """The function, with its time added to that label."""

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            self.children.append(0.0)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                seconds = time.perf_counter() - began
                own = seconds - self.children.pop()
                self.seconds[label] = self.seconds.get(label, 0.0) + own
                if self.children:
                    self.children[-1] += seconds

        return wrapper

    def wrap(self, owner: Any, name: str, label: str) -> None:
        """Replace an attribute of a class, module or object by its timed form."""
        setattr(owner, name, self.timed(label, getattr(owner, name)))


def profile(recipe: Recipe, images: np.ndarray, threads: int, *, steps: int = 200) -> None:
    """Print the milliseconds of a training step that each module takes, the largest first."""
    gan, gemm, profiler = TrainingState(recipe, images), Gemm(recipe, np), Profiler()
    for kind in {type(layer) for layer in gan.G.layers + gan.D.layers}:
        for method in "forward", "backward", "double_backward":
            if getattr(kind, method) is not getattr(Layer, method):
                profiler.wrap(kind, method, f"{kind.__module__.rpartition('.')[2]}.py")
    profiler.wrap(type(gan.optimizer_G), "step", f"optim.py, {type(gan.optimizer_G).__name__}")
    profiler.wrap(ExponentialMovingAverage, "step", "ema.py")
    profiler.wrap(state, "sample_latents", "latents.py")
    profiler.wrap(TrainingState, "train_step", "state.py, the batch included")
    for name in (
        "discriminator_step",
        "discriminator_step_two_passes",
        "generate_fakes",
        "generator_step",
    ):
        profiler.wrap(state, name, "steps.py and sequential.py")
    gan.loss = gan.loss._replace(
        discriminator_loss=profiler.timed("losses.py", gan.loss.discriminator_loss),
        generator_loss=profiler.timed("losses.py", gan.loss.generator_loss),
    )
    with limit_threads(threads):
        times = time_alternately({"minigan": gan, "gemm": gemm}, lambda: None, rounds=3)
        profiler.seconds.clear()
        began = time.perf_counter()
        for _ in range(steps):
            gan.train_step()
        whole = 1e3 * (time.perf_counter() - began) / steps
    products = 1e3 * float(np.median(times["gemm"]))
    ms = {label: 1e3 * seconds / steps for label, seconds in profiler.seconds.items()}
    main = "conv.py" if ms.get("conv.py", 0) > ms["dense.py"] else "dense.py"
    ms[main] -= products
    print(f"{whole:7.2f} ms per step, of which\n{products:7.2f} ms the matrix products alone")
    for label, value in sorted(ms.items(), key=lambda item: -item[1]):
        print(f"{value:7.2f} ms {label}{' except the products' if label == main else ''}")


def plot_growth(images: np.ndarray, path: Path, threads: int) -> None:
    """Plot step and gemm time over the width of all hidden layers, and over the batch size."""
    dense = RECIPES["dense"]
    widths = {
        n: replace(dense, widths_G=(n, n), widths_D=(n, n)) for n in (64, 128, 256, 512, 1024, 2048)
    }
    batches = {n: replace(dense, batch_size=n) for n in (8, 16, *BATCHES)}
    measured = {}
    for label, recipes in (
        ("width of the hidden layers (batch 128)", widths),
        ("batch size (widths of the recipe dense)", batches),
    ):
        ms = {"minigan": [], "gemm": []}
        for value, recipe in recipes.items():
            runners = {"minigan": TrainingState(recipe, images), "gemm": Gemm(recipe, np)}
            with limit_threads(threads):
                times = time_alternately(runners, lambda: None, rounds=5)
            for name in ms:
                ms[name].append(1e3 * float(np.median(times[name])))
            print(
                f"{label}: {value:5}   step {ms['minigan'][-1]:7.2f} ms   gemm"
                f" {ms['gemm'][-1]:7.2f} ms",
                flush=True,
            )
        measured[label] = {"sizes": list(recipes), **ms}
    draw_growth(measured, path)


def draw_growth(measured: dict[str, dict[str, list]], path: Path) -> None:
    """Plot what plot_growth has measured: {label of the x axis: sizes and milliseconds}."""
    with new_figure(9, 4.4) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (label, ms) in zip(panels, measured.items()):
            axes.loglog(ms["sizes"], ms["minigan"], "o-", markersize=4, label="step")
            axes.loglog(
                ms["sizes"], ms["gemm"], "o--", markersize=4, label="its matrix products alone"
            )
            axes.set(xlabel=label, xticks=ms["sizes"], xticklabels=ms["sizes"])
            axes.minorticks_off()
            axes.grid(alpha=0.2)
        panels[0].set_ylabel("milliseconds per step")
        figure.suptitle("How long a training step of dense takes")
        figure.legend(
            *panels[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=2,
            frameon=False,
        )
        save_figure(figure, path)


def make_parser() -> argparse.ArgumentParser:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--networks",
        nargs="+",
        default=NETWORKS,
        choices=RECIPES,
        metavar="NAME",
        help="recipes (default: three)",
    )
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", action="store_true")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile as well; needs a C compiler, and a minute for each row",
    )
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--launches", action="store_true")
    parser.add_argument("--grow", type=Path, metavar="FILE.png")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument(
        "--graph",
        action="store_true",
        help="with --backend cupy: both steps recorded as CUDA graphs as well",
    )
    parser.add_argument("--json", type=Path)
    return parser


def print_table(args: argparse.Namespace, images: np.ndarray, xp: Any) -> list[dict[str, Any]]:
    """Measure and print each row; returns them."""
    rows = []
    print(HEAD)
    for name in args.networks:
        for threads in args.threads if xp is np else [None]:
            for batch in BATCHES if args.batches else [RECIPES[name].batch_size]:
                recipe = RECIPES[name]
                if args.batches:
                    batch_G = batch * 2 if recipe.batch_size_G else 0
                    recipe = replace(recipe, batch_size=batch, batch_size_G=batch_G)
                options = dict(rounds=args.rounds, compiled=args.compile, graph=args.graph)
                row = compare(recipe, images, xp, threads, **options)
                rows.append({"networks": name, **row})
                show_row(name, row)
    return rows


if __name__ == "__main__":
    parser = make_parser()
    args = parser.parse_args()
    if args.graph and args.backend == "numpy":
        parser.error("--graph needs a GPU: add --backend cupy")
    disable_malloc_trim()
    try:
        xp, images = load_backend(args.backend), load_images()
    except BackendError as error:
        parser.error(str(error))
    pytorch = f"; PyTorch {torch.__version__}" if torch else ""
    print(f"NumPy {np.__version__}: {describe_blas()}{pytorch}")
    rows = []
    if args.launches:
        for name in args.networks:
            list_launches(name, images)
    elif args.grow:
        plot_growth(images, args.grow, args.threads[0])
    elif args.profile:
        for name in args.networks:
            print(f"\n{name}, {args.threads[0]} threads")
            profile(RECIPES[name], images, args.threads[0])
    else:
        rows = print_table(args, images, xp)
    if args.json:
        args.json.write_text(json.dumps({"blas": describe_blas(), "rows": rows}, indent=1) + "\n")
