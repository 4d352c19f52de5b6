"""Dense and Projection on a device: the layers of nn/, with products that graph.py can record.

>>> import numpy as np
>>> layer = DeviceDense(2, 3, rng=np.random.default_rng(0))
>>> x = np.ones((4, 2), "float32")
>>> bool((layer.forward(x)[0] == Dense.forward(layer, x)[0]).all())
True
"""

from minigan.accel.device_kernels import matmul
from minigan.nn.dense import Dense
from minigan.nn.layer import check_ddx, check_dy
from minigan.nn.projection import Projection


class DeviceDense(Dense):
    """Dense on a device."""

    splittable = True

    def forward(self, x, *, train=False, rng=None):
        self.check_x(x)
        y = matmul(x, self.W)
        y += self.b
        return y, x

    def backward(self, dy, cache, *, need_dx=True, need_dparams=True):
        x = cache
        check_dy(self, dy, (x.shape[0], self.W.shape[1]))
        if need_dparams:
            matmul(x.T, dy, out=self.dW)
            dy.sum(axis=0, out=self.db)
        return matmul(dy, self.W.T) if need_dx else None

    def double_backward(self, ddx, dy, cache):
        check_ddx(self, ddx, cache.shape)
        matmul(ddx.T, dy, out=self.dW)
        self.db[...] = 0
        return matmul(ddx, self.W), None


class DeviceProjection(Projection):
    """Projection on a device."""

    splittable = True

    def vectors(self, labels):
        V = matmul(labels, self.E)
        V += self.W.T
        return V

    def write_gradients(self, dV, labels):
        dV.sum(axis=0, out=self.dW[:, 0])
        matmul(labels.T, dV, out=self.dE)
