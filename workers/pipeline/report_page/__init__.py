"""``report.html``: the report for people. One file: no script, nothing fetched, every name escaped."""

from workers.pipeline.report_page.page import render

__all__ = ["render"]
