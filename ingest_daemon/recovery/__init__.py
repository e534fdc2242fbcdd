"""Stream gaps: detected from trade order, filled by REST."""
