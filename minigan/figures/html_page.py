"""HTML pages: single files that hold their own data and style, and load nothing else.

The idea
    A template has two gaps, for the style that all pages share (page.css, with the colours of a
    light and of a dark screen) and for the data, which becomes an object of the page's script. A
    page that is opened from the disk may load no other file, so both are inserted.

>>> print(fill_page("const model = MODEL_GOES_HERE;", {"a": "</script>"}))
const model = {"a":"\\u003c/script>"};
"""

import json
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_name("page.css")


def fill_page(template: str, model: Any) -> str:
    """The template with the common style and with the model as a JavaScript object.

    No text in the model can end the script, because "<" is written as an escape.
    """
    text = json.dumps(model, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = template.replace("STYLE_GOES_HERE", STYLE.read_text(encoding="utf-8"), 1)
    return page.replace("MODEL_GOES_HERE", text, 1)
