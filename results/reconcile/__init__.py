"""Reconciliation as people set it and ask for it: tolerances, and trades reconciled once more."""
