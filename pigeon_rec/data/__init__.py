"""Catalogues, interactions, sequences, instruction templates and the bundled stickers."""
