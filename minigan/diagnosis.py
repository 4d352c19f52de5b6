"""Diagnosis: what the figures of one epoch mean, in words.

The idea
    Beginners ask of two losses: is that right? Losses do not say. But a few things that go wrong can be
    read off the figures of metrics.py and the mean answers of D, epoch by epoch:

        diverged      a loss is no number any more
        won           D is sure of every image, and G learns no more
        scribbling    no digits yet, but neither network has won
        collapsed     far too many drawn images are the same digit, or all look alike
        cannot tell   D answers real and drawn images alike
        hardly any    of one digit

    The thresholds are ours: chosen so that runs which were made to fail are named, and healthy ones are
    not (tests/test_metrics.py).

>>> diagnose({"score_real": 0.99, "score_fake": 0.01})[:49]
'the discriminator has won: D(x) = 0.99, D(G(z)) ='
"""
import math

DIGITS = "zeros ones twos threes fours fives sixes sevens eights nines".split()


def diagnose(row, classes="", loss="non-saturating"):
    """What the figures of one epoch mean, in words. `row` is one of history.csv's; classes, such as "3,8", are the
    digits that the run is shown, if not all; `loss` is one of adversarial.py's."""
    if not all(math.isfinite(value) for value in row.values()):
        return "diverged: a loss is no number any more; try a lower --learning-rate"
    real, fake = row["score_real"], row["score_fake"]
    if real > 0.95 and fake < 0.05 and loss in ("non-saturating", "minimax"):  # other D's are meant to say 1 and 0, and more
        return (f"the discriminator has won: D(x) = {real:.2f}, D(G(z)) = {fake:.2f}, and the generator learns no more;"
                " try a lower --learning-rate")
    if "share_0" in row and row["fd"] > 60 and real - fake < 0.5 and row["spread"] > 0.5:
        return "still scribbling: no digits yet, but neither network has won; wait for a few epochs"
    by_share = sorted((row[f"share_{i}"], name) for i, name in enumerate(DIGITS)
                      if f"share_{i}" in row and (not classes or str(i) in classes.split(",")))
    fair = 1 / max(1, len(by_share))
    if by_share and by_share[-1][0] > fair + 0.3:
        share, name = by_share[-1]
        return f"collapsed: {share:.0%} of the samples are {name}; try a lower --learning-rate or another --seed"
    if "spread" in row and row["spread"] < 0.5:
        return (f"collapsed: the samples differ from each other only {row['spread']:.0%} as much as real images do;"
                " try a lower --learning-rate or another --seed")
    if real - fake < 0.01:
        return "the discriminator cannot tell real from drawn: either they are perfect, or it has stopped learning"
    if by_share and by_share[0][0] < fair / 10:
        share, name = by_share[0]
        return f"hardly any {name}: {share:.1%} of the samples, where {fair:.0%} would be fair"
    return "healthy"
