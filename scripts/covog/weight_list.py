"""Which of the listed weights a config's models need, as files of a run's store."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from covog import weights
from talking.core.errors import InputError

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
        files = {file for place in _places(config).values() for file in self.below(place)} | set(others)
        return [file for name in self.entries if (file := f"{STORE}/{name}") in files]

    def summary(self, wanted: Iterable[str]) -> str:
        """Return a sentence that says how much is to be downloaded, empty if nothing is."""
        missing = self._missing(wanted)
        known = sum(self.entries[name]["bytes"] or 0 for name in missing)
        unknown = [name for name in missing if not self.entries[name]["bytes"]]
        sentence = f"weights to be downloaded: {len(missing)} files, {known / 1e9:.2f} GB"
        return (sentence + (f", and of unknown size {', '.join(unknown)}" if unknown else "")) if missing else ""

    def check(self, config: dict[str, Any], wanted: Iterable[str], folder: Path | None) -> None:
        """Raise InputError if weights are not there and cannot be downloaded: outside the store, not listed, or gated and not in `folder`."""
        for key, place in _places(config).items():
            name = place.removeprefix(f"{STORE}/")
            if name == place and not Path(place).exists():
                raise InputError(
                    f"config: {key} is {place}, which is not there; docs/models.md says what to write there."
                )
            if name != place and not self.below(place) and not (self._results / "weights" / name).exists():
                raise InputError(
                    f"config: {key} is {place}, which is not there and cannot be downloaded; docs/models.md lists what can."
                )
        for name in self._missing(wanted):
            weights.check_gate(name, self.entries[name], folder)

    def _missing(self, wanted: Iterable[str]) -> list[str]:
        names = [file.removeprefix(f"{STORE}/") for file in wanted]
        return [name for name in names if not (self._results / "weights" / name).exists()]


def _places(config: dict[str, Any]) -> dict[str, str]:
    """Return what a config says where weights are, by key, such as faces.weights."""
    sections = [(name, section) for name, section in config.items() if isinstance(section, dict)]
    return {f"{name}.{key}": v for name, of in sections for key, v in of.items() if key.endswith("weights") and v}
