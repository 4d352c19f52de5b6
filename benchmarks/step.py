"""A training step, beside the matrix products that it cannot do without, and beside PyTorch.

    python benchmarks/step.py                        the table: three networks, 1 and 2 threads; some minutes
    python benchmarks/step.py --json FILE            the same as numbers, too
    python benchmarks/step.py --batches              never slower than PyTorch? batch 32 to 1024
    python benchmarks/step.py --profile              where the milliseconds above the floor go, page by page
    python benchmarks/step.py --launches             which kernels a step would start on a GPU
    python benchmarks/step.py --grow docs/growth.png step and floor over width and batch
    python benchmarks/step.py --backend cupy         on a GPU (PyTorch on the same card)
    python benchmarks/step.py --backend cupy --graph     with both moves recorded as CUDA graphs, too (see graph.py)

A step is what training does N images at a time: fetch and scale N real images, draw the noise, one
step of D, one of G, one of the average where the recipe has one. What stands beside it:

    alone        where convolutions are played by a worker on each core (minigan/workers.py): without that
    floor        the matrix products of that step alone: same shapes, same BLAS, results written
                 into arrays that are there already, and nothing else
    torch        PyTorch, as people write it: eager, fused Adam; G's step also computes D's gradients
    torch, lean  the same with D's parameters switched off in G's step
    compiled     torch, lean under torch.compile

Everything that is compared runs in one process, in turns of a fraction of a second, so that all get
the same share of a noisy machine; the first tenth of a second of a turn does not count. A figure is
the median over the turns, a ratio the median of the ratios within each turn, and the spread behind it is from its first to its third quartile. PyTorch
may be missing: then its columns are. Which BLAS kernels and how many threads were used is printed.
Launches are the kernels that a step would start on a GPU, counted on the tests' stand-in for one; in brackets, how
many it would be by the pages of the core alone, without minigan/fusing.py. On a GPU that is timed, too.
"""
import argparse
import contextlib
import functools
import json
import sys
import time
from pathlib import Path

import numpy as np

try:
    import threadpoolctl
except ImportError:  # on a machine with a GPU it may be missing: there nothing depends on it
    threadpoolctl = None

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / folder) for folder in (".", "tests")]
import fake_device
from graph import record

from minigan.backend import BackendError, keep_memory, load_backend
from minigan.build import make_networks
from minigan.conv import Conv2D, ConvTranspose2D
from minigan.data import load_images
from minigan.dense import Dense
from minigan.game import Game
from minigan.recipes import RECIPES, replace

try:
    import torch
    from peers import Twin
except ImportError:
    torch = None

NETWORKS = ("default", "keras-mlp-fixed", "pytorch-mlp")  # unless --networks names others, or all
SHAPE = (28, 28)


def shapes(net, n_in):
    """[(R, K, M, transposed)] of each product in a forward: each example gives R rows, (R, K)(K, M)."""
    sizes, x = [], np.zeros((1, n_in), "float32")
    for layer in net.layers:
        y, _ = layer.forward(x, rng=np.random.default_rng(0))
        if isinstance(layer, Dense):
            sizes.append((1, *layer.W.shape, False))
        elif isinstance(layer, Conv2D):
            sizes.append((y.shape[1] * y.shape[2], layer.W[..., 0].size, layer.n_out, False))
        elif isinstance(layer, ConvTranspose2D):
            sizes.append((x.shape[1] * x.shape[2], layer.n_in, layer.W[..., 0].size, True))
        x = y
    return sizes


