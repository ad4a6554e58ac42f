"""
What the engines behind a network share.

An engine adds how its service is spoken to; from here it takes

* :mod:`.activity` and :mod:`.outgoing`: what to send, and where speech starts and ends,
* :mod:`.transcript`: from what the service says to the session's events,
* :mod:`.faults` and :mod:`.keys`: failures as the operator should read them, and keys,
* :mod:`captiond.live.mailbox`: the queue of events that its reader takes.

Nothing here but :mod:`captiond.live.mailbox` knows asyncio: times go in as arguments.
"""
