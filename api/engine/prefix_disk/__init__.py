"""The prefix cache's tier on disk: blocks outlive the process that computed them."""
