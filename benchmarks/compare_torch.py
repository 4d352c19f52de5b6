"""minigan and PyTorch: the derivatives worked out by hand, compared with those of autograd.

What it shows
    Both libraries start from the same weights, x and dy, which NumPy generates from one seed. The
    comparison covers every layer and loss with its gradients, every double backward and gradient
    penalty (in PyTorch: create_graph=True), 100 steps of every optimizer, and 100 training steps of
    a GAN on MNIST, without dropout. For the GAN, PyTorch is used as usual, with two passes through
    D and fake.detach(). Each number is max|a - b| / max|b|, with minigan's a and PyTorch's b. The
    exit status is 1 if any line has a ✗. The GAN in float32 is shown but not checked: Adam takes a
    full step even for a gradient that is nearly zero and consists mostly of rounding errors, and
    the two networks amplify the difference. In float64 rounding errors are about a billion times
    smaller.

How to run it from the folder with demo.py (it takes ten seconds)
    pip install torch
    python benchmarks/compare_torch.py
"""

import importlib
import pkgutil
import sys
import warnings
from itertools import product
from pathlib import Path

import numpy as np

try:
    import torch
    from torch import nn
    from torch.nn import functional as F
except ModuleNotFoundError:
    sys.stderr.write(
        "this script compares minigan with PyTorch, which is not installed: pip install torch\n"
    )
    sys.exit(2)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import minigan.nn
from minigan.datasets.idx import load_images
from minigan.datasets.pixels import scale
from minigan.gan.gradient_penalty import PENALTIES, gradient_penalty, make_penalty
from minigan.gan.losses import GAN_LOSSES, mean_loss
from minigan.gan.models import make_discriminator, make_generator
from minigan.gan.steps import discriminator_step, generator_step
from minigan.nn.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.layer import Layer
from minigan.nn.losses import bce, bce_with_logits
from minigan.nn.maxout import Maxout
from minigan.nn.optim import SGD, Adam, NoOpOptimizer
from minigan.nn.pooling import AvgPool2d, Upsample
from minigan.nn.projection import Projection
from minigan.nn.reshape import ConcatLabelMaps, ConcatLabels, Reshape
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm

LIMITS = {"float64": 1e-10, "float32": 1e-5}
SEED, STEPS, N, K, M, Z, P = (
    0,
    100,
    64,
    200,
    100,
    16,
    20_000,
)  # P: the parameters of the optimizers' check


def layer_input(layer, x):
    """x, or for a layer that takes labels the pair (x, labels), with label i % 4 for example i."""
    return (x, np.eye(4, dtype=x.dtype)[np.arange(len(x)) % 4]) if layer.takes_labels else x


def torch_labels(x):
    """The same labels in PyTorch, (N, 4)."""
    return torch.eye(4, dtype=x.dtype)[torch.arange(len(x)) % 4]


class TorchConcatLabels(nn.Module):
    """Images (N, 14, 14) and 4 labels as (N, 200)."""

    def forward(self, x):
        return torch.cat([x.flatten(1), torch_labels(x)], dim=1)


class TorchConcatLabelMaps(nn.Module):
    """Images (N, 14, 14) and 4 labels as (N, 14, 14, 5)."""

    def forward(self, x):
        maps = torch_labels(x)[:, None, None].expand(-1, 14, 14, -1)
        return torch.cat([x[..., None], maps], dim=3)


class TorchProjection(nn.Module):
    """x (N, K) to logits (N, 1), with an embedding of 4 labels."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(K, 1)
        # in a list, so that parameters() yields W, b and E in this order
        self.E = nn.ParameterList([torch.zeros(K, 4)])

    def forward(self, x):
        rows = F.embedding(torch.arange(len(x)) % 4, self.E[0].t())
        return self.linear(x) + (x * rows).sum(dim=1, keepdim=True)


def random_projection(rng, dtype):
    """A Projection whose labels have an effect."""
    layer = Projection(K, 4, init="fan_in", dtype=dtype, rng=rng)
    layer.E[...] = rng.standard_normal(layer.E.shape)
    return layer


def torch_spectral(layer, module):
    """(layer, module) with PyTorch's first spectral_norm, algorithm 1 of the paper; the same u."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has a second one, which starts from v
        module = nn.utils.spectral_norm(module.to(getattr(torch, str(layer.u.dtype))))
    module.weight_u = torch.tensor(layer.u)
    return layer, module


