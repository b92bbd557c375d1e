"""Owns how a run sends beside another: it takes that one's keys, under an SSRC of its own (S1-7).

```
another run is on air ──► its keys are ours; our SSRC is of a slot that was consumed for this run
   │ asks every second, five times a second around a change
   ├──► the other changes keys: so do we, when the key server has heard
   ├──► the key server says that we lead: our next slot makes the next key
   └──► nobody else is on air: we start as a run by itself
```
"""

from dataclasses import dataclass

from sealcast.core.ids import Epoch
from sealcast.keys.material import Tek


@dataclass(frozen=True, slots=True)
class SharedKeys:
    """What the key server says of the epoch on air and the next, by its number; the key is ours to erase.

    `living` other runs were heard lately. `is_chained`: the next key comes to receivers by an update of the
    run that leads. Times are in ms.
    """

    current: Tek | None
    remaining_ms: int
    lifetime_ms: int
    is_extended: bool
    following: Epoch | None
    is_chained: bool
    living: int
    lead: bool
