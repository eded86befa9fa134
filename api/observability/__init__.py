"""Numbers and lines about what the server does; nothing here changes what it answers."""
