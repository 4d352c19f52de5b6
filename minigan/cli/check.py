"""Compare every hand-written derivative with central differences."""

import time

from minigan.console import say
from minigan.evaluation.derivatives import check_derivatives


def add_arguments(parser):
    """`demo.py check` has no options."""


def run(args):
    """Print the table; returns 1 if a derivative is wrong, else 0."""
    started, failed, count = time.perf_counter(), [], 0
    print(f"{'module':21} {'what':47} {'gradient':9} relative error")
    for module, name, check in check_derivatives():
        if check is None:
            say(f"{module:21} {name:47} -")
            continue
        count += 1
        say(f"{module:21} {name:47} {check.name:9} {check.error:.0e} {'✓' if check.ok else '✗'}")
        failed += [] if check.ok else [f"{module}.py, {name}: {check}"]
    print(*failed, sep="\n", end="\n" if failed else "")
    print(
        f"{count - len(failed)} of {count} gradients agree with central differences in float64"
        f" to 7 digits or more, in {time.perf_counter() - started:.1f} s"
    )
    return 1 if failed else 0
