"""Export: the generator of a run for those who do not have minigan.

The idea
    To draw is to run the generator forward, and forward is a row of formulas that others know as
    well. So a run can leave: as a state dict for PyTorch, or as a graph for ONNX, which many
    programs run. (And as a web page that draws by itself: see webpage.py.) The formulas stay the
    same. What differs is in what order their numbers lie:

        W of a Dense layer          here (K, M)          there (M, K)
        W of a convolution          here (k, k, C, F)    there (F, C, k, k)
        W of a transposed one       here (k, k, F, C)    there (C, F, k, k)
        images between layers       here (N, H, W, C)    there (N, C, H, W)

    So W is transposed. And where a Reshape makes images of rows of numbers, or rows of images, a step more
    moves the channels to where they are there. Then the rows hold the same numbers in the same order.

The files
    torch   in the format safetensors: names, shapes and numbers. (PyTorch's own format is a pickle, a small
            program that names PyTorch's classes: only PyTorch should write it.) Beside it stands a
            script, which makes the layers, loads the file, and draws.
    onnx    from `z`, (N, Z), to `images` in [0, 1], (N, height, width), or in colour (N, height, width, 3), for any N.

    Either has the average of the weights, which draws everywhere else, too, in float32. Where a run was
    told labels, z has Z + C numbers: the noise, then a 1 for the class that is wanted, and 0 for the others.

>>> layer = UpSample2D(2)
>>> elsewhere(layer, (7, 7, 64), (14, 14, 64))[0].torch
'nn.Upsample(scale_factor=2)'
"""
from typing import NamedTuple

import numpy as np

from minigan.activations import LeakyReLU, Sigmoid, Tanh
from minigan.batchnorm import BatchNorm
from minigan.conv import Conv2D, ConvTranspose2D
from minigan.dense import Dense
from minigan.drawing import load_networks
from minigan.runs import RunError, class_names, image_shape
from minigan.shapes import AveragePool2D, Reshape, UpSample2D
from minigan.webpage import steps, web_page

SUFFIXES = {"html": ".html", "torch": ".safetensors", "onnx": ".onnx"}


def export(folder, to, out):
    """{path: bytes}, what should be written to take the generator of a run, as one of SUFFIXES, to the path `out`: for torch
    there are two files. Raises RunError if the run cannot be used, or a package for it is missing."""
    settings, recipe, G, D = load_networks(folder)
    try:
        if to == "html":
            return {out: web_page(settings, recipe, G, D)}
        if to == "onnx":
            return {out: onnx_file(settings, recipe, G)}
        return {out: state_dict(settings, recipe, G), out.with_suffix(".py"): loader(settings, recipe, G, out.name)}
    except ImportError as error:
        raise RunError(f"--to {to} needs {error.name.partition('.')[0]}, which is not installed: pip install -e \".[export]\"") from None


class Elsewhere(NamedTuple):
    """What a layer, or half of one, is elsewhere."""

    torch: str
    onnx: str
    attributes: dict  # ONNX's: what PyTorch has in its brackets
    arrays: list = []  # the parameters, then the states, in the order of NAMES: the same for both
    constant: object = None  # one more input, for ONNX


NAMES = "weight", "bias", "running_mean", "running_var"  # PyTorch's


def elsewhere(layer, x, y):
    """[Elsewhere, ...] for a layer that turns shape x into shape y. Raises RunError if none is known."""
    match layer:
        case Dense(W=W, b=b):
            return [Elsewhere(f"nn.Linear{W.shape}", "Gemm", {"transB": 1}, [W.T, b])]
        case LeakyReLU(slope=slope):
            return [Elsewhere(f"nn.LeakyReLU({slope})", "LeakyRelu", {"alpha": slope})]
        case Tanh() | Sigmoid():
            return [Elsewhere(f"nn.{layer}", type(layer).__name__, {})]
        case BatchNorm(gamma=gamma, beta=beta, mean=mean, var=var, eps=eps):
            return [Elsewhere(f"nn.BatchNorm{'2d' if len(x) == 3 else '1d'}({len(mean)}, eps={eps})",
                              "BatchNormalization", {"epsilon": eps}, [gamma, beta, mean, var])]
        case Conv2D(W=W, b=b, size=size, stride=s, padding=p):
            return [Elsewhere(f"nn.Conv2d({layer.n_in}, {layer.n_out}, {size}, {s}, {p})",
                              "Conv", {"strides": s, "pads": p + p}, [W.transpose(3, 2, 0, 1), b])]
        case ConvTranspose2D(W=W, b=b, size=size, stride=s, padding=p, more=more):
            return [Elsewhere(f"nn.ConvTranspose2d({layer.n_in}, {layer.n_out}, {size}, {s}, {p}, {more})", "ConvTranspose",
                              {"strides": s, "pads": p + p, "output_padding": more}, [W.transpose(3, 2, 0, 1), b])]
        case AveragePool2D(k=k):
            return [Elsewhere(f"nn.AvgPool2d({k})", "AveragePool", {"kernel_shape": (k, k), "strides": (k, k)})]
        case UpSample2D(k=k):  # ONNX wants to be told how pixels of the two sizes belong together
            how = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
            return [Elsewhere(f"nn.Upsample(scale_factor={k})", "Resize", how, [], np.array([1, 1, k, k], "float32"))]
        case Reshape():
            to_rows = [Elsewhere("Permute(0, 2, 3, 1)", "Transpose", {"perm": (0, 2, 3, 1)}), Elsewhere("nn.Flatten()", "Flatten", {})]
            to_images = [Elsewhere(f"nn.Unflatten(1, {y})", "Reshape", {}, [], np.array([0, *y])),  # 0: N, as it is
                         Elsewhere("Permute(0, 3, 1, 2)", "Transpose", {"perm": (0, 3, 1, 2)})]
            return to_rows * (len(x) == 3) + to_images * (len(y) == 3)
    raise RunError(f"{layer!r} cannot be exported: minigan/export.py does not say what it is elsewhere")


