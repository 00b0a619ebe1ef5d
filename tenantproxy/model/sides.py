"""What is counted of one side of a rollout: the numbers that judges compare.

The data path adds to these words while a rollout is on its way, and the
control process reads them; a window is the difference of two readings.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import sub

TIME_BOUNDS_S = tuple(
    round(mantissa * 10.0**exponent, 9)
    for exponent in range(-5, 3)
    for mantissa in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
)
"""Upper bounds of time buckets, 10 us to 800 s, each at most a third above the one before; one more
bucket takes the rest. The numbers that people write as limits are bounds."""
BYTE_BOUNDS = (0, 1, 2, *(b for power in range(1, 37) for b in (3 << (power - 1), 2 << power)))
"""Upper bounds of size buckets, 0 to 128 GiB in half powers of two; one more takes the rest."""

Counts = tuple[int, ...]
"""One for each bound and a last one for what is above."""

NO_TIMES: Counts = (0,) * (len(TIME_BOUNDS_S) + 1)
NO_BYTES: Counts = (0,) * (len(BYTE_BOUNDS) + 1)


@dataclass(frozen=True, slots=True)
class Side:
    """Counts of one upstream's connections from one listener; none ever goes down."""

    opened: int = 0
    """Connections established."""
    failed: int = 0
    """Attempts to connect that failed, and connections that found no usable endpoint or no slot.
    While the listener wakes that is to be expected: then one counts once, if it is refused."""
    ended: int = 0
    """Connections that were established and have ended, those tried again elsewhere among them,
    and those whose client said FIN and whose upstream has brought nothing since."""
    resets: int = 0
    """Of `ended`: the upstream reset it; not one that was only told FIN, as health checks do."""
    silent: int = 0
    """Of `ended`: the upstream brought not a byte, and said FIN first or let its client wait until
    that gave up."""
    connect_time: Counts = NO_TIMES
    """Of every connection established, TLS included."""
    first_byte: Counts = NO_TIMES
    """From connected to the upstream's first byte. A client that had spoken and got no byte
    counts with the time that it waited, if it was not the upstream that ended it; so does every
    one to which the upstream said nothing within `connect.first_byte`."""
    duration: Counts = NO_TIMES
    """From connected to the end."""
    closed_age: Counts = NO_TIMES
    """Age at which the upstream said FIN first, of those that it had answered."""
    bytes_in: Counts = NO_BYTES
    """Of each connection that ended: bytes to the upstream."""
    bytes_out: Counts = NO_BYTES
    """Of each connection that ended: bytes from the upstream."""

    def since(self, before: Side) -> Side:
        """Return what came since an earlier reading."""
        return Side(
            self.opened - before.opened,
            self.failed - before.failed,
            self.ended - before.ended,
            self.resets - before.resets,
            self.silent - before.silent,
            *(
                tuple(map(sub, mine, its))
                for mine, its in zip(self.histograms, before.histograms, strict=True)
            ),
        )

    @property
    def histograms(self) -> tuple[Counts, ...]:
        """Return them in the order in which they are declared."""
        return (
            self.connect_time,
            self.first_byte,
            self.duration,
            self.closed_age,
            self.bytes_in,
            self.bytes_out,
        )


NOTHING = Side()
