"""Moved: old imports fail with a message that gives the new name.

The idea
    In version 0.2.0 the modules were sorted into folders, and many names were replaced by the
    standard terms of the field. Importing an old module, such as minigan.network, raises an
    ImportError that names its replacement. docs/changes.md has the complete list.

>>> sentence("network")
'minigan.network was renamed in 0.2.0: import it from minigan.nn.sequential (see docs/changes.md)'
"""

import importlib.abc
import sys
from typing import Any

MODULES = {  # old module: the new module or modules that hold most of its content
    "activations": "minigan.nn.activations",
    "adversarial": "minigan.gan.losses",
    "animation": "minigan.figures.toy_animation",
    "batchnorm": "minigan.nn.batchnorm",
    "blocks": "minigan.accel.fused_layers",
    "build": "minigan.gan.models or minigan.gan.latents or minigan.training.schedule",
    "checkpoint": "minigan.training.checkpoint",
    "classifier": "minigan.evaluation.classifier",
    "comparison": "minigan.evaluation.compare",
    "conv": "minigan.nn.conv",
    "data": "minigan.datasets.idx or minigan.datasets.pixels",
    "dense": "minigan.nn.dense",
    "diagnosis": "minigan.training.diagnosis",
    "drawing": "minigan.training.sampling or minigan.gan.latents",
    "dropout": "minigan.nn.dropout",
    "fusing": "minigan.accel.fused_steps",
    "game": "minigan.training.state",
    "gradcheck": "minigan.nn.gradcheck or minigan.nn.double_gradcheck",
    "initial_weights": "minigan.nn.initializers",
    "inspection": "minigan.evaluation.layer_stats",
    "layer": "minigan.nn.layer",
    "losses": "minigan.nn.losses",
    "metrics": "minigan.evaluation.metrics",
    "network": "minigan.nn.sequential",
    "optim": "minigan.nn.optim or minigan.nn.ema",
    "patches": "minigan.nn.im2col",
    "penalties": "minigan.gan.gradient_penalty",
    "pictures": "minigan.datasets.images",
    "plots": "minigan.figures.plots",
    "randomness": "minigan.rng",
    "recipes": "minigan.gan.recipes",
    "runs": "minigan.training.run_folder",
    "selfcheck": "minigan.evaluation.derivatives",
    "shapes": "minigan.nn.reshape or minigan.nn.maxout or minigan.nn.pooling",
    "sources": "minigan.datasets.load",
    "spectral": "minigan.nn.spectral_norm",
    "toy": "minigan.figures.toys",
    "webpage": "minigan.export.html or minigan.export.formats",
    "workers": "minigan.accel.data_parallel",
}
MEMBERS = {  # modules whose names are still in use: old member, new member
    "backend": {
        "array_module": "minigan.backend.get_array_module",
        "to_host": "minigan.backend.asnumpy",
        "keep_memory": "minigan.accel.cpu.disable_malloc_trim",
        "blas_threads": "minigan.accel.cpu.blas_threads",
        "blas_advice": "minigan.accel.cpu.blas_advice",
        "advice": "minigan.accel.cpu.choose_blas_advice",
        "version": "minigan.backend.cuda_version",
    },
    "gan": {
        "USUAL": "minigan.gan.losses.NON_SATURATING",
        "make_generator": "minigan.gan.models.make_generator",
        "make_discriminator": "minigan.gan.models.make_discriminator",
        "join": "minigan.gan.steps.with_labels",
        "discriminator_step": "minigan.gan.steps.discriminator_step",
        "add_penalty": "minigan.gan.steps.add_penalty_gradient",
        "discriminator_step_in_two": "minigan.gan.steps.discriminator_step_two_passes",
        "generator_step": "minigan.gan.steps.generator_step",
    },
    "training": {
        "EVERY": "minigan.training.run.FETCH_EVERY",
        "MEASURED": "minigan.training.run.STEP_COLUMNS",
        "train": "minigan.training.loop.train",
        "write_history": "minigan.training.run.write_history",
        "describe": "minigan.training.run.format_epoch",
        "Interruptible": "minigan.training.interruption.Interruption",
    },
    "evaluation": {
        "FIGURES": "minigan.evaluation.report.METRIC_LABELS",
        "make_yardstick": "minigan.evaluation.report.make_evaluator",
        "evaluate": "minigan.evaluation.report.evaluate",
        "wishes": "minigan.evaluation.report.pixel_gradient",
        "table": "minigan.evaluation.report.format_report",
    },
    "export": {
        "SUFFIXES": "minigan.export.run.EXPORT_SUFFIXES",
        "NAMES": "minigan.export.formats.PARAMETER_NAMES",
        "export": "minigan.export.run.export_run",
        "Elsewhere": "minigan.nn.layer.Exported",
        "elsewhere": "minigan.nn.layer.Layer.exported",
        "parts_of": "minigan.export.formats.exported_operations",
        "state_dict": "minigan.export.torch.state_dict",
        "loader": "minigan.export.torch.loader_script",
        "onnx_file": "minigan.export.onnx.onnx_file",
    },
}


def sentence(module: str) -> str:
    """The message for an import of an old module: what to import instead."""
    return (
        f"minigan.{module} was renamed in 0.2.0: import it from {MODULES[module]}"
        " (see docs/changes.md)"
    )


def member(package: str, name: str) -> Any:
    """The __getattr__ of a package that existed before 0.2.0: raises ImportError for an old member
    and AttributeError for any other name.
    """
    if name in MEMBERS[package]:
        raise ImportError(
            f"minigan.{package}.{name} was renamed in 0.2.0: use {MEMBERS[package][name]} instead"
            " (see docs/changes.md)"
        )
    raise AttributeError(f"module 'minigan.{package}' has no attribute {name!r}")


class OldNames(importlib.abc.MetaPathFinder):
    """An import finder that finds no modules, but raises ImportError for the old ones."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        """Raise ImportError for an old module of minigan."""
        package, _, module = fullname.rpartition(".")
        if package == "minigan" and module in MODULES:
            raise ImportError(sentence(module), name=fullname)


def explain_old_imports() -> None:
    """Install OldNames as the last finder, which Python asks only if all others find nothing."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.append(OldNames())
