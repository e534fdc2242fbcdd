"""The Sentiment page."""
