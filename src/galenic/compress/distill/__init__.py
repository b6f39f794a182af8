"""Distillation: one method a file."""

from galenic.compress.distill.attention import AttentionTransfer as AttentionTransfer
from galenic.compress.distill.attention_matrices import AttentionMatrices as AttentionMatrices
from galenic.compress.distill.class_prior import ClassPrior as ClassPrior
from galenic.compress.distill.dkd import DKD as DKD
from galenic.compress.distill.features import FeatureMatching as FeatureMatching
from galenic.compress.distill.hidden_states import HiddenStates as HiddenStates
from galenic.compress.distill.logit_standardization import LogitStandardization as LogitStandardization
from galenic.compress.distill.multi_teacher import MultiTeacher as MultiTeacher
from galenic.compress.distill.progressive import Progressive as Progressive
from galenic.compress.distill.soft_target import SoftTarget as SoftTarget
from galenic.compress.distill.virtual_teacher import VirtualTeacher as VirtualTeacher

METHODS = (
    SoftTarget,
    FeatureMatching,
    AttentionTransfer,
    AttentionMatrices,
    HiddenStates,
    DKD,
    LogitStandardization,
    VirtualTeacher,
    MultiTeacher,
    Progressive,
    ClassPrior,
)
