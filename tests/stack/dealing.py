"""How the tier's tests are dealt out to processes: one by one, but those of the connected world to one process, all but one.

xdist's own groups (``--dist loadgroup``) do this by rewriting a test's id, which pytest 9.2 does not let it do: every test
is then dealt out by itself, and nothing says so.
"""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

CONNECTED = "tests/stack/connected/"
ALONE = "test_a_sink_that_stands_still_for_two_minutes"
"""It waits as long as the others of the connected world take together: another process has a world for it, and they overlap."""


class Dealing(LoadScopeScheduling):
    """The largest group first, which is the connected world's, then the test that has one of its own.

    A process that has little left gets the next test.
    """

    def _split_scope(self, nodeid: str) -> str:
        return CONNECTED if nodeid.startswith(CONNECTED) and ALONE not in nodeid else nodeid
