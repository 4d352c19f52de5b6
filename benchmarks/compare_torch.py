"""minigan against PyTorch: the derivatives worked out by hand against those of autograd.

What it shows
    Both get the same weights, the same x and the same dy, all drawn with NumPy from one seed, and
    everything that comes out is compared:

        layers       y, dx and the gradient of every parameter
        losses       L and its gradient, also for logits up to 1000 and down to -1000
        optimizers   theta after 100 steps; the average of weights likewise
        GAN          100 steps on MNIST, the PyTorch side as it is usually written: two passes through
                     D, fake.detach(). No dropout here, as the two would draw different masks

How to run, from the folder with demo.py, in less than a minute
    pip install torch
    python benchmarks/compare_torch.py

How to read the table
    A number is the largest difference between minigan (a) and PyTorch (b), relative to the largest
    number of PyTorch's: max|a - b| / max|b|. It must be below 1e-10 in float64, 1e-5 in float32.

    The GAN in float32 is shown but not judged. The two libraries add up in different orders, so they
    round differently. Adam divides a gradient by its own size, so where one is nearly zero its rounding
    alone decides on a whole step; from then on two networks chase each other along another path.
    That is chaos, not an error: float64 is exposed to it too, but starts from a billionth of that.

    Exit status: 0 if all is well, 1 if a number is over its limit or a layer is missing, 2 without PyTorch.
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
    print("minigan is compared with PyTorch here, and that is not installed: pip install torch", file=sys.stderr)
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

LAYERS = {  # a row of the table: (rng, dtype) -> layer. "fan_in" draws the biases at random, too
    "Dense": lambda rng, dtype: Dense(K, M, rng, "fan_in", dtype),
    "LeakyReLU(0.2)": lambda rng, dtype: LeakyReLU(0.2),
    "LeakyReLU(0.01)": lambda rng, dtype: LeakyReLU(0.01),
    "ReLU": lambda rng, dtype: ReLU(),
    "Tanh": lambda rng, dtype: Tanh(),
    "Sigmoid": lambda rng, dtype: Sigmoid(),
    "Dropout": lambda rng, dtype: Dropout(0.3),
    "Sequential": lambda rng, dtype: Sequential([Dense(K, M, rng, "fan_in", dtype), LeakyReLU(0.2), Dropout(0.3),
                                                 Dense(M, 10, rng, "fan_in", dtype), Tanh()]),
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
    """The layer as a PyTorch module with copies of its weights."""
    return TWINS[type(layer)](layer, cache)


def linear(layer):
    """nn.Linear keeps W as (M, K), Dense as (K, M)."""
    module = nn.Linear(*layer.W.shape)
    module.weight.data, module.bias.data = torch.tensor(layer.W.T), torch.tensor(layer.b)
    return module


class SameDropout(nn.Module):
    """Drops what minigan's mask dropped: PyTorch's own Dropout would draw other random numbers."""

    def __init__(self, rate, mask):
        super().__init__()
        self.mask = torch.tensor(mask != 0) / torch.tensor(1 - rate, dtype=torch.tensor(mask).dtype)

    def forward(self, x):
        return x * self.mask


def flat(tensors):
    """All in one vector in the order of minigan's theta: each W, as (K, M), before its b."""
    return torch.cat([tensor.t().ravel() for tensor in tensors])


def difference(ours, theirs):
    """max|a - b| / max|b|; infinite, which is over every limit, where shapes or dtypes differ."""
    theirs = theirs.detach().numpy()
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return np.inf
    return abs(ours - theirs).max() / abs(theirs).max()


def layers(dtype):
    for name, make in LAYERS.items():
        rng = np.random.default_rng(SEED)
        layer, x = make(rng, dtype), rng.standard_normal((N, K)).astype(dtype)
        x[0] = 0                                           # the kink of a ReLU
        y, cache = layer.forward(x, train=True, rng=rng)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = layer.backward(dy, cache)

        module, torch_x = twin(layer, cache), torch.tensor(x, requires_grad=True)
        torch_y = module(torch_x)
        torch_y.backward(torch.tensor(dy))
        yield f"{name}: y", difference(y, torch_y)
        yield f"{name}: dx", difference(dx, torch_x.grad)
        gradients = [parameter.grad for parameter in module.parameters()]
        gradients = [flat(gradients)] if layer.names == ("theta",) else [gradient.t() for gradient in gradients]
        for parameter, gradient in zip(layer.names, gradients, strict=True):
            yield f"{name}: d{parameter}", difference(getattr(layer, "d" + parameter), gradient)


