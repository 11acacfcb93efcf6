"""guided: the wrapper of classifier-free guidance, as arithmetic on two predictors."""

import pytest
import torch

from featurekit.diffusion.backbone import Predictor, fingerprint_of, guided


def with_prompt(z, t):
    return 3 * z + t


def without(z, t):
    return z - t


@pytest.fixture
def z():
    return torch.randn(2, 4, 3, 5, generator=torch.Generator().manual_seed(0))


def test_scale_zero_is_the_unconditional_prediction(z):
    assert torch.equal(guided(with_prompt, without, 0.0)(z, 7), without(z, 7))


def test_scale_one_is_the_conditional_prediction(z):
    torch.testing.assert_close(guided(with_prompt, without, 1.0)(z, 7), with_prompt(z, 7))


def test_more_goes_as_far_beyond_as_the_scale_says(z):
    expected = without(z, 7) + 7.5 * (with_prompt(z, 7) - without(z, 7))
    torch.testing.assert_close(guided(with_prompt, without, 7.5)(z, 7), expected)


def test_both_predictors_are_asked_once_with_what_was_given(z):
    seen = []

    def asked(given, t):
        seen.append((given, t))
        return given

    t = torch.tensor([3, 4])
    guided(asked, asked, 2.0)(z, t)
    assert len(seen) == 2
    assert all(given is z and told is t for given, told in seen)


def test_gradients_reach_the_latent_through_both(z):
    z.requires_grad_()
    (gradient,) = torch.autograd.grad(guided(with_prompt, without, 2.0)(z, 7).sum(), z)
    torch.testing.assert_close(gradient, torch.full_like(z, 1 + 2 * (3 - 1)))


# fingerprints


def test_a_predictor_predicts_as_what_it_wraps_and_says_what_it_was_told(z):
    predict = Predictor(with_prompt, lambda: "a cat")
    assert torch.equal(predict(z, 7), with_prompt(z, 7))
    assert predict.fingerprint == fingerprint_of(predict) == "a cat"


def test_a_plain_callable_has_no_fingerprint():
    assert fingerprint_of(with_prompt) == ""


def test_what_is_told_is_asked_when_it_is_needed_and_as_it_is_then(z):
    told = ["a cat"]
    predict = Predictor(with_prompt, lambda: told.pop())
    predict(z, 7)
    assert told == ["a cat"]
    assert predict.fingerprint == "a cat"
    told.append("a cat, adapted")
    assert predict.fingerprint == "a cat, adapted"


def test_guidance_names_both_sides_and_its_scale():
    cat, dog = (Predictor(with_prompt, lambda told=told: told) for told in ("cat", "dog"))
    assert guided(cat, dog, 7.5).fingerprint == "(dog) to (cat) guidance 7.5"
    assert guided(cat, dog, 2).fingerprint == guided(cat, dog, 2.0).fingerprint


def test_guidance_with_a_side_that_is_unknown_is_unknown():
    cat = Predictor(with_prompt, lambda: "cat")
    assert guided(cat, without, 7.5).fingerprint == guided(without, cat, 7.5).fingerprint == ""
