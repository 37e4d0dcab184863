"""Reporting: the numbers and the gallery page of a night."""
