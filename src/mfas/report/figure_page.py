"""A page with one figure in it: what a template makes of some content, and the same figure as a file.

A drawing and a template enter; two files leave. The page holds the figure, so that it needs nothing else.
"""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mfas.report.figures import plain_style, png
from mfas.report.page import render_page
from mfas.storage import write_bytes, write_text


def write_figure_page(
    page: Path, image: Path, template: str, draw: Callable[[], Figure], **content: Any
) -> None:
    """Write what `draw` draws to `image`, and to `page` what `template` makes of it and `content`."""
    with plain_style():
        figure = png(draw())
    write_bytes(image, figure)
    encoded = base64.b64encode(figure).decode()
    write_text(page, render_page(template, figure=encoded, **content))
