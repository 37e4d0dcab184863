"""One recorded file: its tensors by name, its settings, and which of them a check has looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

__all__ = ["Golden"]


class Golden:
    """Tensors and metadata of a file.

    Attributes:
        kind: What to run.
        settings: Sizes and switches.
        cases: Case name -> its settings.
    """

    def __init__(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
        self._tensors = dict(tensors)
        self._unread = set(tensors)
        self.kind = metadata.get("kind", "")
        self.settings: dict[str, Any] = json.loads(metadata.get("settings", "{}"))
        self.cases: dict[str, dict[str, Any]] = json.loads(metadata.get("cases", "{}"))

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Reads a file.

        Raises:
            safetensors.SafetensorError: It is damaged.
        """
        with safe_open(path, "pt") as file:
            names: list[str] = file.keys()
            return cls({name: file.get_tensor(name) for name in names}, file.metadata() or {})

    def __getitem__(self, name: str) -> Tensor:
        self._unread.discard(name)
        return self._tensors[name]

    def under(self, prefix: str) -> dict[str, Tensor]:
        """All tensors whose names begin with `prefix`, without it."""
        names = [name for name in self._tensors if name.startswith(prefix)]
        return {name.removeprefix(prefix): self[name] for name in names}

    @property
    def unread(self) -> list[str]:
        """Names of tensors that no check has read."""
        return sorted(self._unread)