def parameters(module):
    """The parameters of a module, W before b."""
    return (
        [module.weight_orig, module.bias]
        if hasattr(module, "weight_orig")
        else list(module.parameters())
    )


# Each row: a layer, the same in PyTorch, and the shape of x if it is not (N, K).
# The initializer "fan_in" makes the biases random as well.
LAYERS = {
    "Dense": lambda rng, dtype: (
        Dense(K, M, init="fan_in", dtype=dtype, rng=rng),
        nn.Linear(K, M),
    ),
    "LeakyReLU(0.2)": lambda rng, dtype: (LeakyReLU(0.2), nn.LeakyReLU(0.2)),
    "LeakyReLU(0.01)": lambda rng, dtype: (LeakyReLU(0.01), nn.LeakyReLU(0.01)),
    "ReLU": lambda rng, dtype: (ReLU(), nn.ReLU()),
    "Tanh": lambda rng, dtype: (Tanh(), nn.Tanh()),
    "Sigmoid": lambda rng, dtype: (Sigmoid(), nn.Sigmoid()),
    "Dropout": lambda rng, dtype: (Dropout(0.3), nn.Dropout(0.3)),
    "ConcatLabels": lambda rng, dtype: (ConcatLabels(4), TorchConcatLabels(), (N, 14, 14)),
    "ConcatLabelMaps": lambda rng, dtype: (ConcatLabelMaps(4), TorchConcatLabelMaps(), (N, 14, 14)),
    "Projection": lambda rng, dtype: (random_projection(rng, dtype), TorchProjection()),
    "SpectralNorm": lambda rng, dtype: torch_spectral(
        SpectralNorm(Dense(K, M, init="fan_in", dtype=dtype, rng=rng), rng=rng), nn.Linear(K, M)
    ),
    "Sequential": lambda rng, dtype: (
        Sequential(
            [
                Dense(K, M, init="fan_in", dtype=dtype, rng=rng),
                ReLU(),
                Dense(M, 5, init="fan_in", dtype=dtype, rng=rng),
                Tanh(),
            ]
        ),
        nn.Sequential(nn.Linear(K, M), nn.ReLU(), nn.Linear(M, 5), nn.Tanh()),
    ),
}
IMAGES = {  # the same for images (N, H, W, C), in PyTorch (N, C, H, W); and the shape of x
    "Conv2d": lambda rng, dtype: (
        Conv2d(3, 5, 4, stride=2, padding=1, init="fan_in", dtype=dtype, rng=rng),
        nn.Conv2d(3, 5, 4, 2, 1),
        (8, 9, 10, 3),
    ),
    "Conv2d, unequal sides": lambda rng, dtype: (
        Conv2d(2, 4, (3, 5), stride=(1, 2), padding=(0, 3), init="fan_in", dtype=dtype, rng=rng),
        nn.Conv2d(2, 4, (3, 5), (1, 2), (0, 3)),
        (8, 7, 9, 2),
    ),
    "ConvTranspose2d": lambda rng, dtype: (
        ConvTranspose2d(5, 3, 4, stride=2, padding=1, init="fan_in", dtype=dtype, rng=rng),
        nn.ConvTranspose2d(5, 3, 4, 2, 1),
        (8, 4, 5, 5),
    ),
    "ConvTranspose2d, unequal sides": lambda rng, dtype: (
        ConvTranspose2d(
            4,
            2,
            (3, 5),
            stride=(2, 3),
            padding=(1, 0),
            output_padding=(1, 2),
            init="fan_in",
            dtype=dtype,
            rng=rng,
        ),
        nn.ConvTranspose2d(4, 2, (3, 5), (2, 3), (1, 0), (1, 2)),
        (8, 4, 5, 4),
    ),
    "BatchNorm2d": lambda rng, dtype: (
        BatchNorm2d(3, dtype=dtype),
        nn.BatchNorm2d(3),
        (8, 4, 5, 3),
    ),
    "BatchNorm2d, sampling": lambda rng, dtype: (
        BatchNorm2d(3, dtype=dtype),
        nn.BatchNorm2d(3).eval(),
        (8, 4, 5, 3),
    ),
    "AvgPool2d": lambda rng, dtype: (AvgPool2d(2), nn.AvgPool2d(2), (8, 4, 6, 3)),
    "Upsample": lambda rng, dtype: (Upsample(2), nn.Upsample(scale_factor=2), (8, 4, 6, 3)),
    "Reshape": lambda rng, dtype: (Reshape(60), nn.Flatten(), (8, 4, 5, 3)),
    "Maxout": lambda rng, dtype: (Maxout(5), nn.MaxPool1d(5), (8, 20)),
}


