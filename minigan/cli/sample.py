"""Generate new images with a trained run, or without one with a pretrained generator."""

import io
import math
from pathlib import Path

import numpy as np

from minigan.cli import arguments
from minigan.figures.plots import Look, save_picture, to_bytes
from minigan.figures.sheets import Sheet, arrange_images, class_rows, save_sheet
from minigan.training.pretrained import load_training_command
from minigan.training.run_folder import class_names, load_model
from minigan.training.sampling import check_invert, sample_images


def add_arguments(parser):
    """The options of `demo.py sample`."""
    add = parser.add_argument
    add(
        "run",
        type=arguments.path,
        nargs="?",
        metavar="RUN_DIR",
        help="the folder of a training run; if it is omitted, a pretrained generator of digits that"
        " ships with minigan is used",
    )
    add(
        "--count",
        type=arguments.positive_int,
        default=100,
        metavar="N",
        help="how many images to generate (default 100: a grid of 10 x 10)",
    )
    add(
        "--digit",
        metavar="NAME",
        help="generate only this digit, or the class of this name, with a run trained with"
        " --conditional",
    )
    add(
        "--out",
        type=arguments.file_or_folder,
        metavar="FILE",
        help="FILE.png, .svg or .pdf: a grid; FILE.npy: a float32 array (N, height, width), or"
        " (N, height, width, 3) in colour, in [0, 1]; FOLDER/: one picture per file, 000000.png and"
        " so on, as other programs take them (default: RUN_DIR/samples.png, or the next free name)",
    )
    add(
        "--seed",
        type=arguments.seed,
        default=0,
        metavar="N",
        help="seed of the latents (default 0: the same images every time). Image k of a seed is the"
        " same for any --count, but --conditional runs without --digit sort the images by class",
    )
    add(
        "--plain",
        action="store_true",
        help="only the images, without the title and the labels of the rows",
    )
    arguments.add_look(
        parser, columns_of="images in a row", default_columns="as many as rows", invert=True
    )
    arguments.add_epoch(parser)
    arguments.add_force(parser)


def run(args):
    """Generate the images, and write the grid, the array or the folder."""
    out = Path(args.out) if args.out else arguments.default_out(args.run, "samples.png")
    folder = args.out is not None and arguments.is_folder(args.out)
    if folder:
        arguments.check_out_folder(out)
    else:
        arguments.check_out(out, *arguments.PICTURES, ".npy", "/", force=args.force)
    images = sample_images(args.run, args.count, seed=args.seed, digit=args.digit, epoch=args.epoch)
    check_invert(args.invert, images.shape[1:])
    if folder:
        out.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(images):
            content = io.BytesIO()
            image = 1 - image if args.invert else image
            save_picture(to_bytes(image), content, zoom=args.zoom)
            arguments.write_out(out / f"{i:06}.png", content)
    else:
        content = io.BytesIO()
        if out.suffix.lower() == ".npy":
            np.save(content, images)
        else:
            save_sheet(
                make_sheet(args, images, arguments.look_of(args, out)),
                content,
                arguments.look_of(args, out),
            )
        arguments.write_out(out, content)
    if args.run is None:
        print(
            "no RUN_DIR was given, so this is the pretrained generator that ships with minigan:"
            f" {load_training_command()} trained it"
        )
    print(f"{args.count} new images in {out}")
    return 0


def make_sheet(args, images: np.ndarray, look: Look) -> Sheet:
    """The images in a grid, with a title, and with labels if they are sorted by class."""
    count = len(images)
    columns = look.columns or math.ceil(math.sqrt(count))
    grid = arrange_images(images, columns=columns, look=look)
    if args.plain:
        return Sheet(grid)
    names = class_names(load_model(args.run)[0]) if args.run and args.digit is None else []
    of_class = "" if args.digit is None else f" of class {args.digit}"
    of_epoch = "" if args.epoch is None else f", epoch {args.epoch}"
    same = names and count == columns * len(names)
    what = f"{count:,} generated image{'s' if count > 1 else ''}"
    return Sheet(
        grid,
        f"{what}{of_class}, seed {args.seed}{of_epoch}",
        class_rows(names, count, columns),
        caption="each column has the same latents" if same else "",
    )
