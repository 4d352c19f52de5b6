"""Export to PyTorch: a safetensors file, and a script that loads it.

The idea
    A safetensors file holds only names, shapes and numbers. (PyTorch's own format is a pickle, a
    program that refers to PyTorch's classes, so only PyTorch should write it.) The script makes the
    layers, loads the file, and generates images.
"""

import json

import numpy as np

from minigan.export.formats import PARAMETER_NAMES, exported_operations
from minigan.gan.recipes import Recipe
from minigan.nn.sequential import Sequential
from minigan.training.run_folder import class_names

PERMUTE = """
class Permute(nn.Module):  # minigan's images are (N, H, W, C), PyTorch's (N, C, H, W)
    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(self.axes)

"""


def state_dict(settings: dict, recipe: Recipe, G: Sequential) -> bytes:
    """A safetensors file with the state dict of the equivalent PyTorch layers.

    The shares of the clusters, if there are any, are in its metadata.

    Raises ImportError without safetensors, and RunError if a layer cannot be exported.
    """
    from safetensors.numpy import save  # installed by the extra `export`

    state = {}
    for i, operation in enumerate(exported_operations(G, recipe.latent_dim)):
        for name, array in zip(PARAMETER_NAMES, operation.arrays):
            state[f"{i}.{name}"] = np.ascontiguousarray(array, "float32")
        if "nn.BatchNorm" in operation.torch:
            # PyTorch expects its count of training steps, which has no effect here
            state[f"{i}.num_batches_tracked"] = np.array(0)
    return save(state, {"shares": json.dumps(settings["shares"])} if recipe.clusters else None)


def loader_script(settings: dict, recipe: Recipe, G: Sequential, name: str) -> bytes:
    """A script that makes G in PyTorch, loads the file `name`, and generates 100 images."""
    modules = ""
    for operation in exported_operations(G, recipe.latent_dim):
        is_long = len(modules.rpartition("\n")[2]) + len(operation.torch) > 97
        modules += ("\n    " if operation.arrays or is_long else " ") + operation.torch + ","
    z = f"torch.randn(100, {recipe.latent_dim})"
    if recipe.noise == "uniform":
        z = f"(2 * torch.rand(100, {recipe.latent_dim}) - 1) * 3 ** 0.5"
    halves = ""
    if recipe.noise == "half-binary":
        half = recipe.latent_dim // 2
        halves = f"\nz[:, {half}:] = 1 - 2 * (z[:, {half}:] < 0).float()"
    imports = "import torch\nfrom safetensors.torch import load_file\nfrom torch import nn"
    labels, names = "", class_names(settings)
    if names:
        labels = (
            f"\nz = torch.cat([z, torch.eye({len(names)})[torch.arange(100) % {len(names)}]], 1)"
            f"  # one column per class: {', '.join(map(repr, names))}"
        )
    elif recipe.clusters:
        imports = f"import json\n\n{imports}\nfrom safetensors import safe_open"
        labels = f"""
# one column per cluster of similar training images, chosen as often as in training
with safe_open({name!r}, "pt") as file:
    shares = torch.tensor(json.loads(file.metadata()["shares"]))
z = torch.cat([z, torch.eye(len(shares))[shares.multinomial(100, replacement=True)]], 1)"""
    images = "((G(z) + 1) / 2)" if recipe.pixel_min else "G(z)"
    return f"""# The generator of a minigan run in PyTorch.
# Needs torch and safetensors, and {name} in the current folder.
{imports}
{PERMUTE if "Permute" in modules else ""}
G = nn.Sequential({modules[:-1]})
G.load_state_dict(load_file({name!r}))
G.eval().requires_grad_(False)
z = {z}{halves}{labels}
images = {images}.clip(0, 1)
""".encode()
