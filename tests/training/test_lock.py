"""Two processes never train in the same folder, whatever its file system can do."""

import errno
import os
import re
import socket
import subprocess
import sys

import pytest

from minigan.training.lock import lock_folder
from minigan.training.run_folder import RunError

fcntl = pytest.importorskip("fcntl", reason="Windows always has locks")
filelock = pytest.importorskip("filelock")
NO_LOCKS = """
import fcntl, os, sys
def flock(*args):
    raise OSError(int(sys.argv[2]), "none here")
fcntl.flock = flock
"""
LOCK = """
import sys
from minigan.training.lock import lock_folder
held = lock_folder(sys.argv[1])
"""


def python(code, *args):
    command = [sys.executable, "-W", "error", "-c", code, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(params=["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def no_locks(request, monkeypatch):
    """Every file system answers like NFS without its lock service, Lustre or FUSE."""
    number = getattr(errno, request.param)

    def flock(*args):
        raise OSError(number, "none here")

    monkeypatch.setattr(fcntl, "flock", flock)
    return number


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_in_use_is_locked(tmp_path):
    with lock_folder(tmp_path):
        assert "another process is training in" in python(LOCK, tmp_path).stderr
    assert python(LOCK, tmp_path).returncode == 0
    assert set(files(tmp_path)) <= {".lock"}


def test_without_locks_a_file_names_the_process(tmp_path, no_locks):
    with lock_folder(tmp_path):
        assert files(tmp_path) == [".lock-held"]
        refused = python(NO_LOCKS + LOCK, tmp_path, no_locks)
        words = f"process {os.getpid()} on {socket.gethostname()}"
        assert words in refused.stderr and "or was killed there" in refused.stderr
        assert files(tmp_path) == [".lock-held"]
    assert files(tmp_path) == []


def test_without_locks_a_killed_process_holds_nothing(tmp_path, no_locks):
    killed = python(NO_LOCKS + LOCK + "import os; os._exit(9)", tmp_path, no_locks)
    assert killed.returncode == 9 and files(tmp_path) == [".lock-held"]
    with lock_folder(tmp_path):
        pass
    assert files(tmp_path) == []


def test_a_process_on_another_host_is_named_with_the_command_that_removes_its_lock(
    tmp_path, no_locks
):
    folder = tmp_path / "a run"
    folder.mkdir()
    (folder / ".lock-held").write_text("77\nelsewhere\n")
    with pytest.raises(RunError, match="process 77 on elsewhere is training in") as caught:
        lock_folder(folder)
    assert "\n" not in str(caught.value)
    subprocess.run(re.search("`(.*)`", str(caught.value))[1], shell=True, check=True)
    with lock_folder(folder):
        pass


@pytest.mark.filterwarnings("default")  # as for users
def test_a_lock_that_a_machine_with_locks_has_left_means_nothing(tmp_path, no_locks):
    (tmp_path / ".lock").write_text("")
    with lock_folder(tmp_path):
        assert ".lock-held" in files(tmp_path)


def test_where_nothing_can_be_locked_a_note_says_so(tmp_path, no_locks, monkeypatch, capsys):
    def acquire(lock, timeout):
        raise OSError(errno.EINVAL, "not here")

    monkeypatch.setattr(filelock.SoftFileLock, "acquire", acquire)
    with lock_folder(tmp_path):
        pass
    output = capsys.readouterr().out
    assert output.startswith("note: the file system of") and "(not here)" in output
    assert output.count("\n") == 1 and files(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch, number):
    def acquire(lock, timeout):
        raise OSError(number, "no")

    monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
    monkeypatch.setattr(filelock.SoftFileLock, "acquire", acquire)
    with pytest.raises(RunError, match=r"cannot write to .* \(no\): choose another folder"):
        lock_folder(tmp_path)