class Floor:
    """The matrix products of that step, and nothing else."""

    def __init__(self, recipe, xp):
        rng, N, N_G = np.random.default_rng(0), recipe.batch_size, recipe.batch_G or recipe.batch_size
        G, D = make_networks(recipe, SHAPE, rng)
        G, D = shapes(G, recipe.latent_dim), shapes(D, SHAPE[0] * SHAPE[1])
        self.xp, self.products, self.every, self.t = xp, [], recipe.penalty_every, 0

        def array(*shape):
            return xp.asarray(rng.standard_normal(shape, dtype="float32"))

        def forward(n, sizes):
            self.products += [(array(n * R, K), array(K, M), array(n * R, M)) for R, K, M, _ in sizes]

        def backward(n, sizes, dx_of_first, dparams):
            for i, (R, K, M, transposed) in reversed(list(enumerate(sizes))):
                dy = array(n * R, M)
                if dparams:
                    a, b = (array(n * R, M), array(n * R, K)) if transposed else (array(n * R, K), dy)
                    self.products.append((a.T, b, array(a.shape[1], b.shape[1])))
                if i or dx_of_first:
                    self.products.append((dy, array(K, M).T, array(n * R, K)))
        forward(N, G)                                      # D's step: G draws,
        forward(2 * N, D)                                  # D judges real images and fakes,
        backward(2 * N, D, False, True)                    # and learns from both
        forward(N_G, G)                                    # G's step: G draws,
        forward(N_G, D)                                    # D judges,
        backward(N_G, D, True, False)                      # tells what it wants,
        backward(N_G, G, False, True)                      # and G learns
        usual, self.products = self.products, []
        if recipe.penalty:                                 # D judges, says its slope, and learns from that:
            forward(N, D)
            backward(N, D, True, True)                     # a backward and, of its gradient, dW
            forward(N, D)                                  # and ddx, which goes forward (penalties.py)
        self.products, self.penalty = usual, self.products

    def step(self):
        for a, b, out in self.products + (self.penalty if self.t % self.every == 0 else []):
            self.xp.matmul(a, b, out=out)
        self.t += 1

    def flops(self):
        return sum(2 * a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in self.products)


def take_turns(runners, finish, rounds=15, turn=0.25):
    """{name: seconds a step, in each round}: every runner for `turn` seconds, then the next. Before that, a tenth of a second that
    does not count: so long the threads of the one before may go on waiting for more work, on a core that is wanted here."""
    counts, times = {}, {name: [] for name in runners}
    for name, runner in runners.items():
        for _ in range(3):
            runner.step()
        finish()
        began = time.perf_counter()
        for _ in range(3):
            runner.step()
        finish()
        counts[name] = max(1, round(turn / ((time.perf_counter() - began) / 3)))
    for i in range(rounds):
        names = list(runners)
        for name in names[i % len(names):] + names[:i % len(names)]:
            began = time.perf_counter()
            while time.perf_counter() - began < 0.1:
                runners[name].step()
                finish()
            began = time.perf_counter()
            for _ in range(counts[name]):
                runners[name].step()
            finish()
            times[name].append((time.perf_counter() - began) / counts[name])
    return {name: np.array(values) for name, values in times.items()}


def ratio(times, name, beside):
    """Median, first and third quartile of name's time over another's, round by round."""
    if name not in times or beside not in times:
        return None
    return np.percentile(times[name] / times[beside], [50, 25, 75]).tolist()


def compare(recipe, images, xp, threads, rounds, compiled, graph=False):
    """All runners on one recipe: a dict of what was measured."""
    device = "cpu" if xp is np else "cuda"
    runners = {"minigan": Game(recipe, images, 0, xp, cores=threads or 1), "floor": Floor(recipe, xp)}
    if runners["minigan"].workers:
        runners["alone"] = Game(recipe, images, 0, xp)
    if runners["minigan"].fused:
        runners["unfused"] = Game(recipe, images, 0, xp, fused=False)
    if graph:
        recorded = Game(recipe, images, 0, xp)
        recorded.step()
        why_not = record(recorded.fused) if recorded.fused else "not recorded: this recipe's moves are not those of fusing.py"
        runners |= {} if why_not else {"recorded": recorded}
        print(why_not or "both moves are recorded", file=sys.stderr)
    finish = (lambda: None) if xp is np else xp.cuda.Device().synchronize
    if torch:
        if threads:
            torch.set_num_threads(threads)
        runners["torch"] = Twin(recipe, images, device, lean=False)
        runners["torch, lean"] = Twin(recipe, images, device, lean=True)
        if compiled:
            runners["compiled"] = Twin(recipe, images, device, lean=True, compiled=True)
    with limited(threads):
        if "compiled" in runners:
            try:
                runners["compiled"].step()
            except Exception as error:
                print(f"torch.compile did not work here: {str(error).splitlines()[0][:100]}", file=sys.stderr)
                del runners["compiled"]
        times = take_turns(runners, finish, rounds)
    return {
        "batch": recipe.batch_size, "launches": launches(recipe, images), "unfused": launches(recipe, images, False), "threads": threads, "gflop": runners["floor"].flops() / 1e9,
        "ms": {name: 1e3 * float(np.median(t)) for name, t in times.items()},
        "to_floor": ratio(times, "minigan", "floor"),
        **{f"{name} to minigan": ratio(times, name, "minigan") for name in times if name not in ("minigan", "floor")},
    }


