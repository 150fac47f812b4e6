"""Labels of points, placed so that they can be read.

Not by adjustText (1.4.0), which in one of the two hulls that the tests look at left five marks under labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DIRECTIONS = [(x, y) for x in (0, 1, -1, 0.5, -0.5) for y in (1, 0, -1, 0.5, -0.5) if (x, y) != (0, 0)]
DISTANCES = (8.0, 14.0, 20.0)
"""Of a label from its point, in points of 1/72 inch."""
HALF_MARK = 8.0  # of a point's mark, likewise


def spread(ax: Axes) -> None:
    """Move the annotations of a diagram to where they cover neither each other nor marks, and little of its lines.

    One after the other, from the top: each takes the best place that is left, so the same diagram always looks the
    same. Call it last: it goes by the limits and the size that the diagram has.
    """
    figure: Any = ax.figure
    renderer = figure.canvas.get_renderer()
    pixel = figure.dpi / 72
    texts: list[Any] = sorted(ax.texts, key=lambda text: (-text.xy[1], text.xy[0]))
    points = ax.transData.transform([text.xy for text in texts])
    lines = _along_lines(ax)
    marks = [_box(point, np.full(2, 2 * HALF_MARK * pixel)) for point in ax.transData.transform(_marks(ax))]
    boxes = np.array(marks)  # that no label may cover, (n, 2, 2)
    for text, point in zip(texts, points, strict=True):
        size = np.array(text.get_window_extent(renderer).size)
        others = points[np.any(points != point, axis=1)]
        best, place = np.inf, (np.zeros(2), _box(point, size))
        for away in DISTANCES:
            for direction in np.array(DIRECTIONS, dtype=float):
                offset = direction * (away * pixel / np.linalg.norm(direction) + size / 2)
                box = _box(point + offset, size)
                covered = _overlap(box, boxes) / size.prod()
                nearer = max(0.0, _gap(box, point) - _gap(box, others)) / pixel  # to a mark that is not its own
                cost = 10 * covered + _inside(box, lines) / 20 + away / 30 + nearer / 10
                if cost < best:
                    best, place = cost, (offset, box)
        offset, box = place
        boxes = np.append(boxes, box[None], axis=0)
        text.set(position=tuple(offset / pixel), horizontalalignment="center", verticalalignment="center")


def _marks(ax: Axes) -> np.ndarray:
    """Points with a mark, in data coordinates, (n, 2)."""
    return np.concatenate([line.get_xydata() for line in ax.lines if line.get_marker() != "None"])


def _along_lines(ax: Axes) -> np.ndarray:
    """Points along the lines, in pixels, (n, 2)."""
    steps = np.linspace(0, 1, 60)[:, None]
    ends = [ax.transData.transform(line.get_xydata()) for line in ax.lines if line.get_marker() == "None"]
    return np.concatenate([start + steps * (end - start) for start, end in ends])


def _box(middle: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Lower left and upper right corner, (2, 2)."""
    return np.array([middle - size / 2, middle + size / 2])


def _overlap(box: np.ndarray, others: np.ndarray) -> float:
    """Area that a box shares with others, (n, 2, 2), summed."""
    shared = np.minimum(box[1], others[:, 1]) - np.maximum(box[0], others[:, 0])
    return float(np.clip(shared, 0, None).prod(axis=1).sum())


def _gap(box: np.ndarray, points: np.ndarray) -> float:
    """Shortest distance from a box to one of some points."""
    return float(np.linalg.norm(points - np.clip(points, box[0], box[1]), axis=-1).min())


def _inside(box: np.ndarray, points: np.ndarray) -> int:
    return int(np.all((points > box[0]) & (points < box[1]), axis=1).sum())
