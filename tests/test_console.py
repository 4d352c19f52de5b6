"""Lines on any standard output: without flush, without isatty, closed, or none at all."""

import errno
import io
import sys

import pytest

from minigan.console import discard_output, is_terminal, say, say_step


class OnlyWrite:
    """As little as print needs."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Broken(io.StringIO):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        raise OSError(self.number, "broken")


def test_a_stream_needs_no_more_than_write(monkeypatch):
    stream = OnlyWrite()
    monkeypatch.setattr(sys, "stdout", stream)
    say("a line")
    assert stream.text == "a line\n" and not is_terminal(stream)
    discard_output()


def test_a_closed_terminal_is_ignored_and_a_full_disk_is_not(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(errno.EIO))
    say("a line")
    monkeypatch.setattr(sys, "stdout", Broken(errno.ENOSPC))
    with pytest.raises(OSError, match="broken"):
        say("a line")
    discard_output()


def test_no_output_at_all(monkeypatch):
    """As under pythonw."""
    monkeypatch.setattr(sys, "stdout", None)
    say("a line")
    discard_output()
    assert not is_terminal(None)


def test_the_next_step_is_said_on_standard_error(monkeypatch, capsys):
    say_step("counting")
    assert capsys.readouterr() == ("", "... counting\n")
    for stream in OnlyWrite(), Broken(errno.EIO), None:
        monkeypatch.setattr(sys, "stderr", stream)
        say_step("counting")
    assert capsys.readouterr().out == ""
