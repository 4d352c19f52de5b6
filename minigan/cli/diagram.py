"""Draw a GAN and where its gradients flow, or a convolution and its transpose."""

import io

import numpy as np

from minigan.cli import arguments, summary
from minigan.evaluation.layer_stats import layer_outputs
from minigan.figures.diagram import (
    Diagram,
    DiagramRow,
    diagram_rows,
    save_convolution_diagram,
    save_gan_diagram,
)
from minigan.gan.steps import with_labels
from minigan.nn.sequential import Sequential
from minigan.training.run_folder import RunError


def add_arguments(parser):
    """The options of `demo.py diagram`."""
    summary.add_arguments(parser)
    add = parser.add_argument
    add(
        "--show",
        choices=["gan", "convolution"],
        default="gan",
        help="gan: both training steps, with the layers of both networks; convolution: a"
        " convolution and its transpose, in numbers (default gan)",
    )
    add(
        "--out",
        type=arguments.path,
        metavar="FILE",
        help="the file for the diagram, FILE.svg, .pdf or .png (default: RUN_DIR/diagram.svg, or"
        " the next free name)",
    )
    arguments.add_look(parser)
    arguments.add_force(parser)


def run(args):
    """Draw the diagram."""
    out = args.out or arguments.default_out(args.run, "diagram.svg")
    arguments.check_out(out, *arguments.PICTURES, force=args.force)
    content, look = io.BytesIO(), arguments.look_of(args, out)
    if args.show == "convolution":
        if args.run or args.recipe or args.set or args.size:
            raise RunError("--show convolution draws the same for all networks: name none")
        save_convolution_diagram(content, look)
    else:
        recipe, G, D, (z, image, labels) = summary.networks_of(args)
        diagram = Diagram(
            network_rows(G, z, labels),
            network_rows(D, image, labels),
            z.shape[1:],
            image.shape[1:],
            () if labels is None else labels.shape[1:],
            recipe,
        )
        save_gan_diagram(diagram, content, look)
    arguments.write_out(out, content)
    print(f"diagram in {out}")
    return 0


def network_rows(net: Sequential, x: np.ndarray, labels: np.ndarray | None) -> list[DiagramRow]:
    """The rows of a network with the shapes for an example x (1, ...), labels (1, C) or None."""
    ys = layer_outputs(net, with_labels(x, labels))
    return diagram_rows([(layer, y.shape[1:]) for layer, y in zip(net.layers, ys)])
