"""The block of a tile that stays in vector registers, as vector instructions of LLVM.

numba's loop vectorizer keeps sums in memory and scatters where it should transpose; vector types do neither.
"""

import platform

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic


def _cpu_features():
    """Return the feature string of the CPU that numba compiles for."""
    if config.CPU_FEATURES is not None:
        return config.CPU_FEATURES
    if config.CPU_NAME not in (None, "host"):
        return ""
    return binding.get_host_cpu_features().flatten()


def choose_block(features, machine):
    """Choose the bytes of a vector and the number of rows of the block, so that its sums stay in vector registers.

    With AVX-512, 24 of 32 registers of 64 bytes are sums. Else there are 12 sums: of 32 bytes, which fits the 16
    registers of AVX and, two registers a vector, the 32 of NEON; of 16 bytes for the 16 registers of x86 without AVX.
    Measured with AVX-512 at depth 256: 260 GFLOP/s in float32 and 130 in float64 on a core whose OpenBLAS (SkylakeX
    kernels) reaches 245 and 105.
    """
    if "+avx512f" in features:
        return 64, 12
    return (16 if machine.lower() in ("x86_64", "amd64") and "+avx" not in features else 32), 6


# The block of a tile that stays in vector registers: MICRO_ROWS samples against MICRO_VECTORS vectors of samples.
VECTOR_BYTES, MICRO_ROWS = choose_block(_cpu_features(), platform.machine())
MICRO_VECTORS = 2

# A tile of ROWS x COLUMNS float64 is 590 KB: with one packed chunk it stays in a second-level cache of 1 MB. Both are
# multiples of every micro block.
ROWS = 384
COLUMNS = 192
# Features that are packed at a time: bounds the workspace (5.3 MB in float64) for any number of features.
SLAB = 1024
# Distance between rows in memory: constant, so that the micro kernel addresses all rows from one register, and not a
# power of two, which would put them all into one set of the first-level cache.
ROW_STRIDE = SLAB + 16


def _emit_add_products(builder, element, lanes, rows, panel, depth, tile):
    """Emit tile[r, c] += Σ_f rows[r, f] · panel[f, c] in LLVM, with all sums in vector registers.

    numba's loop vectorizer keeps sums in memory; only vector types make LLVM keep a block of them in registers.
    LLVM splits vectors that are wider than the machine's, so any lane count is right everywhere.
    """
    word = ir.IntType(64)
    lane = ir.IntType(32)
    vector = ir.VectorType(element, lanes)
    size = 4 if element == ir.FloatType() else 8
    multiply_add = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(vector, [vector] * 3),
        f"llvm.fmuladd.v{lanes}f{8 * size}",
    )

    def vector_at(pointer, offset):
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    def load_vector(pointer, offset):
        loaded = builder.load(vector_at(pointer, offset))
        loaded.align = size
        return loaded

    def spread(scalar):
        first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, lane(0))
        return builder.shuffle_vector(
            first, ir.Constant(vector, ir.Undefined), ir.Constant(ir.VectorType(lane, lanes), [0] * lanes)
        )

    before = builder.block
    body = builder.append_basic_block("products")
    after = builder.append_basic_block("products.end")
    builder.branch(body)

    builder.position_at_end(body)
    feature = builder.phi(word)
    feature.add_incoming(word(0), before)
    sums = [builder.phi(vector) for _ in range(MICRO_ROWS * MICRO_VECTORS)]
    columns = [
        load_vector(panel, builder.add(builder.mul(feature, word(MICRO_VECTORS * lanes)), word(v * lanes)))
        for v in range(MICRO_VECTORS)
    ]
    grown = []
    for r in range(MICRO_ROWS):
        row = spread(builder.load(builder.gep(rows, [builder.add(feature, word(r * ROW_STRIDE))])))
        grown += [
            builder.call(multiply_add, [row, column, sums[r * MICRO_VECTORS + v]]) for v, column in enumerate(columns)
        ]
    following = builder.add(feature, word(1))
    feature.add_incoming(following, body)
    for old, new in zip(sums, grown, strict=True):
        old.add_incoming(ir.Constant(vector, None), before)
        old.add_incoming(new, body)
    builder.cbranch(builder.icmp_signed("<", following, depth), body, after)

    builder.position_at_end(after)
    for index, total in enumerate(grown):
        r, v = divmod(index, MICRO_VECTORS)
        offset = word(r * COLUMNS + v * lanes)
        stored = builder.store(builder.fadd(load_vector(tile, offset), total), vector_at(tile, offset))
        stored.align = size


