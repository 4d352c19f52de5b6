"""Eight famous mistakes, each in a few lines over the engine, to be looked at beside a healthy run:

    python -m exercises.mistakes          draws docs/mistakes.md and its pictures

Every page here is one mistake. It says what people do, what one sees then, and why. Below stands the recipe that both runs
play, and the mistake itself: a `Broken` Game, the engine's own but for the one thing that is wrong in it. (Where the healthy
run needs something that no recipe has, it is there too, as `Healthy`.) Under a wrong line stands the right one:

        wrong
        # mended: right

tests/test_mistakes.py puts the second in the place of the first, and Broken must then learn as Healthy does. Nothing of this is in
minigan/, and nothing there knows of it.

A page also has THREADS, where people met the mistake; `seen`, which of the figures of a run its picture draws; and `symptom`,
what was measured, in a sentence. A page may measure something of its own (`look`), or draw it (`panel`).
"""
from exercises.mistakes import (batchnorm_eps, beta1, moves_discriminator, range01, saturating, sigmoid_then_log, stale_cache,
                                two_sided)

MISTAKES = [stale_cache, moves_discriminator, range01, saturating, batchnorm_eps, two_sided, beta1, sigmoid_then_log]
