"""From persons in shots to candidate clips, what is measured of them, and which are kept.

Open `find` first, then `gates`."""
