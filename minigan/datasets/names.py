"""Names of classes: their order, and lists of them.

The idea
    The position of a class in the list of all classes is its label. Names are sorted as people do,
    2 before 10. A list of names, such as that of `--classes`, is separated by commas, and a name
    that holds a comma is in double quotes, as in a CSV file.

>>> sorted(["10", "2", "-1", "a10", "a9"], key=natural_key)
['-1', '2', '10', 'a9', 'a10']
>>> split_names('cats, "salt, pepper"')
['cats', 'salt, pepper']
>>> join_names(["cats", "salt, pepper"])
'cats,"salt, pepper"'
"""

import csv
import io
import re
from collections.abc import Iterable


def natural_key(name: str) -> tuple:
    """A key for sorting names: numbers by their values, and before text."""
    if re.fullmatch(r"-?[0-9]+", name):
        return (0, int(name), name)
    parts = re.split(r"([0-9]+)", name)  # text and digits alternate
    return (1, [int(part) if i % 2 else part for i, part in enumerate(parts)], name)


def split_names(text: str) -> list[str]:
    """The names in a list such as "3,8". Raises ValueError if it is none."""
    try:
        rows = list(csv.reader([text], skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"{text[:40]!r} is not a list of names ({error})") from None
    names = [name.strip() for row in rows for name in row]
    return [name for name in names if name]


def join_names(names: Iterable[str]) -> str:
    """The list that `split_names` splits into these names."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(names)
    return text.getvalue()
