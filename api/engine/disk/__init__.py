"""The prefix cache's tier on disk: blocks outlive the process that computed them.

Owns the folder, the files in it and their index. The prefetch and writer threads call it for files, the
batch thread for blocks that have come or go, the assembly where a folder is named. It must not know
requests, and no step waits for a file of it.
"""
