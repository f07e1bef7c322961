import pytest

from mmattn.errors import InputError
from mmattn.insertion import InsertAttention
from mmattn.insertion.possible_sites import possible_sites
from tests.insertion.toys import COORD_ATT, IMAGE, Tokens, Tower, insert


def test_every_module_that_returns_maps_is_listed_in_the_order_of_the_forward():
    sites = possible_sites(Tower(), r'layer1.*', IMAGE)
    block = ['', '.conv1', '.bn1', '.relu']
    names = ['layer1', *(f'layer1.{i}{name}' for i in (0, 1) for name in block)]
    assert [site.name for site in sites] == names
    assert {tuple(site.shapes) for site in sites} == {((1, 8, 32, 40),)}
    assert {site.calls for site in sites} == {1}


def test_the_host_itself_is_listed_with_all_its_maps():
    [site] = possible_sites(Tower(), '', IMAGE)
    assert site.name == ''
    assert site.shapes == [(1, 8, 32, 40), (1, 16, 16, 20)]


def test_attention_can_be_inserted_after_all_that_is_listed():
    for host in (Tower(), Tokens()):
        names = [site.name for site in possible_sites(host, input_shape=IMAGE)]
        sites = [dict(after=name.replace('.', r'\.'), attention=COORD_ATT) for name in names]
        InsertAttention(host, sites, input_shape=IMAGE)


def test_what_was_inserted_is_not_listed():
    model = insert(Tower(), dict(after='layer1', attention=COORD_ATT))
    assert possible_sites(model, input_shape=IMAGE) == possible_sites(Tower(), input_shape=IMAGE)


@pytest.mark.parametrize(
    ('pattern', 'message'),
    [
        ('layer3', r"pattern 'layer3' matches no module that returns maps; .*'layer1'"),
        (r'layer1\.\d\.idle', r'matches no module that returns maps'),
        ('conv(', r"pattern 'conv\(' is no regular expression"),
    ],
    ids=['no such name', 'never runs', 'no pattern'],
)
def test_a_pattern_without_sites_is_one_error(pattern, message):
    with pytest.raises(InputError, match=message):
        possible_sites(Tower(), pattern, IMAGE)
