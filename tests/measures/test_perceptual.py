"""Perceptual distances: LPIPS' arithmetic by a plain reference, open_clip's by what it ranks."""

import re
from inspect import cleandoc
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from featurekit.backbones import open_clip
from featurekit.core.errors import BackboneError, ShapeError
from featurekit.images.io import load_image
from featurekit.measures.perceptual.distances import ClipPerceptual, Lpips
from featurekit.scenes.world import scene

WIDTHS = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}


def generator(seed):
    return torch.Generator().manual_seed(seed)


def random_weights(dtype=torch.float64):
    drawn, made = generator(1), {}
    for i, (number, (out, into, side)) in enumerate(WIDTHS.items()):
        spread = (2 / (into * side * side)) ** 0.5
        weight = torch.randn(out, into, side, side, generator=drawn, dtype=dtype) * spread
        made[f"features.{number}.weight"] = weight
        made[f"features.{number}.bias"] = torch.randn(out, generator=drawn, dtype=dtype) / 10
        made[f"lin{i}.model.1.weight"] = torch.rand(1, out, 1, 1, generator=drawn, dtype=dtype)
    return made


WEIGHTS = random_weights()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "lpips.safetensors"
    save_file(WEIGHTS, path)
    return path


@pytest.fixture(scope="module")
def lpips(file):
    return Lpips.load(file, "cpu")


@pytest.fixture(scope="module")
def clip():
    return open_clip.load(device="cpu")


@pytest.fixture(scope="module")
def of_clip(clip):
    return ClipPerceptual(clip)


