"""docs/frameworks.md: every piece of code in the column of minigan runs.

Those of PyTorch run where it is installed, which is not needed for minigan.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import minigan
from minigan import nn
from minigan.gan.losses import GAN_LOSSES
from minigan.nn.activations import sigmoid

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "frameworks.md").read_text(encoding="utf-8")
RNG = np.random.default_rng(0)


def rows():
    """(section, [cells]) of each row of a table."""
    section = ""
    for line in TEXT.splitlines():
        section = line[3:] if line.startswith("## ") else section
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        if line.startswith("| ") and not cells[0].startswith("minigan"):
            yield section, cells


def code(cell):
    """The pieces of code in a cell that are complete: not the names of functions in prose."""
    return [span for span in re.findall(r"`([^`]+)`", cell) if re.search(r"[(=.]", span)]


def minigan_names():
    rng = np.random.default_rng(0)
    G = nn.Sequential([nn.Dense(4, 784, rng=rng), nn.Tanh(), nn.Reshape(28, 28)])
    D = nn.Sequential([nn.Reshape(784), nn.Dense(784, 1, rng=rng)])
    net, x = nn.Sequential([nn.Dense(3, 2, rng=rng)]), np.ones((5, 3), "float32")
    y, cache = net.forward(x)
    z = np.ones((10, 4), "float32")
    a, cache_D = D.forward(G.forward(z)[0])
    images = rng.integers(0, 256, (130, 28, 28), dtype=np.uint8)
    return {
        **{name: getattr(nn, name) for name in nn.__all__},
        **dict(G=G, D=D, net=net, x=x, y=y, cache=cache, z=z, a=a, cache_D=cache_D, rng=rng),
        **dict(dy=np.ones_like(y), da=np.ones_like(a), t=np.ones_like(a), images=images),
        **dict(optimizer=nn.SGD(net.theta, lr=0.1), average=net.theta.copy(), np=np),
        **dict(minigan=minigan, batches=minigan.batches, sigmoid=sigmoid, GAN_LOSSES=GAN_LOSSES),
    }


def test_the_tables_are_complete():
    sections = {section for section, _ in rows()}
    assert len(sections) == 5 and len(list(rows())) > 35
    text = " ".join(cells[0] for section, cells in rows() if section == "Layers")
    layers = {name for name in nn.__all__ if issubclass_of(getattr(nn, name), nn.Layer)}
    ours = {"Layer", "Maxout", "Projection", "ConcatLabels", "ConcatLabelMaps"}  # no one else's
    assert {name for name in layers if f"{name}(" not in text} == ours
    for section, cells in rows():
        assert len(cells) == (3 if section == "A network as a whole" else 4), cells


def issubclass_of(thing, kind):
    """Whether a thing is a subclass of `kind`."""
    return isinstance(thing, type) and issubclass(thing, kind)


@pytest.mark.parametrize("cells", [c for _, c in rows() if code(c[0])], ids=lambda c: c[0][:40])
def test_the_code_of_minigan_runs(cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = minigan_names()
    np.savez("net.npz", theta=names["net"].theta)
    for piece in code(cells[0]):
        if piece.startswith("python ") or "cupy" in piece:
            continue  # test_readme.py runs the commands
        if piece.startswith("minigan.GAN"):
            piece = piece.replace("D=D)", "D=D, epochs=1)")
        exec(piece, names)


@pytest.mark.parametrize("cells", [c for _, c in rows() if code(c[1])], ids=lambda c: c[1][:40])
def test_the_code_of_pytorch_runs(cells, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    DataLoader = torch.utils.data.DataLoader
    monkeypatch.chdir(tmp_path)
    net = torch.nn.Linear(3, 2)
    x = torch.ones(5, 3, requires_grad=True)
    names = dict(torch=torch, nn=torch.nn, optim=torch.optim, F=torch.nn.functional, net=net, x=x)
    names |= dict(y=net(x), dy=torch.ones(5, 2), D=net, G=net, z=x, DataLoader=DataLoader)
    names |= dict(a=torch.zeros(4, 1), t=torch.ones(4, 1), images=torch.zeros(40, 2, 2))
    names["optimizer"] = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.save(net.state_dict(), "net.pt")
    for piece in code(cells[1]):
        if not any(
            word in piece for word in ("p in net", "p.grad", "cuda", "torch.nn", "torch.optim")
        ):
            exec(piece, names)


def test_the_losses_of_the_table_agree():
    """The formula, minigan's functions and their derivatives by central differences."""
    a, t = RNG.standard_normal((6, 1)), np.array([[0.0], [1.0]] * 3)
    L, da = nn.bce_with_logits(a, t)
    np.testing.assert_allclose(L, (np.log1p(np.exp(a)) - t * a).mean())
    np.testing.assert_allclose(da, (1 / (1 + np.exp(-a)) - t) / 6)
    L, da = GAN_LOSSES["hinge"].discriminator_loss(a, t)
    s = 2 * t - 1
    np.testing.assert_allclose(L, np.maximum(0, 1 - s * a))
    np.testing.assert_allclose(da, np.where(s * a < 1, -s, 0))
