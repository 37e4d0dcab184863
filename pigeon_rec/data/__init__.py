"""Catalogues, interactions, sequences, instruction templates, importers and bundled worlds."""
