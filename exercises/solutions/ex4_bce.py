"""Exercise 4, solved.

-log(1 - p) = log(1 + e^z) = softplus(z), and -log(p) = log(1 + e^-z) = softplus(z) - z. So the price is
softplus(z) - t z. Where z > 0, e^z is taken out of the logarithm: log(1 + e^z) = z + log(1 + e^-z). For
both signs that is max(z, 0) + log(1 + e^-|z|). `log1p(e)` is log(1 + e) for an e so small that 1 + e would be 1.

The slope of softplus is e^z / (1 + e^z), the sigmoid. So dz = (sigmoid(z) - t) / N.
"""
import numpy as np


def bce_on_logits(z, t):
    e = np.exp(-abs(z))
    price = np.maximum(z, 0) + np.log1p(e) - t * z
    p = np.where(z > 0, 1, e) / (1 + e)
    return price.mean(), (p - t) / z.size
