"""The command line: select the command to run, and report its errors."""

import argparse
import difflib
import os
import platform
import runpy
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import numpy as np

import minigan
from minigan import api
from minigan.accel.cpu import disable_malloc_trim, preserve_blas_threads
from minigan.accel.mpi import fail_to_start, start_group
from minigan.accel.process_group import ONE_PROCESS, ProcessGroup
from minigan.backend import BackendError, first_line
from minigan.cli import (
    arguments,
    check,
    compare,
    data,
    diagram,
    evaluate,
    export,
    inspect,
    recipes,
    runs,
    sample,
    summary,
    toy,
    train,
    walk,
)
from minigan.console import discard_output
from minigan.datasets.pixels import DataError
from minigan.evaluation.report import make_evaluator
from minigan.training.run_folder import RunError

COMMANDS = {
    "recipes": recipes,
    "runs": runs,
    "summary": summary,
    "diagram": diagram,
    "sample": sample,
    "walk": walk,
    "evaluate": evaluate,
    "compare": compare,
    "export": export,
    "check": check,
    "toy": toy,
    "inspect": inspect,
    "data": data,
}


def main(
    argv: list[str], train_loop: Callable, *, description: str = "", prog: str = "demo.py"
) -> int:
    """Run one command, or train with train_loop(options, make_evaluator) if none is given.

    Returns the exit status: 0, 1 if a check failed, 2 for bad input, 130 or 143 after Ctrl-C or
    SIGTERM, 129 after SIGHUP.
    """
    disable_malloc_trim()
    for stream in sys.stdout, sys.stderr:
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")  # a terminal that cannot show ✓ shows ?
    group = ONE_PROCESS
    try:
        group = start_group()
    except BackendError as error:  # in all processes
        return fail_to_start(prog, error)
    sentence: object = None
    try:
        with ctrl_c_interrupts(), silent_unless(group.leads):
            group.watch("")
            status = run_command(argv, train_loop, description=description, prog=prog, group=group)
    except Exception as error:
        status, sentence = 2, describe_error(error)
        if sentence is None:
            group.crash(error)
            raise
    except SystemExit as end:  # from argparse; a notebook would show it as an error
        status = end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        status, sentence = 130, "interrupted; what was saved before is in the run folder"
    status, sentence = group.finish(status, sentence)
    if isinstance(sentence, BrokenPipeError):
        discard_output()
    elif sentence is not None:
        complain(prog, sentence)
    return status


def describe_error(error: Exception) -> object:
    """The sentence for an error that users can meet; None for any other."""
    if isinstance(error, (BackendError, DataError, RunError)):
        return error
    if isinstance(error, ModuleNotFoundError):
        return f"{error}: pip install {(error.name or '').partition('.')[0]}"
    if isinstance(error, MemoryError):  # CuPy's OutOfMemoryError is a subclass
        return (
            "out of memory: choose a smaller --count, --zoom, --batch-size or --latent-dim, smaller"
            " widths of the networks, or smaller images"
        )
    if isinstance(error, BrokenPipeError):  # the reader of the output has ended, as with `| head`
        return error
    if isinstance(error, OSError):
        return f"{error.filename or 'cannot write'}: {error.strerror or error}"
    return None


