"""The table of public weights against the registry and against what torchvision says of its own."""

from __future__ import annotations

from marey.models import list_models
from marey.models.published import BACKBONE, KINETICS, VIT, published_weights
from marey.models.weights import SUFFIXES


def test_every_model_and_default_is_known() -> None:
    entries = {e.name: e for e in list_models()}
    table = published_weights()
    assert {row.model for row in table} <= entries.keys()
    direct = {(row.model, row.source) for row in table if row.direct}
    for entry in entries.values():
        if entry.weights:
            source = BACKBONE if entry.weights == "the timm backbone's own" else entry.weights
            assert (entry.name, source) in direct
    for row in table:
        assert (row.top1 is None) == (row.top5 is None) == (row.protocol == "")


def test_addresses_are_of_files_that_are_read() -> None:
    addresses = [row.source for row in published_weights() if row.direct and "://" in row.source]
    assert len(addresses) == 6
    assert all(a.startswith("https://") and a.endswith(SUFFIXES) for a in addresses)


def test_torchvisions_own_figures() -> None:
    from torchvision.models import get_weight

    checked = 0
    for row in published_weights():
        if "_Weights." in row.source:
            meta = get_weight(row.source).meta
            assert meta["_metrics"][row.data] == {"acc@1": row.top1, "acc@5": row.top5}
            if row.data == KINETICS:
                clips, frames = row.protocol.split(" ")[0], row.protocol.split(", ")[1].split(" ")[0]
                assert f"clips_per_video={clips}" in meta["_docs"]
                assert f"clip_len={frames}" in meta["_docs"]
            checked += 1
    assert checked == 11


def test_timms_name_for_the_vit_is_there() -> None:
    import timm

    assert timm.is_model(VIT)
    assert timm.get_pretrained_cfg(VIT).hf_hub_id
