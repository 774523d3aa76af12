"""Which job a lane runs next: seeds stay together, no lane waits while there is work."""

from dataclasses import dataclass

import pytest

from experiments.study.schedule import Schedule


@dataclass(frozen=True)
class Job:
    study: str
    arm: str
    seed: int
    run: str = ""

    @property
    def experiment(self):
        return f"{self.study}-{self.run or self.arm}-{self.seed}"


def jobs(**seeds):
    """Jobs of two arms for each study and so many seeds."""
    return [Job(study, arm, seed) for study, n in seeds.items() for seed in range(n) for arm in "xy"]


def simulate(waiting, lanes):
    """Run jobs on lanes as if each took one unit of time; return [(begin, end, lane, job)]."""
    schedule, clock, found = Schedule(waiting), dict.fromkeys(range(lanes), 0), []
    running = {}
    while clock:
        lane = min(clock, key=lambda lane: (clock[lane], lane))
        if lane in running:
            schedule.ended(running.pop(lane))
        job = schedule.next(lane)
        if job is None:
            del clock[lane]
            continue
        found.append((clock[lane], clock[lane] + 1, lane, job))
        clock[lane] += 1
        running[lane] = job
    return found


def test_one_lane_runs_jobs_in_their_order():
    assert [job for *_, job in simulate(jobs(a=3, b=2), 1)] == jobs(a=3, b=2)


def test_no_run_is_begun_twice_at_a_time():
    """Three arms of one run: only at their end is there nothing else to do for the second lane."""
    waiting = [Job("a", arm, 0, run="x") for arm in "xyz"]
    schedule = Schedule(waiting)
    assert schedule.next(0) == waiting[0]
    assert schedule.next(1) is None
    assert not schedule.ended(waiting[0])
    assert [schedule.next(0), schedule.ended(waiting[1]), schedule.next(0), schedule.ended(waiting[2])] == [
        *(waiting[1], False, waiting[2], True)
    ]


@pytest.mark.parametrize("lanes", [2, 3, 5])
def test_every_job_runs_once_and_no_lane_waits(lanes):
    found = simulate(jobs(a=3, b=5, c=3), lanes)
    assert sorted(map(str, (job for *_, job in found))) == sorted(map(str, jobs(a=3, b=5, c=3)))
    assert max(end for _, end, *_ in found) == -(-22 // lanes)  # the least there can be


def test_a_seed_stays_with_its_lane_while_there_are_others():
    found = simulate(jobs(a=4, b=4), 2)
    for study in "ab":
        for seed in range(4):
            where = {lane for _, _, lane, job in found if (job.study, job.seed) == (study, seed)}
            assert len(where) == 1, (study, seed)


def test_at_three_seeds_the_second_lane_begins_the_next_study():
    found = simulate(jobs(a=3, b=1), 2)
    assert [(lane, job.study, job.seed) for _, _, lane, job in found] == [
        (0, "a", 0),
        (1, "a", 1),
        (0, "a", 0),
        (1, "a", 1),
        (0, "a", 2),
        (1, "b", 0),
        (0, "a", 2),
        (1, "b", 0),
    ]


def test_at_the_end_a_lane_takes_the_last_job_of_another_ones_seed():
    waiting = [Job("a", arm, 0) for arm in "wxyz"]
    found = simulate(waiting, 2)
    assert [(lane, job.arm) for _, _, lane, job in found] == [(0, "w"), (1, "z"), (0, "x"), (1, "y")]


def test_the_last_job_of_a_study_is_told():
    schedule = Schedule(jobs(a=1, b=1))
    first, second = schedule.next("one"), schedule.next("one")
    assert (first.study, second.study) == ("a", "a")
    third = schedule.next("one")
    assert third.study == "b"
    assert not schedule.ended(third)
    assert not schedule.ended(first)
    assert schedule.ended(second)


def test_a_lane_with_the_same_seed_does_not_begin_a_run_that_another_lane_is_in():
    shared = [Job("a", arm, 0, run="x") for arm in "xy"]
    schedule = Schedule([Job("a", "z", 0), *shared])
    assert schedule.next("one").arm == "z"
    assert schedule.next("two").run == "x"  # the lane takes the seed of the other: nothing else is left
    assert schedule.next("one") is None  # its seed's last job is of the run that is under way
