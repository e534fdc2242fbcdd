"""What serves the pages: who may see them, which requests are answered, and how fast the first page is."""
