#!/usr/bin/env bash
# mediapipe says that it needs numpy < 2, protobuf < 5, jax and opencv-contrib-python; what is used of it runs on the lock file's versions.
set -euo pipefail
python -m pip install --quiet --no-deps mediapipe==0.10.21
