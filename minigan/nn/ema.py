"""Exponential moving average (EMA): an average of recent weights, for generating images.

The idea
    Two networks trained against each other do not converge to a point: every step is noisy, and the
    generator circles around a good solution. The average of its recent weights is usually closer to
    that solution than the weights at any one step. (Polyak & Juditsky 1992; for GANs, Yazici et al.
    2019.) The EMA is a running average of the weights, and images are generated with that average:

        average = average + (1 - decay) * (theta - average)

    The decay grows as (1 + n) / (6 + n), n = 0, 1, ..., up to its final value. While it grows, two
    thirds of the average come from the last fifth of all steps so far. The poor first weights are
    soon forgotten, and the average becomes smoother as training continues. A final value of 0.9999
    is reached after 50,000 steps. (TensorFlow's ExponentialMovingAverage has 10 in place of 6, so
    two thirds come from the last ninth. docs/recipe.md compares the two.) With `warm_up` False the
    decay is used as it is, for a schedule of its own such as training/schedule.py has.

Shapes
    average and theta (P,).

>>> import numpy as np
>>> ema = ExponentialMovingAverage(np.array([0.0]), decay=0.9)
>>> for theta in 6.0, 6.0: ema.step(np.array([theta]))          # decay 1/6, then 2/7
>>> round(ema.average.item(), 4)                                # 5, then 5 + (1 - 2/7) * (6 - 5)
5.7143
"""

from minigan.backend import Array, fused
from minigan.nn.optim import check_like, chunks


class ExponentialMovingAverage:
    """A running average of theta, stored in `average`, an array of the same shape and dtype."""

    def __init__(self, average: Array, decay: float = 0.9999, *, warm_up: bool = True):
        self.average, self.decay, self.warm_up, self.n = average, decay, warm_up, 0
        self.chunks = chunks(average)

    def step(self, theta: Array) -> None:
        """Move the average towards theta (P,)."""
        check_like(self.average, theta)
        largest = (1 + self.n) / (6 + self.n) if self.warm_up else 1.0
        decay = min(self.decay, largest)
        for chunk in self.chunks:
            lerp(self.average[chunk], theta[chunk], 1 - decay)
        self.n += 1


@fused
def lerp(average: Array, theta: Array, weight: float) -> None:
    """average = average + weight (theta - average), in place: linear interpolation."""
    average += weight * (theta - average)
