"""The TensorFlow ops that an exported model may hold.

A list of what is allowed, not of what is forbidden: a SavedModel is a program, and an
op that reads a file or calls Python must be named here before it can pass. Every name
is registered in stock TensorFlow (a test checks it), so a stock server can run them.
Add a name when a new renderer needs another pure computation.
"""

_ARRAYS = """
BatchMatrixDiag BatchToSpaceND Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo
Cast CheckNumerics CheckNumericsV2 Concat ConcatOffset ConcatV2 Const DepthToSpace
Diag DiagPart DynamicPartition DynamicStitch Empty EnsureShape ExpandDims
ExtractImagePatches Fill Gather GatherNd GatherV2 Identity IdentityN
InvertPermutation LinSpace MatrixBandPart MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3
MatrixSetDiagV3 MirrorPad MirrorPadGrad OneHot OnesLike Pack Pad PadV2
ParallelConcat ParallelDynamicStitch PlaceholderWithDefault PreventGradient Range Rank
LowerBound Reshape ReverseSequence ReverseV2 Roll ScatterNd UpperBound
Select SelectV2 Shape ShapeN Size Slice Snapshot SpaceToBatchND SpaceToDepth Split
SplitV Squeeze StopGradient StridedSlice StridedSliceGrad TensorScatterAdd
TensorScatterMax TensorScatterMin TensorScatterSub TensorScatterUpdate
TensorStridedSliceUpdate Tile Transpose Unique UniqueV2 UniqueWithCounts
UniqueWithCountsV2 Unpack UnravelIndex Where ZerosLike
"""

_MATHEMATICS = """
Abs AccumulateNV2 Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax
ArgMin Asin Asinh Atan Atan2 Atanh BatchMatMul BatchMatMulV2 BatchMatMulV3 Betainc
Bincount BitwiseAnd BitwiseOr BitwiseXor Bucketize Ceil ClipByValue Complex ComplexAbs
Conj Cos Cosh Cross Cumprod Cumsum CumulativeLogsumexp DenseBincount Digamma Div
DivNoNan Einsum Elu EluGrad Equal Erf Erfc Erfinv Exp Expm1 Floor FloorDiv FloorMod
Greater GreaterEqual Imag Inv InvGrad Invert IsFinite IsInf IsNan L2Loss LeakyRelu
LeakyReluGrad LeftShift Less LessEqual Lgamma Log Log1p LogSoftmax LogicalAnd
LogicalNot LogicalOr MatMul Max Maximum Mean Min Minimum Mod Mul MulNoNan Ndtri Neg
NextAfter NotEqual PopulationCount Pow Prod Real RealDiv Reciprocal ReciprocalGrad Relu
Relu6 Relu6Grad ReluGrad RightShift Rint Round Rsqrt RsqrtGrad SegmentMax SegmentMaxV2
SegmentMean SegmentMin SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum SegmentSumV2
Selu SeluGrad Sigmoid SigmoidGrad Sign Sin Sinh Softmax SoftmaxCrossEntropyWithLogits
Softplus SoftplusGrad Softsign SoftsignGrad SparseMatMul SparseSegmentMean
SparseSegmentSum SparseSoftmaxCrossEntropyWithLogits Sqrt SqrtGrad Square
SquaredDifference Sub Sum Tan Tanh TanhGrad TopK TopKV2 TruncateDiv TruncateMod
UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum Xdivy
Xlog1py Xlogy Zeta
"""

_ALGEBRA = """
BatchFFT Cholesky CholeskyGrad FFT FFT2D FFT3D IFFT IFFT2D IFFT3D IRFFT IRFFT2D
IRFFT3D LogMatrixDeterminant MatrixDeterminant MatrixInverse MatrixSolve
MatrixSolveLs MatrixTriangularSolve Qr RFFT RFFT2D RFFT3D SelfAdjointEigV2 Svd
SparseTensorDenseMatMul SparseReorder SparseReshape SparseToDense
"""

