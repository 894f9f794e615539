"""CovOG, conversations generated from a reference picture, poses, sound and who speaks: model, training, generation."""

import os

# Before torch is imported: on several threads of a processor MKL adds up in the same order each time only if told to (Intel's
# conditional numerical reproducibility). A machine with much else to do may still give threads other shares.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
