"""Export the generator of a trained run for use without minigan."""

import io

from minigan.cli import arguments
from minigan.export.run import EXPORT_SUFFIXES, export_run


def add_arguments(parser):
    """The options of `demo.py export`."""
    parser.add_argument(
        "run", type=arguments.path, metavar="RUN_DIR", help="the folder of a training run"
    )
    parser.add_argument(
        "--to",
        choices=EXPORT_SUFFIXES,
        required=True,
        help="html: a web page that generates images on its own; torch: a state dict for PyTorch"
        " and a script that loads it; onnx: a graph (the last two need pip install"
        " safetensors and pip install onnx)",
    )
    parser.add_argument(
        "--out",
        type=arguments.path,
        metavar="FILE",
        help="the file to write, ending in .html, .safetensors or .onnx (default: the name of the"
        " run, in its folder)",
    )
    arguments.add_epoch(parser)
    arguments.add_force(parser)


def run(args):
    """Write the file, or the two files."""
    suffix = EXPORT_SUFFIXES[args.to]
    others = (".py",) if args.to == "torch" else ()
    out = args.out or arguments.default_out(args.run, args.run.resolve().name + suffix, *others)
    arguments.check_out(out, suffix, force=args.force)
    files = export_run(args.run, args.to, out, epoch=args.epoch)
    for file in files:
        arguments.check_out(file, file.suffix.lower(), force=args.force)
    for file, content in files.items():
        arguments.write_out(file, io.BytesIO(content))
    print(
        f"written: {' and '.join(map(str, files))} ({sum(map(len, files.values())) / 1e6:.1f} MB)"
    )
    return 0
