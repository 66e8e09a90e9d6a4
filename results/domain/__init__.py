"""The pure part of results: outcomes, canonical rows, reconciliation. Standard library and msgspec only."""
