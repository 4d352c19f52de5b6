"""minigan against PyTorch: the derivatives worked out by hand against those of autograd.

What it shows
    Both get the same weights, x and dy, drawn with NumPy from one seed. Compared are, for every
    layer, y, dx and the gradients of its parameters; for the losses, L and its gradient; for the
    optimizers, theta after 100 steps; and 100 steps of a GAN on MNIST, which the PyTorch side takes
    as is usual there: two passes through D, fake.detach(). (Without dropout: each draws its own.)

How to run, from the folder with demo.py; it takes some ten seconds
    pip install torch
    python benchmarks/compare_torch.py

How to read the table
    A number is the largest difference between minigan (a) and PyTorch (b), relative to PyTorch's
    largest number: max|a - b| / max|b|. It must be below 1e-10 in float64, below 1e-5 in float32.

    The GAN in float32 is shown but not judged. The two add up in different orders, so they round
    differently. Adam divides a gradient by its own size: where one is nearly zero, its rounding
    alone decides on a whole step, and from then on two networks chase each other along another
    path. That is chaos, not an error: float64 is exposed to it too, but rounds a billion times finer.

    Exit status: 0 if all is well, 1 if a number is over its limit or a layer has no row, 2 without PyTorch.
"""
import importlib
import inspect
import pkgutil
import sys
from pathlib import Path

import numpy as np

try:
    import torch
    from torch import nn
except ModuleNotFoundError:
    sys.stderr.write("PyTorch, with which minigan is compared here, is not installed: pip install torch\n")
    sys.exit(2)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import minigan
from minigan.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.data import load_images, scale
from minigan.dense import Dense
from minigan.dropout import Dropout
from minigan.gan import discriminator_step, generator_step, make_discriminator, make_generator
from minigan.layer import Layer
from minigan.losses import bce_on_logits, bce_on_probabilities
from minigan.network import Sequential
from minigan.optim import SGD, Adam, WeightAverage

SEED, STEPS = 0, 100
LIMITS = {"float64": 1e-10, "float32": 1e-5}
N, K, M, Z, P = 64, 200, 100, 16, 20_000  # P: how many parameters the optimizers move

LAYERS = {  # every row: (rng, dtype) -> layer. "fan_in" draws the biases at random, too
    "Dense": lambda rng, dtype: Dense(K, M, rng, "fan_in", dtype),
    "LeakyReLU(0.2)": lambda rng, dtype: LeakyReLU(0.2),
    "LeakyReLU(0.01)": lambda rng, dtype: LeakyReLU(0.01),
    "ReLU": lambda rng, dtype: ReLU(),
    "Tanh": lambda rng, dtype: Tanh(),
    "Sigmoid": lambda rng, dtype: Sigmoid(),
    "Dropout": lambda rng, dtype: Dropout(0.3),
    "Sequential": lambda rng, dtype: Sequential([
        Dense(K, M, rng, "fan_in", dtype), LeakyReLU(0.2), Dropout(0.3), Dense(M, 10, rng, "fan_in", dtype), Tanh()]),
}


def twin(layer, cache):
    """The layer as a PyTorch module, with copies of its weights, and dropping what it dropped."""
    if type(layer) is Sequential:
        return nn.Sequential(*map(twin, layer.layers, cache))
    if type(layer) is Dense:
        module = nn.Linear(*layer.W.shape)                  # which keeps W as (M, K)
        module.weight.data, module.bias.data = torch.tensor(layer.W.T), torch.tensor(layer.b)
        return module
    if type(layer) is LeakyReLU:
        return nn.LeakyReLU(layer.slope)
    if type(layer) is Dropout:
        return SameDropout(layer.rate, cache)
    return {ReLU: nn.ReLU, Tanh: nn.Tanh, Sigmoid: nn.Sigmoid}[type(layer)]()


