"""``gx.methods``: the configs of all methods, by class name, and what some of their options are made of."""

from galenic.compress.distill import DKD as DKD
from galenic.compress.distill import AttentionMatrices as AttentionMatrices
from galenic.compress.distill import AttentionTransfer as AttentionTransfer
from galenic.compress.distill import ClassPrior as ClassPrior
from galenic.compress.distill import FeatureMatching as FeatureMatching
from galenic.compress.distill import HiddenStates as HiddenStates
from galenic.compress.distill import LogitStandardization as LogitStandardization
from galenic.compress.distill import MultiTeacher as MultiTeacher
from galenic.compress.distill import Progressive as Progressive
from galenic.compress.distill import SoftTarget as SoftTarget
from galenic.compress.distill import VirtualTeacher as VirtualTeacher
from galenic.compress.distill.features import Matching as Matching
from galenic.compress.distill.features import Reduction as Reduction
from galenic.compress.distill.multi_teacher import Weighting as Weighting
from galenic.compress.distill.pairs import Pair as Pair
from galenic.compress.distill.progressive import Assistant as Assistant
from galenic.compress.quantize import MixedPrecision as MixedPrecision
from galenic.compress.quantize import StaticInt8 as StaticInt8
from galenic.compress.quantize.mixed_precision import Budget as Budget
from galenic.compress.quantize.mixed_precision import Precision as Precision
from galenic.compress.schedules import Shape as Shape
from galenic.compress.supervised import Supervised as Supervised
