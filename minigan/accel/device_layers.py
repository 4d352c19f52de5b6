"""Networks on a device: the layers for which there are kernels take the place of those in nn/.

The idea
    A network for a device has copies of the layers of a network, with the same parameters. Layers
    whose class is a key of DEVICE_LAYERS become the class beside it, which computes the same. It
    does so in fewer kernels, and graph.py can record it. tests/accel/test_device_layers.py holds
    the two together.

>>> import numpy as np
>>> from minigan.nn.dense import Dense
>>> net = Sequential([Dense(2, 3, rng=np.random.default_rng(0))])
>>> device_network(net) is net                               # on NumPy, nothing changes
True
"""

import copy
import math

from minigan.accel.device_batchnorm import DeviceBatchNorm2d
from minigan.accel.device_conv import DeviceConv2d, DeviceConvTranspose2d
from minigan.accel.device_dense import DeviceDense, DeviceProjection
from minigan.accel.device_kernels import has_kernels
from minigan.backend import Array
from minigan.nn.batchnorm import BatchNorm2d
from minigan.nn.conv import Conv2d, ConvTranspose2d
from minigan.nn.dense import Dense
from minigan.nn.layer import Layer
from minigan.nn.projection import Projection
from minigan.nn.sequential import Sequential

DEVICE_LAYERS: dict[type[Layer], type[Layer]] = {
    Conv2d: DeviceConv2d,
    ConvTranspose2d: DeviceConvTranspose2d,
    BatchNorm2d: DeviceBatchNorm2d,
    Dense: DeviceDense,
    Projection: DeviceProjection,
}


class DeviceNetwork(Sequential):
    """A Sequential whose DeviceConv2d layers also have views of [W; b] and [dW; db]."""

    def bind_views(self, theta: Array, buffers: Array) -> None:
        super().bind_views(theta, buffers)
        start = 0
        for layer in self.layers:
            size = sum(math.prod(getattr(layer, name).shape) for name in layer.param_names)
            if type(layer) is DeviceConv2d:
                layer.W_b, layer.dW_b = (
                    vector[start : start + size].reshape(-1, layer.out_channels)
                    for vector in (self.theta, self.dtheta)
                )
            start += size


def device_network(net: Sequential) -> Sequential:
    """A network with the same theta and buffers as net, for the device that they are on; net itself
    if nothing would change.
    """
    if type(net) is not Sequential or not has_kernels(net.theta):
        return net
    if not any(type(layer) in DEVICE_LAYERS for layer in net.layers):
        return net
    found: DeviceNetwork = DeviceNetwork.__new__(DeviceNetwork)
    found.layers = [for_device(layer) for layer in net.layers]
    found.bind_views(net.theta, net.buffers)
    return found


def for_device(layer: Layer) -> Layer:
    """A copy of a layer, of the class in DEVICE_LAYERS if there is one."""
    kind = DEVICE_LAYERS.get(type(layer))
    if not kind:
        return copy.copy(layer)
    found = kind.__new__(kind)
    found.__dict__.update(layer.__dict__)
    return found
