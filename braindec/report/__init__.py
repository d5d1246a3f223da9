"""A results folder as one self-contained HTML page, or as a table for the terminal."""

from braindec.report.page import write_report
from braindec.report.text import report_summary_text

__all__ = ["report_summary_text", "write_report"]