def copy_weights(layer, module):
    """Copy the parameters of a layer into a PyTorch module, which stores W as (M, K)."""
    arrays = [
        getattr(part, name)
        for part in getattr(layer, "layers", [layer])
        for name in part.param_names
    ]
    for array, parameter in zip(arrays, parameters(module), strict=True):
        parameter.data = torch.tensor(array.T)


def reversed_axes(array):
    """A PyTorch tensor with its axes in reverse order, as NumPy's .T."""
    return array.permute(*reversed(range(array.ndim)))


def difference(ours, theirs):
    """max|a - b| / max|b|; infinite where shapes or dtypes differ."""
    theirs = theirs.detach().numpy()
    if ours.shape != theirs.shape or ours.dtype != theirs.dtype:
        return np.inf
    return abs(ours - theirs).max() / abs(theirs).max()


def layers(dtype):
    for name, make in LAYERS.items():
        rng = np.random.default_rng(SEED)
        layer, module, shape = (*make(rng, dtype), (N, K))[:3]
        x = rng.standard_normal(shape).astype(dtype)
        x[0] = 0  # the kink of a ReLU
        y, cache = layer.forward(layer_input(layer, x), train=True, rng=rng)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = layer.backward(dy, cache)
        copy_weights(layer, module)
        if type(layer) is Dropout:  # PyTorch's own mask would be different
            module.forward = lambda x: x * torch.tensor(cache[0] != 0) / (1 - layer.p)
        torch_x = torch.tensor(x, requires_grad=True)
        torch_y = module(torch_x)
        torch_y.backward(torch.tensor(dy))
        yield f"{name}: y", difference(y, torch_y)
        yield f"{name}: dx", difference(dx, torch_x.grad)
        gradients = [reversed_axes(parameter.grad) for parameter in parameters(module)]
        gradients = (
            [torch.cat([g.ravel() for g in gradients])] if type(layer) is Sequential else gradients
        )
        for parameter, gradient in zip(layer.param_names, gradients, strict=True):
            yield f"{name}: d{parameter}", difference(getattr(layer, "d" + parameter), gradient)


def channels_first(x):
    """(N, H, W, C) as (N, C, H, W); anything else unchanged."""
    return np.moveaxis(x, 3, 1) if x.ndim == 4 else x


def images(dtype):
    for name, make in IMAGES.items():
        rng = np.random.default_rng(SEED)
        layer, module, shape = make(rng, dtype)
        module.to(getattr(torch, dtype))
        x, train = rng.standard_normal(shape).astype(dtype), module.training
        for parameter, torch_parameter in zip(layer.param_names, module.parameters(), strict=True):
            array = getattr(layer, parameter)
            array += rng.standard_normal(array.shape).astype(dtype) / 10
            torch_parameter.data = torch.tensor(
                array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
            )
        y, cache = layer.forward(x, train=train)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = layer.backward(dy, cache)
        torch_x = torch.tensor(
            x if type(layer) is Reshape else channels_first(x), requires_grad=True
        )
        torch_y = module(torch_x)
        torch_y.backward(torch.tensor(channels_first(dy)))
        first = (lambda a: a) if type(layer) is Reshape else channels_first
        yield f"{name}: y", difference(first(y), torch_y)
        yield f"{name}: dx", difference(first(dx), torch_x.grad)
        for parameter, torch_parameter in zip(layer.param_names, module.parameters()):
            ours = getattr(layer, "d" + parameter)
            yield (
                f"{name}: d{parameter}",
                difference(
                    ours.transpose(3, 2, 0, 1) if ours.ndim == 4 else ours, torch_parameter.grad
                ),
            )
        for state, torch_state in zip(layer.buffer_names, module.buffers()):
            yield (
                f"{name}: running {state}",
                difference(getattr(layer, state), torch_state) if train else 0.0,
            )


