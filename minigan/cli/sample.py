"""Generate new images with a trained run, or without one with a pretrained generator."""

import io
from pathlib import Path

import numpy as np

from minigan.cli import arguments
from minigan.cli.arguments import (
    add_force,
    check_out,
    check_out_folder,
    default_out,
    is_folder,
    write_out,
)
from minigan.figures.plots import save_grid, save_picture, to_bytes
from minigan.training.pretrained import load_training_command
from minigan.training.sampling import sample_images


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
        help="FILE.png: a grid; FILE.npy: a float32 array (N, height, width), or"
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
    arguments.add_epoch(parser)
    add_force(parser)


def run(args):
    """Generate the images, and write the grid, the array or the folder."""
    out = Path(args.out) if args.out else default_out(args.run, "samples.png")
    folder = args.out is not None and is_folder(args.out)
    if folder:
        check_out_folder(out)
    else:
        check_out(out, ".png", ".npy", "/", force=args.force)
    images = sample_images(args.run, args.count, seed=args.seed, digit=args.digit, epoch=args.epoch)
    if folder:
        out.mkdir(parents=True, exist_ok=True)
        for i, image in enumerate(images):
            content = io.BytesIO()
            save_picture(to_bytes(image), content, zoom=1)
            write_out(out / f"{i:06}.png", content)
    else:
        content = io.BytesIO()
        np.save(content, images) if out.suffix.lower() == ".npy" else save_grid(images, content)
        write_out(out, content)
    if args.run is None:
        print(
            "no RUN_DIR was given, so this is the pretrained generator that ships with minigan:"
            f" {load_training_command()} trained it"
        )
    print(f"{args.count} new images in {out}")
    return 0
