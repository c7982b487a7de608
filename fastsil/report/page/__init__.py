"""The frame of all pages: one HTML file each, which loads nothing from anywhere.

Templates escape whatever they are given. A page has one script, which sorts its tables, and names its digest: a
browser runs no other script, and loads nothing.
"""

from __future__ import annotations

import base64
import datetime
import functools
import hashlib
import importlib.resources
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastsil.report.plots import new_figure, save_picture
from fastsil.report.tables import Column
from fastsil.report.words import count, format_bytes, readings

if TYPE_CHECKING:
    from jinja2 import Environment
    from matplotlib.axes import Axes

# Inches. A phone shows a picture of this width at about 80 pixels an inch, so that its letters stay legible.
WIDTH, HEIGHT = 4.8, 3.6


class Hint(NamedTuple):
    """Text that appears over a part of a picture's width; ``left`` and ``width`` in percent of it."""

    left: float
    width: float
    text: str


@dataclass(frozen=True)
class Picture:
    """A picture for a page.

    Attributes
    ----------
    png : bytes
        Content of a PNG file.
    alt : str
        Description for readers who cannot see it.
    caption : str
        Text below it.
    hints : tuple of Hint
        Values that a page shows where the mouse points.
    """

    png: bytes
    alt: str
    caption: str = ""
    hints: tuple[Hint, ...] = ()

    @property
    def source(self) -> str:
        """Address that holds the picture itself."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


def draw_picture(
    draw: Callable[[Axes], Any],
    *,
    alt: str,
    caption: str = "",
    height: float = HEIGHT,
    hints: Mapping[int, str] | None = None,
) -> Picture:
    """Make a picture by a function that draws into Axes; ``hints`` are texts for values of its x axis.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    figure = new_figure(WIDTH, height)
    ax = figure.subplots()
    draw(ax)
    # The caption says it, in letters that wrap.
    ax.set_title("", loc="left")
    file = io.BytesIO()
    save_picture(figure, file)
    return Picture(file.getvalue(), alt, caption, _place_hints(ax, hints or {}))


def _place_hints(ax: Axes, hints: Mapping[int, str]) -> tuple[Hint, ...]:
    """Give each value the part of the width that is nearer to it than to its neighbors."""
    low, high = ax.get_xlim()
    values = np.array(sorted(hints), dtype=np.float64)
    edges = np.concatenate([[low], (values[1:] + values[:-1]) / 2, [high]])
    pixels = ax.transData.transform(np.column_stack([edges, np.zeros_like(edges)]))[:, 0]
    places = (100 * pixels / ax.figure.bbox.width).round(2).tolist()
    return tuple(
        Hint(left, round(right - left, 2), hints[value])
        for left, right, value in zip(places, places[1:], sorted(hints), strict=False)
    )


def arrange_table(columns: Sequence[Column], *, marked: int | str | None = None) -> dict[str, Any]:
    """Return columns as titles and rows for the template; the row that begins with ``marked`` is emphasized."""
    rows = list(zip(*(column.cells for column in columns), strict=True))
    return {"titles": [column.title for column in columns], "rows": rows, "marked": str(marked)}


def describe_data(n_samples: int | None, n_features: int | None, n_bytes: int | None) -> str:
    """Return the size of the data, as far as it is known, and the date."""
    shape = [
        "" if n_samples is None else count(n_samples, "sample"),
        "" if n_features is None else count(n_features, "feature"),
    ]
    size = "" if n_bytes is None else format_bytes(n_bytes)
    today = datetime.date.today()
    return " · ".join(filter(None, [" x ".join(filter(None, shape)), size, f"{today.day} {today:%B %Y}"]))


def render_page(template: str, **content: Any) -> str:
    """Return a page as text.

    Parameters
    ----------
    template : str
        Name of a file in this folder.
    **content
        Values of the template.

    Raises
    ------
    ImportError
        If Jinja2 is not installed.
    """
    script = _read_file("sort.js")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    frame = {"script": script, "script_digest": digest, "readings": readings()}
    return load_templates().get_template(template).render(**frame, **content)


@functools.cache
def load_templates() -> Environment:
    """Return the environment of the templates.

    Raises
    ------
    ImportError
        If Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise ImportError("the report needs Jinja2; install it with: pip install 'fastsil[report]'") from error
    return Environment(
        loader=FunctionLoader(_read_file),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _read_file(name: str) -> str:
    return importlib.resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
