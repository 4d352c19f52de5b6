"""A race: how good are the digits after how many seconds?

    python benchmarks/race.py --out race.png      (needs --seconds 120, the default, for each of four)

Draws the Fréchet distance (10,000 samples against the test images, as `demo.py evaluate` measures
it) over the seconds of training, all on the same cores in the same process, one after the other:

    default           minigan's own recipe
    PyTorch twin      the same networks, losses, optimizer and average in PyTorch (if it is installed)
    pytorch-mlp       the networks and settings of the notebook that followed yunjey's tutorial
    keras-mlp, fixed  those of the Great Learning article, with the data in [-1, 1]

The published recipes run on minigan, so that recipe is compared with recipe; the twin compares
minigan with PyTorch. Only training is timed: measuring is not. Points are written to a .json
beside the picture, which `--redraw` draws again.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np

from minigan.data import SHIPPED, load_images, scale
from minigan.evaluation import make_yardstick
from minigan.gan import discriminator_step, generator_step
from minigan.metrics import frechet_distance, moments
from minigan.optim import Adam, WeightAverage
from minigan.recipes import RECIPES, make_networks, replace

try:
    import torch
except ImportError:
    torch = None

DEFAULT = RECIPES["default"]
PUBLISHED = {  # average=0: what is drawn is the generator itself, as they do
    "pytorch-mlp": replace(DEFAULT, name="pytorch-mlp", latent_dim=64, widths_G=(256, 256), widths_D=(256, 256),
                           dropout=0.0, batch_size=100, learning_rate=2e-4, beta1=0.9, beta2=0.999, real_label=1.0,
                           average=0.0, rule="fan_in", slope_G=0.0),
    "keras-mlp, fixed": replace(DEFAULT, name="keras-mlp", latent_dim=100, widths_G=(256, 512, 1024),
                                widths_D=(1024, 512, 256), dropout=0.3, batch_size=128, learning_rate=2e-4, beta1=0.5,
                                beta2=0.999, real_label=1.0, average=0.0, rule="glorot"),
}


class OnMinigan:
    """A recipe, trained step by step by minigan."""

    def __init__(self, recipe, seed):
        self.recipe, self.rng = recipe, np.random.default_rng(seed)
        self.G, self.D = make_networks(recipe, 784, self.rng)
        self.drawer, _ = make_networks(recipe, 784, self.rng)
        self.optimizers = [Adam(net.theta, recipe.learning_rate, recipe.beta1, recipe.beta2) for net in (self.G, self.D)]
        self.average = WeightAverage(self.drawer.theta, recipe.average)

    def noise(self, n):
        return self.rng.standard_normal((n, self.recipe.latent_dim), dtype="float32")

    def step(self, real):
        optimizer_G, optimizer_D = self.optimizers
        discriminator_step(self.G, self.D, optimizer_D, real, self.noise(len(real)), self.rng, self.recipe.real_label)
        generator_step(self.G, self.D, optimizer_G, self.noise(len(real)), self.rng)
        self.average.step(self.G.theta)

    def draw(self, z):
        return (self.drawer.forward(z)[0] + 1) / 2


class OnPyTorch:
    """The same in PyTorch, as one writes it there."""

    def __init__(self, recipe, seed):
        torch.manual_seed(seed)
        self.recipe, self.n = recipe, 0

        def network(sizes, dropout, last):
            layers = []
            for n_in, n_out in zip(sizes, sizes[1:]):
                layers += [torch.nn.Linear(n_in, n_out), torch.nn.LeakyReLU(recipe.slope_G)]
                layers += [torch.nn.Dropout(dropout)] if dropout else []
            net = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], last[0]), *last[1:])
            for layer in net:
                if isinstance(layer, torch.nn.Linear):
                    torch.nn.init.xavier_uniform_(layer.weight)
                    torch.nn.init.zeros_(layer.bias)
            return net
        self.G = network([recipe.latent_dim, *recipe.widths_G], 0, [784, torch.nn.Tanh()])
        self.drawer = network([recipe.latent_dim, *recipe.widths_G], 0, [784, torch.nn.Tanh()])
        self.D = network([784, *recipe.widths_D], recipe.dropout, [1])
        self.optimizers = [torch.optim.Adam(net.parameters(), recipe.learning_rate, (recipe.beta1, recipe.beta2), fused=True)
                           for net in (self.G, self.D)]
        self.loss = torch.nn.BCEWithLogitsLoss()

    def step(self, real):
        optimizer_G, optimizer_D = self.optimizers
        real, n = torch.from_numpy(real), len(real)
        fake = self.G(torch.randn(n, self.recipe.latent_dim)).detach()
        loss = self.loss(self.D(real), torch.full((n, 1), self.recipe.real_label)) + self.loss(self.D(fake), torch.zeros(n, 1))
        optimizer_D.zero_grad()
        loss.backward()
        optimizer_D.step()
        loss = self.loss(self.D(self.G(torch.randn(n, self.recipe.latent_dim))), torch.ones(n, 1))
        optimizer_G.zero_grad()
        loss.backward()
        optimizer_G.step()
        with torch.no_grad():
            weight = 1 - min(self.recipe.average, (1 + self.n) / (6 + self.n))
            torch._foreach_lerp_(list(self.drawer.parameters()), list(self.G.parameters()), weight)
        self.n += 1

    def draw(self, z):
        with torch.no_grad():
            return (self.drawer(torch.from_numpy(z)).numpy() + 1) / 2


def race(runner, images, yardstick, seconds, every, seed):
    """[(seconds of training, steps, FD)], one row each `every` seconds."""
    order, z = np.random.default_rng(seed), np.random.default_rng(99).standard_normal((10_000, runner.recipe.latent_dim))
    z, N, trained, steps, points = z.astype("float32"), runner.recipe.batch_size, 0.0, 0, []
    while trained < seconds:
        goal = trained + every
        while trained < goal:
            began = time.perf_counter()
            indices = order.permutation(len(images))[:100 * N].reshape(100, N)
            for rows in indices:
                runner.step(scale(images[rows]))
            trained += time.perf_counter() - began
            steps += 100
        features, _ = yardstick.look(runner.draw(z))
        points.append((trained, steps, float(frechet_distance(yardstick.moments, moments(features)))))
        print(f"{points[-1][0]:7.1f} s  {steps:6} steps  FD {points[-1][2]:7.2f}", flush=True)
    return points


def plot(results, floor, path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name, points in results.items():
        axes.plot([p[0] for p in points], [p[2] for p in points], marker="o", markersize=3, label=name)
    axes.axhline(floor, color="grey", linewidth=1, linestyle="--")
    axes.annotate("real images", (0, floor), xytext=(4, 4), textcoords="offset points", color="grey", fontsize=9)
    axes.set(xlabel="seconds of training", ylabel="Fréchet distance of 10,000 samples, 0 is best", yscale="log", xlim=(0, None))
    axes.legend(frameon=False)
    axes.grid(alpha=0.2, which="both")
    FigureCanvasAgg(figure).print_png(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120, help="of training, for each (default 120)")
    parser.add_argument("--every", type=float, default=10, help="seconds between two measurements (default 10)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("race.png"))
    parser.add_argument("--redraw", action="store_true", help="only draw the points of the last race again")
    args = parser.parse_args()
    saved = args.out.with_suffix(".json")
    if not args.redraw:
        images = load_images().reshape(60_000, 784)
        yardstick, _ = make_yardstick(SHIPPED, True)
        floor = yardstick.quick(images[:10_000].astype("float32") / 255)["fd"]
        runners = {"default": lambda: OnMinigan(DEFAULT, args.seed)}
        if torch:
            runners["PyTorch twin of default"] = lambda: OnPyTorch(DEFAULT, args.seed)
        runners |= {name: lambda recipe=recipe: OnMinigan(recipe, args.seed) for name, recipe in PUBLISHED.items()}
        results = {}
        for name, make in runners.items():
            print(name)
            results[name] = race(make(), images, yardstick, args.seconds, args.every, args.seed)
        saved.write_text(json.dumps({"floor": floor, "results": results}, indent=1) + "\n")
    told = json.loads(saved.read_text())
    plot(told["results"], told["floor"], args.out)
    print(f"drawn: {args.out}")
