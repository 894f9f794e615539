"""From pictures to face boxes, tracks, landmarks, embeddings and identities.

Open `detect` first, then `tracks`."""
