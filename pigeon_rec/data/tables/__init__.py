"""Reads tables of any usual format and column names."""

from pigeon_rec.data.tables import values
from pigeon_rec.data.tables.names import find_columns
from pigeon_rec.data.tables.source import FORMATS, Table, open_table

__all__ = ["FORMATS", "Table", "find_columns", "open_table", "values"]