_IMAGES = """
AdjustContrastv2 AdjustHue AdjustSaturation AvgPool AvgPool3D AvgPool3DGrad AvgPoolGrad
BiasAdd BiasAddGrad Conv Conv2D Conv2DBackpropFilter Conv2DBackpropFilterV2
Conv2DBackpropInput Conv2DBackpropInputV2 Conv3D Conv3DBackpropFilter
Conv3DBackpropFilterV2 Conv3DBackpropInput Conv3DBackpropInputV2 CropAndResize
CropAndResizeGradBoxes CropAndResizeGradImage DecodeBmp DecodeImage DecodeJpeg
DecodePng DepthwiseConv2dNative DepthwiseConv2dNativeBackpropFilter
DepthwiseConv2dNativeBackpropInput Dilation2D EncodeJpeg EncodePng
ExtractVolumePatches FusedBatchNorm FusedBatchNormGrad FusedBatchNormGradV3
FusedBatchNormV2 FusedBatchNormV3 HSVToRGB ImageProjectiveTransformV2
ImageProjectiveTransformV3 MaxPool MaxPool3D MaxPool3DGrad MaxPoolGrad
MaxPoolGradV2 MaxPoolV2 MaxPoolWithArgmax NonMaxSuppressionV3 RGBToHSV ResizeArea
ResizeBicubic ResizeBicubicGrad ResizeBilinear ResizeBilinearGrad
ResizeNearestNeighbor ResizeNearestNeighborGrad ScaleAndTranslate
ScaleAndTranslateGrad
"""

_BYTES = """
AsString DecodeBase64 DecodeCompressed DecodePaddedRaw DecodeRaw EncodeBase64
StringLength StringToNumber Substr
"""

_RAGGED = """
RaggedGather RaggedRange RaggedTensorFromVariant RaggedTensorToSparse
RaggedTensorToTensor RaggedTensorToVariant
"""

# Drawn from a seed that is an input. RandomUniform and its like hold a hidden state.
_STATELESS_RANDOM = """
RandomIndexShuffle StatelessMultinomial StatelessParameterizedTruncatedNormal
StatelessRandomBinomial StatelessRandomGammaV2 StatelessRandomGetAlg
StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal
StatelessRandomNormalV2 StatelessRandomUniform StatelessRandomUniformFullInt
StatelessRandomUniformFullIntV2 StatelessRandomUniformInt StatelessRandomUniformIntV2
StatelessRandomUniformV2 StatelessShuffle StatelessTruncatedNormal
StatelessTruncatedNormalV2
"""

_CONTROL = """
Assert Case ControlTrigger EmptyTensorList Enter Exit For If LoopCond Merge
NextIteration NoOp PartitionedCall Placeholder StatefulPartitionedCall StatelessCase
StatelessIf StatelessWhile Switch SymbolicGradient TensorArrayV3 TensorArrayConcatV3
TensorArrayGatherV3 TensorArrayGradV3 TensorArrayReadV3 TensorArrayScatterV3
TensorArraySizeV3 TensorArraySplitV3 TensorArrayWriteV3 TensorListConcatV2
TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem
TensorListLength TensorListPopBack TensorListPushBack TensorListReserve
TensorListResize TensorListScatter TensorListScatterIntoExistingList
TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack While
_Arg _Retval
"""

_VARIABLES = """
AssignVariableOp DisableCopyOnRead ReadVariableOp ResourceGather ResourceGatherNd
VarHandleOp VarIsInitializedOp VariableShape
"""

STOCK_OPS = frozenset(
    " ".join(
        [
            _ARRAYS,
            _MATHEMATICS,
            _ALGEBRA,
            _IMAGES,
            _BYTES,
            _RAGGED,
            _STATELESS_RANDOM,
            _CONTROL,
            _VARIABLES,
        ]
    ).split()
)

# Every SavedModel carries these to load its own variables; they are allowed in the
# functions that its saver calls, and nowhere else.
SAVER_OPS = frozenset(
    "MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename StaticRegexFullMatch "
    "StringJoin".split()
)
