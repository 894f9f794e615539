"""From any video file to 25 fps media, and from that to shots.

Open `ingest` first, then `media`, which opens what ingest has made, and `shots`."""