def _emit_transpose(builder, element, lanes, strip, stride, panel):
    """Emit panel[f, k] = strip[k, f] in LLVM, for a square of one vector by one vector.

    Interleaving the upper half of the vectors with the lower half, log2(lanes) times, transposes the square.
    (Left to itself, LLVM scatters: 1 ns an element instead of 0.1.)
    """
    word, lane = ir.IntType(64), ir.IntType(32)
    vector = ir.VectorType(element, lanes)
    size = 4 if element == ir.FloatType() else 8

    def vector_at(pointer, offset):
        return builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())

    def interleave(a, b, first):
        picks = [first + k // 2 + (lanes if k % 2 else 0) for k in range(lanes)]
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(lane, lanes), picks))

    square = []
    for k in range(lanes):
        loaded = builder.load(vector_at(strip, builder.mul(stride, word(k))))
        loaded.align = size
        square.append(loaded)
    half = lanes // 2
    for _ in range(lanes.bit_length() - 1):
        square = [interleave(square[k // 2], square[k // 2 + half], k % 2 * half) for k in range(lanes)]
    for f, column in enumerate(square):
        builder.store(column, vector_at(panel, word(f * MICRO_VECTORS * lanes))).align = size


if config.DISABLE_JIT:

    def add_products(rows, row_at, panel, column_at, depth, tile, tile_at):
        """Add products of a micro block in NumPy, for runs without compilation."""
        width = MICRO_VECTORS * VECTOR_BYTES // tile.itemsize
        i, f = divmod(row_at, ROW_STRIDE)
        right = panel[column_at : column_at + depth * width].reshape(depth, width)
        r, c = divmod(tile_at, COLUMNS)
        tile[r : r + MICRO_ROWS, c : c + width] += rows[i : i + MICRO_ROWS, f : f + depth] @ right

    def prefetch(row, f):
        """Do nothing: NumPy has no prefetch."""

    def transpose(strip, f, panel, at):
        """Transpose a square in NumPy, for runs without compilation."""
        lanes = strip.shape[0]
        for k in range(lanes):
            panel[at + k * MICRO_VECTORS * lanes :][:lanes] = strip[:, f + k]

else:

    def _pointer(context, builder, kind, array, offset):
        return builder.gep(context.make_array(kind)(context, builder, array).data, [offset])

    @intrinsic
    def add_products(typing_context, rows, row_at, panel, column_at, depth, tile, tile_at):
        """Add the inner products of one micro block to the tile; depth is at least 1."""
        word = types.intp
        signature = types.void(rows, word, panel, word, word, tile, word)

        def generate(context, builder, signature, arguments):
            kinds = signature.args
            element = context.get_data_type(kinds[0].dtype)
            lanes = VECTOR_BYTES // (4 if element == ir.FloatType() else 8)
            _emit_add_products(
                builder,
                element,
                lanes,
                _pointer(context, builder, kinds[0], arguments[0], arguments[1]),
                _pointer(context, builder, kinds[2], arguments[2], arguments[3]),
                arguments[4],
                _pointer(context, builder, kinds[5], arguments[5], arguments[6]),
            )
            return context.get_dummy_value()

        return signature, generate

    @intrinsic
    def prefetch(typing_context, row, f):
        """Prefetch the line of the cache that holds an entry."""
        signature = types.void(row, types.intp)

        def generate(context, builder, signature, arguments):
            byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
            prefetch = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0i8"
            )
            address = builder.bitcast(_pointer(context, builder, signature.args[0], *arguments), byte)
            # To be read; into all caches; data.
            builder.call(prefetch, [address, word(0), word(3), word(1)])
            return context.get_dummy_value()

        return signature, generate

    @intrinsic
    def transpose(typing_context, strip, f, panel, at):
        """Write a square of the strip into the panel: features f and following, all columns of the strip."""
        signature = types.void(strip, types.intp, panel, types.intp)

        def generate(context, builder, signature, arguments):
            kinds = signature.args
            element = context.get_data_type(kinds[0].dtype)
            shape = context.make_array(kinds[0])(context, builder, arguments[0]).shape
            _emit_transpose(
                builder,
                element,
                VECTOR_BYTES // (4 if element == ir.FloatType() else 8),
                _pointer(context, builder, kinds[0], arguments[0], arguments[1]),
                builder.extract_value(shape, 1),
                _pointer(context, builder, kinds[2], arguments[2], arguments[3]),
            )
            return context.get_dummy_value()

        return signature, generate
