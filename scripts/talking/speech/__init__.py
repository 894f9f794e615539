"""From sound to turns and words, and to who says each word.

Open `diarization` and `words` first."""
