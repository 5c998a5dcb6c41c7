"""A head on stored features: what `train` does differently where the network has been run before."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from marey.data.feature_batches import FeatureTable
from marey.data.features import FeatureFolder
from marey.data.manifest import Manifest
from marey.errors import ConfigError, DataError, VideoNotFoundError
from marey.metrics.temporal import KINDS
from marey.predict.load import predictor_of
from marey.predict.on_features import FeaturePredictor
from marey.predict.predictor import Predictor
from marey.training.build import literal_arguments
from marey.training.config import TrainConfig

if TYPE_CHECKING:
    from marey.models.probe import Probe
    from marey.models.saved import SavedModel

HEAD_SETTINGS = ("inputs", "places", "hidden", "dropout")


@dataclass(frozen=True, eq=False)
class Bench:
    """Stored features and the network that they come from, where that is known.

    Attributes:
        config: what to do.
        table: the features of all samples.
        network: the network that made them, or None.
        device, autocast: where, and in which precision.
    """

    config: TrainConfig
    table: FeatureTable
    network: SavedModel | None
    device: str
    autocast: str | None

    @classmethod
    def open(cls, config: TrainConfig, manifest: Manifest, *, device: str, autocast: str | None) -> Bench:
        """Read the features of all samples.

        Raises:
            DataError: no features there, or of two widths; or a sample without, under the policy `error`.
        """
        from marey.models.saved import load_model

        assert config.features is not None
        folder = FeatureFolder.open(config.features)
        table = FeatureTable(folder, manifest)
        if table.failures and config.system.on_error == "error":
            raise next(iter(table.failures.values())).error
        network = None if folder.network is None else load_model(folder.network)
        return cls(config, table, network, device, autocast)

    @property
    def single_frames(self) -> bool:
        """Whether each position is one frame, so that disturbing positions is disturbing frames."""
        grid = self.table.folder.grid
        return grid is not None and grid.num_frames == 1

    @property
    def warning(self) -> str:
        """What to say where the network may have learnt from the samples that judge the head, or ""."""
        learnt = self.table.folder.settings.get("trained_on")
        if not learnt:
            return ""
        return f"the network was trained on {learnt}: if samples of it judge the head here, the numbers flatter it."

    def head(self, classes: int, train: NDArray[np.int64]) -> Probe:
        """A new head, which sees features as the training samples have them: mean 0, deviation 1."""
        import torch

        model = self._probe(classes, None)
        rows = [int(row) for row in train if int(row) not in self.table.failures]
        model.head.standardise_by(torch.from_numpy(self.table.array(row)) for row in rows)
        return model

    def whole(self, saved: SavedModel) -> SavedModel:
        """The head together with its network, where that is known: a model of raw video."""
        if self.network is None:
            return saved
        model = self._probe(len(saved.class_names), self.network)
        source, own = self.network.model.state_dict(), model.state_dict()
        state = {k: source[k.removeprefix("network.")] for k in own if k.startswith("network.")}
        model.load_state_dict(state | {k: v for k, v in saved.model.state_dict().items() if k in own})
        model.to(self.device).eval()
        return replace(saved, model=model, spec=model.spec)

    def judge(self, saved: SavedModel) -> tuple[FeaturePredictor | Predictor, tuple[str, ...], str]:
        """What judges, under which orders of time, and what there is to say of it.

        Where each position is one frame, features disturbed in time are the features of disturbed frames. Where
        a position sees several, the audit goes through the raw video, or is left out if the network is unknown.
        """
        from marey.models.probe import Probe

        assert isinstance(saved.model, Probe)
        on_features = FeaturePredictor(saved.model, self.table, self.config.batch, self.device)
        if not self.config.audit:
            return on_features, ("ordered",), ""
        if self.single_frames:
            return on_features, KINDS, ""
        if self.network is None:
            return (
                on_features,
                ("ordered",),
                "no temporal audit: the network of these features is not known, and shuffling features that "
                "have seen several frames would not shuffle frames.",
            )
        raw = predictor_of(saved, device=self.device, autocast=self.autocast)
        return replace(raw, batch=self.config.batch), KINDS, "the audit looks at the videos themselves."

    def check(self, saved: SavedModel, rows: NDArray[np.int64]) -> str:
        """Judge one sample from its raw video and from its features: both must say the same.

        Returns:
            what was found, in words; "" where there is no network to check.

        Raises:
            DataError: they differ, so the features are not what this network gives.
        """
        from marey.models.probe import Probe

        if self.network is None or self.autocast is not None:
            return ""
        manifest, folder = self.table.manifest, self.table.folder
        samples = [manifest.sample(int(row)) for row in rows if int(row) not in self.table.failures]
        own = [s for s in samples if folder.has(s.path, s.start, s.end)]
        if not own:
            return (
                "segments are judged by their part of the whole video's features; from the raw video their frames "
                "lie up to half a step elsewhere (marey extract --segments has them alike)."
            )
        assert isinstance(saved.model, Probe)
        raw = predictor_of(saved, device=self.device)
        try:
            seen = raw.logits(own[:1]).logits[0]
        except VideoNotFoundError:
            return "the videos are not here, so that the features were not checked against them."
        stored = FeaturePredictor(saved.model, self.table, 1, self.device).logits(own[:1]).logits[0]
        apart = float(np.abs(seen - stored).max())
        if apart > 1e-2 * max(1.0, float(np.abs(stored).max())):
            raise DataError(
                f"the network gives other features than those stored: logits {seen} from the video and {stored} "
                "from its features.",
                "was the video changed since? compute the features again: marey extract",
                where=own[0].path,
            )
        return f"from the raw video as from the stored features, to {apart:.0e} (looked at {Path(own[0].path).name})."

    def _probe(self, classes: int, network: SavedModel | None) -> Probe:
        from marey.models.probe import Probe
        from marey.models.registry import create_model

        settings = literal_arguments(self.config.model_args)
        unknown = sorted(set(settings) - set(HEAD_SETTINGS))
        if unknown:
            raise ConfigError(f"a head has no setting {unknown[0]!r}.", f"it has: {', '.join(HEAD_SETTINGS)}")
        grid = self.table.folder.grid
        kwargs: dict[str, Any] = {"network": None, "features": self.table.width, "head": self.config.head}
        if grid is not None:
            kwargs |= {
                "window": grid.num_frames,
                "stride": grid.feat_stride,
                "fps": grid.fps,
                "longest": grid.cells(self.table.positions),
            }
        if self.network is not None:
            parts = self.network.model.kwargs.get("parts", 1)
            kwargs["places"] = parts * parts
        if network is not None:
            kwargs |= {"network": network.model.name, "network_kwargs": network.model.kwargs}
        model = create_model("probe", num_classes=classes, **{**kwargs, **settings})
        assert isinstance(model, Probe)
        if self.network is not None:
            seen = self.network.spec
            model.spec = dataclasses.replace(
                model.spec,
                modalities=seen.modalities, size=seen.size, resize=seen.resize, mean=seen.mean, std=seen.std,
            )  # fmt: skip
        return model
