"""Made posters: pictures drawn from a film's title, year and genres in one of several styles.

No film's artwork can be shipped with this package. A made poster says that it is one in its lowest
line, in a text field of its PNG file (`is_made`) and in the catalogue's column `style`. The film
decides what is drawn and where (`composition`), the style how it is painted (`styles`): films and
styles make a grid. The same film in the same style always gives the same bytes.
"""

from __future__ import annotations

from pigeon_rec.demo.posters.make import draw_made_poster, make_posters, paint_poster, style_of
from pigeon_rec.demo.posters.raster import SIZE as MADE_SIZE
from pigeon_rec.demo.posters.styles import STYLES

__all__ = ["MADE_SIZE", "STYLES", "draw_made_poster", "make_posters", "paint_poster", "style_of"]
