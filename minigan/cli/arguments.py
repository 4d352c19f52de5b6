"""Arguments: parse the options of the commands, and report an invalid one in one sentence."""

import argparse
import difflib
import io
import itertools
import math
import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from minigan.datasets.names import join_names, split_names
from minigan.gan.augment import read_augmentations
from minigan.gan.recipes import (
    FIELDS,
    MAX_CLUSTERS,
    RECIPES,
    Recipe,
    allowed_choices,
    check_value,
)
from minigan.training.run_folder import RunError, write_atomically

SIGNATURES = {  # how files of these kinds begin
    ".png": b"\x89PNG",
    ".gif": b"GIF8",
    ".npy": b"\x93NUMPY",
    ".html": b"<!DOCTYPE html>",
    ".py": b"# The generator of a",  # of an export to PyTorch
}
NONE = "none"  # an empty text, such as that of a penalty


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one sentence."""

    def parse_known_args(self, args=None, namespace=None):
        """As usual, but `--range -1,1` is a number, and not a second option."""
        args = list(sys.argv[1:] if args is None else args)
        for i in reversed(range(len(args) - 1)):
            if args[i] == "--range" and re.match(r"-[\d.]", args[i + 1]):
                args[i : i + 2] = [f"--range={args[i + 1]}"]
        return super().parse_known_args(args, namespace)

    def error(self, message):
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def positive_int(text: str) -> int:
    """An integer from 1 to 999999999."""
    if not text.isdecimal() or len(text) > 9 or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not an integer from 1 to 999999999")
    return int(text)


def clusters(text: str) -> int:
    """An integer from 0 to MAX_CLUSTERS."""
    if not text.isdecimal() or len(text) > 9 or int(text) > MAX_CLUSTERS:
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is not an integer from 0 to {MAX_CLUSTERS}"
        )
    return int(text)


def seed(text: str) -> int:
    """An integer of at least 0, with at most 18 digits."""
    if not text.isdecimal() or len(text) > 18:
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is not an integer of at least 0, with at most 18 digits"
        )
    return int(text)


def seeds(text: str) -> list[int]:
    """Seeds separated by commas."""
    return [seed(one.strip()) for one in text.split(",")]


def positive_float(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number above 0")
    return value


def value_range(text: str) -> tuple[float, float]:
    """Two different numbers separated by a comma."""
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    if not (math.isfinite(low) and math.isfinite(high) and low != high):
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not LOW,HIGH, two different numbers such as 0,1 or -1,1"
        )
    return low, high


def recipe(text: str) -> Recipe:
    """A recipe, by its name."""
    if text not in RECIPES:
        near = difflib.get_close_matches(text, RECIPES, 1, 0)
        raise argparse.ArgumentTypeError(
            f"there is no recipe {text[:40]!r}; did you mean {near[0]}? The recipes are"
            f" {', '.join(RECIPES)}"
        )
    return RECIPES[text]


def setting(text: str) -> tuple[str, Any]:
    """NAME=VALUE: a field of a recipe and its value, as `format_value` writes it."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not NAME=VALUE, such as dropout=0.3")
    if name not in FIELDS:
        near = difflib.get_close_matches(name, FIELDS, 1, 0)
        raise argparse.ArgumentTypeError(
            f"a recipe has no {name[:40]!r}; did you mean {near[0]}? demo.py recipes NAME lists"
            " all settings"
        )
    try:
        return name, check_value(name, parse_value(name, value))
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from None


def parse_value(name: str, text: str) -> Any:
    """A value for a field of a recipe, from text such as 0.5, true, none or 256,32,16.

    What has another type than the field remains text, for check_value to refuse.
    """
    kind: Any = FIELDS[name].type
    if kind is str:
        return "" if text == NONE and "" in allowed_choices(name) else text
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    if kind is tuple:
        return tuple(parse_number(part) for part in text.split(","))
    number = parse_number(text)
    return float(number) if kind is float and isinstance(number, int) else number


def parse_number(text: str) -> int | float | str:
    """An integer of at most nine digits, else a float, else the text."""
    for kind in (int, float) if len(text) < 10 else (float,):
        with suppress(ValueError):
            return kind(text)
    return text


