"""The run: sample sheet, config, requested resources, failures, existing outputs.

Open `sheet` and `stages` first."""
