"""A recipe in PyTorch, as one writes it there; for the benchmarks."""
import copy

import numpy as np
import torch
from torch import nn

from minigan.build import make_networks


class Largest(nn.Module):
    """Maxout."""

    def __init__(self, k):
        super().__init__()
        self.k = k

    def forward(self, x):
        return x.view(len(x), -1, self.k).amax(2)


MODULES = {  # what PyTorch calls our layers
    "Dense": lambda layer: nn.Linear(*layer.W.shape),
    "LeakyReLU": lambda layer: nn.LeakyReLU(layer.slope) if layer.slope else nn.ReLU(),
    "Tanh": lambda layer: nn.Tanh(),
    "Sigmoid": lambda layer: nn.Sigmoid(),
    "Dropout": lambda layer: nn.Dropout(layer.rate),
    "BatchNorm": lambda layer: nn.BatchNorm2d(len(layer.gamma)),
    "Conv2D": lambda layer: nn.Conv2d(layer.n_in, layer.n_out, layer.size, layer.stride, layer.padding),
    "ConvTranspose2D": lambda layer: nn.ConvTranspose2d(layer.n_in, layer.n_out, layer.size, layer.stride, layer.padding, layer.more),
    "AveragePool2D": lambda layer: nn.AvgPool2d(layer.k),
    "UpSample2D": lambda layer: nn.Upsample(scale_factor=layer.k),
    "Maxout": lambda layer: Largest(layer.k),
    "Reshape": lambda layer: nn.Flatten() if len(layer.shape) == 1 else nn.Unflatten(1, (layer.shape[2], *layer.shape[:2])),
}


def network(net):
    """The same layers in PyTorch, with the same weights where both keep them in the same order."""
    modules = []
    for layer in net.layers:
        module = MODULES[type(layer).__name__](layer)
        for parameter, name in zip(module.parameters(), layer.names):
            array = getattr(layer, name)
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
            parameter.data = torch.tensor(np.ascontiguousarray(array))
        modules.append(module)
    return nn.Sequential(*modules)


class Twin:
    """A recipe's networks, losses, optimizers and average in PyTorch; `lean` switches D's parameters off
    in G's step, `compiled` puts both steps' forward and loss under torch.compile."""

    def __init__(self, recipe, images, device="cpu", lean=False, compiled=False, seed=0):
        if recipe.loss != "non-saturating" or recipe.penalty not in ("", "r1") or recipe.spectral:
            raise ValueError(f"the recipe {recipe.name} has a loss, penalty or normalisation that this twin has not learned")
        torch.manual_seed(seed)
        self.recipe, self.device, self.lean, self.i, self.n = recipe, device, lean, 0, 0
        self.images = torch.from_numpy(images.reshape(len(images), -1).copy()).to(device)
        self.order = torch.randperm(len(images), device=device)
        self.G, self.D = (network(net).to(device) for net in make_networks(recipe, images.shape[1:], np.random.default_rng(seed)))
        self.drawer = copy.deepcopy(self.G)
        self.optimizer_G = self.optimizer(self.G, recipe.learning_rate, recipe.decay_G)
        self.optimizer_D = self.optimizer(self.D, recipe.learning_rate_D or recipe.learning_rate, 0.0)
        bce = nn.BCEWithLogitsLoss()

        def loss_D(real, z, real_target, fake_target):
            fake = self.G(z).detach()
            return bce(self.D(real), real_target) + bce(self.D(fake), fake_target)

        def loss_G(z, target):
            return bce(self.D(self.G(z)), target)
        self.loss_D, self.loss_G = (torch.compile(loss_D), torch.compile(loss_G)) if compiled else (loss_D, loss_G)

    def optimizer(self, net, lr, decay):
        recipe = self.recipe
        if recipe.optimizer == "sgd":
            return torch.optim.SGD(net.parameters(), lr, recipe.momentum[0], fused=True)
        kind = torch.optim.AdamW if decay else torch.optim.Adam
        return kind(net.parameters(), lr, (recipe.beta1, recipe.beta2), weight_decay=decay, fused=True)

    def batch(self):
        N = self.recipe.batch_size
        self.i = (self.i + 1) % (len(self.images) // N)
        if self.i == 0:
            self.order = torch.randperm(len(self.images), device=self.device)
        rows = self.order[self.i * N:(self.i + 1) * N]
        return self.images[rows].float() / (255 / (1 - self.recipe.low)) + self.recipe.low

    def noise(self, n):
        if self.recipe.noise == "uniform":
            return (2 * torch.rand(n, self.recipe.latent_dim, device=self.device) - 1) * 3 ** 0.5
        return torch.randn(n, self.recipe.latent_dim, device=self.device)

    def step(self):
        recipe, real = self.recipe, self.batch()
        n, n_G = len(real), recipe.batch_G or len(real)
        self.optimizer_D.zero_grad()
        self.loss_D(real, self.noise(n), torch.full((n, 1), recipe.real_label, device=self.device),
                    torch.zeros(n, 1, device=self.device)).backward()
        if recipe.penalty and self.n % recipe.penalty_every == 0:
            x = real.clone().requires_grad_()
            g, = torch.autograd.grad(self.D(x).sum(), x, create_graph=True)
            (recipe.penalty_every * recipe.penalty_weight / 2 * g.square().sum(1).mean()).backward()
        self.optimizer_D.step()

        if self.lean:
            self.D.requires_grad_(False)
        self.optimizer_G.zero_grad()
        self.loss_G(self.noise(n_G), torch.ones(n_G, 1, device=self.device)).backward()
        self.optimizer_G.step()
        if self.lean:
            self.D.requires_grad_(True)

        if recipe.average:
            with torch.no_grad():
                weight = 1 - min(recipe.average, (1 + self.n) / (6 + self.n))
                torch._foreach_lerp_(list(self.drawer.parameters()), list(self.G.parameters()), weight)
        self.n += 1

    def draw(self, z):
        """Images in [0, 1] from noise, a NumPy array, as minigan's Game.draw."""
        with torch.no_grad():
            net = self.drawer if self.recipe.average else self.G
            return ((net(torch.from_numpy(z).to(self.device)).cpu().numpy() - self.recipe.low) / (1 - self.recipe.low)).clip(0, 1)
