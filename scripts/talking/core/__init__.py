"""What every other package stands on: tables and their schemas, arrays, intervals, boxes, keypoints, files that appear whole.

Open `tables` first."""
