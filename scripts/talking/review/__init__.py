"""Decisions of people who looked at clips → corrected tables. Open `decisions` first, then `apply`."""
