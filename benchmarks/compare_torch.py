"""minigan against PyTorch: the derivatives worked out by hand against those of autograd.

What it shows
    minigan's tests compare its gradients with central differences, which minigan computes itself.
    This is the second opinion. Both get the same weights, the same x, the same dy, all drawn with
    NumPy from one seed, and everything that comes out is compared:

        layers       y, dx and the gradient of every parameter
        losses       L and its gradient, also where a logit is 1000
        optimizers   theta after 100 steps; the average of weights likewise
        GAN          100 steps on MNIST without dropout, the PyTorch side written as it usually is:
                     two passes through D, fake.detach(), BCEWithLogitsLoss, torch.optim.Adam

How to run, from the folder with demo.py; it takes about half a minute
    pip install torch
    python benchmarks/compare_torch.py

How to read the table
    Each number is the largest difference between minigan and PyTorch, relative to the largest
    number of PyTorch's: max|a - b| / max|b|. It must be below 1e-10 in float64 and below 1e-5 in
    float32. One thing is shown but not judged, the GAN in float32: the two add up in different
    orders, so they round differently, and each of two networks that chase each other makes the
    other's difference grow. In float64 the same growth starts from 1e-16 and stays far too small
    to see. The exit status is 0 if all is well, 1 if a number is over its limit, 2 without PyTorch.
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
    print("compare_torch.py compares minigan with PyTorch, which is not installed: pip install torch", file=sys.stderr)
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
N, K, M = 64, 200, 100

LAYERS = {  # a row: (rng, dtype) -> layer. "fan_in" draws the biases at random, too
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

TWINS = {  # what PyTorch calls the same: (layer, the cache of its forward) -> module
    Dense: lambda layer, x: linear(layer),
    LeakyReLU: lambda layer, x: nn.LeakyReLU(layer.slope),
    ReLU: lambda layer, x: nn.ReLU(),
    Tanh: lambda layer, y: nn.Tanh(),
    Sigmoid: lambda layer, y: nn.Sigmoid(),
    Dropout: lambda layer, mask: SameDropout(layer.rate, mask),
    Sequential: lambda net, caches: nn.Sequential(*map(twin, net.layers, caches)),
}


def twin(layer, cache):
    """The layer as a PyTorch module, with copies of its weights."""
    return TWINS[type(layer)](layer, cache)


def linear(layer):
    """PyTorch keeps W as (M, K), minigan as (K, M)."""
    module = nn.Linear(*layer.W.shape)
    module.weight.data, module.bias.data = torch.tensor(layer.W.T), torch.tensor(layer.b)
    return module


class SameDropout(nn.Module):
    """Dropout of what minigan's mask dropped: PyTorch would draw other random numbers."""

    def __init__(self, rate, mask):
        super().__init__()
        self.rate, self.kept = rate, torch.tensor(mask != 0)

    def forward(self, x):
        return x * self.kept / (1 - self.rate)


def in_minigans_shapes(module, gradients):
    """{name: array} of a module's parameters, or of their gradients, with minigan's names and shapes."""
    def values(tensor):
        return (tensor.grad if gradients else tensor).detach()
    if isinstance(module, nn.Linear):
        return {"W": values(module.weight).T, "b": values(module.bias)}
    if isinstance(module, nn.Sequential):
        parts = [part.ravel() for each in module for part in in_minigans_shapes(each, gradients).values()]
        return {"theta": torch.cat(parts)}
    return {}


def difference(ours, theirs):
    """max|a - b| / max|b|; infinite where the shapes or dtypes differ, NaN where something is NaN."""
    ours, theirs = np.asarray(ours), theirs.detach().numpy()
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return np.inf
    return abs(ours - theirs).max() / abs(theirs).max()