def losses(dtype):
    rng = np.random.default_rng(SEED)
    z, p = rng.standard_normal((N, 1)).astype(dtype), rng.uniform(0.01, 0.99, (N, 1)).astype(dtype)
    huge = rng.permutation(np.linspace(-1000, 1000, N)).reshape(N, 1).astype(dtype)
    hard = rng.integers(0, 2, (N, 1)).astype(dtype)
    for name, ours, theirs, x, t in [
        ("bce_on_logits, 0 and 1", bce_on_logits, nn.BCEWithLogitsLoss(), z, hard),
        ("bce_on_logits, 0.9", bce_on_logits, nn.BCEWithLogitsLoss(), z, 0.9),
        ("bce_on_logits, logits to 1000", bce_on_logits, nn.BCEWithLogitsLoss(), huge, hard),
        ("bce_on_probabilities, 0 and 1", bce_on_probabilities, nn.BCELoss(), p, hard),
        ("bce_on_probabilities, 0.9", bce_on_probabilities, nn.BCELoss(), p, 0.9),
    ]:
        L, dx = ours(x, t)
        torch_x = torch.tensor(x, requires_grad=True)
        torch_L = theirs(torch_x, torch.tensor(t + 0 * x))
        torch_L.backward()
        yield f"{name}: L", difference(L, torch_L)
        yield f"{name}: gradient", difference(dx, torch_x.grad)


def optimizers(dtype):
    rng = np.random.default_rng(SEED)
    start, size = rng.standard_normal(P).astype(dtype), 10 ** rng.uniform(-9, 1, P)  # small: where does eps stand?
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
    keeper = WeightAverage(average, decay=0.9)             # which the growing decay reaches at n = 80
    for n, theta in enumerate(gradients):
        keeper.step(theta)
        decay = min(0.9, (1 + n) / (10 + n))
        torch_average = decay * torch_average + (1 - decay) * torch.tensor(theta)
    yield "WeightAverage: average", difference(average, torch_average)


def gan(dtype):
    rng = np.random.default_rng(SEED)                      # with hundreds of units float64 is chaotic, too
    G, D = make_generator(Z, [64, 64], 784, rng, dtype=dtype), make_discriminator(784, [64, 64], rng, dtype=dtype)
    real = scale(load_images()[:STEPS * N].reshape(STEPS, N, 784), dtype)
    z = rng.standard_normal((STEPS, 2, N, Z)).astype(dtype)
    torch_G, torch_D = twin(G, G.forward(z[0, 0])[1]), twin(D, D.forward(real[0])[1])
    torch_history = torch_gan(torch_G, torch_D, torch.tensor(real), torch.tensor(z))

    history, optimizer_G, optimizer_D = [], Adam(G.theta, 1e-3, beta1=0.5), Adam(D.theta, 1e-3, beta1=0.5)
    for x, (z_D, z_G) in zip(real, z):
        loss_D, _, _ = discriminator_step(G, D, optimizer_D, x, z_D, rng, real_label=0.9)
        history.append([loss_D, generator_step(G, D, optimizer_G, z_G, rng)])
    for i, (name, net, torch_net) in enumerate([("D", D, torch_D), ("G", G, torch_G)]):
        yield f"GAN: losses of {name}", difference(np.array(history)[:, i], torch_history[:, i])
        yield f"GAN: theta of {name}", difference(net.theta, flat(torch_net.parameters()))


def torch_gan(G, D, real, z):
    bce, history = nn.BCEWithLogitsLoss(), []
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
        history.append([loss_D.item(), loss_G.item()])
    return torch.tensor(history, dtype=real.dtype)


def layers_without_a_row():
    rng = np.random.default_rng(SEED)
    known = {Layer, *(type(make(rng, "float64")) for make in LAYERS.values())}
    for page in pkgutil.iter_modules(minigan.__path__):
        module = importlib.import_module(f"minigan.{page.name}")
        for name, thing in inspect.getmembers(module, inspect.isclass):
            if issubclass(thing, Layer) and thing not in known and thing.__module__ == module.__name__:
                yield name


def main():
    """Print the table; 0 if no number is over its limit, else 1."""
    print(f"{'':42}" + "".join(f"{dtype:>7} < {limit:<8.0e}" for dtype, limit in LIMITS.items()))
    over = 0
    for section in layers, losses, optimizers, gan:
        for (name, error64), (_, error32) in zip(section("float64"), section("float32")):
            print(f"{name:40}", end="")
            for dtype, error in ("float64", error64), ("float32", error32):
                judged, ok = (section, dtype) != (gan, "float32"), error < LIMITS[dtype]
                over += judged and not ok
                print(f"{error:13.1e} {('✓' if ok else '✗') if judged else 'not judged'} ", end="")
            print(flush=True)
    print("\nnot judged: in float32 the rounding of two networks that chase each other grows chaotically")
    print(f"{over} numbers are over their limit: minigan and PyTorch disagree" if over else "minigan and PyTorch agree")
    return 1 if over else 0


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")               # for the marks, wherever the output goes
    torch.set_num_threads(1)
    missing = list(layers_without_a_row())
    if missing:
        sys.exit(f"minigan.{', minigan.'.join(missing)}: no row here. Add it to LAYERS and to TWINS in {__file__}")
    sys.exit(main())
