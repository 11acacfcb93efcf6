"""The jobs ``learn`` and ``distil``: runs of the command, watched, in a style's own folder."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from featurekit.core.errors import ConfigError
from featurekit.core.json_files import read_json
from featurekit.images.io import load_image
from featurekit.measures.held_out import image_of
from featurekit.pipeline.places import RECORD as RUN_RECORD
from featurekit.scenes import held_out_scenes
from featurekit.web.asked import Asked
from featurekit.web.desk import Desk
from featurekit.web.pictures import Picture
from featurekit.web.tab import Json, Work
from featurekit_sketch.config import SketchConfig, tiling_of
from featurekit_sketch.inputs import SCENE_KIND
from featurekit_sketch.settings import LINES, TWO_SCALES
from featurekit_sketch.studio.live import LiveSketches
from featurekit_sketch.studio.pairs import DRAWING, PICTURE, Pairs, ink_image
from featurekit_sketch.studio.runs import run_for_page, settings_for
from featurekit_sketch.studio.shelf import RUN, TAUGHT, Shelf, Shelved, title_of
from featurekit_sketch.studio.words import spoken
from featurekit_sketch.tasks.drawers import drawer_of
from featurekit_sketch.training.style_file import digest, load_style
from featurekit_sketch.watching import Watcher
from featurekit_sketch.working_size import Size, resized

LIVE_PX = 512  # of the longer side of pictures while something is learnt
QUICK = 150  # iterations of a quick look
MOST_ITERATIONS, MOST_PAIRS = 20_000, 20_000
HIGHEST_SEED = 2**31 - 1
OTHER = 5  # number of the held-out scene that is drawn while a style is learnt


class Learning:
    """The two jobs."""

    def __init__(self, desk: Desk, shelf: Shelf, pairs: Pairs) -> None:
        """Learn nothing yet."""
        self._desk, self._shelf, self._pairs = desk, shelf, pairs
        self._amounts: Json = {}

    @property
    def amounts(self) -> Json:
        """Iterations of a quick look and of a style's whole training, and of a student's."""
        if not self._amounts:
            usual = settings_for("train", self._desk).plugin
            student = {"count": int(usual.pairs), "iterations": int(usual.student_iterations)}
            full = int(usual.iterations)
            self._amounts = {"quick": min(QUICK, full), "full": full, "student": student}
        return self._amounts

    def learn(self, asked: Asked, work: Work) -> Json:
        """Learn a style from a drawing that was dropped, or go on with one that was stopped.

        Raises:
            FeatureKitError: the drawing is gone, or cannot be learnt on this model.
            KeyboardInterrupt: it was stopped; the style stays, and can be gone on with.
        """
        cfg = settings_for("train", self._desk)
        style, folder = self._begun(asked, cfg.plugin)
        cfg.image, cfg.out = str(folder / PICTURE), str(folder / RUN)
        cfg.prompt, cfg.seed = style.facts["prompt"], style.facts["seed"]
        cfg.plugin.drawing = str(folder / DRAWING)
        cfg.plugin.ink, cfg.plugin.fit = style.facts["ink"], style.facts["fit"]
        cfg.plugin.iterations = style.facts["iterations"]
        live = LiveSketches(work, self._shown(folder / PICTURE))
        names = {folder / DRAWING: "the drawing", folder / PICTURE: "the picture"}
        with self._shelf.at_work(style.id), spoken(names):
            record = run_for_page(cfg, self._desk, work, Watcher(learning=live))
        work.say(record["stop"])
        return {"style": style.id}

    def distil(self, asked: Asked, work: Work) -> Json:
        """Teach a student to draw in a style, or go on teaching it.

        Raises:
            FeatureKitError: the style is not learnt yet, or a student cannot learn it.
            KeyboardInterrupt: it was stopped; what was drawn and learnt stays.
        """
        style, folder = self._shelf.own(asked.text("style"))
        if not style.is_learnt:
            raise ConfigError(
                f"a style must be learnt before a student learns from it, and {style.title!r} is "
                f"not; go on with it first"
            )
        cfg = settings_for("distil", self._desk)
        cfg.seed = style.facts["seed"]
        cfg.plugin.style, cfg.out = str(style.file), str(folder / TAUGHT)
        cfg.plugin.pairs = asked.whole("count", int(cfg.plugin.pairs), low=2, high=MOST_PAIRS)
        cfg.plugin.student_iterations = asked.whole(
            "iterations", int(cfg.plugin.student_iterations), low=1, high=MOST_ITERATIONS
        )
        _forget_other(folder / TAUGHT, cfg)
        picture = _small(self._other(folder / PICTURE))

        def teach() -> None:
            backbone = self._desk.backbone()
            found = load_style(style.file, backbone.name, digest(backbone.weights))
            drawn = drawer_of(found, backbone, tiling_of(cfg.plugin))(picture)
            work.picture("teacher", ink_image(drawn))

        live = LiveSketches(work, {"student": picture}, teach)
        with self._shelf.at_work(style.id), spoken():
            record = run_for_page(cfg, self._desk, work, Watcher(learning=live))
        work.say(record["stop"])
        return {"style": style.id}

    def _begun(self, asked: Asked, usual: SketchConfig) -> tuple[Shelved, Path]:
        """The style that is to be learnt, new or known."""
        model = self._desk.model_name
        if asked.has("style"):
            style, folder = self._shelf.own(asked.text("style"))
            if style.facts["model"] != model:
                raise ConfigError(
                    f"a style must be gone on with on the model that it was begun on, "
                    f"{style.facts['model']!r}, got {model!r}; open the studio with "
                    f"backbone={style.facts['model']}"
                )
            return style, folder
        pair = self._pairs.find(asked.text("pair"))
        self._check_ink(str(pair.facts["ink"]), usual)
        facts = {
            "title": title_of(asked.text("title", str(pair.facts["name"]))),
            "prompt": asked.text("prompt", ""),
            "seed": asked.whole("seed", 0, low=0, high=HIGHEST_SEED),
            "iterations": asked.whole("iterations", usual.iterations, low=1, high=MOST_ITERATIONS),
            "model": model,
        }
        return self._shelf.own(self._shelf.add(pair, facts).id)

    def _check_ink(self, ink: str, usual: SketchConfig) -> None:
        if ink != LINES and usual.network != TWO_SCALES:
            raise ConfigError(
                f"greys and colours can be learnt on models that learn at two scales, and "
                f"{self._desk.model_name!r} does not; drop the drawing as lines"
            )

    def _shown(self, drawn: Path) -> dict[str, Tensor]:
        """What is drawn while a style is learnt: the drawn picture, and another."""
        return {"try": _small(load_image(drawn)), "other": _small(self._other(drawn))}

    def _other(self, drawn: Path) -> Tensor:
        """The picture on the desk, where that is not the drawn one; else a held-out scene."""
        with suppress(ConfigError):
            picture: Picture = self._desk.picture(None)
            if picture.path.read_bytes() != drawn.read_bytes():
                return load_image(picture.at_most(LIVE_PX))
        *_, scene = held_out_scenes(OTHER, (SCENE_KIND,))
        return image_of(scene, LIVE_PX // 2)


def _small(image: Tensor) -> Tensor:
    """A picture (1 3 h w) as the page shows it while something is learnt."""
    height, width = image.shape[-2:]
    side = max(height, width)
    if side <= LIVE_PX:
        return image
    scale = LIVE_PX / side
    return resized(image, Size(max(8, round(scale * height)), max(8, round(scale * width))))


def _forget_other(folder: Path, cfg: Any) -> None:  # noqa: ANN401 - OmegaConf's
    """Remove a student that was taught with other amounts: it could not be gone on with."""
    try:
        before = read_json(folder / RUN_RECORD)["config"]
    except ConfigError:
        return
    names = ("pairs", "student_iterations")
    if any(before["plugin"][name] != cfg.plugin[name] for name in names):
        shutil.rmtree(folder)
