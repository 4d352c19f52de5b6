"""Lock a run folder, because two processes that train in it would overwrite each other's files.

The idea
    The operating system locks a file for a process and releases it when the process ends, even if
    it is killed. Some file systems cannot do this: NFS without its lock service, and several that
    run in user space. There, a second file is the lock as long as it exists. It names the process
    and the host, so a process that was killed is recognised on the same host. On another host
    nobody can know whether it still runs, and the message says how to remove its file.

        .lock         locked by the operating system; its existence means nothing
        .lock-held    only where that is impossible: exists while a process trains in the folder

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> with lock_folder(folder):
...     lock_folder(folder)  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
minigan.training.run_folder.RunError: another process is training in ...: wait for it, or ...
"""

import errno
import os
import shlex
import warnings
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from minigan.console import say
from minigan.training.run_folder import RunError

SECONDS_TO_RECOGNISE = 0.3  # how long to try a .lock-held; enough to see that its process is dead
NOT_WRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOENT,
    errno.ENOTDIR,
)


def lock_folder(folder: Path) -> AbstractContextManager:
    """Lock a run folder for writing, and return the context that unlocks it.

    Raises RunError if another process holds the lock, or if the folder cannot be written. Without
    filelock, which may be missing on a machine with a GPU, the folder is not locked, and a note
    says so.
    """
    try:
        from filelock import FileLock, Timeout
    except ModuleNotFoundError:
        say(
            f"note: filelock is not installed, so {folder} is not locked: do not train in it twice"
            " at the same time"
        )
        return nullcontext()
    path = Path(folder) / ".lock"
    existed = path.exists()
    try:
        with warnings.catch_warnings():
            # filelock would also fall back to a file that exists, but to .lock itself, which may be
            # left from a machine that can lock
            warnings.simplefilter("error", UserWarning)
            return FileLock(path).acquire(timeout=0)
    except Timeout:
        raise RunError(
            f"another process is training in {folder}: wait for it, or choose another folder"
        ) from None
    except (OSError, NotImplementedError, UserWarning):
        if not existed:
            with suppress(OSError):
                path.unlink()
    return lock_without_system(Path(folder))


def lock_without_system(folder: Path) -> AbstractContextManager:
    """The same with a file that exists as long as the lock is held."""
    from filelock import SoftFileLock, Timeout

    path = folder / ".lock-held"
    try:
        return SoftFileLock(path).acquire(timeout=SECONDS_TO_RECOGNISE)
    except Timeout:
        remove = f"{'del' if os.name == 'nt' else 'rm'} {shlex.quote(str(path))}"
        raise RunError(
            f"{holder(path)} is training in {folder}, or was killed there: wait for it, or if it no"
            f" longer runs, remove its lock with `{remove}` and try again"
        ) from None
    except OSError as error:
        if error.errno in NOT_WRITABLE:
            raise RunError(
                f"cannot write to {folder} ({error.strerror}): choose another folder"
            ) from None
        say(
            f"note: the file system of {folder} has no locks ({error.strerror or error}): do not"
            " train in it twice at the same time"
        )
        return nullcontext()


def holder(path: Path) -> str:
    """Which process holds the lock in the file .lock-held, in words."""
    try:
        process, host = path.read_text().splitlines()[:2]
    except (OSError, ValueError):
        return "another process"
    return f"process {process} on {host}"
