"""The Cowork service: listeners, connections, methods, and the delivery of events."""
