"""A helper process that outlives a run, and says which process was killed and how to go on.

The idea
    A process that is killed reports nothing, and its launcher kills the others, so none of them can
    report either. The launcher has not started the helper, and does not kill it. (What ends a whole
    job at once, as a scheduler can, also ends the helper, and nothing is printed.)

How it notices
    It reads from a pipe that only the process that started it can write to. The system closes the
    pipe when that process ends, whatever ended it.

Who was first
    When the helper looks, all processes may have ended: on a busy machine it gets the processor too
    late. Every process therefore holds such a pipe to it, and Linux remembers the order in which it
    closed them: `epoll` queues files in the order in which they become ready. The launcher also
    notices that a process has ended because the system has closed one of its files. Since version
    4.3 Linux closes those with the highest numbers first, so each process gives its pipe a high
    number, and closes it before the launcher can know. Of 172 runs of two to four processes on two
    cores, this order began with the killed process in all. (The order in which the processes
    themselves were gone, which a pidfd tells, began with another one in 6 of 186.) On other
    systems, and where a process may not open so many files, all processes are listed.
"""

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

HIGH = 1000  # above all file descriptors that a launcher uses; a process may often have 1,024
SECONDS_TO_END = 5.0  # how long to wait for the first pipe that is closed, and for the helper


class Witness:
    """A helper process that prints a sentence, and removes the files in `remove`, if this process
    ends without having dismissed it; or, with `seconds`, if it has not dismissed it by then.

    pipes: {reading end: name} of the pipes that processes of this host hold. They are closed here,
    because the helper has them then. The sentence begins with the name of the process that ends
    first, or with `unknown` if that is not known. After a call of `silence`, nothing is printed.
    Raises OSError if the helper cannot be started, for instance where memory is short.
    """

    def __init__(
        self,
        sentence: str,
        *,
        unknown: str = "",
        pipes: Mapping[int, str] | None = None,
        seconds: float = 0.0,
        remove: Iterable[str] = (),
    ):
        pipes = pipes or {}
        queue: Any = select.epoll() if pipes and hasattr(select, "epoll") else None
        for pipe in pipes if queue else ():  # here, as a process may end before the helper starts
            queue.register(pipe, 0)  # that it was closed is always reported
        passed = [*pipes, queue.fileno()] if queue else list(pipes)
        task = {
            "sentence": sentence,
            "unknown": unknown,
            "pipes": list(pipes.items()),
            "queue": passed[-1] if queue else -1,
            "seconds": seconds,
            "remove": list(remove),
        }
        # the signal waits until the helper is ready for it
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SILENCE) if SILENCE else None
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-S", __file__, json.dumps(task)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=passed,
                start_new_session=True,
            )
        finally:
            if before is not None:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            for pipe in pipes:
                os.close(pipe)
            if queue:
                queue.close()
        if hasattr(os, "register_at_fork") and self.process.stdin:  # see hold
            os.register_at_fork(after_in_child=self.process.stdin.close)

    def dismiss(self) -> None:
        """End the helper, as this process ends as it should."""
        with suppress(OSError):
            try:
                self.process.communicate(b".", timeout=SECONDS_TO_END)
            except subprocess.TimeoutExpired:  # it was stopped, as by SIGSTOP
                self.process.kill()


SILENCE = {signal.SIGUSR1} if hasattr(signal, "SIGUSR1") else set()  # what `silence` sends


def silence(pid: int) -> None:
    """Let the helper process with this number print nothing, as this process names itself."""
    for number in SILENCE:
        with suppress(OSError):
            os.kill(pid, number)


def hold(path: str) -> Callable[[], None]:
    """Open the writing end of a named pipe, with a high number, until this process ends.

    Returns a function that closes it. Raises OSError if that is not possible, for instance if no
    process has its reading end. Not on Windows.
    """
    import fcntl

    low = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        pipes = [fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, HIGH)]
    finally:
        os.close(low)

    def close() -> None:
        while pipes:
            os.close(pipes.pop())

    os.register_at_fork(after_in_child=close)  # a copy of this process may outlive it
    return close


def main(
    *,
    sentence: str,
    unknown: str,
    pipes: list[tuple[int, str]],
    queue: int,
    seconds: float,
    remove: list[str],
) -> None:
    """What the helper does."""
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
    if queue >= 0 and (closed := select.epoll.fromfd(queue).poll(SECONDS_TO_END)):
        first = dict(pipes)[closed[0][0]]
    print(f"{first} {sentence}".lstrip(), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
