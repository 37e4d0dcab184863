"""Runs the notebook and keeps its outputs small: `python -m docs.run_tour` rewrites it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import nbformat
from nbclient import NotebookClient

__all__ = ["TOUR", "run_tour"]

TOUR: Final = Path(__file__).with_name("tour.ipynb")


def run_tour(folder: Path, seconds: int = 600) -> Any:
    """Returns the notebook with the outputs of a run in `folder`.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(TOUR, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=seconds, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.clear()  # times of this run
        if cell.cell_type == "code":
            cell.outputs = [_small(o) for o in cell.outputs if o.get("name") != "stderr"]
    return notebook


def _small(output: Any) -> Any:
    """Keeps one picture format, and text where there is no better one."""
    if "image/png" in output.get("data", {}):
        output.data.pop("image/jpeg", None)
    return output


if __name__ == "__main__":
    nbformat.write(run_tour(Path.cwd()), TOUR)
