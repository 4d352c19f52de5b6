"""Export a run: the files of each format."""

from pathlib import Path

from minigan.export.html import web_page
from minigan.export.onnx import onnx_file
from minigan.export.torch import loader_script, state_dict
from minigan.training.run_folder import RunError
from minigan.training.sampling import load_networks_of

EXPORT_SUFFIXES = {"html": ".html", "torch": ".safetensors", "onnx": ".onnx"}


def export_run(folder: Path, to: str, out: Path, *, epoch: int | None = None) -> dict[Path, bytes]:
    """Export the generator of a run to the path `out`: {path: content} of the files to write.

    By default it is the newest, otherwise the one that the run has kept of an epoch.

    `to` is one of EXPORT_SUFFIXES; torch has two files. Raises RunError if the run cannot
    be used, a layer cannot be exported, or a package is missing.
    """
    settings, recipe, G, D = load_networks_of(folder, epoch)
    try:
        if to == "html":
            return {out: web_page(settings, recipe, G, D)}
        if to == "onnx":
            return {out: onnx_file(settings, recipe, G)}
        return {
            out: state_dict(settings, recipe, G),
            out.with_suffix(".py"): loader_script(settings, recipe, G, out.name),
        }
    except ImportError as error:
        package = (error.name or "").partition(".")[0]
        raise RunError(
            f"--to {to} needs {package}, which is not installed: pip install {package}"
        ) from None
