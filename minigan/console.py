"""Console: lines that reach the reader wherever a program runs.

The idea
    Standard output is not always a terminal. In a notebook or under `redirect_stdout` it may be any
    object with a method `write`. A terminal may also be closed while a run goes on, and writing to
    it then fails. Neither is a reason to stop.

>>> say("one line")
one line
>>> is_terminal(None)
False
"""

import errno
import os
import sys
from contextlib import suppress
from typing import Any


def say(line: object = "") -> None:
    """Print a line that appears immediately; without effect if the terminal has been closed."""
    try:
        print(line)
        flush = getattr(sys.stdout, "flush", None)
        if flush:
            flush()
    except OSError as error:
        if error.errno != errno.EIO:
            raise


def say_step(line: str) -> None:
    """Print what a command does next on standard error, so that its output holds only results."""
    if sys.stderr is None:
        return
    with suppress(OSError):  # the terminal has been closed
        print(f"... {line}", file=sys.stderr)


def format_seconds(seconds: float) -> str:
    """A time in words.

    >>> format_seconds(59.4), format_seconds(164), format_seconds(7322)
    ('59 s', '2 min 44 s', '2 h 2 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def is_terminal(stream: Any) -> bool:
    """Whether a stream, such as sys.stderr, is a terminal; it may be None."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())


def shows_progress(stream: Any) -> bool:
    """Whether a progress bar can be written to a stream: a terminal, or a notebook's output."""
    return is_terminal(stream) or type(stream).__module__ == "ipykernel.iostream"


def discard_output() -> None:
    """Discard what standard output still holds, so that Python does not complain when it exits."""
    with suppress(AttributeError, OSError, ValueError):  # a stream without a file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
