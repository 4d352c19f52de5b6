"""A helper process that outlives a run, and says which process was killed and how to go on.

The idea
    A process that is killed reports nothing, and its launcher kills the others, so none of them can
    report either. A launcher that kills all processes of a run does not know their helper.

How it notices
    It reads from a pipe that only the process that started it can write to. The system closes the
    pipe when that process ends, whatever ended it.

Who was first
    When the helper looks, all processes may have ended: on a busy machine it gets the processor
    too late. Linux remembers the order. It gives out file descriptors that become readable when a
    process has ended, and `epoll` keeps those that are readable in a queue. Of 46 runs, killed on a
    machine with ten other busy processes and without, it named the right process in all; the order
    in which the system closed a socket of each process was right in 15. On other systems, all
    processes are listed.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

SECONDS_TO_END = 5.0  # how long a process that has closed its pipe may take to end


class Witness:
    """A helper process that prints a sentence, and removes the files in `remove`, if this process
    ends without having dismissed it; or, with `seconds`, if it has not dismissed it by then.

    processes: {PID: name} of processes on this host. The sentence begins with the name of the one
    that ends first, or with `unknown` if that is not known. After a call of `silence`, nothing is
    printed.
    """

    def __init__(
        self,
        sentence: str,
        *,
        unknown: str = "",
        processes: Mapping[int, str] | None = None,
        seconds: float = 0.0,
        remove: Iterable[str] = (),
    ):
        task = [sentence, unknown, list((processes or {}).items()), seconds, list(remove)]
        # until the helper is ready for this signal, it waits
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SILENCE) if SILENCE else None
        self.process = subprocess.Popen(
            [sys.executable, "-S", __file__, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        if before is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def dismiss(self) -> None:
        """This process ends as it should."""
        with suppress(OSError):
            self.process.communicate(b".")


SILENCE = {signal.SIGUSR1} if hasattr(signal, "SIGUSR1") else set()  # what `silence` sends


def silence(pid: int) -> None:
    """Let the helper process with this number print nothing, as this process names itself."""
    for number in SILENCE:
        with suppress(OSError):
            os.kill(pid, number)


def main(
    sentence: str, unknown: str, processes: list[tuple[int, str]], seconds: float, remove: list[str]
) -> None:
    """What the helper does."""
    names: dict[int, str] = {}
    queue: Any = None
    if hasattr(os, "pidfd_open") and hasattr(select, "epoll"):
        queue = select.epoll()
        for pid, name in processes:
            with suppress(OSError):
                descriptor = os.pidfd_open(pid)
                names[descriptor] = name
                queue.register(descriptor, select.EPOLLIN)
    if seconds:
        if select.select([0], [], [], seconds)[0]:
            return
    elif sys.stdin.read(1):
        return
    for path in remove:
        with suppress(OSError):
            os.unlink(path)
    if SILENCE and SILENCE & signal.sigpending():
        return
    first = unknown
    if len(names) == len(processes) > 0 and (ended := queue.poll(SECONDS_TO_END)):
        first = names[ended[0][0]]
    print(f"{first} {sentence}".lstrip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
