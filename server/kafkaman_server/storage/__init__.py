"""Where the server keeps its data: one interface, one module per database."""
