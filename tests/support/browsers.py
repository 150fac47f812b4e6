"""Pages in a real browser."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any


def opened(browser: Any, path: Path, **options: Any) -> tuple[Any, list[str]]:
    """A page in the browser, and what goes wrong on it."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, **options)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(path.as_uri())
    return page, problems


def is_blank(png: bytes) -> bool:
    from PIL import Image

    colours = Image.open(io.BytesIO(png)).convert("RGB").getcolors(maxcolors=1 << 24)
    return colours is None or len(colours) < 20
