"""Reads tables of any usual format and column names."""

from pigeon_rec.data.tables import values
from pigeon_rec.data.tables.names import find_columns
from pigeon_rec.data.tables.source import FORMATS, Table, check_source, open_table
from pigeon_rec.data.tables.words import listed

__all__ = ["FORMATS", "Table", "check_source", "find_columns", "listed", "open_table", "values"]