def launches(recipe, images, fused=True):
    """How many kernels a step would start on a device, counted on the tests' stand-in for one. The batch does not matter."""
    recipe = replace(recipe, batch_size=4, batch_G=recipe.batch_G and 8, head_start=0)
    game = Game(recipe, images[:8], 0, fake_device, fused=fused)
    game.step()
    before = fake_device.launches
    fake_device.launched.clear()
    game.step()
    return fake_device.launches - before


def list_launches(name, images):
    """The kernels of a step by their names, most frequent first: by the pages of the core alone, and with fusing.py."""
    counted = 0
    for how, fused in ("by the core", False), ("with fusing.py", True):
        before, counted = counted, launches(RECIPES[name], images, fused)
        print(f"{name}, {how}: {counted}", *([] if counted == before else [
            f"\n    {', '.join(f'{n} {kernel}' for kernel, n in fake_device.launched.most_common())}"]), sep="")


def limited(threads):
    """A context in which the BLAS uses so many threads."""
    return threadpoolctl.threadpool_limits(threads, user_api="blas") if threadpoolctl else contextlib.nullcontext()


def machine():
    """Which BLAS NumPy uses, in words."""
    if not threadpoolctl:
        return "threadpoolctl, which knows the BLAS, is not installed"
    return "; ".join(f"{lib['internal_api']} {lib['version']}, {lib.get('architecture', '?')} kernels,"
                     f" {lib['num_threads']} threads unless limited"
                     for lib in threadpoolctl.threadpool_info() if lib["user_api"] == "blas") or "no BLAS found"


def show(name, row):
    """A row of the table, in Markdown."""
    def times(value):
        return f"{value[0]:.2f} ({value[1]:.2f}-{value[2]:.2f})" if value else "-"
    ms, unfused = row["ms"], f" ({row['unfused']})" if row["unfused"] != row["launches"] else ""
    print(f"| {name} | {row['batch']} | {row['launches']}{unfused} | {row['threads'] or 'GPU'} | {ms['floor']:.1f} | {ms['minigan']:.1f} | **{times(row['to_floor'])}** |"
          f" {times(row.get('torch to minigan'))} | {times(row.get('torch, lean to minigan'))} |"
          f" {times(row.get('compiled to minigan'))} |", flush=True)
    for other in "alone", "unfused", "recorded":
        if other in ms:
            print(f"  {name}, {other}: {ms[other]:.2f} ms, {times(row[f'{other} to minigan'])} of minigan's {ms['minigan']:.2f}", flush=True)


HEAD = ("| networks | batch | launches | threads | floor, ms | minigan, ms | minigan / floor | torch / minigan | torch, lean / minigan"
        " | compiled / minigan |\n|---|---|---|---|---|---|---|---|---|---|")


def profile(recipe, images, threads, steps=200):
    """Milliseconds a step that each page takes, largest first; the floor's as well."""
    import minigan.activations, minigan.batchnorm, minigan.conv, minigan.shapes, minigan.dense, minigan.dropout, minigan.gan, minigan.game, minigan.losses, minigan.optim
    spent, stack = {}, []

    def timed(page, function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            stack.append(0.0)
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                took = time.perf_counter() - began
                spent[page] = spent.get(page, 0.0) + took - stack.pop()  # less what those that it called took
                if stack:
                    stack[-1] += took
        return wrapper
    runner, floor = Game(recipe, images), Floor(recipe, np)
    for owner, name, page in [
            (minigan.dense.Dense, "forward", "dense.py"), (minigan.dense.Dense, "backward", "dense.py"),
            *((c, n, "activations.py") for c in (minigan.activations.LeakyReLU, minigan.activations.ReLU, minigan.activations.Tanh)
              for n in ("forward", "backward") if n in vars(c)),
            (minigan.dropout.Dropout, "forward", "dropout.py"), (minigan.dropout.Dropout, "backward", "dropout.py"),
            *((c, n, f"{c.__module__[8:]}.py") for c in (Conv2D, ConvTranspose2D, minigan.batchnorm.BatchNorm,
              minigan.shapes.Maxout, minigan.shapes.AveragePool2D, minigan.shapes.UpSample2D) for n in ("forward", "backward")),
            (minigan.optim.SGD, "step", "optim.py, SGD"), (minigan.optim.Adam, "step", "optim.py, Adam"), (minigan.optim.WeightAverage, "step", "optim.py, average"),
            (minigan.game, "make_noise", "noise"), (Game, "step", "the batch"),
            (minigan.game, "discriminator_step", "gan.py and network.py"),
            (minigan.game, "generator_step", "gan.py and network.py")]:
        setattr(owner, name, timed(page, getattr(owner, name)))
    loss = minigan.game.GAN_LOSSES[recipe.loss]
    minigan.game.GAN_LOSSES[recipe.loss] = loss._replace(of_D=timed("adversarial.py", loss.of_D), of_G=timed("adversarial.py", loss.of_G))
    with limited(threads):
        times = take_turns({"minigan": runner, "floor": floor}, lambda: None, rounds=3)
        spent.clear()
        began = time.perf_counter()
        for _ in range(steps):
            runner.step()
        whole = (time.perf_counter() - began) / steps
    products = float(np.median(times["floor"]))
    spent = {page: value / steps for page, value in spent.items()}
    main = "conv.py" if spent.get("conv.py", 0) > spent["dense.py"] else "dense.py"
    spent[main] -= products
    print(f"{1e3 * whole:7.2f} ms a step, of which\n{1e3 * products:7.2f} ms the matrix products alone")
    for page, value in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"{1e3 * value:7.2f} ms {page}{', beyond the products' if page == main else ''}")