def double_backwards(dtype):
    """The gradients of P = sum of v * dx with respect to dy, x and the weights, for every layer."""
    for name, make in {**LAYERS, **IMAGES}.items():
        if name == "BatchNorm2d":  # it has no double backward in training
            continue
        rng = np.random.default_rng(SEED)
        layer, module, shape = (*make(rng, dtype), (N, K))[:3]
        x = rng.standard_normal(shape).astype(dtype)
        place = channels_first if name in IMAGES and type(layer) is not Reshape else np.asarray
        if name in LAYERS:
            copy_weights(layer, module)
        else:
            module.to(getattr(torch, dtype))
            for parameter, torch_parameter in zip(
                layer.param_names, module.parameters(), strict=True
            ):
                array = getattr(layer, parameter)
                torch_parameter.data = torch.tensor(
                    array.transpose(3, 2, 0, 1) if array.ndim == 4 else array
                )
        y, cache = layer.forward(layer_input(layer, x), train=module.training, rng=rng)
        dy, v = (
            rng.standard_normal(y.shape).astype(dtype),
            rng.standard_normal(x.shape).astype(dtype),
        )
        given = layer.input_gradient(dy, cache)[1] if type(layer) is Sequential else dy
        ddy, dx = layer.double_backward(v, given, cache)

        if type(layer) is Dropout:
            module.forward = lambda x: x * torch.tensor(cache[0] != 0) / (1 - layer.p)
        torch_x, torch_dy = (torch.tensor(place(a), requires_grad=True) for a in (x, dy))
        (torch_dx,) = torch.autograd.grad(module(torch_x), torch_x, torch_dy, create_graph=True)
        (torch.tensor(place(v)) * torch_dx).sum().backward()
        yield f"{name}, twice: ddy", difference(place(ddy), torch_dy.grad)
        if dx is not None:
            yield f"{name}, twice: dx", difference(place(dx), torch_x.grad)
        elif torch_x.grad is not None and torch_x.grad.any():
            yield f"{name}, twice: dx", np.inf
        wanted = [
            g if (g := parameter.grad) is not None else torch.zeros_like(parameter)
            for parameter in parameters(module)
        ]
        ours = [
            ("d" + n, getattr(part, "d" + n))
            for part in getattr(layer, "layers", [layer])
            for n in part.param_names
        ]
        for (n, array), gradient in zip(ours, wanted, strict=True):
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            yield (
                f"{name}, twice: {n}",
                difference(array, gradient) if gradient.any() else abs(array).max(),
            )


def penalties(dtype):
    """Whole discriminators; in PyTorch autograd.grad(..., create_graph=True), then backward."""
    activation = nn.LeakyReLU(0.2)
    for name, what in product(PENALTIES, ("LeakyReLU", "Tanh", "Conv2d")):
        rng = np.random.default_rng(SEED)
        D, module = {
            "LeakyReLU": lambda: (
                make_discriminator(784, [64, 64], init="fan_in", dtype=dtype, rng=rng),
                nn.Sequential(
                    nn.Linear(784, 64), activation, nn.Linear(64, 64), activation, nn.Linear(64, 1)
                ),
            ),
            "Tanh": lambda: (
                Sequential(
                    [
                        Dense(784, 64, init="fan_in", dtype=dtype, rng=rng),
                        Tanh(),
                        Dense(64, 1, init="fan_in", dtype=dtype, rng=rng),
                    ]
                ),
                nn.Sequential(nn.Linear(784, 64), nn.Tanh(), nn.Linear(64, 1)),
            ),
            "Conv2d": lambda: (
                Sequential(
                    [
                        Conv2d(1, 4, 4, stride=2, padding=1, init="fan_in", dtype=dtype, rng=rng),
                        LeakyReLU(0.2),
                        Conv2d(4, 8, 4, stride=2, padding=1, init="fan_in", dtype=dtype, rng=rng),
                        LeakyReLU(0.2),
                        Conv2d(8, 1, 7, init="fan_in", dtype=dtype, rng=rng),
                        Reshape(1),
                    ]
                ),
                nn.Sequential(
                    nn.Conv2d(1, 4, 4, 2, 1),
                    activation,
                    nn.Conv2d(4, 8, 4, 2, 1),
                    activation,
                    nn.Conv2d(8, 1, 7),
                    nn.Flatten(),
                ),
            ),
        }[what]()
        arrays = [getattr(layer, n) for layer in D.layers for n in layer.param_names]
        for array, parameter in zip(arrays, module.parameters(), strict=True):
            parameter.data = torch.tensor(
                array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            )
        x = rng.uniform(-1, 1, (N, 28, 28, 1) if what == "Conv2d" else (N, 784)).astype(dtype)
        P = gradient_penalty(D, *D.forward(x), name, weight=10.0)
        torch_x = torch.tensor(channels_first(x), requires_grad=True)
        (g,) = torch.autograd.grad(module(torch_x).sum(), torch_x, create_graph=True)
        squares = g.flatten(1).square().sum(1)
        of_squares = {
            "r1": squares / 2,
            "r2": squares / 2,
            "r1+r2": squares,  # both halves of the batch, each divided by its own size
            "wgan-gp": (squares.sqrt() - 1) ** 2,
        }
        torch_P = 10 * of_squares[name].mean()
        torch_P.backward()
        wanted = [torch.zeros_like(p) if p.grad is None else p.grad for p in module.parameters()]
        wanted = torch.cat(
            [(g.permute(2, 3, 1, 0) if g.ndim == 4 else g.t()).ravel() for g in wanted]
        )
        yield f"{name}, D with {what}: P", difference(P, torch_P)
        yield f"{name}, D with {what}: dtheta", difference(D.dtheta, wanted)


