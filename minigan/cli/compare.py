"""Compare several runs in one table and one figure; they need not be finished."""

import io

from minigan.cli import arguments
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
        metavar="FILE",
        help="the file for the figure, FILE.png, .svg or .pdf (default: comparison.png in the first"
        " RUN_DIR, or the next free name)",
    )
    arguments.add_look(parser, columns_of="panels in a row", default_columns="3")
    arguments.add_force(parser)


def run(args):
    """Print the table and write the figure."""
    out = args.out or arguments.default_out(args.runs[0], "comparison.png")
    arguments.check_out(out, *arguments.PICTURES, force=args.force)
    runs, content = {str(folder): read_run(folder) for folder in args.runs}, io.BytesIO()
    save_curves_of_runs(runs, content, look=arguments.look_of(args, out))
    arguments.write_out(out, content)
    print(format_comparison(runs, command=args.command))
    print(f"curves in {out}")
    return 0
