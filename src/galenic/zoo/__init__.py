"""The zoo: models by name, the adapters for outside ones, their weights, and their multiply-accumulates."""

from galenic.zoo.build import ModelInfo as ModelInfo
from galenic.zoo.build import available_models as available_models
from galenic.zoo.build import build as build
from galenic.zoo.macs import count_macs as count_macs
from galenic.zoo.model import Model as Model
from galenic.zoo.model import parameters as parameters
from galenic.zoo.model import weights_hash as weights_hash
from galenic.zoo.saving import load_model as load_model
from galenic.zoo.saving import save_model as save_model
from galenic.zoo.weights import WeightsReport as WeightsReport
from galenic.zoo.weights import load_weights as load_weights
