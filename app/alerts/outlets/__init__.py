"""Delivery of alerts by webhook, mail and messaging services."""
