"""The two bundled worlds, stickers and films: artwork, simulated users and held-out pairs."""
