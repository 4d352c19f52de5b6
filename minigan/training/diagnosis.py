"""Diagnosis: what the metrics of one epoch say about training, in words.

The idea
    The two losses of a GAN do not show whether training is going well. Some common failures can,
    however, be recognised from the metrics of each epoch's samples (see evaluation/metrics.py) and
    from the mean outputs of D:

        diverged      a loss is NaN or infinite
        won           D is confident and correct on average, and G no longer learns
        scribbling    the samples are not digits yet, but neither network has won, or their FD is
                      still so large that nothing else can be said
        collapsed     far too many samples are the same digit, or all samples look alike, or they
                      show few of the 1000 modes of StackedMNIST
        cannot tell   D gives real and generated images the same mean score, although the digits
                      are not yet good
        hardly any    one digit is almost missing from the samples
        alike         in a conditional run, the requested class has hardly any effect

    With a loss on pairs (see gan/losses.py) there are no mean outputs of D. The share of pairs that
    D ranks correctly takes their place: D has won if it ranks nearly all of them correctly, and by
    far, and it cannot tell if it ranks half of them correctly.

    FD is compared with limits for a single digit. An image of StackedMNIST holds three, whose
    features stand side by side, and its FD is about the sum of theirs. A third of it is compared.

    Samples of a run that has only begun are all alike, and D recognises them with ease, without
    anything being wrong. A run is therefore diagnosed after MIN_STEPS steps. The FD of a collapsed
    run stays where it is. Samples that are too alike are reported as collapsed only if FD has
    stopped falling.

    The thresholds are our own. They were chosen so that deliberately broken runs are recognised and
    healthy runs are not reported (see tests/training/test_diagnosis.py).

>>> diagnose({"score_real": 0.99, "score_fake": 0.01})[:49]
'the discriminator has won: D(x) = 0.99, D(G(z)) ='
"""

import math
from collections.abc import Mapping, Sequence

from minigan.gan.losses import GAN_LOSSES

MIN_STEPS = 300  # about two thirds of an epoch of MNIST
RECENT_REPORTS = 3
FEW_MODES = 300  # of 1000, in 2,000 samples; as many real images show about 865
ALIKE = 0.3  # label_agreement: 0 if labels have no effect, 1 for real images
GOOD_FD = 2.0  # of digits: D is expected not to tell good ones from real images
NO_DIGITS_FD = 60.0  # above it, samples are not digits yet
DIGITS = "zeros ones twos threes fours fives sixes sevens eights nines".split()


def is_falling(fds: Sequence[float]) -> bool:
    """Whether the FDs of all reports so far are still falling.

    They are if one of the last three is at least 5 % below all earlier ones. The first report has
    nothing to be compared with, so FD may be falling.

    >>> is_falling([10.0]), is_falling([10.0, 7.0]), is_falling([10.0, 9.8, 11.0, 10.2])
    (True, True, False)
    """
    if len(fds) < 2:
        return True
    first_recent = max(1, len(fds) - RECENT_REPORTS)
    return min(fds[first_recent:]) < 0.95 * min(fds[:first_recent])


def fd_per_digit(row: Mapping[str, float]) -> float:
    """The FD of one digit, given a row of history.csv; NaN if the images are not digits.

    >>> fd_per_digit({"fd": 60.0, "modes": 900}), fd_per_digit({"fd": 60.0})
    (20.0, nan)
    """
    if "modes" in row:
        return row["fd"] / 3
    return row["fd"] if "share_0" in row else math.nan


def diagnose(
    row: Mapping[str, float],
    *,
    steps: int = MIN_STEPS,
    fd_falling: bool = False,
    classes: str = "",
    loss: str = "non-saturating",
) -> str:
    """Describe an epoch in one sentence, given its row of history.csv.

    `steps` is the number of training steps so far, and `fd_falling` the result of is_falling.
    `classes`, such as "3,8", are the digits that the run is trained on, or "" for all of them;
    `loss` is the name of its adversarial loss.
    """
    if not all(math.isfinite(value) for value in row.values()):
        return "diverged: a loss is NaN or infinite; try a lower --learning-rate"
    if steps < MIN_STEPS:
        return f"too early to tell: {steps} steps"
    if GAN_LOSSES[loss].paired:
        difference, ordered = row["difference"], row["ordered"]
        won = ordered > 0.99 and difference > 6
        scores = f"it ranks {ordered:.1%} of the pairs correctly, by {difference:.1f} on average"
        advantage = 2 * ordered - 1
    else:
        real, fake = row["score_real"], row["score_fake"]
        won = GAN_LOSSES[loss].score_is_probability and real > 0.95 and fake < 0.05
        scores = f"D(x) = {real:.2f}, D(G(z)) = {fake:.2f}"
        advantage = real - fake
    if won:
        return (
            f"the discriminator has won: {scores}, and the generator no longer learns; try a lower"
            " --learning-rate"
        )
    fd = fd_per_digit(row)
    if fd > NO_DIGITS_FD and advantage < 0.5 and row["spread"] > 0.5:
        return "still scribbling: no digits yet, but neither network has won; wait for a few epochs"
    by_share = sorted(
        (row[f"share_{i}"], name)
        for i, name in enumerate(DIGITS)
        if f"share_{i}" in row and (not classes or str(i) in classes.split(","))
    )
    equal_share = 1 / max(1, len(by_share))
    alike = "spread" in row and row["spread"] < 0.5
    few_modes = row.get("modes", FEW_MODES) < FEW_MODES
    if fd_falling and (alike or few_modes or by_share and by_share[-1][0] > equal_share + 0.3):
        return "the samples are still too alike, but FD is falling"
    if by_share and by_share[-1][0] > equal_share + 0.3:
        share, name = by_share[-1]
        return (
            f"collapsed: {share:.0%} of the samples are {name}; try a lower --learning-rate"
            " or another --seed"
        )
    if alike:
        return (
            f"collapsed: the samples differ from each other only {row['spread']:.0%} as much as"
            " real images do; try a lower --learning-rate or another --seed"
        )
    if few_modes:
        return (
            f"collapsed: the samples show only {row['modes']:.0f} of 1000 modes; try --loss"
            " relativistic --penalty r1+r2, or another --seed"
        )
    if fd > NO_DIGITS_FD:
        if fd_falling:
            return "still scribbling: no digits yet, but FD is falling"
        return (
            "still scribbling: no digits yet, and FD is not falling; try a lower --learning-rate"
            " or another --seed"
        )
    if advantage < 0.01 and not fd < GOOD_FD:  # FD is NaN if the images are not digits
        return (
            "the discriminator cannot tell real from generated images: either the samples are"
            " perfect, or it has stopped learning"
        )
    if row.get("label_agreement", 1) < ALIKE:
        if fd_falling:
            return "the classes still look alike, but FD is falling"
        return (
            "the classes look alike: the requested class has hardly any effect on the samples; try"
            " more --epochs, or another --seed"
        )
    if by_share and by_share[0][0] < equal_share / 10:
        share, name = by_share[0]
        return f"hardly any {name}: {share:.1%} of the samples, instead of about {equal_share:.0%}"
    return "healthy"
