"""What other programs wrote with plain commands: found by a sweep, judged, taken in or set aside as dead letters."""
