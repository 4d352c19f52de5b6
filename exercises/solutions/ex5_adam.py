"""Exercise 5, solved.

m, v and t are kept from step to step; m^ and v^ are computed anew in each. In the first step m^ = g
and v^ = g², so theta changes by lr g / (|g| + eps): almost exactly by lr, whatever the size of g,
unless |g| is as small as eps.
"""

import numpy as np


class Adam:
    def __init__(self, theta, lr=1e-3, *, beta1=0.9, beta2=0.999, eps=1e-8):
        self.theta, self.lr, self.beta1, self.beta2, self.eps = theta, lr, beta1, beta2, eps
        self.m, self.v, self.t = np.zeros_like(theta), np.zeros_like(theta), 0

    def step(self, dtheta):
        self.t += 1
        self.m = self.beta1 * self.m + (1 - self.beta1) * dtheta
        self.v = self.beta2 * self.v + (1 - self.beta2) * dtheta**2
        m_hat = self.m / (1 - self.beta1**self.t)
        v_hat = self.v / (1 - self.beta2**self.t)
        self.theta -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)
