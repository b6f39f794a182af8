"""What accelerators take of a .tflite file, as their makers published it: operations, number types, dimensions.

    edgetpu    https://coral.ai/docs/edgetpu/models-intro/#supported-operations; the same table is repeated by
               https://developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/supported-ops/
    gpu        CheckGpuDelegateCompatibility in tensorflow/lite/tools/versioning/gpu_compatibility.cc, and
               https://ai.google.dev/edge/litert/performance/gpu for the number types
    nnapi      NNAPIDelegateKernel::Validate in tensorflow/lite/delegates/nnapi/nnapi_delegate.cc
    qnn        litert/vendors/qualcomm/compiler/Qualcomm_QNN_Compiler.md of github.com/google-ai-edge/LiteRT
    hexagon    tensorflow/lite/delegates/hexagon/README.md
    coreml     tensorflow/lite/g3doc/performance/coreml_delegate.md, and IsNodeSupportedByDelegate in
               tensorflow/lite/delegates/coreml/coreml_delegate.mm
(tensorflow/lite is of github.com/tensorflow/tensorflow.)
Read in 2026. A table says what is refused for certain; what it lets through a driver or a chip may still refuse. Versions of
operations are not looked at: the converters here write 1 for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from galenic.runtimes import delegate_checks as check
from galenic.runtimes.delegate_checks import Check

FLOATS = frozenset({"FLOAT32", "FLOAT16"})
BYTES = frozenset({"INT8", "UINT8"})
INDICES = frozenset({"INT32", "INT64", "BOOL"})
TENSORFLOW = "https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/"


@dataclass(frozen=True)
class Rule:
    """What an accelerator takes of one kind of operation.

    Attributes:
        checks: all of which it passes.
        types: of what it takes and makes, where they are not the accelerator's usual ones.
        weights: types of its constants, where they are not the usual ones.
    """

    checks: tuple[Check, ...] = ()
    types: frozenset[str] | None = None
    weights: frozenset[str] | None = None


@dataclass(frozen=True)
class Delegate:
    """One accelerator.

    Attributes:
        name: short.
        title: what it is, and in which version.
        sources: of its table.
        types: of what its operations take and make.
        weights: of constants; int32 biases and indices besides.
        most_rank: dimensions that a tensor may have.
        most_wide: how many of the last dimensions may be above 1.
        ops: what it takes.
    """

    name: str
    title: str
    sources: tuple[str, ...]
    types: frozenset[str]
    weights: frozenset[str]
    most_rank: int
    ops: Mapping[str, Rule]
    most_wide: int | None = field(default=None)


def _ops(*kinds: str, checks: tuple[Check, ...] = (), types: frozenset[str] | None = None) -> dict[str, Rule]:
    return {kind: Rule(checks, types) for kind in " ".join(kinds).split()}


EDGE_TPU = Delegate(
    name="edgetpu",
    title="Google Edge TPU (Coral), runtime 14: 8-bit integers alone, compiled for it",
    sources=(
        "https://coral.ai/docs/edgetpu/models-intro/#supported-operations",
        "https://developer.axis.com/computer-vision/on-device/system-on-chip/artpec-7/supported-ops/",
    ),
    types=BYTES,
    weights=BYTES,
    most_rank=8,
    most_wide=3,
    ops={
        **_ops(
            "ADD EXPAND_DIMS L2_NORMALIZATION LOGISTIC UNIDIRECTIONAL_SEQUENCE_LSTM MAXIMUM MINIMUM MUL PACK PRELU QUANTIZE",
            "RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SLICE SPACE_TO_DEPTH SPLIT SUB",
            "SQUARED_DIFFERENCE TANH TRANSPOSE TRANSPOSE_CONV",
        ),
        **_ops("AVERAGE_POOL_2D MAX_POOL_2D CONCATENATION", checks=(check.plain,)),
        **_ops("CONV_2D DEPTHWISE_CONV_2D", checks=(check.same_dilation,)),
        **_ops("MEAN REDUCE_MAX REDUCE_MIN SUM", checks=(check.keeps_batch,)),
        "FULLY_CONNECTED": Rule((check.default_format,)),
        "PAD": Rule((check.pads_no_batch,)),
        "SOFTMAX": Rule((check.one_vector(16_000),)),
        "SQUEEZE": Rule((check.leading_ones,)),
        "STRIDED_SLICE": Rule((check.unit_steps, check.unmasked("ellipsisMask", "newAxisMask"))),
    },
)

FUSED_BY_GPU = check.activations("RELU", "RELU_N1_TO_1", "RELU6", "TANH")

GPU = Delegate(
    name="gpu",
    title="LiteRT's GPU delegate (OpenCL, OpenGL ES, Metal)",
    sources=(f"{TENSORFLOW}tools/versioning/gpu_compatibility.cc", "https://ai.google.dev/edge/litert/performance/gpu"),
    types=FLOATS | BYTES,
    weights=FLOATS | BYTES,
    most_rank=4,
    ops={
        **_ops(
            "ADD ADD_N BATCH_MATMUL CONCATENATION PACK QUANTIZE RELU RELU6 RELU_N1_TO_1 LEAKY_RELU PRELU RESHAPE",
            "SPACE_TO_DEPTH DEPTH_TO_SPACE SPLIT SPLIT_V TILE TRANSPOSE TRANSPOSE_CONV HARD_SWISH ABS CEIL COS ELU EXP FLOOR",
            "GELU LOG LOGISTIC NEG RSQRT SIGN SIN SQRT SQUARE TANH MAXIMUM MINIMUM POW SQUARED_DIFFERENCE FLOOR_DIV FLOOR_MOD",
            "RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR EMBEDDING_LOOKUP",
        ),
        **_ops("AVERAGE_POOL_2D MAX_POOL_2D CONV_2D MUL SUB DIV", checks=(FUSED_BY_GPU,)),
        **_ops("MEAN REDUCE_MAX REDUCE_MIN REDUCE_PROD SUM", checks=(check.constant(1, "axes"),)),
        **_ops("PAD PADV2 MIRROR_PAD", checks=(check.square_pads,)),
        **_ops(
            "EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL LOGICAL_AND SELECT SELECT_V2 CAST GATHER",
            types=FLOATS | BYTES | INDICES,
        ),
        "DEPTHWISE_CONV_2D": Rule((check.ranks(4), check.one_for_each_channel_or_one_channel, FUSED_BY_GPU)),
        "FULLY_CONNECTED": Rule((check.default_format,)),
        "SOFTMAX": Rule((check.unit_beta,)),
        "SLICE": Rule((check.ranks(3, 4),)),
        "STRIDED_SLICE": Rule((check.ranks(3, 4), check.unmasked("ellipsisMask", "newAxisMask", "shrinkAxisMask"))),
        "DEQUANTIZE": Rule(weights=FLOATS | BYTES | {"INT4"}),
    },
)

FLOAT = frozenset({"FLOAT32"})

NNAPI = Delegate(
    name="nnapi",
    title="Android NNAPI, feature level 4 (Android 11) and later; deprecated since Android 15",
    sources=(
        f"{TENSORFLOW}delegates/nnapi/nnapi_delegate.cc",
        "https://developer.android.com/ndk/guides/neuralnetworks",
    ),
    types=FLOAT | BYTES,
    weights=FLOATS | BYTES,
    most_rank=4,
    ops={
        **_ops(
            "ADD MUL AVERAGE_POOL_2D MAX_POOL_2D DEPTHWISE_CONV_2D FULLY_CONNECTED HARD_SWISH RELU RELU_N1_TO_1 RELU6 LOGISTIC",
            "TANH SUB PAD PADV2 SPACE_TO_BATCH_ND BATCH_TO_SPACE_ND STRIDED_SLICE SLICE SPACE_TO_DEPTH DEPTH_TO_SPACE MAXIMUM",
            "MINIMUM PRELU LEAKY_RELU EXPAND_DIMS SPLIT QUANTIZE REDUCE_MIN REDUCE_MAX SOFTMAX RESIZE_NEAREST_NEIGHBOR SQUEEZE",
            "TRANSPOSE_CONV TILE",
        ),
        **_ops("ABS EXP LOG RSQRT POW SIN SQRT L2_POOL_2D DIV LOG_SOFTMAX ELU FLOOR", types=FLOAT),
        **_ops("SUM REDUCE_PROD", types=FLOAT, checks=(check.no_scalar,)),
        **_ops("CONCATENATION L2_NORMALIZATION", checks=(check.plain,)),
        **_ops(
            "EQUAL NOT_EQUAL LESS LESS_EQUAL GREATER GREATER_EQUAL LOGICAL_AND LOGICAL_OR LOGICAL_NOT SELECT CAST",
            "ARG_MAX ARG_MIN GATHER TOPK_V2",
            types=FLOAT | BYTES | INDICES,
        ),
        "CONV_2D": Rule((check.has_bias,)),
        "RESHAPE": Rule((check.constant(1, "sizes"),)),
        "RESIZE_BILINEAR": Rule((check.ranks(4), check.constant(1, "sizes"))),
        "TRANSPOSE": Rule((check.constant(1, "axes"),)),
        "MEAN": Rule((check.same_grid, check.no_scalar)),
        "NEG": Rule(types=FLOAT | {"INT32"}),
        "DEQUANTIZE": Rule(types=FLOATS | BYTES),
    },
)

QNN = Delegate(
    name="qnn",
    title="Qualcomm AI Engine Direct (Hexagon Tensor Processor), as LiteRT's compiler passes a net on to it",
    sources=(
        "https://github.com/google-ai-edge/LiteRT/blob/main/litert/vendors/qualcomm/compiler/Qualcomm_QNN_Compiler.md",
    ),
    types=FLOATS | BYTES | INDICES | {"INT16", "UINT16"},
    weights=FLOATS | BYTES | {"INT16", "UINT16", "INT4"},
    most_rank=8,
    ops=_ops(
        "ABS ADD ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BROADCAST_TO CAST CEIL CONCATENATION CONV_2D CONV_3D COS CUMSUM",
        "DEPTH_TO_SPACE DEPTHWISE_CONV_2D DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP EQUAL EXP FLOOR FLOOR_DIV",
        "FULLY_CONNECTED GATHER GATHER_ND GELU GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS",
        "LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL",
        "PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_ALL REDUCE_ANY REDUCE_MAX REDUCE_MIN RELU RELU_0_TO_1 RELU6 RELU_N1_TO_1",
        "RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT SELECT SELECT_V2 SIGN SIN SLICE SOFTMAX",
        "SPACE_TO_DEPTH SPLIT SQUARE SQUARED_DIFFERENCE SQRT STRIDED_SLICE SUB SUM TANH TILE TOPK_V2 TRANSPOSE TRANSPOSE_CONV",
        "UNPACK",
    ),
)

HEXAGON = Delegate(
    name="hexagon",
    title="Qualcomm Hexagon DSP (Snapdragon up to 855), by TensorFlow Lite's delegate: 8-bit integers alone",
    sources=(f"{TENSORFLOW}delegates/hexagon/README.md",),
    types=BYTES,
    weights=BYTES,
    most_rank=4,
    ops={
        **_ops(
            "ADD ARG_MAX ARG_MIN CONCATENATION DEPTH_TO_SPACE FULLY_CONNECTED HARD_SWISH LOGISTIC MAXIMUM MEAN MINIMUM MIRROR_PAD",
            "MUL NEG PACK PAD QUANTIZE RELU RELU6 RESHAPE RESIZE_NEAREST_NEIGHBOR SLICE SOFTMAX SPACE_TO_DEPTH SPLIT",
            "STRIDED_SLICE SUB TANH TRANSPOSE",
        ),
        **_ops("AVERAGE_POOL_2D MAX_POOL_2D L2_NORMALIZATION", checks=(check.plain,)),
        "CONV_2D": Rule((check.strides(3),)),
        "DEPTHWISE_CONV_2D": Rule(
            (
                check.kernel_width(3),
                check.one_for_each_channel,
                check.undilated_where_it_strides,
                check.strides(3),
            )
        ),
        "RESIZE_BILINEAR": Rule((check.sizes_up_to(65),)),
        "TRANSPOSE_CONV": Rule((check.strides(3), check.undilated)),
    },
)

COREML = Delegate(
    name="coreml",
    title="LiteRT's Core ML delegate (Core ML 3, A12 and later): floats alone",
    sources=(f"{TENSORFLOW}g3doc/performance/coreml_delegate.md", f"{TENSORFLOW}delegates/coreml/coreml_delegate.mm"),
    types=FLOAT,
    weights=FLOATS,
    most_rank=4,
    ops={
        **_ops(
            "ADD MUL CONCATENATION HARD_SWISH LOGISTIC MIRROR_PAD MEAN PAD PADV2 RELU RELU_N1_TO_1 RELU6 RESIZE_BILINEAR TANH"
        ),
        **_ops("AVERAGE_POOL_2D MAX_POOL_2D", checks=(check.plain,)),
        **_ops("CONV_2D DEPTHWISE_CONV_2D TRANSPOSE_CONV", checks=(check.constant(1, "weights"),)),
        "FULLY_CONNECTED": Rule((check.constant(1, "weights"), check.one_row)),
        "RESHAPE": Rule((check.never("which Core ML 2 takes, and Core ML 3 not"),)),
        "SOFTMAX": Rule((check.unit_beta,)),
    },
)

DELEGATES: tuple[Delegate, ...] = (NNAPI, GPU, QNN, HEXAGON, EDGE_TPU, COREML)
