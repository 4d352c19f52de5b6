"""Interruptions: signals end a run after the current step, when its state is saved.

The idea
    By default, Ctrl-C raises KeyboardInterrupt in the middle of whatever is being computed, and
    SIGTERM ends the process at once. A step that is half done cannot be saved. A run therefore only
    notes that a signal has come, and looks at the note between two steps.

>>> with Interruption() as interruption:
...     print(bool(interruption))                   # until a signal comes
False
"""

import signal
import threading

# signals that end a run; Windows has two of them
ENDING_SIGNALS = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
]


class Interruption:
    """A context in which the first Ctrl-C, SIGTERM or SIGHUP only makes this object true.

    A second Ctrl-C stops the process immediately. SIGUSR1 and SIGCONT only set `save_requested`:
    Open MPI's mpiexec sends SIGCONT a quarter of a second before it ends all processes. Windows has
    none of the last three. They stay ignored if they were ignored before, as by nohup.
    """

    def __init__(self):
        self.signal, self.save_requested = 0, False

    def __bool__(self):
        return self.signal != 0

    def __enter__(self):
        optional = [getattr(signal, name, None) for name in ("SIGHUP", "SIGUSR1", "SIGCONT")]

        def handle(number, frame):
            if number in optional[1:]:
                self.save_requested = True
            elif self.signal and number == signal.SIGINT:
                raise KeyboardInterrupt
            else:
                self.signal = self.signal or number

        self.before = {}
        if threading.current_thread() is threading.main_thread():  # others may install no handlers
            for number in signal.SIGINT, signal.SIGTERM, *optional:
                if number and (
                    number not in optional or signal.getsignal(number) != signal.SIG_IGN
                ):
                    self.before[number] = signal.signal(number, handle)
        return self

    def __exit__(self, *error):
        for number, handler in self.before.items():
            if handler is not None:  # it was not installed by Python
                signal.signal(number, handler)