@contextmanager
def silent_unless(loud: bool) -> Iterator[None]:
    """A context in which a process that is not the first of several prints nothing.

    Its own errors come after the context.
    """
    if loud:
        yield
        return
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def run_command(
    argv: list[str],
    train_loop: Callable,
    *,
    description: str,
    prog: str,
    group: ProcessGroup = ONE_PROCESS,
) -> int:
    """The same, but raises the errors."""
    if argv and argv[0] in COMMANDS and group.size > 1:
        raise RunError(f"only training is shared by processes: run {argv[0]} without mpiexec")
    typed = f"python {prog}" if prog.endswith(".py") else prog  # for hints
    files = imported_files(argv)
    for file in files:
        import_file(file)
    if argv and argv[0] in COMMANDS:
        command = COMMANDS[argv[0]]
        parser = arguments.Parser(prog=f"{prog} {argv[0]}", description=command.__doc__ or "")
        parser.set_defaults(command=typed)
        command.add_arguments(parser)
        add_import(parser)
        args = parser.parse_args(argv[1:])
        with preserve_blas_threads():
            return command.run(args)
    if argv and not argv[0].startswith("-"):
        near = difflib.get_close_matches(argv[0], COMMANDS, 1)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else f"use {', '.join(COMMANDS)}, or no command at all to train"
        )
        raise RunError(f"there is no command {argv[0][:40]!r}: {hint}")
    commands = "\n".join(
        f"  {name:9} {command.__doc__ or ''}" for name, command in COMMANDS.items()
    )
    parser = arguments.Parser(
        prog=prog,
        description=description or train.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"other commands, each with its own --help:\n{commands}",
    )
    train.add_arguments(parser)
    add_import(parser)
    parser.add_argument(
        "--version",
        action="version",
        version=f"minigan {minigan.__version__}, NumPy {np.__version__}, Python"
        f" {platform.python_version()}",
        help="print the versions of minigan, NumPy and Python",
    )
    parser.set_defaults(group=group)
    args = parser.parse_args(argv)
    options = train.training_options(args)
    options.command, options.arguments, options.open_page = typed, argv, args.open and group.leads
    options.imports = "".join(f" --import {shlex.quote(str(file))}" for file in files)
    if options.backend == "cupy":
        group.choose_card()
    with preserve_blas_threads():
        return train_loop(options, make_evaluator)


def add_import(parser: argparse.ArgumentParser) -> None:
    """Add --import, which every command has. It is read by imported_files, before the others."""
    parser.add_argument(
        "--import",
        action="append",
        metavar="FILE.py",
        dest="imports",
        help="execute a Python file of yours first, which makes or enters layers, networks or a"
        " loss of your own (default: none; docs/usage.md shows one)",
    )


def imported_files(argv: list[str]) -> list[Path]:
    """The files of --import. They may enter values that other options take."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    add_import(parser)
    with suppress(argparse.ArgumentError):  # the parser of the command reports it
        return [Path(file) for file in parser.parse_known_args(argv)[0].imports or []]
    return []


def import_file(file: Path) -> None:
    """Execute a Python file, as its own folder sees it. Raises RunError if that is not possible."""
    if file.suffix != ".py" or not file.is_file():
        raise RunError(f"--import {file}: name a Python file, FILE.py")
    sys.path.insert(0, str(file.resolve().parent))
    try:
        with api.no_training(file):
            runpy.run_path(str(file), run_name=file.stem)
    except (Exception, SystemExit) as error:
        lines = [
            f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)
        ]
        where = f", line {lines[-1]}" if lines else ""
        raise RunError(
            f"--import {file} failed{where}: {type(error).__name__}: {first_line(error)}"
        ) from error
    finally:
        sys.path.remove(str(file.resolve().parent))


def complain(prog: str, sentence: object) -> int:
    """Print an error on standard error; returns the exit status for bad input."""
    with suppress(OSError):  # the terminal has been closed
        print(f"{prog}: {sentence}", file=sys.stderr)
    return 2


@contextmanager
def ctrl_c_interrupts() -> Iterator[None]:
    """A context in which Ctrl-C raises KeyboardInterrupt.

    demo.py sets another handler while it imports. That of a notebook or another program that calls
    `main` is restored afterwards. Only the main thread may change handlers.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        if before not in (None, signal.SIG_DFL):
            signal.signal(signal.SIGINT, before)


def exit_with(status: int) -> None:
    """End the process with this status, even if standard output can no longer be written."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:  # the pipe was closed or the disk is full
        discard_output()
    sys.exit(status)