def grow(images, path, threads):
    """Step and floor over the width of all hidden layers, and over the batch, on logarithmic scales."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(9, 4), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, label, values, change in [
            (panels[0], "width of the hidden layers (batch 128)", [64, 128, 256, 512, 1024, 2048],
             lambda n: dict(widths_G=(n, n), widths_D=(n, n))),
            (panels[1], "batch (widths of the default recipe)", [8, 16, 32, 64, 128, 256, 512, 1024], lambda n: dict(batch_size=n))]:
        steps = []
        for value in values:
            recipe = replace(RECIPES["default"], **change(value))
            with limited(threads):
                times = take_turns({"minigan": Game(recipe, images), "floor": Floor(recipe, np)}, lambda: None, rounds=5)
            steps.append([1e3 * float(np.median(times[name])) for name in ("minigan", "floor")])
            print(f"{label}: {value:5}   step {steps[-1][0]:7.2f} ms   floor {steps[-1][1]:7.2f} ms", flush=True)
        axes.loglog(values, [s[0] for s in steps], marker="o", markersize=4, label="step")
        axes.loglog(values, [s[1] for s in steps], marker="o", markersize=4, linestyle="--", label="its matrix products alone")
        axes.set(xlabel=label, xticks=values, xticklabels=values)
        axes.minorticks_off()
        axes.grid(alpha=0.2)
    panels[0].set_ylabel("ms a step")
    panels[0].legend(frameon=False)
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=RECIPES, metavar="NAME", help="recipes (default: three)")
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 1])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batches", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile, too: needs a C compiler and a minute each")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--launches", action="store_true")
    parser.add_argument("--grow", type=Path, metavar="FILE.png")
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--graph", action="store_true", help="with --backend cupy: both moves recorded as CUDA graphs, too")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.graph and args.backend == "numpy":
        parser.error("--graph is for a device: add --backend cupy")
    keep_memory()
    try:
        xp, images = load_backend(args.backend), load_images()
    except BackendError as error:
        parser.error(str(error))
    print(f"NumPy {np.__version__}: {machine()}" + (f"; PyTorch {torch.__version__}" if torch else ""))
    rows = []
    if args.launches:
        for name in args.networks:
            list_launches(name, images)
    elif args.grow:
        grow(images, args.grow, args.threads[0])
    elif args.profile:
        for name in args.networks:
            print(f"\n{name}, {args.threads[0]} threads")
            profile(RECIPES[name], images, args.threads[0])
    else:
        print(HEAD)
        for name in args.networks:
            for threads in args.threads if xp is np else [None]:
                for batch in ([32, 64, 128, 256, 512, 1024] if args.batches else [RECIPES[name].batch_size]):
                    recipe = RECIPES[name]
                    if args.batches:
                        recipe = replace(recipe, batch_size=batch, batch_G=batch * 2 if recipe.batch_G else 0)
                    row = compare(recipe, images, xp, threads, args.rounds, args.compile, args.graph)
                    rows.append({"networks": name, **row})
                    show(name, row)
    if args.json:
        args.json.write_text(json.dumps({"blas": machine(), "rows": rows}, indent=1) + "\n")