@pytest.fixture(scope="module", params=["lpips", "of_clip"])
def measure(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def drawings():
    """Drawings of three scenes by three hands (9 3 64 64)."""
    styles = ("brush", "hatching", "inline")
    return torch.cat(
        [load_image(scene(s).drawing(64, style)) for s in range(3) for style in styles]
    )


def noise(seed, *shape):
    return torch.rand(shape, generator=generator(seed), dtype=torch.float64) * 2 - 1


def reference(a, b):
    """LPIPS on AlexNet, pixel to number, as its paper and its published weights define it."""
    total = 0
    for i in range(len(a)):
        pair = torch.stack((a[i], b[i]))
        for c, (shift, scale) in enumerate(((-0.03, 0.458), (-0.088, 0.448), (-0.188, 0.45))):
            pair[:, c] = (pair[:, c] - shift) / scale
        for layer, (number, (_, _, side)) in enumerate(WIDTHS.items()):
            if number in (3, 6):
                pair = functional.max_pool2d(pair, 3, 2)
            stride, padding = (4, 2) if number == 0 else (1, side // 2)
            weight, bias = WEIGHTS[f"features.{number}.weight"], WEIGHTS[f"features.{number}.bias"]
            pair = functional.conv2d(pair, weight, bias, stride=stride, padding=padding).clamp(
                min=0
            )
            one, other = pair / (pair**2).sum(1, keepdim=True).sqrt()
            factors = WEIGHTS[f"lin{layer}.model.1.weight"][0]
            total += ((one - other) ** 2 * factors).sum() / one[0].numel()
    return total / len(a)


@pytest.mark.parametrize("size", [(64, 64), (40, 71), (31, 31)])
def test_lpips_is_the_plain_reference(lpips, size):
    a, b = noise(2, 2, 3, *size), noise(3, 2, 3, *size)
    found = lpips.distance(a, b)
    assert found.shape == ()
    assert found.item() == pytest.approx(reference(a, b).item(), rel=1e-9)


def test_open_clips_features_are_compared_by_the_same_arithmetic(clip, of_clip, drawings):
    a, b = drawings[:2], drawings[2:4]
    expected = 0.0
    for layer in of_clip.layers:
        (p,), (q,) = (clip.image_features(one, [layer]) for one in (a, b))
        unlike = 1 - functional.cosine_similarity(p, q, dim=1)  # of unit vectors: half the square
        expected += 2 * unlike.mean().item() / len(of_clip.layers)
    assert of_clip.distance(a, b).item() == pytest.approx(expected, rel=1e-4)


def test_the_maps_go_from_the_first_to_three_quarters_of_the_depth(clip, of_clip):
    assert of_clip.layers == (0, 1, 2, 3)
    sides = [m.shape[-1] for m in clip.image_features(torch.zeros(1, 3, 64, 64), of_clip.layers)]
    assert sides == [16, 16, 8, 4]


def test_equal_pictures_have_no_distance_and_others_one_that_is_symmetric(measure):
    a, b = noise(2, 2, 3, 48, 48), noise(3, 2, 3, 48, 48)
    assert measure.distance(a, a).item() == 0
    assert measure.distance(a, b).item() > 0.01
    assert measure.distance(a, b).item() == pytest.approx(measure.distance(b, a).item(), rel=1e-9)


def test_a_prepared_reference_gives_the_very_distance_and_gradient(measure):
    a, b = noise(2, 2, 3, 48, 40).requires_grad_(), noise(3, 2, 3, 48, 40)
    compare = measure.prepared(b)
    for scale in (1.0, 0.5):
        given = a * scale
        found, wanted = compare(given), measure.distance(given, b)
        assert torch.equal(found, wanted)
        assert found.dtype == given.dtype
        slopes = [torch.autograd.grad(one, a, retain_graph=True)[0] for one in (found, wanted)]
        assert torch.equal(*slopes)
        assert slopes[0].abs().max() > 0


def test_a_prepared_reference_is_looked_at_once_and_holds_no_graph(of_clip, clip, monkeypatch):
    counted = []
    seen = type(clip).image_features

    def count(self, image, layers):
        counted.append(1)
        return seen(self, image, layers)

    monkeypatch.setattr(type(clip), "image_features", count)
    reference = noise(3, 1, 3, 40, 40).requires_grad_()
    compare = of_clip.prepared(reference)
    for seed in range(3):
        compare(noise(seed, 1, 3, 40, 40).requires_grad_()).backward()
    assert len(counted) == 4
    assert reference.grad is None


def test_a_batch_counts_as_the_mean_of_its_pictures(measure):
    a, b = noise(2, 3, 3, 48, 40), noise(3, 3, 3, 48, 40)
    alone = [measure.distance(a[i : i + 1], b[i : i + 1]).item() for i in range(3)]
    assert measure.distance(a, b).item() == pytest.approx(sum(alone) / 3, rel=1e-5)
    assert max(alone) > 1.01 * min(alone)


def blurred(image, sigma_px):
    offsets = torch.arange(-9.0, 10.0)
    weights = (-((offsets / sigma_px) ** 2) / 2).exp()
    weights = (weights / weights.sum()).expand(3, 1, -1)
    padded = functional.pad(image, (9, 9, 9, 9), value=1.0)
    across = functional.conv2d(padded, weights[:, :, None], groups=3)
    return functional.conv2d(across, weights[..., None], groups=3)


def shifted(image, pixels):
    return functional.pad(image, (pixels, 0), value=1.0)[..., :64]


def noisy(image, deviation):
    return image + deviation * torch.randn(image.shape, generator=generator(4))


@pytest.mark.parametrize(
    ("change", "amounts"),
    [
        (blurred, (0.5, 0.8, 1.2, 2.0, 3.0)),
        (shifted, (1, 3, 6, 12)),
        (noisy, (0.02, 0.05, 0.1, 0.2, 0.4)),
    ],
)
def test_the_more_a_drawing_is_changed_the_farther_open_clip_sees_it(
    of_clip, drawings, change, amounts
):
    found = [of_clip.distance(drawings, change(drawings, amount)).item() for amount in amounts]
    assert found[0] > 1e-4
    assert all(after > 1.1 * before for before, after in pairwise(found))


def test_a_slightly_moved_drawing_is_nearer_than_another_or_none(of_clip, drawings):
    moved = of_clip.distance(drawings, shifted(drawings, 1))
    another = of_clip.distance(drawings, drawings.roll(3, 0))
    white = of_clip.distance(drawings, torch.ones_like(drawings))
    assert moved < 0.5 * min(another, white)


def test_a_step_down_the_gradient_brings_pictures_nearer(measure, drawings):
    start = blurred(drawings[:1], 1.0).to(torch.float64).requires_grad_()
    before = measure.distance(start, drawings[:1].double())
    (slope,) = torch.autograd.grad(before, start)
    after = measure.distance(start - 0.3 * slope / slope.norm(), drawings[:1].double())
    assert after < 0.99 * before


def test_gradients_agree_with_finite_differences(lpips):
    a, b = noise(2, 1, 3, 40, 40).requires_grad_(), noise(3, 1, 3, 40, 40)
    (slope,) = torch.autograd.grad(lpips.distance(a, b), a)
    way = noise(5, 1, 3, 40, 40)
    with torch.no_grad():
        ahead, behind = (lpips.distance(a + step * way, b) for step in (1e-6, -1e-6))
    assert (slope * way).sum().item() == pytest.approx(((ahead - behind) / 2e-6).item(), rel=1e-4)


def test_cells_in_which_nothing_fires_are_alike_and_give_no_nan(tmp_path):
    silent = {
        name: torch.full_like(w, -9.0) if name.endswith("bias") else w
        for name, w in WEIGHTS.items()
    }
    save_file(silent, tmp_path / "silent.safetensors")
    measure = Lpips.load(tmp_path / "silent.safetensors", "cpu")
    a, b = (0.02 * noise(seed, 1, 3, 40, 40) for seed in (2, 3))
    found = measure.distance(a.requires_grad_(), b)
    assert found.item() == 0
    assert torch.autograd.grad(found, a)[0].isfinite().all()


def test_no_weight_asks_for_a_gradient(lpips, clip, of_clip):
    image = noise(2, 1, 3, 40, 40).requires_grad_()
    for measure in (lpips, of_clip):
        measure.distance(image, noise(3, 1, 3, 40, 40)).backward()
    weights = [*lpips.layers.parameters(), *lpips.linear, *clip.network.parameters()]
    assert not any(w.requires_grad or w.grad is not None for w in weights)


def test_the_result_has_the_pictures_dtype(measure):
    for dtype in (torch.float32, torch.float64):
        a, b = noise(2, 1, 3, 40, 40).to(dtype), noise(3, 1, 3, 40, 40).to(dtype)
        assert measure.distance(a, b).dtype == dtype


def test_names_say_what_the_distance_is_made_of(lpips, of_clip):
    assert lpips.name == "LPIPS v0.1, AlexNet"
    assert of_clip.name == "features of open_clip, layers 0, 1, 2, 3"


def test_the_recipe_makes_a_file_from_the_two_published_ones(tmp_path, monkeypatch, lpips):
    monkeypatch.chdir(tmp_path)
    weights = {name: weight.float() for name, weight in WEIGHTS.items()}
    alexnet = {name: w for name, w in weights.items() if name.startswith("features")}
    torch.save(alexnet | {"classifier.1.bias": torch.zeros(3)}, "alexnet-owt-7be5be79.pth")
    torch.save({name: w for name, w in weights.items() if name.startswith("lin")}, "alex.pth")
    recipe = re.search(r"::\n\n(.*?)\n\n", Lpips.load.__doc__, re.DOTALL)[1]
    assert len(recipe.splitlines()) == 3
    exec(cleandoc(recipe), {})
    made = Lpips.load("lpips.safetensors", "cpu")
    a, b = noise(2, 1, 3, 40, 40), noise(3, 1, 3, 40, 40)
    assert made.distance(a, b).item() == pytest.approx(lpips.distance(a, b).item(), rel=1e-4)


def test_loading_leaves_the_global_random_numbers_alone(file, clip):
    before = torch.get_rng_state()
    Lpips.load(file, "cpu")
    ClipPerceptual(clip)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["features.8.bias", "lin3.model.1.weight"])
def test_a_missing_tensor_is_named(tmp_path, name):
    path = tmp_path / "part.safetensors"
    save_file({key: weight for key, weight in WEIGHTS.items() if key != name}, path)
    with pytest.raises(BackboneError, match=f"part.safetensors' has no {name}; make the file as"):
        Lpips.load(path, "cpu")


def test_a_tensor_of_another_shape_is_named(tmp_path):
    path = tmp_path / "odd.safetensors"
    save_file(WEIGHTS | {"lin1.model.1.weight": torch.zeros(1, 191, 1, 1)}, path)
    said = r"lin1.model.1.weight in .* must be \(1, 192, 1, 1\), got \(1, 191, 1, 1\)"
    with pytest.raises(BackboneError, match=said):
        Lpips.load(path, "cpu")


def test_mixed_or_whole_numbers_are_refused(tmp_path):
    path = tmp_path / "mixed.safetensors"
    save_file(WEIGHTS | {"features.3.bias": torch.zeros(192)}, path)
    with pytest.raises(BackboneError, match=r"features.3.bias .* is torch.float32 beside torch.f"):
        Lpips.load(path, "cpu")
    save_file({name: weight.to(torch.int8) for name, weight in WEIGHTS.items()}, path)
    with pytest.raises(BackboneError, match="must all have one floating dtype"):
        Lpips.load(path, "cpu")


def test_no_file_and_no_safetensors_are_one_sentence(tmp_path):
    pickled = tmp_path / "alex.pth"
    torch.save(WEIGHTS, pickled)
    for path in (tmp_path / "none.safetensors", pickled, tmp_path):
        with pytest.raises(BackboneError, match="must be in one safetensors file") as error:
            Lpips.load(path, "cpu")
        assert "make the file as Lpips.load describes" in str(error.value)
        assert "\n" not in str(error.value)


def test_pictures_that_do_not_match_are_refused(measure):
    with pytest.raises(ShapeError, match=r"first picture must be \(b 3 h w\)"):
        measure.distance(noise(1, 1, 1, 40, 40), noise(2, 1, 3, 40, 40))
    with pytest.raises(ShapeError, match=r"second picture must be \(b=1 3 h=40 w=40\)"):
        measure.distance(noise(1, 1, 3, 40, 40), noise(2, 1, 3, 40, 41))


def test_a_prepared_reference_refuses_what_a_distance_refuses(measure):
    with pytest.raises(ShapeError, match=r"first picture must be \(b 3 h w\)"):
        measure.prepared(noise(1, 1, 1, 40, 40))
    with pytest.raises(ShapeError, match=r"second picture must be \(b=1 3 h=40 w=41\)"):
        measure.prepared(noise(1, 1, 3, 40, 40))(noise(2, 1, 3, 40, 41))


def test_pictures_too_small_for_alexnet_are_refused(lpips):
    with pytest.raises(ShapeError, match="at least 31 px high and wide"):
        lpips.prepared(noise(1, 1, 3, 30, 64))
    with pytest.raises(ShapeError, match="at least 31 px high and wide"):
        lpips.distance(noise(1, 1, 3, 64, 30), noise(2, 1, 3, 64, 30))
