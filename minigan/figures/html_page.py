"""HTML pages: single files that hold their own data and style, and load nothing else.

The idea
    A template has two gaps. The first is for the head that all pages share, with their style
    (page.css, with the colours of a light and of a dark screen), to which the template adds its
    own. The second is for the data, which becomes an object of the page's script. A page that is
    opened from the disk may load no other file, so both are inserted.

>>> print(fill_page("const model = MODEL_GOES_HERE;", {"a": "</script>"}))
const model = {"a":"\\u003c/script>"};
"""

import json
from pathlib import Path
from typing import Any

STYLE = Path(__file__).with_name("page.css")
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline';\
 style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>minigan</title>
<style>
"""


def fill_page(template: str, model: Any) -> str:
    """The template with the common head and with the model as a JavaScript object.

    No text in the model can end the script, because "<" is written as an escape.
    """
    text = json.dumps(model, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = template.replace("HEAD_GOES_HERE", HEAD + STYLE.read_text(encoding="utf-8"), 1)
    return page.replace("MODEL_GOES_HERE", text, 1)
