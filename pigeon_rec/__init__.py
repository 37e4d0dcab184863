"""Personalised visuals for recommender systems, made nightly and served with SQL."""

__version__ = "0.1.0"

__all__ = ["__version__"]
