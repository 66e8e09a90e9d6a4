"""Whether all stores hold the same rows, which differ, and how they are mended."""
