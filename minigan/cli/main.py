"""The command line: select the command to run, and report its errors."""

import argparse
import importlib.util
import os
import signal
import sys
from collections.abc import Callable

from minigan.accel.cpu import disable_malloc_trim
from minigan.backend import BackendError
from minigan.cli import (
    arguments,
    check,
    compare,
    data,
    evaluate,
    export,
    inspect,
    recipes,
    sample,
    toy,
    train,
    walk,
)
from minigan.datasets.pixels import DataError
from minigan.evaluation.report import make_evaluator
from minigan.training.run_folder import RunError

COMMANDS = {
    "recipes": recipes,
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
    SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    disable_malloc_trim()
    for stream in sys.stdout, sys.stderr:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that cannot show ✓ shows ?
    try:
        return run_command(argv, train_loop, description=description, prog=prog)
    except (BackendError, DataError, RunError) as error:
        return complain(prog, error)
    except ModuleNotFoundError as error:
        return complain(prog, f"{error}: pip install {(error.name or '').partition('.')[0]}")
    except MemoryError:  # CuPy's OutOfMemoryError is a subclass
        return complain(
            prog,
            "out of memory: choose a smaller --count, --batch-size or --latent-dim, or smaller"
            " images",
        )
    except BrokenPipeError:  # the reader of the output has ended, as with `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 2
    except OSError as error:
        return complain(prog, f"{error.filename or 'cannot write'}: {error.strerror or error}")
    except KeyboardInterrupt:
        print(f"{prog}: interrupted; what was saved before is in the run folder", file=sys.stderr)
        return 130


def run_command(argv: list[str], train_loop: Callable, *, description: str, prog: str) -> int:
    """The same, but raises the errors."""
    typed = f"python {prog}" if prog.endswith(".py") else prog  # for hints
    if argv and argv[0] in COMMANDS:
        command = COMMANDS[argv[0]]
        parser = arguments.Parser(prog=f"{prog} {argv[0]}", description=command.__doc__ or "")
        parser.set_defaults(command=typed)
        command.add_arguments(parser)
        return command.run(parser.parse_args(argv[1:]))
    if argv and not argv[0].startswith("-"):
        raise RunError(
            f"there is no command {argv[0]!r}: use {', '.join(COMMANDS)}, or no command at all to"
            " train"
        )
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
    options = train.training_options(parser.parse_args(argv))
    if importlib.util.find_spec("matplotlib") is None:  # which the end of the first epoch needs
        raise RunError("matplotlib is not installed: pip install matplotlib")
    options.command = typed
    return train_loop(options, make_evaluator)


def complain(prog: str, sentence: object) -> int:
    """Print an error on standard error; returns the exit status for bad input."""
    print(f"{prog}: {sentence}", file=sys.stderr)
    return 2


def exit_with(status: int) -> None:
    """End the process with this status, even if standard output can no longer be written."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:  # the pipe was closed or the disk is full
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(status)
