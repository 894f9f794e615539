"""The run itself: the sample sheet, the config, what a job needs, what failed, what there is.

Open `sheet` and `stages` first."""
