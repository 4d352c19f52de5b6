"""minigan.evaluation: the quality of generated images, statistics of each layer, and derivatives.

The reading order is classifier, legibility, metrics, memorisation, report, compare, layer_stats and
derivatives.
"""

from typing import Any

from minigan import moved


def __getattr__(name: str) -> Any:
    return moved.member("evaluation", name)
