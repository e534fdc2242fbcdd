"""Long-running commands: services and the supervisor behind `coinwatch up`."""
