"""The table of peers: each of our modules is in it, and computes what its peers compute."""

import pytest
import torch

from mmattn import attention, fusion
from mmattn.benchmark.cases import Conditions, make_inputs, make_ready
from mmattn.benchmark.peers import PEERS
from mmattn.errors import InputError
from mmattn.fusion.base import Fusion

# Odd on purpose, and divisible by what EMA and split attention divide by.
SHAPE = (2, 64, 15, 10)

BY_NAME = {peers.name: peers for peers in PEERS}


def test_every_module_has_a_peer():
    named = {peers.kind.__name__ for peers in PEERS}
    # Those of several levels have no map alone.
    of_levels = {n for n in fusion.__all__ if not issubclass(getattr(fusion, n), Fusion)}
    assert named == {*attention.__all__, *fusion.__all__} - of_levels
    assert all(peers.peers for peers in PEERS)
    assert len(BY_NAME) == len(PEERS)


@pytest.mark.parametrize('mode', ['eval', 'train'])
@pytest.mark.parametrize('name', BY_NAME)
def test_peers_compute_the_same(name, mode):
    conditions = Conditions(shape=SHAPE, mode=mode)
    try:
        case = BY_NAME[name].build(conditions)
    except InputError as error:
        pytest.skip(str(error))
    *others, ours = [candidate.function for candidate in case.candidates]
    inputs = make_inputs(case.shapes, conditions)
    for module in (*others, ours):
        make_ready(module, conditions)
    with torch.no_grad():
        expected = ours(*inputs)
        # Not for nothing: the weights do something.
        assert name == 'AddFusion' or not torch.equal(expected, inputs[0])
        for other in others:
            torch.testing.assert_close(other(*inputs), expected, rtol=1e-4, atol=1e-4)
