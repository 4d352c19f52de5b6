"""A recipe in PyTorch, written as is usual in PyTorch; for the benchmarks."""

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from minigan.gan.models import make_networks
from minigan.gan.recipes import Recipe
from minigan.nn.sequential import Sequential


class Maxout(nn.Module):
    """The largest of each k neighbouring numbers."""

    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x):
        return x.view(len(x), -1, self.k).amax(2)


class Reshape(nn.Module):
    """x (N, ...) -> (N, *shape), where an image shape (H, W, C) becomes (C, H, W)."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        if len(self.shape) == 3:  # H, W, C: the next layer is a convolution
            height, width, channels = self.shape
            if x.dim() == 3:  # an image, without an axis of channels
                return x.unsqueeze(1)
            return x.reshape(len(x), channels, height, width)
        return x.reshape(len(x), *self.shape)


MODULES = {  # our layers in PyTorch
    "Dense": lambda layer: nn.Linear(*layer.W.shape),
    "LeakyReLU": lambda layer: (
        nn.LeakyReLU(layer.negative_slope) if layer.negative_slope else nn.ReLU()
    ),
    "Tanh": lambda layer: nn.Tanh(),
    "Sigmoid": lambda layer: nn.Sigmoid(),
    "Dropout": lambda layer: nn.Dropout(layer.p),
    "BatchNorm2d": lambda layer: nn.BatchNorm2d(len(layer.gamma)),
    "Conv2d": lambda layer: nn.Conv2d(
        layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding
    ),
    "ConvTranspose2d": lambda layer: nn.ConvTranspose2d(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.output_padding,
    ),
    "AvgPool2d": lambda layer: nn.AvgPool2d(layer.kernel_size),
    "Upsample": lambda layer: nn.Upsample(scale_factor=layer.scale_factor),
    "Maxout": lambda layer: Maxout(layer.pieces),
    "Reshape": lambda layer: Reshape(layer.shape),
}


def network(net: Sequential) -> nn.Sequential:
    """The same layers in PyTorch, with the same weights where both store them in the same order."""
    modules = []
    for layer in net.layers:
        module = MODULES[type(layer).__name__](layer)
        for parameter, name in zip(module.parameters(), layer.param_names):
            array = getattr(layer, name)
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            parameter.data = torch.tensor(np.ascontiguousarray(array))
        modules.append(module)
    return nn.Sequential(*modules)


class Twin:
    """The networks, losses, optimizers and average of a recipe in PyTorch, for greyscale images.

    `lean` switches off the gradients of D's parameters in G's step; `compiled` compiles the forward
    and the loss of both steps with torch.compile.
    """

    def __init__(
        self,
        recipe: Recipe,
        images: np.ndarray,
        *,
        device: str = "cpu",
        lean: bool = False,
        compiled: bool = False,
        seed: int = 0,
    ):
        if recipe.loss != "non-saturating" or recipe.penalty not in ("", "r1") or recipe.spectral:
            raise ValueError(
                f"the recipe {recipe.name} has a loss, penalty or normalisation that the PyTorch"
                " twin does not have"
            )
        torch.manual_seed(seed)
        self.recipe, self.device, self.lean, self.batch_index, self.t = recipe, device, lean, 0, 0
        self.images = torch.from_numpy(images.copy()).to(device)
        self.order = torch.randperm(len(images), device=device)
        networks = make_networks(recipe, images.shape[1:], rng=np.random.default_rng(seed))
        self.G, self.D = (network(net).to(device) for net in networks)
        self.G_ema = copy.deepcopy(self.G)
        self.optimizer_G = self.optimizer(self.G, recipe.learning_rate, recipe.weight_decay_G)
        self.optimizer_D = self.optimizer(
            self.D, recipe.learning_rate_D or recipe.learning_rate, 0.0
        )
        bce, shared = nn.BCEWithLogitsLoss(), recipe.shared_fakes

        # x holds the fakes if both steps share them, and latents otherwise
        def loss_D(real, x, real_target, fake_target):
            fake = (x if shared else self.G(x)).detach()
            return bce(self.D(real), real_target) + bce(self.D(fake), fake_target)

        def loss_G(x, target):
            return bce(self.D(x if shared else self.G(x)), target)

        self.generate_fakes, self.loss_D, self.loss_G = (
            torch.compile(function) if compiled else function
            for function in (self.G, loss_D, loss_G)
        )

    def optimizer(self, net: nn.Module, lr: float, weight_decay: float) -> Any:
        """The recipe's optimizer, in PyTorch's fused form."""
        recipe, parameters = self.recipe, net.parameters()
        if recipe.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr, recipe.momentum[0], fused=True)
        kind, betas = (
            torch.optim.AdamW if weight_decay else torch.optim.Adam,
            (
                recipe.beta1,
                recipe.beta2,
            ),
        )
        return kind(parameters, lr, betas, weight_decay=weight_decay, fused=True)

    def next_batch(self) -> torch.Tensor:
        """The next N real images, scaled."""
        N, pixel_min = self.recipe.batch_size, self.recipe.pixel_min
        self.batch_index = (self.batch_index + 1) % (len(self.images) // N)
        if self.batch_index == 0:
            self.order = torch.randperm(len(self.images), device=self.device)
        indices = self.order[self.batch_index * N : (self.batch_index + 1) * N]
        return self.images[indices].float() / (255 / (1 - pixel_min)) + pixel_min

    def sample_latents(self, n: int) -> torch.Tensor:
        """n latents."""
        shape = n, self.recipe.latent_dim
        if self.recipe.noise == "uniform":
            return (2 * torch.rand(shape, device=self.device) - 1) * 3**0.5
        z = torch.randn(shape, device=self.device)
        if self.recipe.noise == "half-binary":
            z[:, self.recipe.latent_dim // 2 :].sign_()
        return z

    def train_step(self) -> None:
        """One training step."""
        recipe, real = self.recipe, self.next_batch()
        n, n_G = len(real), recipe.batch_size_G or len(real)
        real_target = torch.full((n, 1), recipe.real_label, device=self.device)
        fake_target = torch.zeros(n, 1, device=self.device)
        x = self.sample_latents(n)
        if recipe.shared_fakes:
            x = self.generate_fakes(x)
        self.optimizer_D.zero_grad()
        self.loss_D(real, x, real_target, fake_target).backward()
        if recipe.penalty and self.t % recipe.penalty_every == 0:
            inputs = real.clone().requires_grad_()
            (g,) = torch.autograd.grad(self.D(inputs).sum(), inputs, create_graph=True)
            weight = recipe.penalty_every * recipe.penalty_weight
            (weight / 2 * g.square().flatten(1).sum(1).mean()).backward()
        self.optimizer_D.step()

        if self.lean:
            self.D.requires_grad_(False)
        self.optimizer_G.zero_grad()
        target = torch.ones(n_G, 1, device=self.device)
        self.loss_G(x if recipe.shared_fakes else self.sample_latents(n_G), target).backward()
        self.optimizer_G.step()
        if self.lean:
            self.D.requires_grad_(True)

        if recipe.ema_decay:
            weight = 1 - min(recipe.ema_decay, (1 + self.t) / (6 + self.t))
            averages, parameters = list(self.G_ema.parameters()), list(self.G.parameters())
            with torch.no_grad():
                torch._foreach_lerp_(averages, parameters, weight)
        self.t += 1

    def generate(self, z: np.ndarray) -> np.ndarray:
        """Images (n, H, W) in [0, 1] from latents (n, Z), both on the host."""
        net = self.G_ema if self.recipe.ema_decay else self.G
        with torch.no_grad():
            x = net(torch.from_numpy(z).to(self.device)).cpu().numpy()
        return ((x - self.recipe.pixel_min) / (1 - self.recipe.pixel_min)).clip(0, 1)
