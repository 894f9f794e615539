"""Imported before the libraries that would ask the network: what they read then.

Nothing is fetched while a job runs: the models lie in installed packages or in a folder.
"""

import os
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")
# Sound is given as samples, so pyannote.audio's own decoder is not missed.
warnings.filterwarnings("ignore", message=r"\s*torchcodec is not installed correctly")
