"""Motifs: what a made poster shows, several for each genre, and one for some words of a title."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from pigeon_rec.demo.posters.motifs import film, frontier, heart, night, stage
from pigeon_rec.demo.posters.shapes import Layer, Random

__all__ = ["GENRE_MOTIFS", "MOTIFS", "Motif", "choose_motif"]

Motif = Callable[[Random], list[Layer]]
"""Draws in a box of -1..1; the random numbers vary details."""

_MODULES = (film, frontier, heart, night, stage)

MOTIFS: Final[Mapping[str, Motif]] = MappingProxyType(
    {
        name.replace("_", " "): motif
        for module in _MODULES
        for name, motif in sorted(vars(module).items())
        if getattr(motif, "__module__", "") == module.__name__ and not name.startswith("_")
    }
)
"""What the motif shows, in words -> the motif."""

GENRE_MOTIFS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "action": ("bomb", "car", "jet", "bolt"),
        "adventure": ("compass", "ship", "balloon", "peak", "chest"),
        "animation": ("cat", "dinosaur", "pencil", "teddy"),
        "children": ("teddy", "kite", "train", "duck", "whale"),
        "comedy": ("disguise", "comic mask", "bowler", "party hat", "cocktail", "duck"),
        "crime": ("handcuffs", "detective", "fingerprint", "ace", "burglar", "money bag"),
        "documentary": ("movie camera", "globe", "microphone", "aperture"),
        "drama": ("tree", "door", "candle", "umbrella", "tragic mask", "lighthouse",
                  "hourglass", "book", "bicycle", "window", "bird"),
        "fantasy": ("castle", "sword", "wizard hat", "crystal ball", "crown"),
        "film-noir": ("street lamp", "cigarette", "telephone", "stairs", "detective"),
        "horror": ("haunted house", "skull", "ghost", "grave hand", "bat", "pumpkin", "spider"),
        "musical": ("note", "gramophone", "microphone", "guitar", "record", "piano"),
        "mystery": ("magnifier", "key", "keyhole", "eye"),
        "romance": ("heart", "rose", "letter", "rings", "wine glasses", "couple", "broken heart"),
        "sci-fi": ("planet", "rocket", "robot", "saucer", "atom", "astronaut"),
        "thriller": ("crosshair", "knife", "spiral", "clock", "matches"),
        "war": ("helmet", "tank", "medal", "bomber"),
        "western": ("cactus", "hat", "horseshoe", "badge", "wheel", "boot"),
    }
)  # fmt: skip
"""MovieLens genre in lower case -> its motifs."""

_FILM_MOTIFS: Final = ("reel", "clapper", "popcorn", "curtain")
"""Motifs of a film without a known genre."""

_TITLE_MOTIFS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("space", "apollo", "mission", "contact"), "rocket"),
        **dict.fromkeys(("star", "stars", "moon", "planet", "world", "solo"), "planet"),
        **dict.fromkeys(("alien", "aliens", "mars", "x-files", "independence", "arrival"),
              "saucer"),
        **dict.fromkeys(("robot", "terminator", "robocop", "machine", "matrix"), "robot"),
        **dict.fromkeys(("titanic", "ship", "boat", "sea", "pirate", "pirates", "treasure",
              "island"), "ship"),
        **dict.fromkeys(("heart", "hearts", "love", "lovers", "loving", "valentine"), "heart"),
        **dict.fromkeys(("wedding", "bride", "marriage", "married", "engagement"), "rings"),
        **dict.fromkeys(("rose", "roses", "flower", "garden", "blossom", "beauty"), "rose"),
        **dict.fromkeys(("kiss", "two", "harry", "couple", "romeo"), "couple"),
        **dict.fromkeys(("letter", "mail", "postman", "postino", "stranger"), "letter"),
        **dict.fromkeys(("king", "queen", "prince", "princess", "emperor", "lion", "henry"),
              "crown"),
        **dict.fromkeys(("castle", "kingdom", "camelot"), "castle"),
        **dict.fromkeys(("sword", "knight", "braveheart", "gladiator", "highlander", "first"),
              "sword"),
        **dict.fromkeys(("magic", "wizard", "witch", "hocus", "merlin"), "wizard hat"),
        **dict.fromkeys(("dead", "death", "skull", "die", "kill", "killer", "mortal"), "skull"),
        **dict.fromkeys(("ghost", "spirit", "haunting", "casper", "phantom"), "ghost"),
        **dict.fromkeys(("bat", "batman", "dracula", "vampire", "wings", "crow"), "bat"),
        **dict.fromkeys(("house", "psycho", "shining", "amityville"), "haunted house"),
        **dict.fromkeys(("halloween", "nightmare", "scream", "pumpkin"), "pumpkin"),
        **dict.fromkeys(("spider", "fly", "insects"), "spider"),
        **dict.fromkeys(("night", "dark", "street", "city", "midnight", "chinatown"),
              "street lamp"),
        **dict.fromkeys(("time", "clock", "day", "hours", "yesterday", "back", "years", "twelve"),
              "clock"),
        **dict.fromkeys(("eye", "eyes", "vision", "looking", "seen", "mirror"), "eye"),
        **dict.fromkeys(("vertigo", "game", "mad"), "spiral"),
        **dict.fromkeys(("key", "secret", "secrets", "secretary"), "key"),
        **dict.fromkeys(("door", "doors", "room", "rooms", "home", "hotel"), "door"),
        **dict.fromkeys(("window", "rear"), "window"),
        **dict.fromkeys(("tree", "trees", "woods", "forest", "jungle", "sleepers", "fall"), "tree"),
        **dict.fromkeys(("rain", "storm", "singin'", "cherbourg", "twister"), "umbrella"),
        **dict.fromkeys(("fire", "flame", "light", "candle", "burning"), "candle"),
        **dict.fromkeys(("book", "story", "tale", "library", "poets", "diary", "patient"), "book"),
        **dict.fromkeys(("bird", "birds", "dove", "hawk", "eagle", "mockingbird", "birdcage",
              "cuckoo's"), "bird"),
        **dict.fromkeys(("whale", "willy", "fish", "jaws", "abyss"), "whale"),
        **dict.fromkeys(("cat", "cats", "aristocats"), "cat"),
        **dict.fromkeys(("toy", "bear", "pooh", "doll"), "teddy"),
        **dict.fromkeys(("jurassic", "dinosaur", "land", "lost", "dragonheart"), "dinosaur"),
        **dict.fromkeys(("train", "express", "trainspotting"), "train"),
        **dict.fromkeys(("car", "driver", "drive", "speed", "crash", "taxi", "road"), "car"),
        **dict.fromkeys(("air", "top", "gun", "flight", "con"), "jet"),
        **dict.fromkeys(("money", "bank", "rich", "million", "fargo"), "money bag"),
        **dict.fromkeys(("card", "ace", "casino", "wild", "maverick", "sting"), "ace"),
        **dict.fromkeys(("suspects", "prison", "jail", "shawshank", "escape", "fugitive"),
              "handcuffs"),
        **dict.fromkeys(("godfather", "goodfellas", "donnie", "brasco", "falcon", "confidential"),
              "detective"),
        **dict.fromkeys(("music", "song", "opus", "sound", "wonder"), "note"),
        **dict.fromkeys(("piano", "shine", "amadeus", "fantasia"), "piano"),
        **dict.fromkeys(("blues", "guitar", "roll", "jerry"), "guitar"),
        **dict.fromkeys(("mountain", "everest", "cliffhanger", "seven"), "peak"),
        **dict.fromkeys(("war", "soldier", "private", "patton", "jacket", "platoon"), "helmet"),
        **dict.fromkeys(("mask", "masks", "clown", "circus", "fool", "dumber"), "comic mask"),
        **dict.fromkeys(("english", "chaplin", "sir", "clockwork"), "bowler"),
        **dict.fromkeys(("raiders", "temple", "crusade", "lawrence"), "compass"),
    }
)  # fmt: skip
"""A word of a title in lower case -> its motif."""


def choose_motif(words: Sequence[str], genre: str, random: Random) -> str:
    """The motif of the first title word that has one, or else one of the genre's.

    Args:
        words: Words of the title, in lower case.
        genre: MovieLens genre in lower case; any other gives a motif of film itself.
        random: Chooses among the motifs of a genre.
    """
    of_genre = GENRE_MOTIFS.get(genre, _FILM_MOTIFS)
    chosen = of_genre[int(random.integers(len(of_genre)))]
    return next((_TITLE_MOTIFS[word] for word in words if word in _TITLE_MOTIFS), chosen)