class SameDropout(nn.Module):
    def __init__(self, rate, mask):
        super().__init__()
        self.rate, self.kept = rate, torch.tensor(mask != 0)

    def forward(self, x):
        return x * self.kept / (1 - self.rate)


def flat(tensors):
    """All in one vector, in the order of minigan's theta: every W, as (K, M), before its b."""
    return torch.cat([tensor.t().ravel() for tensor in tensors])


def difference(ours, theirs):
    """max|a - b| / max|b|; infinite where shapes or dtypes differ."""
    theirs = theirs.detach().numpy()
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return np.inf
    return abs(ours - theirs).max() / abs(theirs).max()


def layers(dtype):
    for name, make in LAYERS.items():
        rng = np.random.default_rng(SEED)
        layer, x = make(rng, dtype), rng.standard_normal((N, K)).astype(dtype)
        x[0] = 0                                            # the kink of a ReLU
        y, cache = layer.forward(x, train=True, rng=rng)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = layer.backward(dy, cache)
        module, torch_x = twin(layer, cache), torch.tensor(x, requires_grad=True)
        torch_y = module(torch_x)
        torch_y.backward(torch.tensor(dy))
        yield f"{name}: y", difference(y, torch_y)
        yield f"{name}: dx", difference(dx, torch_x.grad)
        gradients = [parameter.grad.t() for parameter in module.parameters()]
        if layer.names == ("theta",):
            gradients = [flat(parameter.grad for parameter in module.parameters())]
        for parameter, gradient in zip(layer.names, gradients, strict=True):
            yield f"{name}: d{parameter}", difference(getattr(layer, "d" + parameter), gradient)


def losses(dtype):
    rng = np.random.default_rng(SEED)
    z, p = rng.standard_normal((N, 1)).astype(dtype), rng.uniform(0.01, 0.99, (N, 1)).astype(dtype)
    huge = rng.permutation(np.linspace(-1000, 1000, N)).reshape(N, 1).astype(dtype)
    hard = rng.integers(0, 2, (N, 1)).astype(dtype)
    for name, ours, theirs, x, t in [
        ("targets 0 and 1", bce_on_logits, nn.BCEWithLogitsLoss(), z, hard),
        ("target 0.9", bce_on_logits, nn.BCEWithLogitsLoss(), z, 0.9),
        ("z up to +-1000", bce_on_logits, nn.BCEWithLogitsLoss(), huge, hard),
        ("targets 0 and 1", bce_on_probabilities, nn.BCELoss(), p, hard),
        ("target 0.9", bce_on_probabilities, nn.BCELoss(), p, 0.9),
    ]:
        L, dx = ours(x, t)
        torch_x = torch.tensor(x, requires_grad=True)
        torch_L = theirs(torch_x, torch.tensor(t + 0 * x))
        torch_L.backward()
        yield f"{ours.__name__}, {name}: L", difference(L, torch_L)
        yield f"{ours.__name__}, {name}: gradient", difference(dx, torch_x.grad)


def optimizers(dtype):
    rng = np.random.default_rng(SEED)
    start, size = rng.standard_normal(P).astype(dtype), 10 ** rng.uniform(-9, 1, P)  # the small ones meet eps
    gradients = (size * rng.standard_normal((STEPS, P))).astype(dtype)
    for ours, theirs, lr in (SGD, torch.optim.SGD, 0.01), (Adam, torch.optim.Adam, 0.001):
        theta, torch_theta = start.copy(), nn.Parameter(torch.tensor(start))
        optimizer, torch_optimizer = ours(theta, lr), theirs([torch_theta], lr)
        for dtheta in gradients:
            optimizer.step(dtheta)
            torch_theta.grad = torch.tensor(dtheta)
            torch_optimizer.step()
        yield f"{ours.__name__}: theta", difference(theta, torch_theta)

    average, torch_average = start.copy(), torch.tensor(start)
    keeper = WeightAverage(average, decay=0.9)              # reached at n = 80
    for n, theta in enumerate(gradients):
        keeper.step(theta)
        decay = min(0.9, (1 + n) / (10 + n))
        torch_average = decay * torch_average + (1 - decay) * torch.tensor(theta)
    yield "WeightAverage: average", difference(average, torch_average)


