"""What pictures and tables are drawn with: a canvas, a time scale, rows. Who has the data draws."""

from __future__ import annotations

from hyplink.display.tables import html_of, html_table, text_table

__all__ = ["html_of", "html_table", "text_table"]
