"""What stays where for how long: retention, archive, window, compaction; and copies of it, export and backup."""
