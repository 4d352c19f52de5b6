"""A recipe in PyTorch, as one writes it there; for the benchmarks."""
import torch
from torch import nn


class Twin:
    """The same networks, losses, optimizer and average; `lean` switches D's parameters off in G's
    step, `compiled` puts both steps' forward and loss under torch.compile."""

    def __init__(self, recipe, images, device="cpu", lean=False, compiled=False, seed=0):
        torch.manual_seed(seed)
        self.recipe, self.device, self.lean, self.i, self.n = recipe, device, lean, 0, 0
        self.images = torch.from_numpy(images.reshape(len(images), -1).copy()).to(device)
        self.order = torch.randperm(len(images), device=device)

        def network(sizes, slope, dropout, *last):
            layers = []
            for n_in, n_out in zip(sizes, sizes[1:]):
                layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(slope) if slope else nn.ReLU()]
                layers += [nn.Dropout(dropout)] if dropout else []
            net = nn.Sequential(*layers, nn.Linear(sizes[-1], last[0]), *last[1:]).to(device)
            if recipe.rule == "glorot":
                for layer in net:
                    if isinstance(layer, nn.Linear):
                        nn.init.xavier_uniform_(layer.weight)
                        nn.init.zeros_(layer.bias)
            return net
        sizes_G, sizes_D = [recipe.latent_dim, *recipe.widths_G], [self.images.shape[1], *recipe.widths_D]
        self.G = network(sizes_G, recipe.slope_G, 0, self.images.shape[1], nn.Tanh())
        self.drawer = network(sizes_G, recipe.slope_G, 0, self.images.shape[1], nn.Tanh())
        self.D = network(sizes_D, recipe.slope_D, recipe.dropout, 1)
        self.optimizer_G, self.optimizer_D = (
            torch.optim.AdamW(net.parameters(), recipe.learning_rate, (recipe.beta1, recipe.beta2), weight_decay=decay, fused=True)
            if decay else torch.optim.Adam(net.parameters(), recipe.learning_rate, (recipe.beta1, recipe.beta2), fused=True)
            for net, decay in ((self.G, recipe.decay_G), (self.D, 0.0)))
        bce = nn.BCEWithLogitsLoss()

        def loss_D(real, z, real_target, fake_target):
            fake = self.G(z).detach()
            return bce(self.D(real), real_target) + bce(self.D(fake), fake_target)

        def loss_G(z, target):
            return bce(self.D(self.G(z)), target)
        self.loss_D, self.loss_G = (torch.compile(loss_D), torch.compile(loss_G)) if compiled else (loss_D, loss_G)

    def batch(self):
        N = self.recipe.batch_size
        self.i = (self.i + 1) % (len(self.images) // N)
        if self.i == 0:
            self.order = torch.randperm(len(self.images), device=self.device)
        return self.images[self.order[self.i * N:(self.i + 1) * N]].float() / 127.5 - 1

    def step(self):
        recipe, real = self.recipe, self.batch()
        n, n_G = len(real), recipe.batch_G or len(real)
        self.optimizer_D.zero_grad()
        self.loss_D(real, torch.randn(n, recipe.latent_dim, device=self.device),
                    torch.full((n, 1), recipe.real_label, device=self.device), torch.zeros(n, 1, device=self.device)).backward()
        self.optimizer_D.step()

        if self.lean:
            self.D.requires_grad_(False)
        self.optimizer_G.zero_grad()
        self.loss_G(torch.randn(n_G, recipe.latent_dim, device=self.device), torch.ones(n_G, 1, device=self.device)).backward()
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
            return (net(torch.from_numpy(z).to(self.device)).cpu().numpy() + 1) / 2
