"""How bodies come and answers go, whatever is in them: limits, codings, event streams, clients that leave.

Every route goes through it. It must not know what fields mean.
"""
