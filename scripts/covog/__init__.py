"""CovOG generates conversations from a reference picture, poses, sound and who speaks: model, training, generation."""

import os

# Before torch is imported: only with this setting does MKL add in the same order each time on several threads (Intel's
# conditional numerical reproducibility).
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
