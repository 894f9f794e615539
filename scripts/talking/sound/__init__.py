"""From sound to voice activity and to the embeddings that the model CovOG hears.

Open `voice` and `embeddings` first."""
