"""SIGKILL at 56 random moments: every stage, all four ways to run, three victims."""

import os

import pytest

from kills import RESUMING, STAGES, VICTIMS, WAYS, Kill, KillingGround, table

pytestmark = pytest.mark.slow

# Twice each of the stages that resume, after a checkpoint; once at any moment; the others once a way.
KILLS = [
    Kill(stage, way, VICTIMS[(number + turn) % 3], after_checkpoint=True)
    for turn in range(2)
    for number, (stage, way) in enumerate((s, w) for s in RESUMING for w in WAYS)
]
KILLS += [Kill("student@gen1", way, victim, after_checkpoint=True) for way in WAYS for victim in VICTIMS[1:]]
KILLS += [
    Kill(stage, way, VICTIMS[number % 3], after_checkpoint=False)
    for number, (stage, way) in enumerate((s, w) for s in STAGES for w in WAYS)
]


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_every_kill_ends_in_the_same_bytes(tmp_path):
    ground, done = KillingGround(tmp_path / "project"), []
    for kill in KILLS:
        done.append(ground.trial(kill))
        print(table(done[-1:]).splitlines()[-1], flush=True)
    print(f"\n{table(done)}")
    assert len(done) >= 50
    assert all(kill.identical for kill in done)
    after = [kill for kill in done if kill.resumed_from > 0]
    assert len(after) >= len(done) / 2