def losses(dtype):
    rng = np.random.default_rng(SEED)
    a, p = rng.standard_normal((N, 1)).astype(dtype), rng.uniform(0.01, 0.99, (N, 1)).astype(dtype)
    hard = rng.integers(0, 2, (N, 1)).astype(dtype)
    huge = np.linspace(-1000, 1000, N, dtype=dtype).reshape(N, 1)
    for ours, theirs, name, x in [
        (bce_with_logits, nn.BCEWithLogitsLoss(), "a", a),
        (bce_with_logits, nn.BCEWithLogitsLoss(), "a to +-1000", huge),
        (bce, nn.BCELoss(), "p", p),
    ]:
        for target, t in ("0 and 1", hard), ("0.9", 0.9):
            L, dx = ours(x, t)
            torch_x = torch.tensor(x, requires_grad=True)
            torch_L = theirs(torch_x, torch.tensor(t + 0 * x))
            torch_L.backward()
            yield f"{ours.__name__}, {name}, target {target}: L", difference(L, torch_L)
            yield (
                f"{ours.__name__}, {name}, target {target}: d{name[0]}",
                difference(dx, torch_x.grad),
            )


ADVERSARIAL = {  # D on real images, D on fakes, G on fakes: with PyTorch's own functions
    "non-saturating": (lambda a: F.softplus(-a), F.softplus, lambda a: F.softplus(-a)),
    "minimax": (lambda a: F.softplus(-a), F.softplus, lambda a: F.logsigmoid(-a)),
    "least-squares": (lambda a: (a - 1) ** 2 / 2, lambda a: a**2 / 2, lambda a: (a - 1) ** 2 / 2),
    "hinge": (lambda a: F.relu(1 - a), lambda a: F.relu(1 + a), lambda a: -a),
    "wasserstein": (lambda a: -a, lambda a: a, lambda a: -a),
    # of the difference of a pair; D's second case is the target 0, which no training step uses
    "relativistic": (lambda d: F.softplus(-d), F.softplus, F.softplus),
}


def adversarial(dtype):
    rng = np.random.default_rng(SEED)
    for name, size in product(GAN_LOSSES, (3, 1000)):
        a, t = (
            (size * rng.standard_normal((N, 1))).astype(dtype),
            (np.arange(N) % 2).astype(dtype).reshape(N, 1),
        )
        loss, (on_real, on_fake, on_generated), real = (
            GAN_LOSSES[name],
            ADVERSARIAL[name],
            torch.tensor(t) == 1,
        )
        for network, ours, theirs in [
            (
                "D",
                mean_loss(*loss.discriminator_loss(a, t)),
                lambda a: torch.where(real, on_real(a), on_fake(a)),
            ),
            ("G", mean_loss(*loss.generator_loss(a)), on_generated),
        ]:
            torch_a = torch.tensor(a, requires_grad=True)
            torch_L = theirs(torch_a).mean()
            torch_L.backward()
            yield f"{name}, {network}, a of some {size}: L", difference(ours[0], torch_L)
            yield f"{name}, {network}, a of some {size}: dlogits", difference(ours[1], torch_a.grad)