def layers(dtype):
    for name, make in LAYERS.items():
        rng = np.random.default_rng(SEED)
        layer, x = make(rng, dtype), rng.standard_normal((N, K)).astype(dtype)
        x[0] = 0                                       # the kink of a ReLU
        y, cache = layer.forward(x, train=True, rng=rng)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = layer.backward(dy, cache)

        module, torch_x = twin(layer, cache), torch.tensor(x, requires_grad=True)
        torch_y = module(torch_x)
        torch_y.backward(torch.tensor(dy))
        torch_gradients = in_minigans_shapes(module, gradients=True)
        yield f"{name}: y", difference(y, torch_y)
        yield f"{name}: dx", difference(dx, torch_x.grad)
        for parameter in layer.names:
            ours = getattr(layer, "d" + parameter)
            yield f"{name}: d{parameter}", difference(ours, torch_gradients[parameter])


def losses(dtype):
    rng = np.random.default_rng(SEED)
    z = rng.standard_normal((N, 1)).astype(dtype)
    p = rng.uniform(0.01, 0.99, (N, 1)).astype(dtype)
    huge = rng.permutation(np.linspace(-1000, 1000, N)).reshape(N, 1).astype(dtype)
    hard = rng.integers(0, 2, (N, 1)).astype(dtype)
    on_logits, on_probabilities = nn.BCEWithLogitsLoss(), nn.BCELoss()
    for name, ours, theirs, x, t in [
        ("bce_on_logits, targets 0 and 1", bce_on_logits, on_logits, z, hard),
        ("bce_on_logits, target 0.9", bce_on_logits, on_logits, z, 0.9),
        ("bce_on_logits, logits to +-1000", bce_on_logits, on_logits, huge, hard),
        ("bce_on_probabilities, targets 0 and 1", bce_on_probabilities, on_probabilities, p, hard),
        ("bce_on_probabilities, target 0.9", bce_on_probabilities, on_probabilities, p, 0.9),
    ]:
        L, dx = ours(x, t)
        torch_x = torch.tensor(x, requires_grad=True)
        torch_L = theirs(torch_x, torch.tensor(t + np.zeros_like(x)))
        torch_L.backward()
        yield f"{name}: L", difference(L, torch_L)
        yield f"{name}: gradient", difference(dx, torch_x.grad)


def optimizers(dtype):
    rng = np.random.default_rng(SEED)
    start, size = rng.standard_normal(20_000), 10 ** rng.uniform(-9, 1, 20_000)     # tiny ones show where eps stands
    gradients = (size * rng.standard_normal((STEPS, 20_000))).astype(dtype)
    for ours, theirs, lr in (SGD, torch.optim.SGD, 0.01), (Adam, torch.optim.Adam, 0.001):
        theta, torch_theta = start.astype(dtype), nn.Parameter(torch.tensor(start.astype(dtype)))
        optimizer, torch_optimizer = ours(theta, lr), theirs([torch_theta], lr)
        for dtheta in gradients:
            optimizer.step(dtheta)
            torch_theta.grad = torch.tensor(dtheta)
            torch_optimizer.step()
        yield f"{ours.__name__}, {STEPS} steps: theta", difference(theta, torch_theta)

    average, torch_average = start.astype(dtype), torch.tensor(start.astype(dtype))
    keeper = WeightAverage(average, decay=0.9)         # reached after 80 steps
    for n, theta in enumerate(gradients):
        keeper.step(theta)
        decay = min(0.9, (1 + n) / (10 + n))
        torch_average = decay * torch_average + (1 - decay) * torch.tensor(theta)
    yield f"WeightAverage, {STEPS} steps: average", difference(average, torch_average)


