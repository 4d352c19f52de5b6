"""minigan.nn: layers, losses, optimizers and a gradient check, all written out by hand, in NumPy or
CuPy.

>>> import numpy as np
>>> from minigan.nn import Dense, LeakyReLU, Sequential, Adam, bce_with_logits
>>> rng = np.random.default_rng(0)
>>> D = Sequential([Dense(4, 8, rng=rng), LeakyReLU(0.2), Dense(8, 1, rng=rng)])
>>> adam = Adam(D.theta, lr=0.01)
>>> logits, cache = D.forward(np.ones((2, 4), "float32"))
>>> loss, dlogits = bce_with_logits(logits, 1.0)
>>> D.backward(dlogits, cache).shape                # dx; D.dtheta has the gradients of all W and b
(2, 4)
>>> adam.step(D.dtheta)
"""

from minigan.nn.activations import LeakyReLU, ReLU, Sigmoid, Tanh
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.dropout import Dropout
from minigan.nn.ema import ExponentialMovingAverage
from minigan.nn.gradcheck import check_layer, check_loss
from minigan.nn.layer import Layer
from minigan.nn.losses import bce, bce_with_logits
from minigan.nn.maxout import Maxout
from minigan.nn.optim import SGD, Adam
from minigan.nn.pooling import AvgPool2d, Upsample
from minigan.nn.projection import Projection
from minigan.nn.reshape import ConcatLabelMaps, ConcatLabels, Reshape
from minigan.nn.sequential import Sequential
from minigan.nn.spectral_norm import SpectralNorm

__all__ = [
    "Adam",
    "AvgPool2d",
    "BatchNorm2d",
    "ConcatLabelMaps",
    "ConcatLabels",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "ExponentialMovingAverage",
    "Layer",
    "LeakyReLU",
    "Maxout",
    "Projection",
    "ReLU",
    "Reshape",
    "SGD",
    "Sequential",
    "Sigmoid",
    "SpectralNorm",
    "Tanh",
    "Upsample",
    "bce",
    "bce_with_logits",
    "check_layer",
    "check_loss",
]
