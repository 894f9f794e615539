"""Times of words by a wav2vec2 network that recognises letters, as WhisperX aligns a text (Bain et al., Interspeech 2023)."""

from talking.core import offline  # noqa: F401, I001 - read by the libraries below when they are imported
import functools
import tempfile
from pathlib import Path

import nltk
import numpy as np
import torchaudio
import whisperx.alignment
import whisperx.utils

from talking.video import media
from talking.core.errors import InputError
from talking.speech.recognition import Aligner


def wav2vec2(weights: Path, language: str, device: str) -> Aligner:
    """Return WhisperX's alignment with a wav2vec2 network that recognises letters.

    `weights` is the folder of a transformers model (Wav2Vec2ForCTC and its processor) or the file of one of torchaudio's
    bundles. The aligner returns no words for a text that it cannot align. Raises InputError if there is no such model.
    """
    try:
        if weights.is_file():
            model, about = whisperx.alignment.load_align_model(
                language, device, model_name=_bundle(weights), model_dir=str(weights.parent)
            )
        else:
            # Checked here: the library would take a missing folder for a name on the hub.
            if not (weights / "config.json").is_file():
                raise ValueError("no config.json")
            model, about = whisperx.alignment.load_align_model(
                language, device, model_name=str(weights), model_cache_only=True
            )
    except (ValueError, RuntimeError) as error:
        raise InputError(
            f"{weights} is no wav2vec2 model that recognises letters; set words: aligner_weights to a folder with "
            "config.json, model.safetensors, vocab.json and preprocessor_config.json, or a file of torchaudio's bundles."
        ) from error
    _split_no_sentences()

    def align(samples: np.ndarray, text: str) -> list[dict]:
        said = [{"text": text, "start": 0.0, "end": samples.size / media.SOUND_HZ}]
        found = whisperx.alignment.align(said, model, about, samples, device)["word_segments"]
        return [
            {"word": w["word"], "start_s": w["start"], "end_s": w["end"], "confidence": w.get("score", 0.0)}
            for w in found
            if "start" in w and "end" in w
        ]

    return align


def _bundle(file: Path) -> str:
    """Return the name of torchaudio's bundle whose weights are a file of that name; raises ValueError if none is."""
    for name in torchaudio.pipelines.__all__:
        bundle = getattr(torchaudio.pipelines, name)
        if isinstance(bundle, torchaudio.pipelines.Wav2Vec2ASRBundle) and Path(bundle._path).name == file.name:
            return name
    raise ValueError(f"{file.name} belongs to no bundle")


@functools.cache
def _split_no_sentences() -> tempfile.TemporaryDirectory:
    """Give NLTK an untrained sentence splitter, in a folder that is deleted with the process.

    WhisperX would download a splitter, as it splits a text into sentences; the words do not depend on it.
    """
    folder = tempfile.TemporaryDirectory(prefix="nltk_")
    for language in {"english", *whisperx.utils.PUNKT_LANGUAGES.values()}:
        learnt = Path(folder.name) / "tokenizers" / "punkt_tab" / language
        learnt.mkdir(parents=True)
        for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
            (learnt / name).touch()
    nltk.data.path.append(folder.name)
    return folder
