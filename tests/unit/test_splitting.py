"""How the agents of one pilot share its node."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.context import Capacity, GpuDevice, Unfit
from commands.splitting import share
from pilot.protocol import UNLIMITED

NODE = Capacity(
    cores=7,
    cpus=(0, 1, 2, 3, 8, 9, 10),
    memory=7_000,
    disk=UNLIMITED,
    gpus=tuple(GpuDevice(index, None, "a model") for index in range(3)),
    seconds_left=3600,
    tags=("cvmfs",),
)


def test_one_agent_has_the_node() -> None:
    """Who is alone has all of it, and may run what needs a whole node."""
    assert share(NODE, 1, 1) is NODE


def test_shares_of_two() -> None:
    """Cores and GPUs are dealt out evenly, memory goes with the cores, and what cannot be divided stays as it is."""
    first, second = share(NODE, 1, 2), share(NODE, 2, 2)
    assert (first.cores, first.cpus, first.memory, len(first.gpus)) == (4, (0, 1, 2, 3), 4_000, 2)
    assert (second.cores, second.cpus, second.memory, len(second.gpus)) == (3, (8, 9, 10), 3_000, 1)
    assert (first.disk, first.seconds_left, first.tags) == (UNLIMITED, 3600, ("cvmfs",))
    assert not first.whole


def test_more_agents_than_cores() -> None:
    """An agent for which no core is left says so."""
    assert share(Capacity(cores=2), 2, 3).cores == 1
    with pytest.raises(Unfit, match="no core is left for agent 3: 2 cores for 3 agents"):
        share(Capacity(cores=2), 3, 3)


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 10**12), st.integers(0, 9))
def test_shares_are_the_node(cores: int, agents: int, memory: int, gpus: int) -> None:
    """Together they are all cores, CPUs and GPUs, each once, and no more memory than there is."""
    agents = min(agents, cores)
    devices = tuple(GpuDevice(index, None, "a model") for index in range(gpus))
    node = Capacity(cores=cores, cpus=tuple(range(cores)), memory=memory, gpus=devices)
    shares = [share(node, agent, agents) for agent in range(1, agents + 1)]
    assert sum(one.cores for one in shares) == cores
    assert tuple(cpu for one in shares for cpu in one.cpus) == node.cpus
    assert tuple(gpu for one in shares for gpu in one.gpus) == node.gpus
    together = sum(one.memory for one in shares if isinstance(one.memory, int))
    assert memory - agents < together <= memory
