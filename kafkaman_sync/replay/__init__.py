"""The event-replay debugger: reads what the sync did, explains it and does it again.

Every source (a server's database, a device's store, a running daemon or server, a capture, JSON
lines) is read through one interface, `source.Source`, and read only. What decides is the server's
real `decide`, what applies is the model's real `apply_event`.
"""
