"""An SVG picture that knows where its text stands, so that no two labels ever overlap."""

from __future__ import annotations

from html import escape

__all__ = ["INK", "PAPER", "SOFT", "Canvas", "text_width"]

INK, SOFT, PAPER = "#1f2933", "#64748b", "#ffffff"
_FONT = "'DejaVu Sans', Verdana, 'Segoe UI', Helvetica, Arial, sans-serif"


def text_width(text: str, size: float) -> float:
    """A generous guess; viewers differ, and too much room is better than an overlap."""
    return sum(1.0 if ord(ch) > 0x2000 else 0.64 for ch in text) * size


class Canvas:
    """Shapes and texts in the order they are drawn."""

    def __init__(self, width: float) -> None:
        self.width = width
        self._parts: list[str] = []
        self._boxes: list[tuple[float, float, float, float]] = []

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = 11,
        fill: str = INK,
        anchor: str = "start",
        bold: bool = False,
        title: str = "",
    ) -> bool:
        """Write, if there is room; says whether there was. ``y`` is the base line."""
        wide = text_width(text, size) * (1.06 if bold else 1)
        left = x - wide * {"start": 0, "middle": 0.5, "end": 1}[anchor]
        box = (left, y - size, left + wide, y + size * 0.3)
        if left < 0 or box[2] > self.width or not self.is_free(box):
            return False
        self._boxes.append(box)
        style = ' font-weight="bold"' if bold else ""
        more = f' text-anchor="{anchor}"' if anchor != "start" else ""
        tip = f"<title>{escape(title)}</title>" if title else ""
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{fill}"{more}{style}>'
            f"{tip}{escape(text)}</text>"
        )
        return True

    def is_free(self, box: tuple[float, float, float, float]) -> bool:
        """Whether no text stands there."""
        left, top, right, bottom = box
        return not any(
            left < x1 and x0 < right and top < y1 and y0 < bottom for x0, y0, x1, y1 in self._boxes
        )

    def reserve(self, left: float, top: float, right: float, bottom: float) -> None:
        """Keep a place free of text, for a mark."""
        self._boxes.append((left, top, right, bottom))

    def rect(
        self,
        x0: float,
        y: float,
        x1: float,
        height: float,
        fill: str,
        *,
        title: str = "",
        more: str = "",
    ) -> None:
        """A filled box."""
        tip = f"<title>{escape(title)}</title>" if title else ""
        end = f">{tip}</rect>" if tip else "/>"
        self._parts.append(
            f'<rect x="{x0:.1f}" y="{y:.1f}" width="{max(0.0, x1 - x0):.1f}" '
            f'height="{height:.1f}" fill="{fill}"{" " if more else ""}{more}{end}'
        )

    def path(
        self,
        way: str,
        stroke: str = "none",
        *,
        width: float = 1,
        fill: str = "none",
        title: str = "",
        more: str = "",
    ) -> None:
        """A path in SVG's own words."""
        tip = f"<title>{escape(title)}</title>" if title else ""
        end = f">{tip}</path>" if tip else "/>"
        self._parts.append(
            f'<path d="{way}" fill="{fill}" stroke="{stroke}" stroke-width="{width:g}"'
            f"{' ' if more else ''}{more}{end}"
        )

    def finish(self, height: float, title: str) -> str:
        """The whole picture."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:.0f}" '
            f'height="{height:.0f}" viewBox="0 0 {self.width:.0f} {height:.0f}" role="img" '
            f'font-family="{_FONT}"><title>{escape(title)}</title>'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>'
        )
        return head + "\n".join(self._parts) + "</svg>\n"
