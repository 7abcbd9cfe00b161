"""Pictures and tables of what a bench did."""

from __future__ import annotations

from hyplink.display.tables import html_table, text_table
from hyplink.display.timeline import Timeline

__all__ = ["Timeline", "html_table", "text_table"]
