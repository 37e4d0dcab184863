"""RecBole beside pigeon_rec; the only package that imports it.

Importing this package is light: RecBole and torch are loaded by the module that needs them.
"""