def parts_of(settings, recipe, G):
    """[Elsewhere, ...] for all layers of G."""
    return [part for step in steps(G, recipe.latent_dim + len(class_names(settings))) for part in elsewhere(*step)]


def state_dict(settings, recipe, G):
    """The bytes of a safetensors file with what PyTorch calls the state of these layers. Raises ImportError."""
    from safetensors.numpy import save  # of the extra `export`

    state = {}
    for i, part in enumerate(parts_of(settings, recipe, G)):
        state |= {f"{i}.{name}": np.ascontiguousarray(a, "float32") for name, a in zip(NAMES, part.arrays)}
        if "BatchNorm" in part.torch:
            state[f"{i}.num_batches_tracked"] = np.array(0)  # it counts its training steps; nothing depends on it
    return save(state)


def loader(settings, recipe, G, name):
    """The script, as bytes, that makes G of PyTorch's layers, loads the file of a given name and draws 100 images."""
    n_classes, parts = len(class_names(settings)), parts_of(settings, recipe, G)
    modules = "".join(("\n    " if part.arrays else " ") + part.torch + "," for part in parts)
    z = "torch.randn(100, {})" if recipe.noise == "normal" else "(2 * torch.rand(100, {}) - 1) * 3 ** 0.5"  # see make_noise in build.py
    permute = '''
class Permute(nn.Module):  # of the axes: minigan's images are (N, H, W, C), PyTorch's (N, C, H, W)
    def __init__(self, *axes):
        super().__init__()
        self.axes = axes

    def forward(self, x):
        return x.permute(self.axes)

'''
    return f"""# The generator of a minigan run in PyTorch. It needs torch and safetensors, and {name} in the folder where it is run.
import torch
from safetensors.torch import load_file
from torch import nn
{permute if "Permute" in modules else ""}
G = nn.Sequential({modules[:-1]})
G.load_state_dict(load_file({name!r}))
G.eval().requires_grad_(False)
z = {z.format(recipe.latent_dim)}{f'''
z = torch.cat([z, torch.eye({n_classes})[torch.arange(100) % {n_classes}]], 1)  # a column for each class, in this order: {', '.join(map(repr, class_names(settings)))}''' if n_classes else ""}
images = {"((G(z) + 1) / 2)" if recipe.low else "G(z)"}.clip(0, 1).reshape({(-1, *image_shape(settings))})
""".encode()


def onnx_file(settings, recipe, G):
    """The bytes of a graph from z to images, of any number N. Raises ImportError."""
    import onnx  # of the extra `export`

    parts, shape = parts_of(settings, recipe, G), image_shape(settings)
    low, width = (np.float32(value) for value in (recipe.low, 1 - recipe.low))
    parts += [Elsewhere("", "Sub", {}, [], low), Elsewhere("", "Div", {}, [], width),  # as unscale in data.py
              Elsewhere("", "Clip", {}, [np.float32(0), np.float32(1)]), Elsewhere("", "Reshape", {}, [], np.array([0, *shape]))]
    nodes, weights, at = [], [], "z"
    for i, part in enumerate(parts):
        arrays = [np.ascontiguousarray(a, "float32") for a in part.arrays] + [part.constant] * (part.constant is not None)
        names = [f"{i}.{name}" for name in (*NAMES[:len(part.arrays)], "constant")[:len(arrays)]]
        weights += [onnx.numpy_helper.from_array(np.asarray(a), name) for name, a in zip(names, arrays)]
        if part.onnx == "Resize":
            names.insert(0, "")  # an input that it does not need
        y = f"y{i}" if i < len(parts) - 1 else "images"
        nodes.append(onnx.helper.make_node(part.onnx, [at, *names], [y], **part.attributes))
        at = y
    def value(name, *shape):
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["N", *shape])
    graph = onnx.helper.make_graph(nodes, "minigan", [value("z", recipe.latent_dim + len(class_names(settings)))], [value("images", *shape)], weights)
    model = onnx.helper.make_model(graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)])  # of 2022
    names = class_names(settings)
    model.doc_string = (f"z: {recipe.latent_dim} numbers of noise, {recipe.noise}, of variance 1"
                        + (f"; then a 1 for the class that is wanted and 0 for the others: {', '.join(map(repr, names))}" if names else "")
                        + f". images: {image_shape(settings)}, in [0, 1]")
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()
