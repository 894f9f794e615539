"""From kept clips and labels to the data set, its splits, exports, previews and report.

Open `annotate` first, then `collect` and `store`."""
