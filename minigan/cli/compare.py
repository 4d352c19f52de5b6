"""Compare several runs in one table and one figure; they need not be finished."""

import io
from pathlib import Path

from minigan.cli import arguments
from minigan.cli.arguments import PICTURES, add_force, add_look, check_out, look_of, write_out
from minigan.evaluation.compare import format_comparison, read_run, save_curves_of_runs


def add_arguments(parser):
    """The options of `demo.py compare`."""
    parser.add_argument(
        "runs",
        type=arguments.path,
        nargs="+",
        metavar="RUN_DIR",
        help="the folders of training runs",
    )
    parser.add_argument(
        "--out",
        type=arguments.path,
        default=Path("comparison.png"),
        metavar="FILE",
        help="the file for the figure, FILE.png, .svg or .pdf (default comparison.png)",
    )
    add_look(parser, columns_of="panels in a row", default_columns="3")
    add_force(parser)


def run(args):
    """Print the table and write the figure."""
    check_out(args.out, *PICTURES, force=args.force)
    runs, content = {str(folder): read_run(folder) for folder in args.runs}, io.BytesIO()
    save_curves_of_runs(runs, content, look=look_of(args, args.out))
    write_out(args.out, content)
    print(format_comparison(runs, command=args.command))
    print(f"curves in {args.out}")
    return 0