def pairs(dtype):
    """The gradients of both steps with a loss on pairs, of D's with R1 and R2 as well."""
    rng, loss = np.random.default_rng(SEED), GAN_LOSSES["relativistic"]
    G = make_generator(Z, [32], 784, dtype=dtype, rng=rng)
    D = make_discriminator(784, [32], dtype=dtype, rng=rng)
    torch_G = nn.Sequential(nn.Linear(Z, 32), nn.LeakyReLU(0.2), nn.Linear(32, 784), nn.Tanh())
    torch_D = nn.Sequential(nn.Linear(784, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1))
    copy_weights(G, torch_G)
    copy_weights(D, torch_D)
    real = rng.uniform(-1, 1, (N, 784)).astype(dtype)
    z = rng.standard_normal((N, Z)).astype(dtype)
    no_op, penalty = NoOpOptimizer(), make_penalty("r1+r2", 0.5)

    x = torch.tensor(real, requires_grad=True)
    fake = torch_G(torch.tensor(z)).detach().requires_grad_()
    on_real, on_fake = torch_D(x), torch_D(fake)
    torch_L = F.softplus(on_fake - on_real).mean()
    squares = [
        torch.autograd.grad(logits.sum(), images, create_graph=True)[0].square().sum(1).mean()
        for logits, images in ((on_real, x), (on_fake, fake))
    ]
    (torch_L + 0.5 / 2 * sum(squares)).backward()
    L, _, _ = discriminator_step(G, D, no_op, real, z, loss=loss, penalty=penalty, rng=None)
    yield "pairs, D's step with r1+r2: L", difference(L, torch_L)
    # without the last bias, whose gradient is 0 up to rounding
    gradient = torch.cat([p.grad.t().ravel() for p in torch_D.parameters()])
    yield "pairs, D's step with r1+r2: dtheta", difference(D.dtheta[:-1], gradient[:-1])

    torch_L = F.softplus(torch_D(torch.tensor(real)) - torch_D(torch_G(torch.tensor(z)))).mean()
    torch_L.backward()
    L = generator_step(G, D, no_op, z, loss=loss, real=real, rng=None)
    yield "pairs, G's step: L", difference(L, torch_L)
    gradient = torch.cat([p.grad.t().ravel() for p in torch_G.parameters()])
    yield "pairs, G's step: dtheta", difference(G.dtheta, gradient)


def optimizers(dtype):
    rng = np.random.default_rng(SEED)
    start, size = (
        rng.standard_normal(P).astype(dtype),
        10 ** rng.uniform(-9, 1, P),
    )  # for the small ones, eps matters
    gradients = (size * rng.standard_normal((STEPS, P))).astype(dtype)
    for name, ours, theirs in [
        ("SGD", lambda theta: SGD(theta, 0.01), lambda p: torch.optim.SGD(p, 0.01)),
        (
            "SGD, momentum .9",
            lambda theta: SGD(theta, 0.01, momentum=0.9),
            lambda p: torch.optim.SGD(p, 0.01, 0.9),
        ),
        ("Adam", lambda theta: Adam(theta, 0.001), lambda p: torch.optim.Adam(p, 0.001)),
        (
            "Adam, beta1 0, weight decay .07",
            lambda theta: Adam(theta, 0.001, beta1=0.0, beta2=0.99, weight_decay=0.07),
            lambda p: torch.optim.AdamW(p, 0.001, (0.0, 0.99), weight_decay=0.07),
        ),
    ]:
        theta, torch_theta = start.copy(), nn.Parameter(torch.tensor(start))
        optimizer, torch_optimizer = ours(theta), theirs([torch_theta])
        for dtheta in gradients:
            optimizer.step(dtheta)
            torch_theta.grad = torch.tensor(dtheta)
            torch_optimizer.step()
        yield f"{name}: theta", difference(theta, torch_theta)
    average, torch_average = start.copy(), torch.tensor(start)
    ema = ExponentialMovingAverage(average, decay=0.9)  # reached at n = 44
    for n, theta in enumerate(gradients):
        ema.step(theta)
        decay = min(0.9, (1 + n) / (6 + n))
        torch_average = decay * torch_average + (1 - decay) * torch.tensor(theta)
    yield "ExponentialMovingAverage: average", difference(average, torch_average)