def gan(dtype):
    rng = np.random.default_rng(SEED)
    G, D = make_generator(64, [256, 512], 784, rng, dtype=dtype), make_discriminator(784, [512, 256], rng, dtype=dtype)
    real = scale(load_images()[:STEPS * N].reshape(STEPS, N, 784), dtype)
    z = rng.standard_normal((STEPS, 2, N, 64)).astype(dtype)
    torch_G, torch_D = twin(G, [None] * len(G.layers)), twin(D, [None] * len(D.layers))
    torch_losses = torch_gan(torch_G, torch_D, torch.tensor(real), torch.tensor(z))

    optimizer_G, optimizer_D = Adam(G.theta, lr=1e-3, beta1=0.5), Adam(D.theta, lr=1e-3, beta1=0.5)
    L_D, L_G = np.zeros(STEPS, dtype), np.zeros(STEPS, dtype)
    for i in range(STEPS):
        L_D[i] = discriminator_step(G, D, optimizer_D, real[i], z[i, 0], rng, real_label=0.9)[0]
        L_G[i] = generator_step(G, D, optimizer_G, z[i, 1], rng)
    yield f"GAN, {STEPS} steps: loss of D", difference(L_D, torch_losses[:, 0])
    yield f"GAN, {STEPS} steps: loss of G", difference(L_G, torch_losses[:, 1])
    yield f"GAN, {STEPS} steps: theta of D", difference(D.theta, in_minigans_shapes(torch_D, False)["theta"])
    yield f"GAN, {STEPS} steps: theta of G", difference(G.theta, in_minigans_shapes(torch_G, False)["theta"])


def torch_gan(G, D, real, z):
    """The same steps as everyone writes them in PyTorch: the losses of D and G, (STEPS, 2)."""
    bce = nn.BCEWithLogitsLoss()
    optimizer_G = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_D = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
    history = []
    for i in range(STEPS):
        fake = G(z[i, 0])
        on_real, on_fake = D(real[i]), D(fake.detach())
        loss_D = bce(on_real, torch.full_like(on_real, 0.9)) + bce(on_fake, torch.zeros_like(on_fake))
        optimizer_D.zero_grad()
        loss_D.backward()
        optimizer_D.step()

        on_fake = D(G(z[i, 1]))
        loss_G = bce(on_fake, torch.ones_like(on_fake))
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
        history.append(torch.stack([loss_D, loss_G]).detach())
    return torch.stack(history)


def layers_without_a_row():
    """The names of the Layers defined anywhere in minigan that LAYERS does not make."""
    rng = np.random.default_rng(SEED)
    covered = {type(make(rng, "float64")) for make in LAYERS.values()}
    for page in pkgutil.iter_modules(minigan.__path__):
        module = importlib.import_module(f"minigan.{page.name}")
        for name, thing in inspect.getmembers(module, inspect.isclass):
            if issubclass(thing, Layer) and thing not in covered | {Layer} and thing.__module__ == module.__name__:
                yield name


def main():
    """Print the table; True if no number is over its limit."""
    torch.set_num_threads(1)
    all_well = True
    print(f"PyTorch {torch.__version__}, minigan {minigan.__version__}: max|a - b| / max|b|\n")
    print(f"{'':44}" + "".join(f"{dtype:>7} < {limit:.0e}   " for dtype, limit in LIMITS.items()))
    for section in layers, losses, optimizers, gan:
        for (name, in_float64), (_, in_float32) in zip(section("float64"), section("float32")):
            ok64, ok32 = in_float64 < LIMITS["float64"], in_float32 < LIMITS["float32"]
            judged32 = section is not gan              # see the top of this page
            all_well = all_well and ok64 and (ok32 or not judged32)
            mark32 = ("✓" if ok32 else "✗") if judged32 else "not judged"
            print(f"{name:44}{in_float64:13.1e} {'✓' if ok64 else '✗'}  {in_float32:13.1e} {mark32}", flush=True)
    print("\nnot judged: in float32 the rounding of two networks that chase each other grows chaotically")
    print("all agree" if all_well else "✗: minigan and PyTorch differ by more than the limit")
    return all_well


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")           # for the marks, wherever the output goes
    missing = list(layers_without_a_row())
    if missing:
        sys.exit(f"{', '.join(missing)}: a Layer of minigan without a row; add it to LAYERS and TWINS in {__file__}")
    sys.exit(0 if main() else 1)
