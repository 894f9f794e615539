"""What people asked to have removed: persons, videos, ranges of videos. Begin with `removals`, the file; `seen` finds a removed person."""
