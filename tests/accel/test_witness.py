"""The helper process that says which process of a run was killed."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT

from minigan.accel.witness import Witness

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals")
RUN = """
import os, subprocess, sys, tempfile
from minigan.accel import witness
others, pipes = [], {}
for i in range(3):
    end, own = os.pipe()
    others.append(subprocess.Popen(["sleep", "600"], stderr=subprocess.DEVNULL, pass_fds=[own]))
    pipes[end] = f"p{i}"
    os.close(own)
helper = witness.Witness(
    "was killed: go on", unknown="one of them", pipes=pipes, remove=sys.argv[1:]
)
print(helper.process.pid, *(p.pid for p in others), flush=True)
for line in sys.stdin:
    eval(line)
"""


class Run:
    """A process with three others and a helper."""

    def __init__(self, *remove):
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, *map(str, remove)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.helper, *self.others = map(int, self.process.stdout.readline().split())

    def end(self, *pids):
        """Kill these processes, one after the other, and then the run; returns what is printed."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            while Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
                time.sleep(0.001)
        self.process.kill()
        os.kill(self.helper, signal.SIGCONT)
        text = self.process.stderr.read()
        for pid in self.others:
            os.kill(pid, signal.SIGKILL)
        self.process.communicate()
        return text


known = pytest.mark.skipif(not hasattr(select, "epoll"), reason="only on Linux")


@known
@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_the_first_is_named_although_the_helper_looks_later(order, tmp_path):
    """All have ended when it looks: only the queue of the system still holds the order."""
    (tmp_path / "memory").touch()
    run = Run(tmp_path / "memory")
    os.kill(run.helper, signal.SIGSTOP)  # mostly while it is still starting
    assert run.end(*(run.others[i] for i in order)) == f"p{order[0]} was killed: go on\n"
    assert not (tmp_path / "memory").exists()


def wait_until_it_reads(pid):
    """Until the helper has the pipes of three processes in its queue."""
    while os.path.exists(f"/proc/{pid}"):
        for path in Path(f"/proc/{pid}/fdinfo").glob("*"):
            with contextlib.suppress(OSError):  # a file may be closed in between
                if path.read_text().count("tfd:") == 3:
                    return
    pytest.fail("the helper has ended")


@known
def test_nobody_is_named_who_has_not_ended():
    """This takes the helper five seconds."""
    run = Run()
    wait_until_it_reads(run.helper)
    assert run.end() == "one of them was killed: go on\n"


@pytest.mark.parametrize("ready", [False, True])
def test_a_process_that_names_itself_silences_the_helper(ready):
    """Also while the helper is still starting."""
    run = Run()
    if ready and hasattr(select, "epoll"):
        wait_until_it_reads(run.helper)
    os.kill(run.helper, signal.SIGUSR1)
    assert run.end(run.others[0]) == ""


def test_a_run_that_ends_as_it_should_prints_nothing(tmp_path):
    (tmp_path / "memory").touch()
    run = Run(tmp_path / "memory")
    text = run.process.communicate("helper.dismiss()\n[p.kill() or p.wait() for p in others]\n")[1]
    assert text == "" and run.process.returncode == 0 and (tmp_path / "memory").exists()


def test_a_helper_that_cannot_be_started_leaves_nothing_behind(monkeypatch):
    """SIGUSR1, which saves a checkpoint, still reaches this process."""
    monkeypatch.setattr(sys, "executable", "/missing")
    end, own = os.pipe()
    with pytest.raises(FileNotFoundError):
        Witness("was killed", pipes={end: "p0"})
    assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with pytest.raises(BrokenPipeError):
        os.write(own, b".")
    os.close(own)


@known
def test_a_process_closes_its_pipe_before_it_closes_what_it_opened_earlier(tmp_path):
    """So a launcher, which knows only what was open when it started a process, is later."""
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    queue = select.epoll()
    earlier = [os.pipe() for _ in range(100)]
    for end, _ in [*earlier, (pipe, 0)]:
        queue.register(end, 0)
    code = f"from minigan.accel.witness import hold; hold({str(tmp_path / 'pipe')!r}); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        pass_fds=[own for _, own in earlier],
    )
    for _, own in earlier:
        os.close(own)
    while not Path(f"/proc/{process.pid}/fd/1000").exists():
        assert process.poll() is None
    process.kill()
    process.wait()
    process.stdin.close()
    assert queue.poll()[0][0] == pipe
    for end in [*(end for end, _ in earlier), pipe]:
        os.close(end)


FORK = """
import os, sys, time
from minigan.accel.witness import Witness, hold
close, helper = hold(sys.argv[1]), Witness("was killed")
child = os.fork()
if child:
    print(child, flush=True)
else:
    os.close(2)
time.sleep(60)
"""


@known
def test_a_copy_of_a_process_holds_none_of_its_pipes(tmp_path):
    """`multiprocessing` often starts such copies, and they outlive a process that is killed."""
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    queue = select.epoll()
    queue.register(pipe, 0)
    process = subprocess.Popen(
        [sys.executable, "-c", FORK, tmp_path / "pipe"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child = int(process.stdout.readline())
    process.kill()
    try:
        assert queue.poll(5) and select.select([process.stderr], [], [], 5)[0]
    finally:
        os.kill(child, signal.SIGKILL)
    assert process.communicate()[1] == "was killed\n"
    os.close(pipe)


def test_a_helper_that_was_stopped_does_not_keep_the_run_from_ending():
    run = Run()
    os.kill(run.helper, signal.SIGSTOP)
    text = run.process.communicate("helper.dismiss()\n[p.kill() or p.wait() for p in others]\n")[1]
    assert text == "" and run.process.returncode == 0
