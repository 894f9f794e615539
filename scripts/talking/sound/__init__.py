"""From sound to voice activity and to the sound features for CovOG.

Open `voice` and `embeddings` first."""