def format_value(value: Any) -> str:
    """The value of a field of a recipe as text, which parse_value reads."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value) or NONE


def classes(text: str) -> str:
    """Names separated by commas, sorted so that the same classes always give the same text."""
    try:
        names = sorted(set(split_names(text)))
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from None
    if not names:
        raise argparse.ArgumentTypeError("it is empty: name classes, such as 3,8")
    return join_names(names)


def augment(text: str) -> str:
    """Names of augmentations, such as flip,shift."""
    try:
        return read_augmentations(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(error) from None


def path(text: str) -> Path:
    """A path that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a file or folder")
    return Path(text)


def file_or_folder(text: str) -> str:
    """A path that is not empty, as text, because a Path drops the slash that ends a folder."""
    path(text)
    return text


def is_folder(text: str) -> bool:
    """Whether an --out means a folder: it ends in a slash, or is one."""
    return text.endswith(("/", os.sep)) or Path(text).is_dir()


def add_run_and_data(parser: argparse.ArgumentParser) -> None:
    """Add RUN_DIR and --data, for commands that need the images that a run was trained on."""
    parser.add_argument("run", type=path, metavar="RUN_DIR", help="the folder of a training run")
    parser.add_argument(
        "--data",
        type=path,
        metavar="PATH",
        help="where the run's images are now, if they have moved (default: where they were found"
        " the last time; a new place is remembered)",
    )


def add_epoch(parser: argparse.ArgumentParser) -> None:
    """Add --epoch, for commands that need only the generator of a run."""
    parser.add_argument(
        "--epoch",
        type=positive_int,
        metavar="N",
        help="use the generator as it was after epoch N (default: the newest; a run keeps about 20"
        " of them, in its folder generators/)",
    )


def add_force(parser: argparse.ArgumentParser) -> None:
    """Add --force, for commands that write one file."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace the file of --out if it exists and is of the same kind (default: refuse;"
        " folders, links and files of a run are never replaced)",
    )


def default_out(folder: Path | None, name: str, *others: str) -> Path:
    """Where a command writes without --out: the next free name in the folder of a run.

    It is `name`, or with -2, -3, ... after it if it exists, also with one of the suffixes `others`.
    Without a folder, or if nothing can be written there, it is in the current folder.
    """
    try:
        with tempfile.TemporaryFile(dir=folder or "."):
            first = Path(folder or "") / name
    except OSError:
        first = Path(name)
    for number in itertools.count(1):
        file = first if number == 1 else first.with_name(f"{first.stem}-{number}{first.suffix}")
        if not any(os.path.lexists(file.with_suffix(s)) for s in (first.suffix, *others)):
            return file
    raise AssertionError


def check_out(file: Path, *suffixes: str, force: bool = False) -> None:
    """Refuse an --out that has the wrong suffix or exists already, before any work is done.

    With `force`, it may exist if --force may replace it. Capitals in the suffix do not matter.
    Raises RunError.
    """
    if file.suffix.lower() not in suffixes:
        raise RunError(f"--out {file} should end in {' or '.join(suffixes)}")
    if not file.exists() and not file.is_symlink():
        return
    if not force:
        raise RunError(
            f"{file} exists: choose another --out, or add --force to replace it; nothing was"
            " overwritten"
        )
    if reason := reason_to_keep(file):
        raise RunError(
            f"--force does not replace {file}, which is {reason}: choose another --out; nothing was"
            " overwritten"
        )


def reason_to_keep(file: Path) -> str:
    """Why --force does not replace a file that exists, in words; "" if it does."""
    if file.is_symlink() or not file.is_file():
        return "a link" if file.is_symlink() else "not a file"
    if any((folder / "settings.json").exists() for folder in list(file.resolve().parents)[:2]):
        return "in the folder of a run"
    suffix = file.suffix.lower()
    with open(file, "rb") as opened:
        same_kind = opened.read(20).startswith(SIGNATURES.get(suffix, b""))
    return "" if same_kind else f"no {suffix} file as minigan writes it"


def check_out_folder(folder: Path) -> None:
    """Refuse an --out that is to be a folder unless it is new or empty. Raises RunError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(
            f"{folder} is {'not empty' if folder.is_dir() else 'a file'}: choose another --out;"
            " nothing was overwritten"
        )


def write_out(file: Path, content: io.BytesIO) -> None:
    """Write the content to a file. Raises RunError."""
    try:
        write_atomically(file, lambda opened: opened.write(content.getbuffer()))
    except OSError as error:
        raise RunError(
            f"cannot write {file} ({error.strerror or error}): choose another --out"
        ) from None
