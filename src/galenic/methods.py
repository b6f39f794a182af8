"""``gx.methods``: the configs of all methods, by class name."""

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
from galenic.compress.quantize import StaticInt8 as StaticInt8
from galenic.compress.supervised import Supervised as Supervised
