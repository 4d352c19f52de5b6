"""Exercise 4: a numerically stable binary cross-entropy (30 minutes)

Read before
    minigan/nn/losses.py up to "Forward, on logits", and no further. (Sigmoid is in
    minigan/nn/activations.py.)

The task
    With p = sigmoid(a) = 1 / (1 + e^-a), a target t between 0 and 1, and N logits in a,

        L = mean of  -t log(p) - (1 - t) log(1 - p)

    Write L as a function of a that is accurate for every a: for 2, but also for 1000 in float32,
    where p is exactly 1 and e^a is infinite. Also return its gradient da, which is simpler than you
    might expect. Do not clip: clipping gives L an upper bound, and a gradient that is not the
    gradient of the formula. Do not import minigan.nn.losses.

Shapes
    a (N, 1); t of the same shape, or one number for all; da like a, in the dtype of a; L a scalar.

Check
    python -m pytest exercises -k bce

Hint
    Start on paper. Write -log(p) and -log(1 - p) in terms of a, and give log(1 + e^a) a name. Which
    part of it is large when a is large, and can be taken out of the logarithm? The remaining e^...
    should never exceed 1. Finally, differentiate the result, not the formula you started from.
"""


def bce_with_logits(a, t):  # -> (L, da)
    raise NotImplementedError("bce_with_logits is not written yet")
