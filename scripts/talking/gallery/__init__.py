"""Data set → a static page that plays every clip and every rejected segment with its labels. Begin with `page`."""
