"""Eight well-known mistakes, each in a few lines, for comparison with a healthy run:

    python -m exercises.mistakes          writes docs/mistakes.md and its figures

Each module in this folder is one mistake. Its docstring says what people do, what you see, and why.
Its code contains the recipe of both runs, and `Broken`, a subclass of TrainingState
(minigan/training/state.py) that overrides the one thing that is wrong. (Where the healthy run needs
something that no recipe has, the module has a `Healthy` of its own.) The correct line follows each
wrong one:

        wrong
        # fixed: right

tests/exercises/test_mistakes.py replaces each wrong line with the correct one, and checks that
Broken then learns exactly what Healthy learns. The package minigan itself contains none of this
code.

A module also has THREADS, in which people discuss the mistake; `curves`, the curves in its figure;
and `symptom`, which states the measured values. It may define measurements of its own (`measure`)
or plot its own panels (`plot_panels`).
"""

from exercises.mistakes import (
    batchnorm_eps,
    beta1,
    moves_discriminator,
    range01,
    saturating,
    sigmoid_then_log,
    stale_cache,
    two_sided,
)

MISTAKES = [
    stale_cache,
    moves_discriminator,
    range01,
    saturating,
    batchnorm_eps,
    two_sided,
    beta1,
    sigmoid_then_log,
]
