"""Which of the listed weights a config's models need, as files of a run's store."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from covog import weights

# Below the folder of results, as the config names them.
STORE = "results/weights"


class WeightList:
    """The listed weights with their entries, by their names below the store; `results` is the folder of the run's outputs."""

    def __init__(self, entries: dict[str, dict[str, Any]], results: Path) -> None:
        self.entries, self._results = entries, results

    def below(self, place: str) -> list[str]:
        """Return the weights that lie in a folder of the store, or are that file; none of any other place."""
        files = [Path(STORE, name) for name in self.entries]
        is_in_store = Path(STORE) in Path(place).parents
        return [str(file) for file in files if is_in_store and Path(place) in (file, *file.parents)]

    def used_for(self, use: str) -> list[str]:
        """Return the weights of a use that the list names."""
        return [f"{STORE}/{name}" for name, of in self.entries.items() if of["used_for"] == use]

    def wanted(self, config: dict[str, Any], others: Iterable[str]) -> list[str]:
        """Return the weights that a config's models need, and some others, in the order of the list."""
        sections = [section for section in config.values() if isinstance(section, dict)]
        places = {v for section in sections for key, v in section.items() if key.endswith("weights") and v}
        files = {file for place in places for file in self.below(place)} | set(others)
        return [file for name in self.entries if (file := f"{STORE}/{name}") in files]

    def summary(self, wanted: Iterable[str]) -> str:
        """Return a sentence that says how much is to be downloaded, empty if nothing is."""
        missing = self._missing(wanted)
        known = sum(self.entries[name]["bytes"] or 0 for name in missing)
        unknown = [name for name in missing if not self.entries[name]["bytes"]]
        sentence = f"weights to be downloaded: {len(missing)} files, {known / 1e9:.2f} GB"
        return (sentence + (f", and of unknown size {', '.join(unknown)}" if unknown else "")) if missing else ""

    def check_gates(self, wanted: Iterable[str], folder: Path | None) -> None:
        """Raise InputError if a gated file is needed that is neither in the store nor in `folder` and cannot be downloaded."""
        for name in self._missing(wanted):
            weights.check_gate(name, self.entries[name], folder)

    def _missing(self, wanted: Iterable[str]) -> list[str]:
        names = [file.removeprefix(f"{STORE}/") for file in wanted]
        return [name for name in names if not (self._results / "weights" / name).exists()]
