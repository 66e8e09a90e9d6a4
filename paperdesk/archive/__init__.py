"""Backup and restore: one archive with a consistent copy of the whole desk."""
