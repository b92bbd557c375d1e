"""Owns the limits of a call: how long, how often and how much."""

CONNECT_S_MAX = 3.0
"""A server that does not take a connection within this time is passed over for the next one."""

ATTEMPT_S_MAX = 6.0
"""One question and its answer. A key server answers in milliseconds, one under load in a second or two."""

CALL_S_MAX = 20.0
"""A whole call with all its attempts; below the shortest patience of a caller that has a key to fetch."""

ROUNDS_MAX = 2
"""How often each server is tried: the second round outlives a restart or a connection closed in between."""

ROUND_PAUSE_S = 0.3
"""Between the rounds; a listening server that restarts is back within it."""

RETRY_AFTER_S_MAX = 10.0
"""A busy server is believed up to this when it says when to ask again: keys must not wait for minutes."""

BUSY_PAUSE_S_MAX = 3.0
"""Of that, what a call waits itself between its rounds, so that `CALL_S_MAX` has room for the second."""

NONCE_REPEATS_MAX = 1
"""A nonce handed over with a refusal is fresh, so a second refusal would be the server's fault."""

KEEPALIVE_S = 30.0
"""How long an unused connection stays open: a sender reports every 5 s, a receiver asks every few minutes."""

CONNECTIONS_MAX = 4
"""Requests of one party at one time; more wait."""

SOCKETS_MAX = 3 * CONNECTIONS_MAX
"""Connections of one party: each request may be under way to three servers (`racing.AT_ONCE_MAX`)."""

RENEW_PAUSE_S = 600.0
"""After a renewal, done or not: a third of a certificate's life has room for many tries."""

RENEW_FINISH_S = 2.0
"""How long the end of a program waits for a renewal under way; the promise is 5 s in all."""

SERVERS_MAX = 16
"""Addresses taken over from one list: more would make a round of attempts longer than a call may last."""

STREAMS_MAX = 16
"""Event streams of one party at one time, each for up to `STREAM_CHANNELS_MAX` channels."""

STREAM_CHANNELS_MAX = 64
"""Channels in one stream: as many as its request may name."""

STREAM_IDLE_S = 60.0
"""A stream that is silent for so long, without a ping even, is taken for dead."""

STREAM_GATHER_S = 0.2
"""Channels that are followed within this begin with one stream."""

STREAM_SPREAD_S = 1.0
STREAM_SPREAD_FACTOR = 4
"""Streams are opened within this, and so many times the spread of a question: TLS costs that much more."""

STREAM_RETRY_S = 2.0
STREAM_RETRY_S_MAX = 60.0
"""From a stream's end to the next try, doubling, half of it random: SEAL packets tell as much meanwhile."""

STREAM_LIVED_S = 30.0
"""After a stream that lived so long, the waiting begins from the shortest again."""

EVENTS_PER_10_S_MAX = 1_000
"""More is no news but a flood, and ends the stream: 64 channels have far fewer."""
