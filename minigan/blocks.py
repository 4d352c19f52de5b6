"""Blocks: a network of Dense layers on a device, in few kernels.

The idea
    A device is told what to do kernel by kernel, and to start one takes some ten microseconds: longer
    than most of ours need for their arithmetic. Dense, LeakyReLU and Dropout start six on their way
    forward, and five on their way back. On this page they are a block, which starts two, and three.

Forward
    The bias is a row of the matrix. theta holds each W (K, M) and right behind it its b (M,): together
    a matrix (K + 1, M). If x has one column more, of ones, then

        h = [x 1]·[W; b] = xW + b           and backward          [dW; db] = [x 1]ᵀ·dh

    so b and db come with the products. What follows a product is number by number, so it is one kernel,
    which writes its y to where the next product looks for its x:

        y = dropout(activation(h))

Backward
    dy is the product dh·Wᵀ of the block above. From it, in one kernel,

        dh = f'(h) * mask * dy

    which is written over h, needed no more. Where the block above has a single output, as D's last, its
    product is number by number, and part of the kernel. The mask is not kept, but made again of the
    random bits. (Dropout leaves y its sign, which is all that LeakyReLU's backward wants to know.)

Shapes
    W and dW (K + 1, M), x (R, K + 1), h and y (R, M), for R examples. All have their place in memory
    from the start.

>>> import numpy as np
>>> from minigan.gan import make_discriminator
>>> D = make_discriminator(3, [4], np.random.default_rng(0), dropout=0.5)
>>> layers_of(D)
[[Dense(3, 4), LeakyReLU(0.2), Dropout(0.5)], [Dense(4, 1), None, None]]
>>> x = np.random.default_rng(1).standard_normal((5, 3), dtype="float32")
>>> found = blocks(D, np.concatenate([x, np.ones((5, 1), "float32")], axis=1))
>>> forward(found)                                  # without bits, nothing is dropped
>>> bool(np.allclose(found[-1].h, D.forward(x)[0], atol=1e-6))
True
"""
import copy

from minigan.activations import LeakyReLU, Tanh, leaky, leaky_backward, tanh_backward
from minigan.backend import array_module, fused
from minigan.dense import Dense
from minigan.dropout import Dropout, drop


def layers_of(net):
    """[[Dense, activation or None, Dropout or None], ...] of a network's layers; [] if there are others, or in another order."""
    found = []
    for layer in net.layers:
        if type(layer) is Dense:
            found.append([layer, None, None])
        elif type(layer) in (LeakyReLU, Tanh) and found and found[-1][1:] == [None, None]:
            found[-1][1] = layer
        elif type(layer) is Dropout and found and type(found[-1][1]) is LeakyReLU and not found[-1][2]:
            found[-1][2] = layer if layer.rate else None
        else:
            return []
    return found


class Block:
    """A product and what follows it: x (R, K + 1) and y (R, M) are where it reads and writes; W and dW (K + 1, M)."""

    def __init__(self, W, dW, x, y, n_below, activation, dropout):
        self.W, self.dW, self.x, self.y, self.dropout = W, dW, x, y, dropout
        self.W_down, self.h = W[:n_below].T, array_module(W).zeros((len(x), W.shape[1]), W.dtype)
        self.bend, self.unbend = (bend_tanh, unbend_tanh) if type(activation) is Tanh else (bend, unbend)
        self.constants = (activation.slope,) if type(activation) is LeakyReLU else ()
        self.product = array_module(W).matmul

    def of(self, rows):
        """The same, for some of its examples."""
        part = copy.copy(self)
        part.x, part.h, part.y = (a if a is None else a[rows] for a in (self.x, self.h, self.y))
        return part


def blocks(net, x, n_below=0, y=None):
    """The Blocks of a network that reads x, of which n_below columns are the y of another network, and writes y at its end."""
    found, start, parts = [], 0, layers_of(net)
    for dense, *others in parts:
        (K, M), last = dense.W.shape, len(found) == len(parts) - 1
        W, dW = (vector[start:start + (K + 1) * M].reshape(K + 1, M) for vector in (net.theta, net.dtheta))
        behind = None if last else array_module(x).ones((len(x), M + 1), x.dtype)
        found.append(Block(W, dW, x, y if last else behind[:, :M], n_below, *others))
        x, n_below, start = behind, M, start + (K + 1) * M
    return found


def forward(blocks):
    """From the x of the first block to the y of the last, or its h if there is no y."""
    for block in blocks:
        block.product(block.x, block.W, out=block.h)
        if block.y is not None:
            block.bend(block.y, block.h, *block.constants)


def backward(blocks, learning=True):
    """From the dh of the last block to that of the first; and if they are learning, every dW and db."""
    for block, below in zip(reversed(blocks), [*blocks[-2::-1], None]):
        if learning:
            block.product(block.x.T, block.h, out=block.dW)
        if below:
            hand_down(block, below)


def hand_down(block, below):
    """From the dh of a block to that of the one below, whose y is in this one's x."""
    dy, w = block.h, block.W_down
    if len(w) > 1:
        block.product(dy, w, out=below.h)
        dy, w = below.h, 1.0
    below.unbend(below.h, dy, w, below.y, *below.constants)


@fused
def bend(y, h, slope, *bits):
    """y = dropout(LeakyReLU(h))."""
    y[...] = drop(leaky(h, slope), *bits)[0] if bits else leaky(h, slope)


@fused
def unbend(h, dy, w, y, slope, *bits):
    """Its backward, for w dy, written over h."""
    h[...] = leaky_backward(drop(dy * w, *bits)[0] if bits else dy * w, y, slope)


@fused
def bend_tanh(y, h):
    """y = tanh(h)."""
    y[...] = array_module(h).tanh(h)


@fused
def unbend_tanh(h, dy, w, y):
    """Its backward."""
    h[...] = tanh_backward(dy * w, y)