def gan(dtype):
    rng = np.random.default_rng(SEED)                       # with hundreds of units float64 is chaotic, too
    G, D = make_generator(Z, [64, 64], 784, rng, dtype=dtype), make_discriminator(784, [64, 64], rng, dtype=dtype)
    real = scale(load_images()[:STEPS * N].reshape(STEPS, N, 784), dtype)
    z = rng.standard_normal((STEPS, 2, N, Z)).astype(dtype)
    torch_G, torch_D = twin(G, G.forward(z[0, 0])[1]), twin(D, D.forward(real[0])[1])
    torch_L = torch_gan(torch_G, torch_D, torch.tensor(real), torch.tensor(z))

    L, optimizer_G, optimizer_D = [], Adam(G.theta, 1e-3, beta1=0.5), Adam(D.theta, 1e-3, beta1=0.5)
    for x, (z_D, z_G) in zip(real, z):
        loss_D, _, _ = discriminator_step(G, D, optimizer_D, x, z_D, rng, real_label=0.9)
        L.append([loss_D, generator_step(G, D, optimizer_G, z_G, rng)])
    for i, (name, net, torch_net) in enumerate([("D", D, torch_D), ("G", G, torch_G)]):
        yield f"GAN: all losses of {name}", difference(np.array(L)[:, i], torch_L[:, i])
        yield f"GAN: last theta of {name}", difference(net.theta, flat(torch_net.parameters()))


def torch_gan(G, D, real, z):
    bce, losses = nn.BCEWithLogitsLoss(), []
    optimizer_G = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_D = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for x, (z_D, z_G) in zip(real, z):
        on_real, on_fake = D(x), D(G(z_D).detach())
        loss_D = bce(on_real, torch.full_like(on_real, 0.9)) + bce(on_fake, torch.zeros_like(on_fake))
        optimizer_D.zero_grad()
        loss_D.backward()
        optimizer_D.step()
        on_fake = D(G(z_G))
        loss_G = bce(on_fake, torch.ones_like(on_fake))
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
        losses.append([loss_D.item(), loss_G.item()])
    return torch.tensor(losses, dtype=real.dtype)


def layers_without_a_row():
    known = {Layer, *(type(make(np.random.default_rng(SEED), "float64")) for make in LAYERS.values())}
    for page in pkgutil.iter_modules(minigan.__path__):
        module = importlib.import_module(f"minigan.{page.name}")
        for name, thing in inspect.getmembers(module, inspect.isclass):
            if issubclass(thing, Layer) and thing not in known and thing.__module__ == module.__name__:
                yield name


def main():
    """Print the table; the exit status."""
    missing, over = list(layers_without_a_row()), 0
    if missing:
        sys.exit(f"{__file__} has no row for {', '.join(missing)}: add it to LAYERS, and to twin what PyTorch calls it")
    print(f"{'':50}float64 < 1e-10  float32 < 1e-05")
    for section in layers, losses, optimizers, gan:
        for (name, error64), (_, error32) in zip(section("float64"), section("float32")):
            line = f"{name:50}"
            for dtype, error in ("float64", error64), ("float32", error32):
                judged, ok = (section, dtype) != (gan, "float32"), error < LIMITS[dtype]
                line += f"{error:9.1e} {'✓' if ok else '✗'}      " if judged else f"{error:9.1e} not judged"
                over += judged and not ok
            print(line.rstrip(), flush=True)
    print(f"\n{over} numbers are over their limit: they disagree" if over else "\nminigan and PyTorch agree")
    return 1 if over else 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")                # for the marks, wherever the output goes
    torch.set_num_threads(1)
    sys.exit(main())
