"""How the application is run: the socket, signals, worker processes, restarts on code changes."""
