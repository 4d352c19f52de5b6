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


class ConcatLabels(nn.Module):
    """The numbers of x, followed by one-hot labels."""

    takes_labels = True

    def forward(self, x, labels):
        return torch.cat([x.flatten(1), labels], 1)


class Projection(nn.Module):
    """The logit of nn/projection.py."""

    takes_labels = True

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, n_features))
        self.bias = nn.Parameter(torch.empty(1))
        self.embedding = nn.Parameter(torch.empty(n_features, n_classes))

    def forward(self, x, labels):
        return (x * (labels @ self.embedding.T + self.weight)).sum(1, keepdim=True) + self.bias


class Network(nn.Sequential):
    """A chain of modules, some of which also take the labels."""

    def forward(self, x, labels=None):
        for module in self:
            x = module(x, labels) if getattr(module, "takes_labels", False) else module(x)
        return x


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
    "ConcatLabels": lambda layer: ConcatLabels(),
    "Projection": lambda layer: Projection(len(layer.W), layer.n_classes),
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
    return Network(*modules)


class Twin:
    """The networks, losses, optimizers and average of a recipe in PyTorch, for greyscale images.

    `lean` switches off the gradients of D's parameters in G's step; `compiled` compiles the forward
    and the loss of both steps with torch.compile, in that mode if it is a text. With labels (n,),
    both networks take the label of each image.
    """

    capturable = False

    def __init__(
        self,
        recipe: Recipe,
        images: np.ndarray,
        *,
        device: str = "cpu",
        lean: bool = False,
        compiled: bool | str = False,
        labels: np.ndarray | None = None,
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
        n_classes = 0 if labels is None else int(labels.max()) + 1
        networks = make_networks(
            recipe, images.shape[1:], n_classes=n_classes, rng=np.random.default_rng(seed)
        )
        self.labels = None if labels is None else torch.from_numpy(labels).to(device).long()
        self.one_hot = torch.eye(n_classes, device=device)
        self.compiled = compiled
        self.targets: dict[tuple, torch.Tensor] = {}
        self.G, self.D = (network(net).to(device) for net in networks)
        self.G_ema = copy.deepcopy(self.G)
        self.optimizer_G = self.optimizer(self.G, recipe.learning_rate, recipe.weight_decay_G)
        self.optimizer_D = self.optimizer(
            self.D, recipe.learning_rate_D or recipe.learning_rate, 0.0
        )
        bce, shared = nn.BCEWithLogitsLoss(), recipe.shared_fakes

        # x holds the fakes if both steps share them, and latents otherwise
        def loss_D(real, x, labels, real_target, fake_target):
            fake = (x if shared else self.G(x, labels)).detach()
            return bce(self.D(real, labels), real_target) + bce(self.D(fake, labels), fake_target)

        def loss_G(x, labels, target):
            return bce(self.D(x if shared else self.G(x, labels), labels), target)

        # the shapes never change; PyTorch 2.11 fails to compile `default` for shapes that may
        options = dict(mode=compiled if isinstance(compiled, str) else None, dynamic=False)
        self.generate_fakes, self.loss_D, self.loss_G = (
            torch.compile(function, **options) if compiled else function
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
        options: dict[str, Any] = dict(fused=True, capturable=self.capturable)
        return kind(parameters, lr, betas, weight_decay=weight_decay, **options)

    def next_indices(self) -> torch.Tensor:
        """The positions of the next N real images."""
        N = self.recipe.batch_size
        self.batch_index = (self.batch_index + 1) % (len(self.images) // N)
        if self.batch_index == 0:
            self.order = torch.randperm(len(self.images), device=self.device)
        return self.order[self.batch_index * N : (self.batch_index + 1) * N]

    def target(self, n: int, value: float) -> torch.Tensor:
        """n targets, made once."""
        if (n, value) not in self.targets:
            self.targets[n, value] = torch.full((n, 1), value, device=self.device)
        return self.targets[n, value]

    def penalty_is_due(self) -> bool:
        """Whether this step has a penalty."""
        return bool(self.recipe.penalty) and self.t % self.recipe.penalty_every == 0

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
        if self.compiled:
            torch.compiler.cudagraph_mark_step_begin()
        self.compute(self.next_indices(), self.penalty_is_due())
        self.t += 1

    def compute(self, indices: torch.Tensor, penalised: bool) -> None:
        """Everything that a training step does on the device."""
        recipe, pixel_min = self.recipe, self.recipe.pixel_min
        real = self.images[indices].float() / (255 / (1 - pixel_min)) + pixel_min
        labels = None if self.labels is None else self.one_hot[self.labels[indices]]
        n, n_G = len(real), recipe.batch_size_G or len(real)
        labels_G = labels
        if labels is not None and n_G != n:
            labels_G = labels.repeat(-(-n_G // n), 1)[:n_G]
        x = self.sample_latents(n)
        if recipe.shared_fakes:
            x = self.generate_fakes(x, labels)
        self.optimizer_D.zero_grad()
        targets = self.target(n, recipe.real_label), self.target(n, 0.0)
        self.loss_D(real, x, labels, *targets).backward()
        if penalised:
            inputs = real.clone().requires_grad_()
            (g,) = torch.autograd.grad(self.D(inputs, labels).sum(), inputs, create_graph=True)
            weight = recipe.penalty_every * recipe.penalty_weight
            (weight / 2 * g.square().flatten(1).sum(1).mean()).backward()
        self.optimizer_D.step()

        if self.lean:
            self.D.requires_grad_(False)
        self.optimizer_G.zero_grad()
        x = x if recipe.shared_fakes else self.sample_latents(n_G)
        self.loss_G(x, labels_G, self.target(n_G, 1.0)).backward()
        self.optimizer_G.step()
        if self.lean:
            self.D.requires_grad_(True)

        if recipe.ema_decay:
            weight = 1 - min(recipe.ema_decay, (1 + self.t) / (6 + self.t))
            averages, parameters = list(self.G_ema.parameters()), list(self.G.parameters())
            with torch.no_grad():
                torch._foreach_lerp_(averages, parameters, weight)

    def generate(self, z: np.ndarray) -> np.ndarray:
        """Images (n, H, W) in [0, 1] from latents (n, Z), both on the host."""
        net = self.G_ema if self.recipe.ema_decay else self.G
        with torch.no_grad():
            x = net(torch.from_numpy(z).to(self.device)).cpu().numpy()
        return ((x - self.recipe.pixel_min) / (1 - self.recipe.pixel_min)).clip(0, 1)


class TwinGraph(Twin):
    """The lean Twin with the whole step recorded as a CUDA graph: one with the penalty and one
    without.

    The weight of the average remains that of the recorded step.
    """

    capturable = True

    def __init__(self, recipe: Recipe, images: np.ndarray, **options: Any):
        super().__init__(recipe, images, lean=True, **options)
        self.indices = self.order[: recipe.batch_size].clone()
        self.graphs: dict[bool, Any] = {}

    def train_step(self) -> None:
        """One training step."""
        penalised = self.penalty_is_due()
        if penalised not in self.graphs:
            self.graphs[penalised] = self.record(penalised)
        self.indices.copy_(self.next_indices())
        self.graphs[penalised].replay()
        self.t += 1

    def record(self, penalised: bool) -> Any:
        """The graph of a step, after three steps on a stream of their own, as PyTorch's manual
        ("CUDA graphs, whole-network capture") says.
        """
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.compute(self.indices, penalised)
        torch.cuda.current_stream().wait_stream(stream)
        for optimizer in self.optimizer_G, self.optimizer_D:
            optimizer.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.compute(self.indices, penalised)
        return graph
