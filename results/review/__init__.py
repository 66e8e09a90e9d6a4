"""Review of failed reconciliations by two people: cases, proposals, decisions, and their pages in the admin."""
