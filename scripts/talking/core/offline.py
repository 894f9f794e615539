"""Settings that keep libraries off the network; imported before them.

Nothing is downloaded while a job runs: the models are in installed packages or in a folder.
"""

import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
# Sound is given as samples, so pyannote.audio's own decoder is not missed.
warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly")
