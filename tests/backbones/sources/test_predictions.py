"""What a user says that a model predicts, in the place of what its scheduler says."""

import pickle

import pytest

from featurekit.backbones import load
from featurekit.core.errors import UnknownNameError


def test_a_folder_predicts_what_its_user_says(written):
    path = str(written("sd21"))
    usual, same, other = (
        load(path, "cpu", prediction=one) for one in (None, "v_prediction", "epsilon")
    )
    kinds = [one.noise.prediction for one in (usual, same, other)]
    assert kinds == ["v_prediction", "v_prediction", "epsilon"]
    told = [one.predictor(one.embed("a")).fingerprint for one in (usual, same, other)]
    assert told[0] == told[1] != told[2]
    assert usual.weights == same.weights != other.weights
    assert pickle.loads(pickle.dumps(other)).noise.prediction == "epsilon"


def test_there_are_two_of_them(written):
    with pytest.raises(UnknownNameError, match="no prediction named 'eps'; did you mean epsilon"):
        load(str(written("sd21")), "cpu", prediction="eps")
