"""minigan.export: the generator of a run as a web page, a PyTorch state dict or an ONNX graph.

`run.export_run` returns the content of the files to write. The reading order is formats, torch,
onnx and html.
"""

from typing import Any

from minigan import moved


def __getattr__(name: str) -> Any:
    return moved.member("export", name)
