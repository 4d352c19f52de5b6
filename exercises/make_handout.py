"""Make a handout for students, without solutions:

    python exercises/make_handout.py

It writes handout.zip, with all that the lab and the exercises need: minigan, MNIST, the exercises
and their checkers. Left out are the solutions, the gallery of mistakes, the tests, which contain
solutions, and the documents. LAB.md is the first thing that a student reads.

The modules of minigan are complete, because the exercises run on them. Some of them hold what an
exercise asks for (exercises 1 and 4 to 7), and the exercises say how far to read.
"""

import argparse
import sys
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from exercises.checkers import EXERCISES
from exercises.checkers.tools import grade
from minigan.cli.arguments import Parser

ROOT = Path(__file__).resolve().parent.parent
NAME = "minigan-exercises"  # the folder in the archive
WHOLE = ["demo.py", "setup.cfg", "pyproject.toml", "LICENSE", "minigan", "data"]
OF_EXERCISES = ["*.py", "LAB.md", "checkers/*.py"]
FOR_TEACHERS = "\n## Solutions, and more mistakes\n"  # where README.md ends for students
TRACES = {"__pycache__", ".pytest_cache"}


def handout_files() -> dict[str, bytes]:
    """{path in the archive: content}; raises ValueError if an exercise is solved here."""
    for exercise in EXERCISES:
        path = ROOT / "exercises" / f"{exercise.name}.py"
        text = path.read_text(encoding="utf-8")
        written = "NotImplementedError" not in text if not exercise.part else False
        if written or exercise.part and not grade(exercise.checker, path, exercise.part):
            raise ValueError(
                f"{path} contains a solution ({exercise.part or exercise.title}): restore the"
                " empty exercise first"
            )
    paths = [path for name in WHOLE for path in [ROOT / name, *sorted((ROOT / name).rglob("*"))]]
    for pattern in OF_EXERCISES:
        paths += sorted((ROOT / "exercises").glob(pattern))
    files = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file() and not TRACES & {*path.parts} and path != Path(__file__).resolve()
    }
    readme = (ROOT / "exercises" / "README.md").read_text(encoding="utf-8")
    students, found, _ = readme.partition(FOR_TEACHERS)
    if not found:
        raise ValueError(f"exercises/README.md has no heading {FOR_TEACHERS.strip()!r}")
    files["exercises/README.md"] = students.encode()
    files["README.md"] = (
        b"Begin with [the lab](exercises/LAB.md). [The exercises](exercises/README.md) continue"
        b" it.\n"
    )
    return files


def main(args: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(
        "python exercises/make_handout.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("handout.zip"),
        metavar="FILE.zip",
        help="a new file (default handout.zip)",
    )
    out = parser.parse_args(args).out
    try:
        files = handout_files()
        with zipfile.ZipFile(out, "x", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(f"{NAME}/{name}", content)
    except FileExistsError:
        print(f"{out} exists: choose another --out; nothing was overwritten", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"the handout was not written: {error}", file=sys.stderr)
        return 2
    print(f"{out}: {len(files)} files, {out.stat().st_size / 1e6:.1f} MB, without solutions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
