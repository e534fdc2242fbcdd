"""Records, settings, errors, arithmetic of prices and the client library. No database, no exchanges."""
