"""What every other package uses: tables and their schemas, arrays, intervals, boxes, keypoints, atomic writes.

Open `tables` first."""
