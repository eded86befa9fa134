"""The page for people at ``/``: chats, and what the batch is doing."""
