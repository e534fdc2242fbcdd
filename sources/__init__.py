"""Clients and decoders of exchanges and providers; they produce the records of ``coinwatch``."""
