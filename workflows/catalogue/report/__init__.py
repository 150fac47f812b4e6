"""A campaign as one HTML page: read it from the store, draw it, write it.

from workflows.catalogue.report.reading import read_report
from workflows.catalogue.report.page import write_report

write_report(read_report(store, "quickstart"), Path("report"))
"""
