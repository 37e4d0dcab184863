"""The commands behind `pigeon-rec`; `pigeon_rec.cli` puts them together."""

__all__: list[str] = []
