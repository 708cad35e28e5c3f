"""The report: one offline HTML page with its charts as PDF and its numbers as CSV."""

from lth.report.page import write_report

__all__ = ["write_report"]
