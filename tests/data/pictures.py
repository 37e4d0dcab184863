"""Small pictures of every kind for the importers."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

__all__ = ["save_picture", "save_shop"]


def save_picture(path: Path, colour: str = "red", size: tuple[int, int] = (40, 30)) -> Path:
    """Writes a picture of one colour in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def save_shop(folder: Path, items: int = 12) -> Path:
    """Writes `products.csv` with whole numbers as ids, and a folder of mixed pictures."""
    suffixes = ("png", "jpg", "webp", "gif")
    lines = ["sku,name,photo,brand"]
    for number in range(items):
        file = f"photos/{number}.{suffixes[number % 4]}"
        save_picture(folder / file, f"hsl({number * 360 // items}, 80%, 50%)", (40 + number, 50))
        lines.append(f"{number},Ball {number},{file},brand {number % 2}")
    table = folder / "products.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return table
