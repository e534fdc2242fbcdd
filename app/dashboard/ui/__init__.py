"""What pages share: layout, formats, plots, query parameters. Imports no page."""