def gan(dtype):
    rng, sizes = (
        np.random.default_rng(SEED),
        [64, 64],
    )  # with hundreds of units float64 diverges as well
    G, D = (
        make_generator(Z, sizes, 784, dtype=dtype, rng=rng),
        make_discriminator(784, sizes, dtype=dtype, rng=rng),
    )
    real = scale(load_images()[: STEPS * N].reshape(STEPS, N, 784), dtype)
    z = rng.standard_normal((STEPS, 2, N, Z)).astype(dtype)
    activation = nn.LeakyReLU(0.2)
    torch_G = nn.Sequential(
        nn.Linear(Z, 64), activation, nn.Linear(64, 64), activation, nn.Linear(64, 784), nn.Tanh()
    )
    torch_D = nn.Sequential(
        nn.Linear(784, 64), activation, nn.Linear(64, 64), activation, nn.Linear(64, 1)
    )
    copy_weights(G, torch_G)
    copy_weights(D, torch_D)
    torch_L = torch_gan(torch_G, torch_D, torch.tensor(real), torch.tensor(z))

    L, optimizer_G, optimizer_D = (
        [],
        Adam(G.theta, 1e-3, beta1=0.5),
        Adam(D.theta, 1e-3, beta1=0.5),
    )
    for x, (z_D, z_G) in zip(real, z):
        loss_D, _, _ = discriminator_step(G, D, optimizer_D, x, z_D, real_label=0.9, rng=rng)
        L.append([loss_D, generator_step(G, D, optimizer_G, z_G, rng=rng)])
    yield "GAN: losses of D", difference(np.array(L)[:, 0], torch_L[:, 0])
    yield "GAN: losses of G", difference(np.array(L)[:, 1], torch_L[:, 1])
    yield (
        "GAN: theta of D",
        difference(D.theta, torch.cat([p.t().ravel() for p in torch_D.parameters()])),
    )
    yield (
        "GAN: theta of G",
        difference(G.theta, torch.cat([p.t().ravel() for p in torch_G.parameters()])),
    )


def torch_gan(G, D, real, z):
    bce, L = nn.BCEWithLogitsLoss(), []
    optimizer_G = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    optimizer_D = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
    for x, (z_D, z_G) in zip(real, z):
        on_real, on_fake = D(x), D(G(z_D).detach())
        loss_D = bce(on_real, torch.full_like(on_real, 0.9)) + bce(
            on_fake, torch.zeros_like(on_fake)
        )
        optimizer_D.zero_grad()
        loss_D.backward()
        optimizer_D.step()

        on_fake = D(G(z_G))
        loss_G = bce(on_fake, torch.ones_like(on_fake))
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
        L.append([loss_D.item(), loss_G.item()])
    return torch.tensor(L, dtype=real.dtype)


def layers_without_a_row():
    have = {
        Layer,
        *(
            type(make(np.random.default_rng(), "float64")[0])
            for make in [*LAYERS.values(), *IMAGES.values()]
        ),
    }
    names = [
        module.name for module in pkgutil.iter_modules(minigan.nn.__path__, prefix="minigan.nn.")
    ]
    values = [value for name in names for value in vars(importlib.import_module(name)).values()]
    return {
        kind.__name__
        for kind in values
        if isinstance(kind, type) and issubclass(kind, Layer) and kind not in have
    }


def main():
    if missing := layers_without_a_row():
        sys.exit(f"layers without a row: {', '.join(missing)}; add them to LAYERS in {__file__}")
    print(f"{'':50}float64 < {LIMITS['float64']:.0e}  float32 < {LIMITS['float32']:.0e}")
    failed, marks = 0, {True: "✓", False: "✗"}
    for section in (
        layers,
        images,
        double_backwards,
        penalties,
        losses,
        adversarial,
        pairs,
        optimizers,
        gan,
    ):
        for (name, error64), (_, error32) in zip(
            section("float64"), section("float32"), strict=True
        ):
            ok64, ok32 = bool(error64 < LIMITS["float64"]), bool(error32 < LIMITS["float32"])
            mark32 = "not checked" if section is gan else marks[ok32]
            print(f"{name:50}{error64:9.1e} {marks[ok64]}      {error32:9.1e} {mark32}", flush=True)
            failed += (not ok64) + (not ok32 and section is not gan)
    sys.exit(f"{failed} of these exceed the limit: minigan and PyTorch disagree" if failed else 0)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # for the marks, wherever the output goes
    torch.set_num_threads(1)
    main()
