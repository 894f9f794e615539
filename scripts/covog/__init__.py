"""CovOG, conversations generated from a reference picture, poses, sound and who speaks: model, training, generation."""

import os

# Before torch is imported: on several threads of a processor MKL adds up in the same order each time only if told to (Intel's
# conditional numerical reproducibility).
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
