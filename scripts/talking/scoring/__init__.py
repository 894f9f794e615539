"""From labels and a truth to figures: how true are the labels?

Open `labels` first, then `truth`."""
