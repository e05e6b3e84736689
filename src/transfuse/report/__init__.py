"""What people see of a study: one HTML file, a table for the terminal, a picture.

Read `page.py` first: `write_report` turns `study.parquet` and `study.json` into `report.html`.
"""

from transfuse.report.page import write_card, write_explanations, write_report
from transfuse.report.table import choice_table, learning_curve_png, result_table, task_table

__all__ = [
    "choice_table",
    "learning_curve_png",
    "result_table",
    "task_table",
    "write_card",
    "write_explanations",
    "write_report",
]
