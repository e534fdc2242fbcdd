"""Stand-ins for the providers of what is not traded."""

from simulator.providers.base import Provider

PROVIDERS: tuple[type[Provider], ...] = ()
